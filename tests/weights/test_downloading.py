"""Downloads into the cache, and what is cleaned up there."""

import os
import subprocess
import sys
import time

import pytest

from fastconv.weights import MissingWeightsError, cache_dir, downloading

from .helpers import MAT, raiser

pytestmark = pytest.mark.usefixtures("isolated")


# A download that is killed while it writes, as if by signal.
KILLED = """
import os
from fastconv import files
from fastconv.weights import downloading

def download(source, folder, progress):
    (folder / "half").touch()
    with files.replacing(folder.parent / "vgg19.npz"):
        os._exit(0)

downloading._download_checked = download
downloading.download("vgg19")
"""


class TestWhatFailed:
    """An error names what went wrong, and blames the cache for nothing else."""

    def test_the_cache_directory_cannot_be_made(self, monkeypatch, tmp_path):
        (tmp_path / "occupied").touch()
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "occupied"))
        with pytest.raises(MissingWeightsError, match=r"cache cannot be written .*occupied.*FASTCONV_CACHE_DIR"):
            downloading.download("vgg19")

    @pytest.mark.usefixtures("homeless")
    def test_there_is_no_home_for_it(self):
        with pytest.raises(MissingWeightsError, match="FASTCONV_CACHE_DIR is '~nosuchuser/x'"):
            downloading.download("vgg19")

    def test_fetching(self, monkeypatch):
        monkeypatch.setattr(downloading, "_download_checked", raiser(TimeoutError("timed out")))
        with pytest.raises(MissingWeightsError, match=r"^downloading vgg19 failed: timed out\. By hand: "):
            downloading.download("vgg19")

    def test_reading(self, monkeypatch):
        monkeypatch.setattr(downloading, "_download_checked", lambda source, folder, progress: folder / "gone")
        with pytest.raises(MissingWeightsError, match=r"^downloading vgg19 failed: .*gone'\. By hand: "):
            downloading.download("vgg19")

    def test_keeping(self, network, monkeypatch):
        monkeypatch.setattr(downloading, "_download_checked", lambda source, folder, progress: network(folder, MAT))
        monkeypatch.setattr(downloading.cache, "keep", raiser(OSError("No space left on device")))
        with pytest.raises(MissingWeightsError) as raised:
            downloading.download("vgg19")
        assert f"{cache_dir()} cannot be written (No space left on device)" in str(raised.value)


class TestRemains:
    @pytest.fixture
    def clean(self, monkeypatch):
        """Return a function that runs what cleans the cache up, a download that fails, and returns what is left."""

        def run():
            with pytest.raises(MissingWeightsError, match="no network"):
                downloading.download("vgg19")
            return sorted(path.name for path in cache_dir().iterdir())

        monkeypatch.setattr(downloading, "_download_checked", raiser(MissingWeightsError("no network")))
        cache_dir().mkdir(parents=True)
        return run

    @staticmethod
    def make_folder(name):
        (cache_dir() / name).mkdir()
        (cache_dir() / name / "half").touch()
        return cache_dir() / name

    def test_what_a_killed_process_left_is_removed_after_a_day(self, clean):
        subprocess.run([sys.executable, "-c", KILLED], check=True)
        left = clean()
        assert [(cache_dir() / name).is_dir() for name in left] in ([True, False], [False, True])
        (cache_dir() / "vgg19.npz").touch()
        for path in cache_dir().iterdir():
            grow_old(path)
        assert clean() == ["vgg19.npz"]

    @pytest.mark.parametrize(
        "name", [".git", ".env", ".fetch-notes", ".fastconv-notes", ".fastconv-notes.part", "weights"]
    )
    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_nothing_else_is(self, clean, name, kind):
        path = cache_dir() / name
        path.write_text("mine") if kind == "file" else self.make_folder(name)
        grow_old(path)
        assert clean() == [name]

    def test_nor_where_a_link_leads(self, clean, tmp_path):
        mine = tmp_path / "mine"
        mine.mkdir()
        (mine / "file").touch()
        names = [".fastconv-0123456789abcdef.part", ".fastconv-abcdefgh.part"]
        for name, target in zip(names, (mine / "file", mine), strict=True):
            try:
                (cache_dir() / name).symlink_to(target)
            except OSError:
                pytest.skip("no symbolic links here")
            grow_old(cache_dir() / name, follow_symlinks=False)
            grow_old(target)
        inside = self.make_folder(".fastconv-ijklmnop.part")
        (inside / "link").symlink_to(mine)
        grow_old(inside)
        assert clean() == names
        assert (mine / "file").exists()

    def test_one_that_cannot_be_removed_is_left(self, clean, monkeypatch):
        path = self.make_folder(".fastconv-abcdefgh.part")
        grow_old(path)
        monkeypatch.setattr("fastconv.files._remove_if_old", raiser(PermissionError("somebody else's")))
        assert clean() == [path.name]


def grow_old(path, **options):
    os.utime(path, (time.time() - 1e5,) * 2, **options)
