"""The atlas of a layer: every channel switched off alone, and what that costs."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.ablation.channel_removal import channel_removal
from core.ablation.switch_off import REPLACEMENTS, Pixels, ablated_logits, donors_of, mean_channels
from core.errors import SettingError
from core.evaluation.intervals import paired_interval
from core.filters.channel_layers import ChannelLayer, find_layer, layers_of
from core.models.classifier import Classifier
from core.network.hooks import captured
from core.progress import Progress, no_progress

WHOLE_NETWORK = "the whole network, run again for each channel"


@dataclass(frozen=True, eq=False)
class Atlas:
    """What each of the C channels of a layer costs, on N images of K classes.

    Attributes:
        right: (C, K) int64, right images by true class with the channel off.
        whole: (K,) int64, the same with none off.
        lost, gained: (C,) int64, images right without and wrong with the channel off, and the reverse.
        loss: (C,) float64, by how much the mean cross-entropy rises: it tells apart what accuracy does not.
        images: N.
        engine: How it was computed, in words for people.
    """

    right: np.ndarray
    whole: np.ndarray
    lost: np.ndarray
    gained: np.ndarray
    loss: np.ndarray
    images: int
    engine: str

    @property
    def change(self) -> np.ndarray:
        """(C,) accuracy with the channel off less the accuracy with none off."""
        return (self.gained - self.lost) / max(1, self.images)

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """(C,) and (C,): where that change lies with 95% confidence; the same images are compared."""
        return paired_interval(self.lost, self.gained, self.images)

    def ranked(self) -> np.ndarray:
        """(C,) channels, the costliest first: by accuracy, then by the loss."""
        return np.lexsort((-self.loss, self.change))


def ablation_atlas(
    classifier: Classifier,
    pixels: Pixels,
    rows: np.ndarray,
    labels: np.ndarray,
    layer: str,
    *,
    how: str = "zero",
    seed: int = 0,
    exact_shortcut: bool = True,
    progress: Progress = no_progress,
) -> Atlas:
    """Switch every channel of a layer off, one at a time.

    What does not differ from channel to channel is computed once (`core.ablation.channel_removal`); where the
    network cannot be cut at the layer, every channel is a pass through all of it. Both give the same logits,
    to 1e-5 of the largest.

    Args:
        rows, labels: (N,) which images, and their classes in the classifier's.
        layer: A convolution's name.
        how, seed: As in `core.ablation.switch_off.ablated_logits`.
        exact_shortcut: False takes the plain way, to compare.
    Raises:
        UnknownName: There is no such convolution.
        SettingError: `how` is another word, or there are no images.
    """
    if how not in REPLACEMENTS:
        raise SettingError(f"how is {how!r}: choose one of {', '.join(REPLACEMENTS)}.")
    if not len(rows):
        raise SettingError("There are no images to judge by: choose a split with images.")
    found = find_layer(layers_of(classifier), layer)
    few = classifier.inputs(pixels(rows[:2]))
    removal = channel_removal(classifier.module, found.site, few) if exact_shortcut else None
    count = _Count(found.channels, classifier.number_of_classes, len(rows))

    def said(share: float, c: int) -> None:
        progress(share, f"{layer}: {share:.0%} of {found.channels:,} channels off, one at a time")

    if removal is None:
        base = ablated_logits(classifier, pixels, rows, {})
        count.begin(torch.as_tensor(base), labels)
        everyone = torch.arange(len(rows))
        for c in range(found.channels):
            logits = ablated_logits(classifier, pixels, rows, {layer: [c]}, how=how, seed=seed)
            count.add(everyone, torch.full_like(everyone, c), torch.as_tensor(logits))
            said((c + 1) / found.channels, c)
        return count.atlas(WHOLE_NETWORK)
    instead = _Instead(classifier, pixels, rows, found, how, seed)
    for start in range(0, len(rows), removal.images_at_once):
        part = slice(start, start + removal.images_at_once)
        own = classifier.inputs(pixels(rows[part]))
        base = removal.begin(own, instead.values(part))
        count.begin(classifier.as_logits(base), labels[part])
        for image, channel, output in removal.each():
            count.add(image, channel, classifier.as_logits(output))
            c = int(channel[-1])
            said((start + len(own) * (c + 1) / found.channels) / len(rows), c)
    return count.atlas(removal.engine)


class _Instead:
    """What stands in a channel's place."""

    def __init__(
        self,
        classifier: Classifier,
        pixels: Pixels,
        rows: np.ndarray,
        layer: ChannelLayer,
        how: str,
        seed: int,
    ) -> None:
        self._classifier, self._pixels, self._rows, self._site = classifier, pixels, rows, layer.site
        self._donors = donors_of(len(rows), seed) if how == "resample" else None
        self._mean: Tensor | None = None
        if how == "mean":
            every = np.arange(layer.channels)
            means = mean_channels(classifier, pixels, rows, {layer.name: every}, {layer.name: layer.site})
            self._mean = means[layer.name]

    def values(self, part: slice) -> Tensor | float:
        """For some of the images, broadcastable to the layer's output."""
        if self._donors is not None:
            inputs = self._classifier.inputs(self._pixels(self._rows[self._donors[part]]))
            with torch.inference_mode(), captured(self._classifier.module, [self._site]) as maps:
                self._classifier.module(inputs)
            return maps[self._site]
        return 0.0 if self._mean is None else self._mean


class _Count:
    """Adds up what changes; a pair of image and channel that is not mentioned changes nothing."""

    def __init__(self, channels: int, classes: int, images: int) -> None:
        self._change = np.zeros((channels, classes), np.int64)
        self._whole = np.zeros(classes, np.int64)
        self._lost, self._gained = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
        self._loss, self._images = np.zeros(channels), images

    def begin(self, logits: Tensor, labels: np.ndarray) -> None:
        """Some images with none off: (n, K) logits."""
        self._labels = torch.as_tensor(labels, device=logits.device)
        self._was_right = logits.argmax(1) == self._labels
        self._base_loss = F.cross_entropy(logits, self._labels, reduction="none")
        right = labels[self._was_right.cpu().numpy()]
        self._whole += np.bincount(right, minlength=len(self._whole))

    def add(self, image: Tensor, channel: Tensor, logits: Tensor) -> None:
        """Of these images, counted from the last `begin`, with these channels off: (P,), (P,), (P, K)."""
        labels = self._labels[image]
        right, before = logits.argmax(1) == labels, self._was_right[image]
        rise = F.cross_entropy(logits, labels, reduction="none") - self._base_loss[image]
        c, change = channel.cpu().numpy(), right.long() - before.long()
        np.add.at(self._loss, c, rise.cpu().double().numpy())
        moved = torch.nonzero(change).flatten().cpu().numpy()
        step = change.cpu().numpy()[moved]
        np.add.at(self._change, (c[moved], labels.cpu().numpy()[moved]), step)
        np.add.at(self._lost, c[moved], step < 0)
        np.add.at(self._gained, c[moved], step > 0)

    def atlas(self, engine: str) -> Atlas:
        return Atlas(
            self._whole + self._change, self._whole, self._lost, self._gained, self._loss / self._images,
            self._images, engine,
        )  # fmt: skip
