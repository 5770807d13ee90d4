"""Augmentation: what each change keeps and what it alters, seeded, on whole batches."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from core.training.augmentation import (
    OPERATIONS,
    Augmentation,
    augment,
    cut_out,
    rand_augment,
    shift_and_flip,
)


def batch(n=16, side=12, channels=3, seed=0):
    return torch.randint(0, 256, (n, side, side, channels), generator=seeded(seed)).to(torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


EVERYTHING = Augmentation("random", crop=2, color=0.3, rand_augment=5, cutout=4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_shape_type_and_range_stay_and_seeds_decide(channels, kind):
    images = batch(channels=channels).to(kind)
    before = images.clone()
    first, again, other = (augment(images, EVERYTHING, seeded(s)) for s in (1, 1, 2))
    assert first.shape == images.shape
    assert first.dtype == kind
    assert torch.equal(images, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 255


def test_nothing_asked_nothing_changed():
    images = batch()
    assert torch.equal(augment(images, Augmentation(), seeded()), images)
    assert augment(images[:0], EVERYTHING, seeded()).shape == (0, 12, 12, 3)


def test_each_image_is_itself_or_its_mirror_image():
    images = batch(200)
    flipped = augment(images, Augmentation("random"), seeded())
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(2)).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 60 < int(mirrored.sum()) < 140


def test_alternating_flips_show_both_sides_in_two_epochs_whatever_the_batches():
    images, rows = batch(400), torch.randperm(400, generator=seeded())
    first, second = (
        augment(images, Augmentation("alternating"), seeded(e), rows=rows, epoch=e) for e in (1, 2)
    )
    assert torch.equal(first, second.flip(2))
    assert torch.equal(augment(images, Augmentation("alternating"), seeded(9), rows=rows, epoch=3), first)
    assert 120 < int((first == images).flatten(1).all(1).sum()) < 280


def test_a_shift_is_a_cut_from_the_image_padded_by_its_reflection():
    images = batch(300, side=6)
    moved = shift_and_flip(images, 2, torch.zeros(300, dtype=torch.bool), seeded())
    padded = F.pad(images.permute(0, 3, 1, 2).float(), (2, 2, 2, 2), mode="reflect").permute(0, 2, 3, 1)
    cuts = torch.stack([padded[:, y : y + 6, x : x + 6] for y in range(5) for x in range(5)])
    found = (cuts == moved.float()).flatten(2).all(2)  # (25, 300)
    assert bool(found.any(0).all())
    assert bool(found.any(1).all()), "every one of the 25 places occurs"


def test_a_cutout_covers_one_square_in_the_mean_color():
    images = batch(50)
    cut = cut_out(images, 4, seeded())
    changed = (cut != images).any(3)
    assert int(changed.flatten(1).sum(1).max()) <= 16
    assert (
        int(changed.flatten(1).sum(1).min()) >= 3
    )  # a corner of 2 × 2 at least, of which a pixel may be equal
    for number in range(50):
        colors = cut[number][changed[number]].unique(dim=0)
        assert len(colors) == 1
        assert torch.equal(colors[0], images[number].float().mean((0, 1)).round().to(torch.uint8))


def test_colors_change_where_shapes_do_not():
    images = torch.full((64, 4, 4, 3), 100, dtype=torch.uint8)
    changed = augment(images, Augmentation(color=0.5), seeded())
    assert bool((changed == changed[:, :1, :1]).all()), "one color stays one color"
    brightness = changed[:, 0, 0, 0].float() / 100
    assert 0.49 <= float(brightness.min()) < 0.7
    assert 1.3 < float(brightness.max()) <= 1.51
    gray = augment(batch(channels=1), Augmentation(color=0.5), seeded())
    assert gray.shape[3] == 1


def test_rand_augment_does_more_at_a_larger_magnitude():
    planes = batch(256).permute(0, 3, 1, 2).float() / 255
    small, large = (
        float((rand_augment(planes, magnitude, seeded()) - planes).abs().mean()) for magnitude in (1, 9)
    )
    assert 0 < small < large


def test_every_operation_keeps_a_batch_in_shape_and_finite():
    planes = batch(8).permute(0, 3, 1, 2).float() / 255
    for name, operation in OPERATIONS.items():
        out = operation(planes, torch.linspace(-1, 1, 8))
        assert out.shape == planes.shape, name
        assert bool(out.isfinite().all()), name


def test_equalize_spreads_gray_levels_as_torchvision_does():
    images = (batch(4, side=128).float() * 0.3 + 40).to(torch.uint8).permute(0, 3, 1, 2)
    ours = OPERATIONS["equalize"](images.float() / 255, torch.zeros(4)) * 255
    theirs = v2.functional.equalize(images)
    assert float((ours - theirs.float()).abs().max()) < 6


def test_rotation_by_a_quarter_of_its_reach_agrees_with_torchvision():
    ramp = torch.linspace(0, 1, 33).expand(1, 1, 33, 33).contiguous()
    ours = OPERATIONS["rotate"](ramp, torch.tensor([0.5]))
    theirs = v2.functional.rotate(ramp, -15, interpolation=v2.InterpolationMode.BILINEAR)
    other = v2.functional.rotate(ramp, 15, interpolation=v2.InterpolationMode.BILINEAR)
    middle = (slice(None), slice(None), slice(10, 23), slice(10, 23))
    errors = [float((ours[middle] - t[middle]).abs().max()) for t in (theirs, other)]
    assert min(errors) < 1e-3
