"""Real images that a made one is compared with: of the data set the classifier learned from, or photos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.data.catalogue import open_dataset
from core.data.dataset import indexed_rows
from core.data.fitting import fit_any
from core.data.preprocessing import fit
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import ConvoscopeError
from core.filters.index_file import find_index, index_key
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


def best_answers(
    classifier: Classifier, layer: str | None, images: RealImages, progress: Progress = no_progress
) -> dict[str, Any]:
    """Of every channel of a layer (or class) the strongest answer to real images.

    Returns:
        "activations" (C,) float32 the largest value on any map, "activation_rows" (C,) int32 of which
        image, and "objectives", "objective_rows" the same for the mean of the map.
    """
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
    answer: dict[str, Any] = {"words": images.words, "names": list(images.names)}
    for name, parts in (("activation", activations), ("objective", objectives)):
        values = np.concatenate(parts)
        answer[f"{name}s"] = values.max(0).astype(np.float32)
        answer[f"{name}_rows"] = values.argmax(0).astype(np.int32)
    return answer


def indexed_best(name: str, card: ModelCard, layer: str | None) -> dict[str, Any] | None:
    """The largest values again, from a stored index of filters, which has seen more images.

    Args:
        name: The classifier's, in the catalogue.
    Returns:
        "activations", "activation_rows", "activation_names" and "activation_words", to be put over what
        `best_answers` found; None where there is no index, or the layer is not the place where the channels
        of a convolution count.
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
        if split is None:
            continue
        for count in sorted({len(split), *(n for n in INDEX_SIZES if n < len(split))}, reverse=True):
            key = index_key(fingerprint, split.fingerprint, count, INDEX_K)
            index = find_index(key, checkpoint_folder(name))
            sites = [one["site"] for one in index["layers"]] if index else []
            if index is None or layer not in sites:
                continue
            number = sites.index(layer)
            rows = index[f"{number}/top_rows"][:, 0]
            return {
                "activation_words": f"{count:,} images of {dataset.title}, {split_name}",
                "activations": index[f"{number}/top_values"][:, 0],
                "activation_rows": np.arange(len(rows)),
                "activation_names": [f"{fitting}/{split_name}/{row}" for row in rows],
            }
    return None


def times_as_strong(reached: float, best: float, what: str) -> str:
    """ "3.1 times the best of …", or the difference where a ratio says nothing."""
    if best > 0 and reached > 0:
        ratio = reached / best
        return f"{ratio:.{1 if ratio < 10 else 0}f} times the best of {what}"
    return f"{reached - best:+.3g} against the best of {what}".replace("-", "−")


def compare(unit: Unit, objective: float, activation: float, answers: Mapping[str, Any]) -> dict[str, Any]:
    """A made picture's answer beside the best real one.

    A channel is compared by the mean of its map, which is what is climbed, and by the largest value; a place
    of a channel with the best that any place of any image has.

    Args:
        answers: Of `best_answers`, with what `indexed_best` found put over it.
    Returns:
        "reached", "best", "best_image" (its name), "times" in words; and "largest": the same again for the
        largest value on the map, where it is something else.
    """

    def against(reached: float, kind: str) -> dict[str, Any]:
        best = float(answers[f"{kind}s"][unit.channel])
        names, words = (
            answers.get(f"{kind}_names", answers["names"]),
            answers.get(f"{kind}_words", answers["words"]),
        )
        name = names[int(answers[f"{kind}_rows"][unit.channel])]
        times = times_as_strong(reached, best, words)
        return {"reached": reached, "best": best, "best_image": name, "times": times, "among": words}

    if unit.place is not None:
        return against(objective, "activation") | {"largest": None}
    found = against(objective, "objective")
    same = objective == activation and found["best"] == float(answers["activations"][unit.channel])
    return found | {"largest": None if same else against(activation, "activation")}
