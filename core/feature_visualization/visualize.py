"""What a channel, a neuron or a class looks for: a picture made by gradient ascent until it answers most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from core.errors import BadImage
from core.feature_visualization.ascent import Ascent, roughness_gradient
from core.feature_visualization.parameterization import Colors, Fourier, Pixels, colors_of
from core.feature_visualization.real_images import real_images
from core.feature_visualization.transforms import PADDING_OF_GRID_SAMPLE, Wobble
from core.models.classifier import Classifier
from core.network.unit import Unit, check_unit, outputs
from core.progress import Progress, no_progress
from core.settings import Choice, Range

FOURIER, PIXELS = "Fourier", "pixels"
STEPS_WITHOUT_GRADIENT = 8  # in a row, after which it gives up
IMAGES_FOR_COLORS = 256  # real images whose colors a Fourier picture has


@dataclass(frozen=True, eq=False)
class Frame:
    """The picture after some steps, as the network sees it when nothing is moved.

    Attributes:
        pixels: (H, W, C) uint8
        objective: What is raised: the mean of the map, the value at the place, or the logit.
        activation: The largest value of the map; the same as `objective` for a place or a class.
    """

    step: int
    pixels: np.ndarray
    objective: float
    activation: float


@dataclass(frozen=True)
class VisualizationSettings:
    """The settings of `visualize`, with a value for each of those that may be left open."""

    steps: int
    every: int
    picture: str
    learning_rate: float
    jitter: float
    rotate: float
    scale: float
    views: int
    beyond: str
    decay: float
    noise: float
    smoothness: float
    stay_near: float
    seed: int


@dataclass(frozen=True, eq=False)
class Visualization:
    """A feature visualization.

    Attributes:
        unit: What the picture is made for.
        frames: Of every few steps; the first is the start, the last the result.
        objectives: (steps,) float32, at every step, over that step's views.
        logits: (K,) float32 of the last frame.
        settings: All settings with what was found for those that were left open.
        engine: How the gradients were computed, in words for people.
        note: What there is to say where it did not go as it should; else "".
    """

    unit: Unit
    frames: tuple[Frame, ...]
    objectives: np.ndarray
    logits: np.ndarray
    settings: VisualizationSettings
    engine: str = ""
    note: str = ""


def found_settings(
    size: tuple[int, int], settings: Mapping[str, Any], *, from_image: bool = False
) -> VisualizationSettings:
    """Settings with a value for each that is None, by the size of the picture.

    A small picture is moved less, falls off faster towards high frequencies, which would be the size of its
    pixels, is held nearer to the contrast of real ones, which few pixels leave at once, and is seen in
    several views a step, since a step costs little.
    """
    side = min(size)
    small, fourier = side <= 64, settings["picture"] == FOURIER
    found: dict[str, Any] = {
        "learning_rate": (0.02 if from_image else 0.1 if small else 0.05) if fourier else 0.1,
        "decay": 1.5 if small else 1.25,
        "stay_near": 0.0 if not fourier else 1.0 if side <= 16 else 0.5 if small else 0.1,
        "noise": 0.1,
        "jitter": round(max(0.25, side / (28 if small else 14)), 2) if fourier else 0.0,
        "rotate": (5.0 if small else 15.0) if fourier else 0.0,
        "scale": (0.05 if small else 0.25) if fourier else 0.0,
        "views": 4 if small and fourier else 1,
    }
    given = {name: found[name] if value is None else value for name, value in settings.items()}
    return VisualizationSettings(**given)


def visualize(
    classifier: Classifier,
    unit: Unit,
    *,
    start: np.ndarray | None = None,
    colors: Colors | None = None,
    steps: Annotated[int, Range(1, 2048)] = 128,
    every: Annotated[int, Range(1, 256), "steps"] = 8,
    picture: Annotated[str, Choice(FOURIER, PIXELS)] = FOURIER,
    learning_rate: Annotated[float | None, Range(0.0001, 10.0, 0.01)] = None,
    jitter: Annotated[float | None, Range(0.0, 64.0, 1.0), "pixels"] = None,
    rotate: Annotated[float | None, Range(0.0, 180.0, 1.0), "degrees"] = None,
    scale: Annotated[float | None, Range(0.0, 1.0, 0.05)] = None,
    views: Annotated[int | None, Range(1, 32)] = None,
    beyond: Annotated[str, Choice(*PADDING_OF_GRID_SAMPLE)] = "mirror",
    decay: Annotated[float | None, Range(0.0, 4.0, 0.25)] = None,
    noise: Annotated[float | None, Range(0.0, 2.0, 0.05)] = None,
    smoothness: Annotated[float, Range(0.0, 100.0, 0.5)] = 0.0,
    stay_near: Annotated[float | None, Range(0.0, 10.0, 0.1)] = None,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    seen: Callable[[Frame], None] | None = None,
    progress: Progress = no_progress,
) -> Visualization:
    """Change a picture step by step so that a unit answers more and more strongly.

    Steps go along the gradient, divided by its length, with Adam. The same seed gives the same picture.

    Args:
        start: The image to begin with; noise if not given.
        colors: Statistics of real pictures, for the Fourier picture; of the classifier's own data set, or of
            the sample photos, if not given.
        steps: The number of steps.
        every: A picture is kept after every this many steps.
        picture: What the steps change: a spectrum with whitened colors (smooth pictures), or the pixels.
        learning_rate: The learning rate of Adam. A larger one is faster and coarser.
        jitter: At each step the picture is moved at random by up to this many pixels.
        rotate: At each step the picture is turned at random by up to this many degrees.
        scale: At each step the picture is enlarged or reduced at random by up to this share.
        views: How many such views are averaged at each step.
        beyond: What a moved picture shows beyond its border.
        decay: High frequencies count as 1 / frequency to this power. Photos have about 1.
        noise: How strong the noise at the start is, as a share of real pictures' contrast.
        smoothness: How much differences of neighbors count against the picture (squared total variation).
        stay_near: How strongly the picture is drawn back to its start (weight decay). With a Fourier picture
            from noise, it is drawn towards pictures with the contrast of real ones.
        seed: The seed of the noise and of the views.
        seen: Called with every frame as soon as it is there.
        progress: Called after every step.
    Shape:
        start: (H, W, C) uint8 in the classifier's size
    Raises:
        UnknownName, SettingError, TargetOutOfRange: The network has no such unit.
        BadImage: The start has another size.
        NotFinite: The unit answers with something that is no number.
    Source:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, doi:10.23915/distill.00007;
        Erhan, Bengio, Courville, Vincent 2009, "Visualizing Higher-Layer Features of a Deep Network"
    """
    check_unit(classifier, unit)
    _check_start(classifier, start)
    settings = found_settings(
        classifier.card.preprocessing.input_size,
        {
            "steps": steps, "every": every, "picture": picture, "learning_rate": learning_rate,
            "jitter": jitter, "rotate": rotate, "scale": scale, "views": views, "beyond": beyond,
            "decay": decay, "noise": noise, "smoothness": smoothness, "stay_near": stay_near, "seed": seed,
        },
        from_image=start is not None,
    )  # fmt: skip
    return _visualize(classifier, unit, settings, start, colors, seen, progress)


def _visualize(
    classifier: Classifier,
    unit: Unit,
    settings: VisualizationSettings,
    start: np.ndarray | None,
    colors: Colors | None,
    seen: Callable[[Frame], None] | None,
    progress: Progress,
) -> Visualization:
    generator = torch.Generator().manual_seed(settings.seed)
    parameters = _parameters(classifier, settings, colors)
    if start is None:
        parameters.start_from_noise(generator, settings.noise)
    else:
        parameters.start_from_picture(start)
    wobble = Wobble(settings.jitter, settings.rotate, settings.scale, settings.beyond)
    ascent = Ascent(classifier, unit, wobble, settings.views, generator)
    frames: list[Frame] = []

    def keep(step: int) -> None:
        frames.append(_frame(classifier, unit, parameters.picture().detach(), step))
        if seen is not None:
            seen(frames[-1])

    objectives = _climb(ascent, parameters, settings, keep, progress)
    return Visualization(
        unit, tuple(frames), np.array(objectives, np.float32),
        classifier.predict_logits(frames[-1].pixels[None])[0], settings, ascent.engine(),
        ascent.note(unit.title(classifier.card.class_names)),
    )  # fmt: skip


def _check_start(classifier: Classifier, start: np.ndarray | None) -> None:
    preprocessing = classifier.card.preprocessing
    wanted = (*preprocessing.input_size, preprocessing.channels)
    if start is not None and start.shape != wanted:
        raise BadImage(
            f"The picture to start from has the shape {start.shape}, but {classifier.card.name} takes "
            f"{wanted}: cut it with core.data.preprocessing.fit first."
        )


def _parameters(
    classifier: Classifier, settings: VisualizationSettings, colors: Colors | None
) -> Fourier | Pixels:
    """What the steps change."""
    preprocessing = classifier.card.preprocessing
    if settings.picture != FOURIER:
        return Pixels(preprocessing.input_size, preprocessing.mean, preprocessing.std, classifier.device)
    colors = colors or colors_of(real_images(classifier.card, IMAGES_FOR_COLORS).pixels)
    return Fourier(preprocessing.input_size, colors, decay=settings.decay, device=classifier.device)


def _climb(
    ascent: Ascent,
    parameters: Fourier | Pixels,
    settings: VisualizationSettings,
    keep: Callable[[int], None],
    progress: Progress,
) -> list[float]:
    """Take the steps; returned is the objective at each.

    Args:
        keep: Called with the number of a step whose picture is to be kept.
    """
    optimizer = torch.optim.Adam([parameters.moved], lr=settings.learning_rate)
    origin = parameters.moved.detach().clone()
    objectives: list[float] = []
    keep(0)
    for step in range(1, settings.steps + 1):
        shown = parameters.picture()
        objective, pull = ascent.pull(shown.detach())
        objectives.append(objective)
        if settings.smoothness:
            pull = pull - settings.smoothness / shown.numel() ** 0.5 * roughness_gradient(shown.detach())
        optimizer.zero_grad()
        shown.backward(-pull)
        optimizer.step()
        with torch.no_grad():
            parameters.moved.lerp_(origin, min(1.0, settings.stay_near * settings.learning_rate))
        parameters.settle()
        given_up = ascent.blocked >= STEPS_WITHOUT_GRADIENT
        if step % settings.every == 0 or step == settings.steps or given_up:
            keep(step)
        if given_up:
            break
        progress(step / settings.steps, f"Step {step} of {settings.steps}: {objective:.3g}")
    return objectives


@torch.no_grad()
def _frame(classifier: Classifier, unit: Unit, picture: Tensor, step: int) -> Frame:
    """What the picture is in whole pixels, and what it really reaches as such."""
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    output = outputs(classifier, unit.layer, classifier.inputs(pixels[None]))
    return Frame(
        step,
        np.ascontiguousarray(pixels),
        float(unit.objective(output)[0]),
        float(unit.activation(output)[0]),
    )
