"""Real images that a made one is compared with: of the data set the classifier learned from, or photos."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from core.data.catalogue import open_dataset
from core.data.dataset import indexed_rows
from core.data.fitting import fit_any
from core.data.preprocessing import fit
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import ConvoscopeError
from core.filters.index_file import find_index, index_question
from core.models.card import ModelCard
from core.models.catalogue import checkpoint_folder, fingerprint_of
from core.models.classifier import Classifier
from core.models.fitting_data import fitting_dataset
from core.network.unit import Unit, outputs
from core.progress import Progress, no_progress

SAMPLE_PHOTOS = "sample photos"
# What the page Filters offers and the command keeps: an index of another size is not looked for.
INDEX_SIZES, INDEX_K = (200, 1000, 2000, 5000, 10_000, 60_000), 16


@dataclass(frozen=True, eq=False)
class RealImages:
    """Some images as the network sees them.

    Attributes:
        pixels: (N, H, W, C) uint8
        names: (N,) what each is called as the chosen image of every page: "chelsea", "digits/test/12".
        words: What they are, for people: "360 images of Digits, test".
        key: What answers about them depend on, besides the classifier.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    words: str
    key: tuple[Any, ...]


def affordable(size: tuple[int, int]) -> int:
    """How many images of that size a network looks through in seconds rather than minutes."""
    return int(max(24, min(1000, 2_000_000 // (size[0] * size[1]))))


def real_images(card: ModelCard, limit: int | None = None) -> RealImages:
    """At most `limit` images of the classifier's data set, every class with its share, if it is here.

    The test images if there are some; nothing is fetched. Otherwise all sample photos.
    """
    limit = limit or affordable(card.preprocessing.input_size)
    fitting = fitting_dataset(card)
    if fitting is not None:
        try:
            dataset = open_dataset(fitting)
        except ConvoscopeError:
            return _photos(card)
        name = "test" if "test" in dataset.splits else next(iter(dataset.splits))
        split = dataset.split(name)
        rows = indexed_rows(split.labels, min(limit, len(split)))
        pixels = np.stack([fit_any(split.images[row], card.preprocessing) for row in rows])
        names = tuple(f"{fitting}/{name}/{row}" for row in rows)
        words = f"{len(rows):,} images of {dataset.title}, {name}"
        return RealImages(pixels, names, words, (split.fingerprint, len(rows)))
    return _photos(card)


def _photos(card: ModelCard) -> RealImages:
    names = tuple(sample_names())
    pixels = np.stack([fit(sample_image(name).pixels, card.preprocessing) for name in names])
    return RealImages(pixels, names, f"{len(names)} {SAMPLE_PHOTOS}", (SAMPLE_PHOTOS, list(names)))


def title_of(name: str) -> str:
    """What a person calls the image of that name."""
    if name in SAMPLES:
        return SAMPLES[name][0]
    _, split, row = name.split("/")
    return f"{split} image {row}"


@dataclass(frozen=True, eq=False)
class BestImages:
    """Of each of the C channels of a layer the real image with the strongest answer.

    Attributes:
        values: (C,) float32, the answers.
        images: (C,) whole numbers, which of the names.
        names: What the images are called as the chosen image of every page.
        words: What was looked through, for people: "360 images of Digits, test".
    """

    values: np.ndarray
    images: np.ndarray
    names: tuple[str, ...]
    words: str

    def name_of(self, channel: int) -> str:
        """The image with that channel's strongest answer."""
        return self.names[int(self.images[channel])]


@dataclass(frozen=True, eq=False)
class BestAnswers:
    """The strongest answers of the channels of a layer, or of the classes, to real images.

    Attributes:
        activation: By the largest value on the map.
        objective: By the mean of the map.
    """

    activation: BestImages
    objective: BestImages


def best_answers(
    classifier: Classifier, layer: str | None, images: RealImages, progress: Progress = no_progress
) -> BestAnswers:
    """Of every channel of a layer (or class) the strongest answer to real images."""
    activations: list[np.ndarray] = []
    objectives: list[np.ndarray] = []

    @torch.inference_mode()
    def work(begin: int, end: int) -> None:
        found = outputs(classifier, layer, classifier.inputs(images.pixels[begin:end])).float()
        flat = found.flatten(2) if found.ndim == 4 else found[..., None]
        largest, mean = flat.amax(2).cpu().numpy(), flat.mean(2).cpu().numpy()
        activations.append(largest)
        objectives.append(mean)

    classifier.in_batches(len(images.pixels), work, progress)

    def best(parts: list[np.ndarray]) -> BestImages:
        values = np.concatenate(parts)
        largest, which = values.max(0).astype(np.float32), values.argmax(0).astype(np.int32)
        return BestImages(largest, which, images.names, images.words)

    return BestAnswers(best(activations), best(objectives))


def indexed_best(name: str, card: ModelCard, layer: str | None) -> BestImages | None:
    """The largest values from a stored index of filters, which has seen more images.

    Args:
        name: The classifier's, in the catalogue.
    Returns:
        None where there is no index, or the layer is not the place where the channels of a convolution count.
    """
    fingerprint, fitting = fingerprint_of(name), fitting_dataset(card)
    if layer is None or fingerprint is None or fitting is None:
        return None
    try:
        dataset = open_dataset(fitting)
    except ConvoscopeError:
        return None
    for split_name in ("test", "train"):
        split = dataset.splits.get(split_name)
        sizes = set() if split is None else {len(split), *(n for n in INDEX_SIZES if n < len(split))}
        for count in sorted(sizes, reverse=True):
            question = index_question(name, dataset.split(split_name).fingerprint, count, INDEX_K)
            index = find_index(question, checkpoint_folder(name))
            one = index.at(layer) if index is not None else None
            if one is not None:
                rows = one.top_rows[:, 0]
                return BestImages(
                    one.top_values[:, 0],
                    np.arange(len(rows)),
                    tuple(f"{fitting}/{split_name}/{row}" for row in rows),
                    f"{count:,} images of {dataset.title}, {split_name}",
                )
    return None


def times_as_strong(reached: float, best: float, what: str) -> str:
    """ "3.1 times the best of …", or the difference where a ratio says nothing."""
    if best > 0 and reached > 0:
        ratio = reached / best
        return f"{ratio:.{1 if ratio < 10 else 0}f} times the best of {what}"
    return f"{reached - best:+.3g} against the best of {what}".replace("-", "−")


@dataclass(frozen=True)
class Comparison:
    """A made picture's answer beside the best real one.

    Attributes:
        reached: The picture's answer.
        best: The strongest answer to a real image.
        best_image: The name of that image.
        times: How much stronger the picture's answer is, in words.
        among: What the best was found in, in words.
        largest: The same again for the largest value on the map, where that is something else.
    """

    reached: float
    best: float
    best_image: str
    times: str
    among: str
    largest: "Comparison | None" = None


def compare(unit: Unit, objective: float, activation: float, answers: BestAnswers) -> Comparison:
    """A channel is compared by the mean of its map, which is what is climbed, and by the largest value.

    A place of a channel is compared with the best that any place of any image has.
    """

    def against(reached: float, best: BestImages) -> Comparison:
        value = float(best.values[unit.channel])
        times = times_as_strong(reached, value, best.words)
        return Comparison(reached, value, best.name_of(unit.channel), times, best.words)

    if unit.place is not None:
        return against(objective, answers.activation)
    found, largest = against(objective, answers.objective), against(activation, answers.activation)
    same = (found.reached, found.best) == (largest.reached, largest.best)
    return found if same else replace(found, largest=largest)
