"""How much memory there is."""

import pytest

from fastconv.style import Options
from fastconv.style.transfer import machine

from .helpers import GB


def test_by_default_a_share_of_what_is_free_is_used(monkeypatch):
    monkeypatch.setattr(machine, "available", lambda: 10 * GB)
    held = machine.limit_of(Options()) / 0.8 - 10 * GB
    assert 50_000_000 < held < 5 * GB  # what this process holds already
    assert machine.limit_of(Options(max_memory="10 GB")) == 10 * GB


@pytest.mark.parametrize(
    ("line", "files", "folder"),
    [
        ("0::/a/b", ("memory.max", "memory.current", "inactive_file"), ""),
        (
            "4:cpu,memory:/a/b",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            "memory",
        ),
    ],
)
def test_limits_of_control_groups_count(tmp_path, monkeypatch, line, files, folder):
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(f"9:cpu:/elsewhere\n{line}\n")
    limit_file, usage_file, cached = files
    for group, limit in (("a/b", "max"), ("a", "7000000")):  # the inner one has none of its own
        path = tmp_path / folder / group
        path.mkdir(parents=True, exist_ok=True)
        (path / limit_file).write_text(limit)
        (path / usage_file).write_text("5000000")
        (path / "memory.stat").write_text(f"anon 1\n{cached} 1000000\n")
    assert machine.available() == 3_000_000


def test_memory_is_known_without_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "none")
    assert machine.available() > 1_000_000
