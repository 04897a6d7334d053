"""Snapshots: a run goes on where another one stood."""

import numpy as np
import pytest

from fastconv.style import Transfer


@pytest.fixture
def make(thin, pictures):
    def make(**options):
        return Transfer(*pictures[:2], weights=thin, **{"size": 48, "min_scale": 32, "steps": 4, **options})

    return make


def take(transfer, number):
    steps = iter(transfer)
    return [next(steps) for _ in range(number)]


@pytest.mark.parametrize("number", [1, 8, 9, 12])
def test_another_run_goes_on_bit_for_bit(make, number):
    whole, stopped, other = (make(size=64, enlarge=True, min_scale=40, init="noise") for _ in range(3))
    list(whole)
    take(stopped, number)
    other.restore(stopped.snapshot())
    assert other.steps_in_all == 12
    assert len(list(other)) == 12 - number
    np.testing.assert_array_equal(other.result().rgb, whole.result().rgb)
    assert [record[:-1] for record in other.losses] == [record[:-1] for record in whole.losses]


def test_before_the_first_step_there_is_none(make):
    transfer = make()
    assert transfer.snapshot() is None
    assert not transfer.has_begun


def test_lbfgs_has_one_where_a_search_begins_and_at_the_end_of_a_scale(make):
    transfer = make(optimizer="lbfgs")
    found = [transfer.snapshot() is not None for _ in transfer]
    assert found == [False, False, False, True]


def test_a_scale_that_a_run_does_not_have_is_refused(make):
    transfer = make()
    take(transfer, 1)
    with pytest.raises(ValueError, match="the snapshot stands at 48x32 px, which is none of the run's scales"):
        make(size=40).restore(transfer.snapshot())


def test_the_number_of_steps_may_be_another_one(make):
    transfer, longer = make(), make(steps=6)
    take(transfer, 4)
    longer.restore(transfer.snapshot())
    assert [scale.steps for scale in longer.scales_left] == [2]
    assert [step.step for step in longer] == [5, 6]
