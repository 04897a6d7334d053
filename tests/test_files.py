"""Files of the package: one cache directory, files written whole or not at all, digests."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from fastconv import files, weights
from fastconv.jit import cache


class TestCacheDirectory:
    @pytest.mark.parametrize("chosen", ["~/kept", "kept", None])
    def test_kernels_and_weights_share_it(self, tmp_path, monkeypatch, chosen):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        for name in ("HOME", "USERPROFILE"):
            monkeypatch.setenv(name, str(tmp_path))
        if chosen:
            monkeypatch.setenv("FASTCONV_CACHE_DIR", chosen)
            expected = Path(chosen.replace("~", str(tmp_path)))
        else:
            monkeypatch.delenv("FASTCONV_CACHE_DIR", raising=False)
            expected = files.cache_dir()  # which depends on the system
        assert files.cache_dir() == expected
        cache.cache_dir.cache_clear()
        try:
            assert cache.cache_dir().parent == expected / "kernels"
        finally:
            cache.cache_dir.cache_clear()
        assert weights.cache_dir() == expected / "weights"

    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="other customs")
    def test_it_is_where_linux_keeps_caches(self, tmp_path, monkeypatch):
        monkeypatch.delenv("FASTCONV_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert files.cache_dir() == tmp_path / "fastconv"

    def test_it_is_not_in_the_current_folder_for_want_of_a_home(self, monkeypatch):
        monkeypatch.delenv("FASTCONV_CACHE_DIR", raising=False)
        monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: Path("~/.cache/fastconv"))
        with pytest.raises(OSError, match="set FASTCONV_CACHE_DIR"):
            files.cache_dir()
        self.check_that_kernels_do_without()

    def test_no_home_by_platformdirs_own_word(self, monkeypatch):
        def refuse(*_, **__):
            raise RuntimeError("could not determine the home directory")

        monkeypatch.delenv("FASTCONV_CACHE_DIR", raising=False)
        monkeypatch.setattr(platformdirs, "user_cache_path", refuse)
        with pytest.raises(OSError, match=r"home directory; or set FASTCONV_CACHE_DIR"):
            files.cache_dir()
        self.check_that_kernels_do_without()

    def test_one_in_a_home_that_there_is_not(self, homeless):
        with pytest.raises(OSError, match="FASTCONV_CACHE_DIR is '~nosuchuser/x'"):
            files.cache_dir()
        self.check_that_kernels_do_without()

    @staticmethod
    def check_that_kernels_do_without():
        cache.cache_dir.cache_clear()
        try:
            assert cache.cache_dir() is None
        finally:
            cache.cache_dir.cache_clear()


class TestReplacing:
    @pytest.mark.parametrize("before", [None, b"old"])
    def test_the_file_appears_at_the_end(self, tmp_path, before):
        path = tmp_path / "file"
        if before:
            path.write_bytes(before)
        with files.replacing(path) as file:
            file.write(b"new")
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]

    def test_an_interrupted_write_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:  # noqa: PT012
            file.write(b"new")
            raise KeyboardInterrupt
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_it_is_on_the_disk_before_it_takes_the_name(self, tmp_path, monkeypatch):
        path = tmp_path / "file"
        synced = []

        def fsync(descriptor):
            synced.append(os.fstat(descriptor).st_size)
            assert not path.exists()

        monkeypatch.setattr(os, "fsync", fsync)
        with files.replacing(path) as file:
            file.write(b"new")
        assert synced == [3]

    def test_the_one_before_is_kept_if_wanted(self, tmp_path):
        path, previous = tmp_path / "file", tmp_path / "before"
        for content in (b"1", b"2", b"3"):
            with files.replacing(path, previous=previous) as file:
                file.write(content)
        assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")

    @pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
    def test_the_old_file_gets_its_name_back_if_the_new_one_cannot_take_it(self, tmp_path, monkeypatch, error):
        path, previous = tmp_path / "file", tmp_path / "before"
        path.write_bytes(b"old")
        replace = Path.replace

        def replace_all_but_the_new(source, target):
            if source not in (path, previous):
                raise error
            return replace(source, target)

        monkeypatch.setattr(Path, "replace", replace_all_but_the_new)
        with pytest.raises(error), files.replacing(path, previous=previous) as file:
            file.write(b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_symbolic_link_stays_one(self, tmp_path):
        (tmp_path / "folder").mkdir()
        link, path = tmp_path / "link", tmp_path / "folder" / "file"
        try:
            link.symlink_to(path)
        except OSError:
            pytest.skip("no symbolic links here")
        with files.replacing(link) as file:
            file.write(b"new")
        assert link.is_symlink()
        assert path.read_bytes() == b"new"

    @pytest.mark.skipif(os.name == "nt", reason="needs permission bits")
    def test_its_permissions_are_those_of_any_new_file(self, tmp_path):
        with files.replacing(tmp_path / "file"):
            pass
        (tmp_path / "usual").touch()
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert len(modes) == 1

    def test_a_name_of_full_length(self, tmp_path):
        path = tmp_path / ("n" * 255)
        try:
            path.touch()
        except OSError:
            pytest.skip("no names of that length here")
        with files.replacing(path) as file:
            file.write(b"new")
        assert path.read_bytes() == b"new"


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_digests(tmp_path, algorithm):
    content = bytes(range(256)) * 5000  # more than is read at once
    (tmp_path / "file").write_bytes(content)
    assert files.digest(tmp_path / "file", algorithm) == hashlib.new(algorithm, content).hexdigest()
    assert files.digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_platformdirs_is_left_for_later():
    code = "import sys, fastconv; print('platformdirs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
