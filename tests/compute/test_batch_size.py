"""The number of images a batch: the fastest is found, whatever a busy machine does in between."""

import numpy as np
import pytest

from core.compute.batch_size import LONGEST_BATCH, LONGEST_BATCH_THAT_PAYS, BatchSize


def _simulated(seconds_of_one, limit=1024, batches=60, disturbed=()):
    """Sizes of batches, where a pass in a batch of n takes `seconds_of_one(n)`, or ten times that."""
    learned, sizes = BatchSize(), []
    for number in range(batches):
        n = learned.passes(limit)
        sizes.append(n)
        learned.took(n, n * seconds_of_one(n) * (10 if number in disturbed else 1))
    return sizes


def _caches(n):
    return 1e-5 * (1 + 8 / n) * (1 if n <= 256 else 1.3)


def test_the_size_that_the_caches_like_is_found():
    sizes = _simulated(_caches)
    assert sizes[:4] == [1, 2, 4, 8]
    assert set(sizes[15:30]) == {256}


@pytest.mark.parametrize("when", [0, 3, 6, 8, 9, 30])
def test_a_bad_moment_is_forgiven(when):
    sizes = _simulated(_caches, batches=800, disturbed={when})
    assert np.mean([_caches(n) for n in sizes[-400:]]) < 1.03 * _caches(256)


def test_no_batch_takes_longer_than_a_page_may_wait():
    for one in (1e-4, 3e-3, 0.04, 0.7):
        sizes = _simulated(lambda n, one=one: one)
        assert max(sizes) * one <= LONGEST_BATCH or max(sizes) == 1
    assert _simulated(lambda n: 0.01 + 0.02 / n)[-1] == 8
    sizes = _simulated(lambda n: 0.06)  # two at once are tried, and do not pay
    assert (sizes[:3], set(sizes[2:])) == ([1, 2, 1], {1})


def test_a_price_for_each_call_is_shared_by_many_images():
    """As timm's nf_resnet26 at 64 pixels: 32 images cost as much as 4 in batches of one."""
    sizes = _simulated(lambda n: 0.005 + 0.075 / n, limit=784)
    assert sizes[:6] == [1, 2, 4, 8, 16, 32]
    assert set(sizes[10:30]) <= {32, 64}
    assert sizes[-1] * (0.005 + 0.075 / sizes[-1]) <= LONGEST_BATCH_THAT_PAYS


def test_the_first_pass_may_be_much_slower_than_all_others():
    learned, sizes = BatchSize(), []
    for number in range(12):
        sizes.append(learned.passes(784))
        learned.took(sizes[-1], 0.9 if number == 0 else 0.075 + 0.005 * sizes[-1])
    assert max(sizes) >= 32


def test_the_limit_holds_and_the_best_below_it_is_taken():
    sizes = _simulated(lambda n: 1e-6 / n, limit=100)
    assert max(sizes) == sizes[-1] == 64
    assert set(_simulated(lambda n: 1e-6 * (1 / n if n <= 16 else 1), limit=64)[20:30]) == {16}
