"""Signals that ask a run to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interruption:
    """Which signal has asked for an end, if any."""

    signal: int | None = None


@contextmanager
def signals_between_steps(notice: Callable[[], None]) -> Iterator[Interruption]:
    """Let the first SIGINT or SIGTERM be noted instead of raised; a second one ends the process at once.

    `notice` is called for the first one. So no step is broken off half-way, and the picture is whole when it is
    saved. Outside the main thread, where Python allows no handlers, signals keep their usual effect.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interruption.signal is not None:
            os._exit(128 + number)
        interruption.signal = number
        with suppress(RuntimeError):  # the signal may have come in the middle of a write to the stream
            notice()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
