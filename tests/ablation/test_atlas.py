"""Every channel off alone, against switching each off and running everything."""

import numpy as np
import pytest
import torch
from torch import nn

from core.ablation.atlas import WHOLE_NETWORK, Atlas, ablation_atlas
from core.ablation.switch_off import REPLACEMENTS, ablated_logits
from core.errors import SettingError, UnknownName
from core.evaluation.intervals import paired_interval
from core.network.hooks import hooks_left
from core.stored import from_answer, to_answer
from tests.ablation.test_switch_off import ROWS, pixels_of, plain
from tests.filters.test_index import CLASSES, images_of, make


def counted(classifier, images, labels, layer, channels, how):
    """Right images by class, lost, gained and the mean loss, one channel after the other."""
    right, lost, gained, loss = [], [], [], []
    before = ablated_logits(classifier, pixels_of(images), ROWS, {})
    entropy = nn.functional.cross_entropy
    for c in range(channels):
        after = ablated_logits(classifier, pixels_of(images), ROWS, {layer: [c]}, how=how)
        was, now = before.argmax(1) == labels, after.argmax(1) == labels
        right.append(np.bincount(labels[now], minlength=CLASSES))
        lost.append((was & ~now).sum())
        gained.append((now & ~was).sum())
        old, new = (float(entropy(torch.as_tensor(a), torch.as_tensor(labels))) for a in (before, after))
        loss.append(new - old)
    return np.stack(right), np.array(lost), np.array(gained), np.array(loss)


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize(
    ("module", "layer", "channels"), [(plain, "0", 6), (plain, "4", 5), (None, "conv1", 6)]
)
def test_the_atlas_equals_switching_each_channel_off(module, layer, channels, how):
    classifier, (images, labels) = make(module() if module else None), images_of(40)
    found = ablation_atlas(classifier, pixels_of(images), ROWS, labels, layer, how=how)
    assert found.engine != WHOLE_NETWORK
    right, lost, gained, loss = counted(classifier, images, labels, layer, channels, how)
    assert found.right.tolist() == right.tolist()
    assert found.lost.tolist() == lost.tolist()
    assert found.gained.tolist() == gained.tolist()
    np.testing.assert_allclose(found.loss, loss, atol=1e-5)
    whole = classifier.predict_logits(images).argmax(1)
    assert found.whole.tolist() == np.bincount(labels[whole == labels], minlength=CLASSES).tolist()
    np.testing.assert_allclose(found.change, (right.sum(1) - found.whole.sum()) / 40)
    assert hooks_left() == 0


def test_the_plain_way_counts_the_same_and_says_so():
    classifier, (images, labels) = make(), images_of(40)
    arguments = (classifier, pixels_of(images), ROWS, labels, "conv1")
    fast, slow = ablation_atlas(*arguments), ablation_atlas(*arguments, exact_shortcut=False)
    assert slow.engine == WHOLE_NETWORK
    assert fast.right.tolist() == slow.right.tolist()
    np.testing.assert_allclose(fast.loss, slow.loss, atol=1e-5)


def test_the_number_of_images_at_once_makes_no_difference(monkeypatch):
    classifier, (images, labels) = make(), images_of(40)
    expected = ablation_atlas(classifier, pixels_of(images), ROWS, labels, "conv1", how="resample")
    monkeypatch.setattr("core.ablation.channel_removal.KEPT_BYTES", 1)
    monkeypatch.setattr("core.ablation.channel_removal.BLOCK_BYTES", 1)
    told = []
    found = ablation_atlas(
        classifier, pixels_of(images), ROWS, labels, "conv1", how="resample",
        progress=lambda share, words: told.append(share),
    )  # fmt: skip
    assert found.right.tolist() == expected.right.tolist()
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1, abs=0.03)


def test_the_costliest_come_first_and_the_store_keeps_all():
    rng = np.random.default_rng(0)
    lost, gained = rng.integers(0, 9, 30), rng.integers(0, 3, 30)
    atlas = Atlas(rng.integers(0, 9, (30, 4)), np.arange(4), lost, gained, rng.normal(size=30), 100, "x")
    order = atlas.ranked()
    assert (np.diff(atlas.change[order]) >= 0).all()
    same = np.flatnonzero(np.diff(atlas.change[order]) == 0)
    assert (atlas.loss[order][same] >= atlas.loss[order][same + 1]).all()
    again = from_answer(Atlas, to_answer(atlas))
    assert again.ranked().tolist() == order.tolist()
    low, high = atlas.interval
    assert ((low <= atlas.change) & (atlas.change <= high)).all()


def test_the_paired_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    lost, gained, n = 0.06, 0.02, 200
    drawn = rng.multinomial(n, [lost, gained, 1 - lost - gained], 4000)
    low, high = paired_interval(drawn[:, 0], drawn[:, 1], n)
    held = ((low <= gained - lost) & (gained - lost <= high)).mean()
    assert 0.935 < held < 0.975
    low, high = paired_interval(np.array([0]), np.array([0]), n)
    assert low[0] == pytest.approx(-high[0])  # nothing changed: as likely a little better as a little worse


def test_bad_questions_are_refused():
    classifier, (images, labels) = make(), images_of(40)
    with pytest.raises(UnknownName, match="no convolution named 'conv7'"):
        ablation_atlas(classifier, pixels_of(images), ROWS, labels, "conv7")
    with pytest.raises(SettingError, match="how is 'twice': choose one of zero, mean, resample"):
        ablation_atlas(classifier, pixels_of(images), ROWS, labels, "conv1", how="twice")
    with pytest.raises(SettingError, match="no images to judge by"):
        ablation_atlas(classifier, pixels_of(images), ROWS[:0], labels[:0], "conv1")
