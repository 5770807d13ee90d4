"""Gradient ascent on units: it climbs, tells the truth about what it reached, and leaves nothing behind."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from core.__main__ import main
from core.data.preprocessing import Preprocessing
from core.errors import Abandoned, BadImage, SettingError, TargetOutOfRange, UnknownName
from core.feature_visualization.export import animation, facts_of, npz_bytes
from core.feature_visualization.parameterization import colors_of
from core.feature_visualization.presets import REPORT_SETTINGS, leaves, report_unit
from core.feature_visualization.real_images import best_answers, compare, real_images, times_as_strong
from core.feature_visualization.transforms import PADDING_OF_GRID_SAMPLE, Wobble, random_views
from core.feature_visualization.visualize import PIXELS, Visualization, visualize
from core.models import catalogue
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.feature_maps import layer_shapes
from core.network.hooks import hooks_left, opened_relus
from core.network.unit import Unit, outputs
from core.stored import from_answer, to_answer

QUICK = {"steps": 12, "every": 4}


def gray(size: int = 28, module: nn.Module | None = None, classes: int = 10) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = module or models["small_cnn"](
            channels=1, number_of_classes=classes, input_size=(size, size), widths="4,6"
        )
    card = ModelCard(
        "tiny", "small_cnn", tuple(f"class {i}" for i in range(classes)),
        Preprocessing((size, size), (0.3,), (0.35,), 1), dataset="digits",
    )  # fmt: skip
    return Classifier(module, card, torch.device("cpu"))


def color(classes: int = 3, logits: int | None = None) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, 2), nn.ReLU6(inplace=True),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, logits or classes),
        )  # fmt: skip
    card = ModelCard(
        "color", "own", tuple(f"class {i}" for i in range(classes)),
        Preprocessing((20, 24), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)),
    )  # fmt: skip
    return Classifier(module, card, torch.device("cpu"))


def photo(size: tuple[int, int], channels: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*size, channels), np.uint8)


def state(classifier: Classifier) -> list:
    module = classifier.module
    return [
        [(name, value.clone()) for name, value in module.state_dict().items()],
        [p.requires_grad for p in module.parameters()],
        [p.grad for p in module.parameters()],
        [
            (part.training, getattr(part, "inplace", None), len(part._forward_hooks))
            for part in module.modules()
        ],
    ]


def same(first: list, second: list) -> bool:
    weights = all(n == m and torch.equal(a, b) for (n, a), (m, b) in zip(first[0], second[0], strict=True))
    return weights and first[1:] == second[1:]


UNITS = {
    "gray class": (gray, Unit(None, 3)),
    "gray channel": (gray, Unit("activation2", 2)),
    "gray neuron": (gray, Unit("conv2", 1, (3, 4))),
    "8 × 8": (lambda: gray(8), Unit("conv2", 1)),
    "color channel": (color, Unit("3", 2)),
    "color class": (color, Unit(None, 1)),
    "one logit, no": (lambda: color(2, 1), Unit(None, 0)),
    "one logit, yes": (lambda: color(2, 1), Unit(None, 1)),
    "linear layer": (color, Unit("6", 1)),
}


@pytest.mark.parametrize("picture", ["Fourier", PIXELS])
@pytest.mark.parametrize("name", UNITS)
def test_it_climbs_and_reports_what_a_fresh_run_gives(name: str, picture: str) -> None:
    make, unit = UNITS[name]
    classifier = make()
    before = state(classifier)
    made = visualize(classifier, unit, picture=picture, **QUICK)
    assert same(before, state(classifier))
    assert hooks_left() == 0
    assert [frame.step for frame in made.frames] == [0, 4, 8, 12]
    assert made.frames[-1].objective > made.frames[0].objective
    assert made.objectives.shape == (12,)
    assert len(made.logits) == classifier.number_of_classes
    for frame in made.frames:
        with torch.no_grad():
            inputs = classifier.inputs(frame.pixels[None])
            if unit.layer is None:
                value = mean = classifier.logits(inputs)[0, unit.channel]
            else:
                one = outputs(classifier, unit.layer, inputs)[0, unit.channel]
                value, mean = one.max(), one.mean()
                if unit.place:
                    value = mean = one[unit.place]
        assert frame.activation == pytest.approx(float(value), rel=1e-5, abs=1e-6)
        assert frame.objective == pytest.approx(float(mean), rel=1e-5, abs=1e-6)
    assert made.frames[-1].pixels.shape == inputs.permute(0, 2, 3, 1).shape[1:]


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    first, again, other = (
        visualize(color(), Unit("3", 0), seed=seed, **QUICK).frames[-1].pixels for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_step_on_the_pixels_follows_the_sign_of_the_gradient() -> None:
    classifier, unit = color(), Unit(None, 1)
    made = visualize(classifier, unit, steps=1, every=1, picture=PIXELS, learning_rate=0.5, noise=0.5)
    start, end = (classifier.inputs(frame.pixels[None]) for frame in made.frames)
    point = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.logits(point)[0, 1], point)
    sure = (gradient.abs() > 0.05 * gradient.abs().max()) & (end > end.min()) & (end < end.max())
    assert sure.any()
    # The start was rounded to whole pixels, which may turn a ReLU on or off here and there.
    assert ((end - start).sign() == gradient.sign())[sure].float().mean() > 0.98


@pytest.mark.parametrize("picture", ["Fourier", PIXELS])
def test_it_begins_with_the_image_it_is_given(picture: str) -> None:
    given = photo((20, 24), 3)
    made = visualize(color(), Unit("3", 1), start=given, picture=picture, **QUICK)
    tolerance = 6 if picture == "Fourier" else 1
    assert np.abs(made.frames[0].pixels.astype(int) - given).max() <= tolerance
    with pytest.raises(BadImage, match=r"has the shape \(8, 8, 3\), but color takes \(20, 24, 3\)"):
        visualize(color(), Unit("3", 1), start=photo((8, 8), 3))


def test_nothing_is_left_when_it_is_canceled_or_the_unit_does_not_exist() -> None:
    classifier = color()
    before = state(classifier)
    seen: list = []

    def cancel(share: float, message: str) -> None:
        assert hooks_left() == 0  # another analysis may run in here
        if share >= 0.5:
            raise Abandoned

    with pytest.raises(Abandoned):
        visualize(classifier, Unit("3", 0), steps=8, every=2, seen=seen.append, progress=cancel)
    assert [frame.step for frame in seen] == [0, 2, 4]
    for unit, error, words in (
        (Unit("nowhere", 0), UnknownName, "layer with channels"),
        (Unit("3", 5), SettingError, "it has 5, from 0 to 4"),
        (Unit("3", 0, (99, 0)), SettingError, "choose a row from 0 to 7"),
        (Unit("6", 0, (0, 0)), SettingError, "leave the place out"),
        (Unit(None, 3), TargetOutOfRange, "0 to 2"),
    ):
        with pytest.raises(error, match=words):
            visualize(classifier, unit)
    assert same(before, state(classifier))
    assert hooks_left() == 0


def dead(bias: float) -> Classifier:
    """Its first channel is silent for every picture that is not very bright."""
    classifier = color()
    with torch.no_grad():
        classifier.module[0].weight[0] = 0.05
        classifier.module[0].bias[0] = bias
    return classifier


def test_a_silent_channel_is_woken_through_its_relu_and_the_note_says_so() -> None:
    made = visualize(dead(-1.5), Unit("1", 0), steps=60, every=20, learning_rate=0.2)
    assert made.frames[0].activation == 0 < made.frames[-1].activation
    assert "was silent and its gradient 0" in made.note


def test_a_channel_that_no_pixel_moves_is_said_to_be_dead() -> None:
    classifier = color()
    with torch.no_grad():
        classifier.module[0].weight[0] = 0
    made = visualize(classifier, Unit("0", 0), steps=40, every=10)
    assert made.frames[-1].step < 40
    assert np.array_equal(made.frames[0].pixels, made.frames[-1].pixels)
    assert "no pixel has any influence on 0, channel 0" in made.note


def test_a_channel_at_the_ceiling_of_its_relu6_is_said_to_be_full() -> None:
    classifier = color()
    with torch.no_grad():
        classifier.module[2].bias[1] = 50
    made = visualize(classifier, Unit("3", 1), steps=30, every=10)
    assert made.frames[-1].objective == 6
    assert "is at 6, the most its ReLU6 lets through" in made.note


def test_an_open_relu_blocks_only_what_pushes_further_out() -> None:
    module = nn.Sequential(nn.ReLU6(inplace=True))
    values = torch.tensor([-2.0, -2.0, 3.0, 3.0, 9.0, 9.0])
    point = values.clone().requires_grad_()
    pull = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    with opened_relus(module) as count:
        output = module(point)
    assert count == 1
    assert module[0].inplace
    assert torch.equal(output, values.clamp(0, 6))
    output.backward(pull)
    assert point.grad is not None
    assert point.grad.tolist() == [1, 0, 1, -1, 0, -1]


def test_views_of_a_still_picture_are_the_picture_and_shifts_are_shifts() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 2, 9, 13, generator=generator)
    assert torch.equal(random_views(inputs, 3, Wobble(), generator), inputs.expand(3, -1, -1, -1))
    ramp = torch.arange(13.0).expand(1, 1, 9, 13)
    for beyond, _ in itertools.product(PADDING_OF_GRID_SAMPLE, range(3)):
        views = random_views(ramp, 4, Wobble(jitter=2, beyond=beyond), generator)
        shift = views[:, 0, 4, 6] - 6
        assert shift.abs().max() <= 2
        assert shift.abs().max() > 0.05
        torch.testing.assert_close(views[:, 0, 4, 3:10], (ramp[0, 0, 4, 3:10] + shift[:, None]))


def test_a_turned_view_turns_about_the_middle_without_stretching() -> None:
    rows, columns = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(31.0) - 15, indexing="ij")
    inputs = torch.stack([rows, columns])[None]
    views = random_views(inputs, 8, Wobble(rotate=30), torch.Generator().manual_seed(3))
    middle = views[:, :, 8:13, 13:18]
    distance = (middle**2).sum(1).sqrt()
    torch.testing.assert_close(distance, (inputs**2).sum(1).sqrt()[:, 8:13, 13:18].expand_as(distance))
    assert (views[:, 1, 5, 15].abs() > 0.1).any()


def test_smoother_pictures_are_smoother_and_near_ones_nearer() -> None:
    def rough(pixels: np.ndarray) -> float:
        return float(np.abs(np.diff(pixels.astype(float), axis=0)).mean())

    settings = {"picture": PIXELS, "steps": 30, "every": 30}
    plain = visualize(gray(), Unit(None, 1), **settings)
    smooth = visualize(gray(), Unit(None, 1), smoothness=30.0, **settings)
    assert rough(smooth.frames[-1].pixels) < 0.8 * rough(plain.frames[-1].pixels)
    near = visualize(gray(), Unit(None, 1), stay_near=5.0, **settings)
    moved = [np.abs(d.frames[-1].pixels.astype(float) - d.frames[0].pixels).mean() for d in (plain, near)]
    assert moved[1] < 0.8 * moved[0]


def test_the_best_real_image_is_what_a_plain_loop_finds() -> None:
    classifier = gray(8)
    images = real_images(classifier.card, 40)
    assert images.words == "40 images of Digits, test"
    assert images.pixels.shape == (40, 8, 8, 1)
    best = best_answers(classifier, "activation1", images)
    with torch.no_grad():
        maps = classifier.module.activation1(classifier.module.conv1(classifier.inputs(images.pixels)))
    for c in range(4):
        assert best.activation.values[c] == pytest.approx(float(maps[:, c].max()), rel=1e-5)
        assert best.activation.images[c] == int(maps[:, c].amax((1, 2)).argmax())
        assert best.objective.values[c] == pytest.approx(float(maps[:, c].mean((1, 2)).max()), rel=1e-5)
    mean, most = (float(one.values[1]) for one in (best.objective, best.activation))
    found = compare(Unit("activation1", 1), 2 * mean, 3 * most, best)
    assert found.times == "2.0 times the best of 40 images of Digits, test"
    assert found.best_image == images.names[int(best.objective.images[1])]
    assert found.largest.times == "3.0 times the best of 40 images of Digits, test"
    place = compare(Unit("activation1", 1, (0, 0)), 12 * most, 12 * most, best)
    assert place.times == "12 times the best of 40 images of Digits, test"
    assert place.largest is None
    logits = best_answers(classifier, None, images)
    assert compare(Unit(None, 1), 1.0, 1.0, logits).largest is None
    assert times_as_strong(1.0, -2.0, "x") == "+3 against the best of x"
    assert real_images(color().card).names[0] == "chelsea"


def test_presets_count_layers_as_they_run() -> None:
    shapes = layer_shapes(color())
    assert leaves(shapes) == list("0123456")
    assert report_unit(shapes) == Unit("4", 1)  # the last map: it has fewer than 24 layers
    assert report_unit(shapes, 2, 4) == Unit("2", 4)
    with pytest.raises(SettingError, match="choose a number from 0 to 6"):
        report_unit(shapes, 24)
    with pytest.raises(SettingError, match=r"Layer 2 \(2\) has no filter 5"):
        report_unit(shapes, 2, 5)
    made = visualize(color(), report_unit(shapes), **REPORT_SETTINGS)
    assert [frame.step for frame in made.frames] == list(range(0, 41, 5))


def test_what_is_stored_and_taken_away_comes_back(tmp_path) -> None:
    import io

    from PIL import Image

    classifier = gray()
    made = visualize(classifier, Unit(None, 2), colors=colors_of([photo((8, 8), 1)]), **QUICK)
    back = from_answer(Visualization, to_answer(made))
    assert back.unit == made.unit
    assert back.settings == made.settings
    assert back.engine.startswith("automatic differentiation")
    assert np.array_equal(back.frames[2].pixels, made.frames[2].pixels)
    facts = json.loads(json.dumps(facts_of(made, "tiny", classifier.card.class_names)))
    assert facts["unit"] == "class class 2"
    assert facts["settings"]["jitter"] == 1.0
    with np.load(io.BytesIO(npz_bytes(made, facts))) as file:
        assert np.array_equal(file["frames"][-1], file["image"])
        assert json.loads(str(file["about"])) == facts
    for kind in ("webp", "gif"):
        with Image.open(io.BytesIO(animation(made.frames, kind))) as image:
            assert image.n_frames == 4
            if kind == "webp":
                image.seek(3)
                shown = np.asarray(image.convert("RGB"))[4::8, 4::8, 0]
                assert np.array_equal(shown, made.frames[-1].pixels[..., 0])


def test_the_command_makes_the_same_picture(tmp_path, capsys) -> None:
    files = {kind: tmp_path / f"a.{kind}" for kind in ("png", "gif", "webp")}
    arguments = [
        "dream",
        "digits_cnn",
        "--class",
        "3",
        "--steps",
        "6",
        "--every",
        "3",
        "--seed",
        "4",
        "--json",
    ]
    for kind, file in files.items():
        arguments += [f"--{kind}", str(file)]
    assert main([*arguments, "--out", str(tmp_path / "a.npz")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["steps"] == [0, 3, 6]
    assert answer["settings"]["seed"] == 4
    assert "images of Digits, test" in answer["best_real"]["among"]
    assert all(file.stat().st_size > 50 for file in files.values())
    made = visualize(catalogue.load("digits_cnn"), Unit(None, 3), steps=6, every=3, seed=4)
    with np.load(tmp_path / "a.npz") as file:
        assert np.array_equal(file["image"], made.frames[-1].pixels)
    for wrong, words in (
        (["--class", "eleven"], "There is no class named 'eleven'"),
        (["--layer", "conv1", "--class", "3"], "A class and a layer were both given"),
        (["--layer", "conv1", "--channel", "99"], "Channel 99 of 'conv1' does not exist: it has 32"),
        (["--layer", "conv1", "--place", "x"], "write a row and a column like 3,4"),
        (["--layer", "99"], "There is no layer 99: choose a number from 0 to"),
        ([], "Nothing was chosen"),
        (["--class", "3", "--steps", "0"], "steps is '0'"),
    ):
        assert main(["dream", "digits_cnn", *wrong]) == 2
        assert words in capsys.readouterr().err
