"""Signals that ask a run to end."""

import json
import signal
import subprocess
import sys
import time

import pytest

from fastconv.style.running.interruption import signals_between_steps

from ..helpers import QUICK, size_of


@pytest.mark.skipif(sys.platform == "win32", reason="signals to other processes")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_saves_what_there_is(folder, number, code):
    program = [sys.executable, "-c", "import sys; from fastconv.cli import main; sys.exit(main())"]
    process = subprocess.Popen(
        [
            *program,
            "style",
            "photo.png",
            "painting.png",
            "-o",
            "out.png",
            *QUICK,
            "--steps",
            "1000000",
            "--restore-size",
            "--size",
            "40",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if "steps over" in line:
                break
        time.sleep(1)  # it is at work, whether compiling or stepping
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "stopping after this step" in err
    assert "interrupted; what there was is saved: out.png" in err
    told = json.loads(out)
    assert told["interrupted"] is True
    assert 0 < len(told["losses"]) < 1000000
    assert size_of(folder / "out.png") == (48, 32)


def test_a_second_interruption_quits_at_once():
    code = (
        "import signal; from fastconv.style.running.interruption import signals_between_steps as between\n"
        "with between(lambda: print('first', flush=True)) as interruption:\n"
        "    signal.raise_signal(signal.SIGINT); assert interruption.signal == signal.SIGINT\n"
        "    signal.raise_signal(signal.SIGINT); print('second')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (130, "first", "")


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals_between_steps(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
