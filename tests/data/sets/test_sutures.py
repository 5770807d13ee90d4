import numpy as np
import pytest

from core.data.sets import datasets
from core.data.sets.sutures import draw_suture
from core.errors import SettingError


@pytest.fixture(autouse=True, scope="module")
def _home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def _line_share(split):
    """Share of the pad that is grid: a narrow grid has more lines."""
    return split.masks["grid"].mean((1, 2))


def _best_threshold(values, labels):
    ordered = labels[np.argsort(values)]
    right = np.cumsum(ordered == 0) + (ordered == 1).sum() - np.cumsum(ordered == 1)
    return right.max() / len(labels)


@pytest.fixture(scope="module")
def leaking():
    return datasets["sutures"](images=400, size=64, grid_leak=1.0)


@pytest.fixture(scope="module")
def clean():
    return datasets["sutures"](images=400, size=64, grid_leak=0.0)


def test_at_full_leak_the_grid_alone_gives_the_label(leaking):
    assert _best_threshold(_line_share(leaking.splits["train"]), leaking.splits["train"].labels) > 0.97


def test_without_a_leak_the_grid_says_nothing(clean):
    assert _best_threshold(_line_share(clean.splits["train"]), clean.splits["train"].labels) < 0.60


def test_half_a_leak_is_right_three_times_in_four():
    train = datasets["sutures"](images=400, size=32, grid_leak=0.5).splits["train"]
    assert 0.68 < _best_threshold(_line_share(train), train.labels) < 0.82


def test_swapped_pictures_have_the_same_stitches_on_the_other_grid(leaking):
    test, swapped = leaking.splits["test"], leaking.splits["swapped"]
    assert np.array_equal(test.masks["stitches"], swapped.masks["stitches"])
    assert np.array_equal(test.masks["wound"], swapped.masks["wound"])
    wide, narrow = _line_share(test), _line_share(swapped)
    even = test.labels == 1
    assert (wide[even] > narrow[even]).mean() > 0.97
    assert (wide[~even] < narrow[~even]).mean() > 0.97


def test_masks_do_not_overlap_and_none_is_empty(clean):
    train = clean.splits["train"]
    masks = np.stack(list(train.masks.values()))
    assert masks.sum(0).max() == 1
    assert masks.any((2, 3)).all()


def test_pictures_differ_from_one_another_where_the_masks_say_so():
    """What only the grid changes lies within the two grids' masks, and a blur's width of them."""
    pictures = [draw_suture(1, grid, 64, np.random.default_rng(5)) for grid in ("wide", "narrow")]
    changed = np.abs(pictures[0][0].astype(int) - pictures[1][0]).max(-1) > 40
    either = pictures[0][1]["grid"] | pictures[1][1]["grid"]
    assert changed.sum() > 100
    assert (changed & either).sum() / changed.sum() > 0.98


def test_the_less_uneven_the_nearer_to_an_even_picture():
    """Over twenty pairs drawn alike but for the label; at 0.1 the steadiest uneven hand is the even one's."""

    def distance(unevenness):
        pairs = [
            [draw_suture(label, "wide", 64, np.random.default_rng(i), unevenness)[0] for label in (0, 1)]
            for i in range(20)
        ]
        return np.mean([np.abs(uneven.astype(int) - even).mean() for uneven, even in pairs])

    assert distance(0.1) == 0
    assert 0 < 1.2 * distance(0.4) < distance(1.0)


def test_the_seed_decides_every_pixel(clean, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))  # drawn anew
    again = datasets["sutures"](images=400, size=64, grid_leak=0.0)
    assert again.fingerprint == clean.fingerprint
    other = datasets["sutures"](images=40, size=64, seed=1)
    assert not np.array_equal(other.splits["train"].images[0], clean.splits["train"].images[0])


def test_more_than_the_disk_should_hold_is_refused():
    with pytest.raises(SettingError, match=r"20000 images of 256 × 256 pixels .* up to 2 GB are drawn"):
        datasets["sutures"](images=20_000, size=256)


def test_half_are_even_and_one_logit_is_enough(clean):
    assert clean.class_names == ("uneven", "even")
    assert clean.single_logit
    assert {k: v.counts(2).tolist() for k, v in clean.splits.items()} == {
        "train": [200, 200], "test": [50, 50], "swapped": [50, 50],
    }  # fmt: skip
