"""The fingerprint of all results: it sees what has changed, and which kernel has not run."""

import types

import numpy as np
import pytest
from numba import njit
from numba.core.caching import NullCache

import fastconv
from benchmarks import fingerprint
from benchmarks.fingerprint_cases import CALLS, cases
from fastconv.algorithms import ALGORITHMS

SMALL = "relu (5, 7)"


class Cache(NullCache):
    """Stands for a cache on disk, by which kernels are known."""


def kernel(function):
    compiled = njit(function)
    compiled._cache = Cache()
    return compiled


@kernel
def doubled(x):
    return 2 * x


@kernel
def doubled_twice(x):
    return doubled(doubled(x))


@njit
def helper(x):
    return x


@pytest.fixture
def chosen(monkeypatch):
    """Put one case in the place of all, by name, and ask for no kernels."""
    chosen = {SMALL: cases()[SMALL]}
    monkeypatch.setattr(fingerprint, "cases", lambda: chosen)
    monkeypatch.setattr(fingerprint, "report_kernels", lambda found: True)
    return chosen


@pytest.fixture
def before(chosen, tmp_path):
    """Return the file that a first run writes."""
    path = tmp_path / "before.json"
    assert fingerprint.main(["--threads", "1", "--json", str(path)]) == 0
    return path


def compared(before, threads=1):
    """Return the exit status of a run that is compared with a file."""
    return fingerprint.main(["--threads", str(threads), "--compare", str(before)])


def test_the_same_results_have_the_same_fingerprint(before, capsys):
    assert compared(before) == 0
    assert "2 of 2 cases are the same" in capsys.readouterr().out


def test_a_changed_case_is_named(chosen, before, capsys):
    chosen[SMALL] = lambda make: [np.nextafter(result, 2) for result in cases()[SMALL](make)]
    assert compared(before) == 1
    assert f"differs: {SMALL}, float32, threads 1\n" in capsys.readouterr().out


def test_cases_on_one_side_are_named(chosen, before, capsys):
    chosen["another"] = chosen.pop(SMALL)
    assert compared(before) == 1
    printed = capsys.readouterr().out
    assert f"only in the file: {SMALL}, float64, threads 1\n" in printed
    assert "only here: another, float64, threads 1\n" in printed


def test_a_new_case_is_no_difference(chosen, before):
    chosen["another"] = chosen[SMALL]
    assert compared(before) == 0


@pytest.mark.skipif(fastconv.get_num_threads() < 2, reason="needs two threads")
def test_nothing_to_compare_with_is_a_failure(before, capsys):
    assert compared(before, threads=2) == 1
    assert "only in the file" not in capsys.readouterr().out


def calls_with(algorithm):
    """Return in which calls an algorithm is named."""
    return {title for title in CALLS if any(name.endswith(f": {algorithm} {title}") for name in cases())}


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
def test_each_algorithm_has_cases(algorithm):
    assert calls_with(algorithm) >= {"forward", "input_grad", "packed"}


def test_an_algorithm_is_asked_for_nothing_that_it_cannot_compute():
    assert "weight_grad" in calls_with("winograd")
    assert "weight_grad" not in calls_with("winograd2")
    assert "conv2d 3x3, stride 2: direct forward" in cases()
    assert "conv2d 3x3, stride 2: winograd forward" not in cases()


def test_a_slow_algorithm_is_in_small_cases_only():
    assert "conv2d tiny: loops forward" in cases()
    assert "conv2d 3x3, wide: loops forward" not in cases()
    assert "conv2d 3x3, wide: im2col forward" in cases()
    assert "conv2d 3x3, blocks of panels: im2col forward" not in cases()


@pytest.mark.parametrize(
    "others",
    [
        [np.float32([1, 3])],
        [np.float64([1, 2])],
        [np.float32([[1, 2]])],
        [np.float32([1]), np.float32([2])],
        [np.float32([1, 2]), np.float32([])],
    ],
)
def test_a_digest_tells_values_dtypes_shapes_and_numbers_of_results(others):
    assert fingerprint.digest(others) != fingerprint.digest([np.float32([1, 2])])


def test_a_digest_tells_the_zeros_apart():
    assert fingerprint.digest([0.0]) != fingerprint.digest([-0.0])


class Twins:
    """Holds kernels as an object of the package might."""

    __module__ = "fastconv.kernels.example"
    __slots__ = ("share",)

    def __init__(self, share):
        self.share = share


def test_kernels_are_found_among_globals_and_in_what_they_hold():
    first, second, third = (kernel(lambda x: x) for _ in range(3))
    module = types.SimpleNamespace(
        __name__="m",
        doubled=doubled,
        again=doubled,
        helper=helper,
        table={"a": first},
        row=(second,),
        twins=Twins(third),
    )
    expected = {"m.doubled": doubled, "m.table.a": first, "m.row.0": second, "m.twins.share": third}
    assert fingerprint.kernels([module]) == expected


def test_the_kernels_of_the_package_are_found():
    fastconv.relu(np.ones(3, np.float32))
    found = fingerprint.kernels(fingerprint.package_modules())
    assert len(found) > 30
    assert any("relu" in name for name in found.keys() - set(fingerprint.uncalled(found, "float32")))


def test_an_uncalled_kernel_is_named(capsys):
    called, rare = (kernel(lambda x: x) for _ in range(2))
    called(np.float32(1))
    called(np.float64(1))
    rare(np.float64(1))
    assert not fingerprint.report_kernels({"called": called, "rare": rare})
    assert capsys.readouterr().out == "2 kernels, 1 called in float32, 2 called in float64; not in float32: rare\n"
    assert fingerprint.report_kernels({"called": called})


def test_part_of_a_kernel_that_was_called_was_called():
    found = {"doubled": doubled, "doubled twice": doubled_twice}
    assert fingerprint.uncalled(found, "float32") == ["doubled", "doubled twice"]
    doubled_twice(np.float32(1))
    doubled.overloads.clear()  # as if the other one had come from the disk
    assert fingerprint.uncalled(found, "float32") == []
