"""Switch channels off and see what a network loses with them.

Off means: the channel after its activation is zero (or its mean, or another image's), at the place that
`core.channel_layers` names. Zeroing a convolution's weights would be something else: batch norm adds its
shift afterwards. A skip connection still carries what went around the convolution.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from core.channel_layers import ChannelLayer, channel_layers, check_channels, find_layer
from core.classifier import Classifier
from core.confusion import confusion_matrix
from core.errors import BadDataset, SettingError
from core.filter_index import indexed_rows
from core.hooks import altered, captured
from core.image_dataset import Split
from core.intervals import wilson_interval
from core.network_suffix import cut_behind
from core.prediction import match_classes
from core.progress import Progress, no_progress
from core.settings import Choice

HOW = ("zero", "mean", "resample")
# Which channels are off, by the name of their convolution.
Channels = Mapping[str, Sequence[int] | np.ndarray]
Pixels = Callable[[np.ndarray], np.ndarray]


def layers_of(classifier: Classifier) -> list[ChannelLayer]:
    """The convolutions of a classifier.

    Raises:
        NoConvolution: It has none.
    """
    preprocessing = classifier.card.preprocessing
    return channel_layers(classifier.module, preprocessing.input_size, preprocessing.channels)


def parse_channels(words: Sequence[str]) -> dict[str, list[int]]:
    """Channels as they are typed: "conv1:100,200" gives {"conv1": [100, 200]}; 0-15 is a range.

    Raises:
        SettingError: A word has no colon, or something that is no number behind it.
    """
    found: dict[str, list[int]] = {}
    for word in words:
        name, colon, numbers = word.strip().rpartition(":")
        if not colon or not name:
            raise SettingError(
                f"{word!r} names no channels: write LAYER:NUMBERS, such as conv1:100,200 or conv2:0-15."
            )
        for part in filter(None, numbers.split(",")):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()) or len(first + last) > 10:
                raise SettingError(
                    f"{part!r} in {word!r} is no channel: write a number such as 7, or a range 0-15."
                )
            if dash and int(last) - int(first) > 100_000:
                raise SettingError(f"{part!r} in {word!r} is more channels than any layer has.")
            found.setdefault(name, []).extend(range(int(first), int(last or first) + 1))
    return {name: sorted(set(channels)) for name, channels in found.items()}


def write_channels(channels: Channels) -> list[str]:
    """The opposite of `parse_channels`, with ranges where three or more stand in a row."""
    words = []
    for name, numbers in channels.items():
        runs: list[list[int]] = []
        for number in sorted(set(numbers)):
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        parts = []
        for first, last in runs:
            parts += [f"{first}-{last}"] if last - first > 1 else [str(n) for n in range(first, last + 1)]
        if parts:
            words.append(f"{name}:{','.join(parts)}")
    return words


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
    how: Annotated[str, Choice(*HOW)] = "zero",
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
    if how not in HOW:
        raise SettingError(f"how is {how!r}: choose one of {', '.join(HOW)}.")
    layers = layers_of(classifier)
    off = checked(layers, channels)
    sites = {name: find_layer(layers, name).site for name in off}
    means = _means(classifier, pixels, rows, off, sites) if how == "mean" and off else None
    donors = _donors(len(rows), seed)
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


def _donors(n: int, seed: int) -> np.ndarray:
    """Another image for each: a random circle through all of them, so that none is its own."""
    circle = np.random.default_rng(seed).permutation(n)
    donors = np.empty(n, np.int64)
    donors[circle] = np.roll(circle, 1)
    return donors


def _means(
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
            sums[name] += part.double().sum(0).cpu()

    classifier.in_batches(len(rows), work)
    return {
        name: (total / len(rows)).float()[None, :, None, None].to(classifier.device)
        for name, total in sums.items()
    }


@dataclass(frozen=True, eq=False)
class Effect:
    """What changed when channels were switched off, on N images of K classes.

    Attributes:
        labels: (N,) the true class of each, in the classifier's classes.
        before, after: (N,) the predicted class of each.
    """

    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    number_of_classes: int

    @property
    def accuracy(self) -> tuple[float, float]:
        """Before and after."""
        return float((self.before == self.labels).mean()), float((self.after == self.labels).mean())

    @property
    def intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The 95 % intervals of both accuracies."""
        n = len(self.labels)
        before, after = (int((p == self.labels).sum()) for p in (self.before, self.after))
        return wilson_interval(before, n), wilson_interval(after, n)

    @property
    def lost(self) -> np.ndarray:
        """Images that were right and are wrong now: positions."""
        return np.flatnonzero((self.before == self.labels) & (self.after != self.labels))

    @property
    def gained(self) -> np.ndarray:
        """Images that were wrong and are right now: positions."""
        return np.flatnonzero((self.before != self.labels) & (self.after == self.labels))

    @property
    def other(self) -> np.ndarray:
        """Images that are wrong in another way now: positions."""
        wrong = (self.before != self.labels) & (self.after != self.labels)
        return np.flatnonzero(wrong & (self.before != self.after))

    @cached_property
    def difference(self) -> np.ndarray:
        """The confusion matrix after minus the one before: (K, K) int64, every row adding up to 0."""
        k = self.number_of_classes
        return confusion_matrix(self.labels, self.after, k) - confusion_matrix(self.labels, self.before, k)

    @cached_property
    def by_class(self) -> np.ndarray:
        """Of every true class: images, right before, right after. (K, 3) int64."""
        right = [self.before == self.labels, self.after == self.labels]
        counts = [np.bincount(self.labels[r], minlength=self.number_of_classes) for r in right]
        return np.stack([np.bincount(self.labels, minlength=self.number_of_classes), *counts], axis=1)

    def flips(self) -> list[tuple[int, int, np.ndarray]]:
        """(from, to, positions) of every change of the prediction, the most frequent first."""
        changed = np.flatnonzero(self.before != self.after)
        pairs = self.before[changed] * self.number_of_classes + self.after[changed]
        found = [
            (int(pair // self.number_of_classes), int(pair % self.number_of_classes), changed[pairs == pair])
            for pair in np.unique(pairs)
        ]
        return sorted(found, key=lambda flip: (-len(flip[2]), flip[0], flip[1]))


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


def rank_among(accuracy: float, others: np.ndarray) -> float:
    """How often a random set costs as much or more: the one-sided p value of a permutation test.

    Source:
        Phipson, Smyth 2010, "Permutation p-values should never be zero"
    """
    return float((1 + (others <= accuracy + 1e-12).sum()) / (1 + len(others)))


def removal_costs(
    classifier: Classifier,
    pixels: Pixels,
    rows: np.ndarray,
    labels: np.ndarray,
    layer: str,
    *,
    how: str = "zero",
    progress: Progress = no_progress,
) -> tuple[np.ndarray, np.ndarray]:
    """The atlas of a layer: every channel switched off alone, and how many images are right then.

    What comes before the layer is computed once for all channels, and a channel that is zero on all images of
    a batch changes nothing. Where the network cannot be cut behind the layer, every channel is a pass through
    all of it.

    Args:
        rows, labels: (N,) which images, and their classes in the classifier's.
        layer: A convolution's name.
    Shape:
        returns: (C, K) int64, right images by true class with the channel off; (K,) the same with none off
    Raises:
        UnknownName: There is no such convolution.
    """
    found = find_layer(layers_of(classifier), layer)
    k = classifier.number_of_classes
    right, whole = np.zeros((found.channels, k), np.int64), np.zeros(k, np.int64)

    def said(done: float, c: int) -> None:
        progress(done, f"{layer}: channel {c + 1:,} of {found.channels:,} off")

    suffix = (
        cut_behind(classifier.module, found.site, classifier.inputs(pixels(rows[:2])))
        if how == "zero"
        else None
    )
    if suffix is None:
        baseline = ablated_logits(classifier, pixels, rows, {}).argmax(1)
        whole[:] = np.bincount(labels[baseline == labels], minlength=k)
        for c in range(found.channels):
            logits = ablated_logits(classifier, pixels, rows, {layer: [c]}, how=how)
            right[c] = np.bincount(labels[logits.argmax(1) == labels], minlength=k)
            said((c + 1) / found.channels, c)
        return right, whole
    height, width = classifier.card.preprocessing.input_size
    size = max(1, min(64, 64 * 64 * 64 // (height * width)))
    for start in range(0, len(rows), size):
        own = labels[start : start + size]
        with torch.inference_mode():
            maps = suffix.begin(classifier.inputs(pixels(rows[start : start + size])))
            base = _right(classifier, suffix.go_on(maps.clone()), own)
            silent = (maps == 0).all(0).flatten(1).all(1).tolist()
        whole += base
        for c in range(found.channels):
            counted = base
            if not silent[c]:
                with torch.inference_mode():
                    changed = maps.clone()
                    changed[:, c] = 0
                    counted = _right(classifier, suffix.go_on(changed), own)
            right[c] += counted
            said((start + len(own) * (c + 1) / found.channels) / len(rows), c)
    return right, whole


def _right(classifier: Classifier, output: Tensor, labels: np.ndarray) -> np.ndarray:
    """Right images by true class: (K,) int64."""
    predicted = classifier.as_logits(output).argmax(1).cpu().numpy()
    return np.bincount(labels[predicted == labels], minlength=classifier.number_of_classes)
