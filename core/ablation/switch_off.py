"""Switch channels off and see what a network loses with them.

Off means: the channel after its activation is zero (or its mean, or another image's), at the place that
`core.filters.channel_layers` names. Zeroing a convolution's weights would be something else: batch norm adds
its shift afterwards. A skip connection still carries what went around the convolution.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from core.ablation.channel_ranges import Channels
from core.data.dataset import Split, indexed_rows
from core.errors import BadDataset, SettingError
from core.evaluation.prediction import match_classes
from core.filters.channel_layers import ChannelLayer, check_channels, find_layer, layers_of
from core.models.classifier import Classifier
from core.network.hooks import altered, captured
from core.progress import Progress, no_progress
from core.settings import Choice

REPLACEMENTS = ("zero", "mean", "resample")
# Several channels of several layers at once have no shortcut: the atlas has one, for one channel at a time.
ENGINE = "passes through the whole network with the channels off"
Pixels = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class AblatedLogits:
    """What a network answers with some channels off.

    Attributes:
        logits: (N, K) float32
        engine: How they were computed, in words for people.
    """

    logits: np.ndarray
    engine: str = ENGINE


@dataclass(frozen=True, eq=False)
class RandomSets:
    """What random sets of channels cost.

    Attributes:
        accuracies: (repeats,) float64, with each set off.
    """

    accuracies: np.ndarray


def checked(layers: Sequence[ChannelLayer], channels: Channels) -> dict[str, np.ndarray]:
    """These channels by the layer's name, ascending; layers without any are left out.

    Raises:
        UnknownName: There is no such convolution.
        SettingError: A layer has no such channel.
    """
    found = {name: check_channels(find_layer(layers, name), numbers) for name, numbers in channels.items()}
    return {name: numbers for name, numbers in found.items() if len(numbers)}


def judged_rows(
    split: Split, dataset_classes: Sequence[str], class_names: Sequence[str], images: int | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """Which images of a split are judged, and their classes in the classifier's.

    Args:
        images: How many, every class with its share; None for all. The same images always.
    Shape:
        returns: (N,) rows of the split, ascending; (N,) int64 classes; a note on classes that do not match
    Raises:
        BadDataset: The data set and the classifier have no class in common.
    """
    matching, note = match_classes(dataset_classes, class_names)
    known = np.flatnonzero(matching[split.labels] >= 0)
    if not len(known):
        raise BadDataset(f"No image is left to judge: {note} Choose another split or data set.")
    rows = known[indexed_rows(split.labels[known], images)]
    return rows, matching[split.labels[rows]], note


@contextmanager
def switched_off(
    module: nn.Module,
    layers: Sequence[ChannelLayer],
    channels: Channels,
    values: Mapping[str, Tensor] | None = None,
) -> Iterator[None]:
    """Inside, the channels of the module are off.

    Args:
        values: By layer, what stands in the place of its channels, broadcastable to (N, n, H, W); zeros
            where not given.
    """

    def off(numbers: np.ndarray, value: Tensor | float) -> Callable[[Tensor], Tensor]:
        def change(output: Tensor) -> Tensor:
            output[:, torch.as_tensor(numbers, device=output.device)] = value
            return output

        return change

    functions = {
        find_layer(layers, name).site: off(numbers, 0.0 if values is None else values[name])
        for name, numbers in checked(layers, channels).items()
    }
    with altered(module, functions):
        yield


def ablated_logits(
    classifier: Classifier,
    pixels: Pixels,
    rows: np.ndarray,
    channels: Channels,
    *,
    how: Annotated[str, Choice(*REPLACEMENTS)] = "zero",
    seed: int = 0,
    progress: Progress = no_progress,
) -> np.ndarray:
    """The logits of some images with some channels off.

    Args:
        pixels: A function from row numbers to (n, H, W, C) uint8 in the classifier's size.
        rows: (N,) which images.
        channels: By convolution.
        how: What stands in a channel's place: zero; its mean over all places of these images; or "resample",
            what it is on another of these images, drawn by the seed.
    Shape:
        returns: (N, K) float32
    Raises:
        UnknownName: There is no such convolution.
        SettingError: A layer has no such channel, or `how` is another word.
    """
    if how not in REPLACEMENTS:
        raise SettingError(f"how is {how!r}: choose one of {', '.join(REPLACEMENTS)}.")
    layers = layers_of(classifier)
    off = checked(layers, channels)
    sites = {name: find_layer(layers, name).site for name in off}
    means = mean_channels(classifier, pixels, rows, off, sites) if how == "mean" and off else None
    donors = donors_of(len(rows), seed)
    out = np.empty((len(rows), classifier.number_of_classes), np.float32)

    @torch.inference_mode()
    def work(start: int, stop: int) -> None:
        values = means
        if how == "resample" and off:
            with captured(classifier.module, sites.values()) as maps:
                classifier.module(classifier.inputs(pixels(rows[donors[start:stop]])))
            values = {name: maps[site][:, torch.as_tensor(off[name])] for name, site in sites.items()}
        inputs = classifier.inputs(pixels(rows[start:stop]))
        with switched_off(classifier.module, layers, off, values):
            out[start:stop] = classifier.logits(inputs).cpu().numpy()

    classifier.in_batches(len(rows), work, progress, cost=2.0 if how == "resample" and off else 1.0)
    return out


def donors_of(n: int, seed: int) -> np.ndarray:
    """Another image for each: a random circle through all of them, so that none is its own."""
    circle = np.random.default_rng(seed).permutation(n)
    donors = np.empty(n, np.int64)
    donors[circle] = np.roll(circle, 1)
    return donors


def mean_channels(
    classifier: Classifier,
    pixels: Pixels,
    rows: np.ndarray,
    off: Mapping[str, np.ndarray],
    sites: Mapping[str, str],
) -> dict[str, Tensor]:
    """(1, n, 1, 1) mean of each channel over all places of all images, none of them off."""
    sums = {name: torch.zeros(len(numbers), dtype=torch.float64) for name, numbers in off.items()}

    @torch.inference_mode()
    def work(start: int, stop: int) -> None:
        with captured(classifier.module, sites.values()) as maps:
            classifier.module(classifier.inputs(pixels(rows[start:stop])))
        parts = {name: maps[sites[name]][:, torch.as_tensor(off[name])].mean((2, 3)) for name in off}
        for name, part in parts.items():
            sums[name] += part.cpu().double().sum(0)  # Apple's GPUs have no float64

    classifier.in_batches(len(rows), work)
    return {
        name: (total / len(rows)).float()[None, :, None, None].to(classifier.device)
        for name, total in sums.items()
    }


def random_channels(layers: Sequence[ChannelLayer], channels: Channels, seed: int) -> dict[str, list[int]]:
    """As many channels of the same layers, drawn by the seed from all that the layer has."""
    rng = np.random.default_rng(seed)
    return {
        name: np.sort(rng.choice(find_layer(layers, name).channels, len(numbers), replace=False)).tolist()
        for name, numbers in checked(layers, channels).items()
    }


def random_accuracies(
    classifier: Classifier,
    pixels: Pixels,
    rows: np.ndarray,
    labels: np.ndarray,
    channels: Channels,
    *,
    repeats: int = 20,
    how: str = "zero",
    progress: Progress = no_progress,
) -> np.ndarray:
    """Is the chosen set special? The accuracy with as many random channels of the same layers off.

    Args:
        rows, labels: (N,) which images, and their classes in the classifier's.
        repeats: How many draws; draw i uses seed i.
    Shape:
        returns: (repeats,) float64
    Raises:
        SettingError: `repeats` is below 1.
    """
    if repeats < 1:
        raise SettingError(f"repeats is {repeats}: choose a whole number from 1 on.")
    layers = layers_of(classifier)
    found = np.empty(repeats)
    for i in range(repeats):

        def said(share: float, note: str, i: int = i) -> None:
            progress((i + share) / repeats, note or f"Random channels: draw {i + 1} of {repeats}")

        drawn = random_channels(layers, channels, i)
        logits = ablated_logits(classifier, pixels, rows, drawn, how=how, seed=i, progress=said)
        found[i] = (logits.argmax(1) == labels).mean()
    return found
