"""A command that shells complete."""

import shutil
import subprocess

import pytest

from fastconv import cli


def complete(script, *words):
    """Return what bash offers for the last of `words`."""
    code = (
        f'source "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=();'
        ' function_of() { complete -p fastconv | sed "s/.*-F \\([^ ]*\\) .*/\\1/"; };'
        ' $(function_of) fastconv "${COMP_WORDS[COMP_CWORD]}" ""; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code, "bash", *words], capture_output=True, text=True)
    return done.stdout.split()


@pytest.fixture
def script(tmp_path, capsys):
    """The script for bash, in a file."""
    pytest.importorskip("shtab")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    assert cli.main(["completion", "bash"]) == 0
    path = tmp_path / "completion.bash"
    path.write_text(capsys.readouterr().out)
    return path


def test_bash_completes_commands_options_and_files(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").touch()
    assert {"style", "weights", "info", "completion"} <= set(complete(script, "fastconv", ""))
    assert complete(script, "fastconv", "sty") == ["style"]
    assert complete(script, "fastconv", "style", "--resu") == ["--resume"]
    assert complete(script, "fastconv", "weights", "fet") == ["fetch"]
    assert complete(script, "fastconv", "style", "pho") == ["photo.png"]
    assert complete(script, "fastconv", "style", "--resume", "pho") == ["photo.png"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_a_script(shell, capsys):
    pytest.importorskip("shtab")
    assert cli.main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert "fastconv" in printed
    assert "resume" in printed


def test_a_shell_that_is_not_known(capsys):
    assert cli.main(["completion", "cmd"]) == 2
