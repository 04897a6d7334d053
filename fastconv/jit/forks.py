"""Forks: no child inherits a lock that is held, nor a parallel region that is under way."""

from __future__ import annotations

import os
import threading

import numba

from .layer import start_layer


class RenewedLock:
    """A lock that is free in a forked child, although another thread of the parent may have held it.

    Attributes
    ----------
    lock : threading.Lock
        To be asked for anew each time.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


class _Regions:
    """Parallel regions under way in this process: forks wait for their end, and nobody enters while one waits.

    A child inherits one thread, and whatever lock of the layer the others held, for ever. TBB's workers are
    joined before a fork if they are idle and the thread that started them forks; GNU OpenMP ends a child of a
    process that has used it.
    """

    def __init__(self) -> None:
        self.serial = False  # whether this is a child that cannot use the layer that it inherited
        self._changed = threading.Condition()
        self._under_way = 0
        self._forks = 0
        self._launcher: int | None = None

    def begin(self, layer: str) -> None:
        """Begin a region, of which all layers but TBB take only one at a time (workqueue ends the process on two)."""
        with self._changed:
            while self._forks or (self._under_way and layer != "tbb"):
                self._changed.wait()
            self._under_way += 1

    def end(self) -> None:
        """End a region."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def launch(self) -> str:
        """Start Numba's threading layer, and return its name."""
        with self._changed:
            if self._launcher is None:
                self._launcher = threading.get_ident()
                start_layer()
        return numba.threading_layer()

    def before_fork(self) -> None:
        self._changed.acquire()
        self._forks += 1
        self._changed.wait_for(lambda: not self._under_way)

    def after_fork_in_parent(self) -> None:
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        launched = self._launcher is not None
        joined = launched and numba.threading_layer() != "omp" and self._launcher == threading.get_ident()
        self._changed = threading.Condition()
        self._forks = 0
        self.serial = launched and (self.serial or not joined)


regions = _Regions()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=regions.before_fork,
        after_in_parent=regions.after_fork_in_parent,
        after_in_child=regions.after_fork_in_child,
    )
