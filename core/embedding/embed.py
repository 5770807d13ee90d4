"""What a layer makes of many images, as one picture: pooled features, projected, and how far to trust it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.data.dataset import Split, stratified_indices
from core.embedding.nearest_neighbors import nearest_neighbors, share_preserved, silhouettes
from core.embedding.projections import (
    FEWEST_IMAGES,
    NEIGHBORS,
    FeatureSpace,
    ProjectedPoints,
    projection_named,
)
from core.errors import SettingError, UnknownName
from core.models.classifier import Classifier
from core.network.feature_maps import FeatureMap, layer_outputs
from core.network.head import NoHead, head_of
from core.network.hooks import captured, captured_inputs
from core.network.summary import summarize
from core.progress import Progress, no_progress
from core.settings import Settings

MAXIMUM_BYTES = 192 * 2**20
TRUST_NEIGHBORS = 10


@dataclass(frozen=True)
class FeatureLayer:
    """A layer that features can be taken from.

    Attributes:
        shape: Its output for one image, without the batch.
    """

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """How many features it gives once pooled."""
        return pooled_width(self.shape)

    @property
    def title(self) -> str:
        how = f", mean over {' × '.join(map(str, self.shape[1:]))}" if len(self.shape) == 3 else ""
        return f"{self.name} · {self.type} · {self.width} features{how}"


@dataclass(frozen=True, eq=False)
class Picture:
    """A feature space as a picture, and how far it can be trusted.

    Attributes:
        projected: What the projection found; new images are placed by it.
        shown: The nearest neighbors in the picture.
        preserved: The share of the nearest in the features that are among them.
        silhouette: The mean over the images, in the features; None where there is one class only.
        silhouette_shown: The same in the picture.
    Shape:
        shown: (N, k) int32
        preserved: (N,) float32
    """

    projected: ProjectedPoints
    shown: np.ndarray
    preserved: np.ndarray
    silhouette: float | None
    silhouette_shown: float | None

    @property
    def points(self) -> np.ndarray:
        """(N, dimensions) float32."""
        return self.projected.points

    @property
    def explained(self) -> float | None:
        """The share of the variance that the picture shows, where the projection knows it."""
        shares = self.projected.explained
        return None if shares is None else float(shares.sum())


# In front of a head's name: what it is given, where that is the output of no layer.
INPUT_OF = "input of "


def feature_layers(classifier: Classifier) -> list[FeatureLayer]:
    """The layers of a classifier in the order of execution; of its head what goes in, if no layer gives that.

    Layers whose output is neither a map of the image's places nor a vector nor tokens are left out.
    """
    preprocessing = classifier.card.preprocessing
    summary = summarize(classifier.module, preprocessing.input_size, preprocessing.channels)
    maps = layer_outputs(classifier).maps
    found = []
    for layer in summary.layers:
        if not layer.name or not layer.output_shape:
            continue
        if layer.name in maps:
            found.append(FeatureLayer(layer.name, layer.type, maps[layer.name].shape))
        elif len(layer.output_shape) < 3:
            found.append(FeatureLayer(layer.name, layer.type, layer.output_shape))
    try:
        head = head_of(classifier)
    except NoHead:
        return found
    if head.features is None:
        place = next((i for i, layer in enumerate(found) if layer.name == head.layer), len(found))
        kind = type(classifier.module.get_submodule(head.layer)).__name__
        found.insert(place, FeatureLayer(INPUT_OF + head.layer, kind, head.shape))
    return found


def last_before_head(classifier: Classifier) -> str:
    """The name of the features that go into the head whose logits are used.

    Mostly a layer's name. Where the head is given what no layer answers with (the class token alone), it is
    "input of" and the head's name.

    Raises:
        SettingError: The head is given the pixels, or there is no head.
    """
    try:
        head = head_of(classifier)
    except NoHead as error:
        raise SettingError(str(error)) from None
    offered = [layer.name for layer in feature_layers(classifier)]
    if head.features is None:
        return INPUT_OF + head.layer
    if head.features in offered:
        return head.features
    # A layer that holds others, which end with it: the last of them.
    inside = [name for name in offered if name.startswith(f"{head.features}.")]
    return inside[-1] if inside else head.features


def pooled_width(shape: tuple[int, ...]) -> int:
    """Features of a layer with this output once pooled: (C, H, W) gives C, tokens (L, D) give D."""
    if len(shape) == 3:
        return shape[0]
    return shape[-1] if len(shape) == 2 else int(np.prod(shape))


def pooled(output: Tensor, held: FeatureMap | None = None) -> Tensor:
    """The mean over all places: (N, C, H, W) and tokens (N, L, D) become (N, C) and (N, D).

    Args:
        held: How the output holds its map, where it is known: channels may be last, and a class token is no
            place.
    """
    if held is not None:
        return held.of(output).mean(dim=(2, 3))
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    if output.ndim == 3:
        return output.mean(dim=1)
    return output.reshape(len(output), -1)


def features_of(
    classifier: Classifier, images: np.ndarray, layer: str, *, progress: Progress = no_progress
) -> tuple[np.ndarray, np.ndarray]:
    """The pooled features of a layer, and the logits, in one pass over the images.

    Args:
        layer: A name in `named_modules()`, or what `last_before_head` returns.
    Shape:
        images: (N, H, W, C) uint8 of any size, as a data set has them
        returns: (N, F) float32 and (N, K) float32
    Raises:
        UnknownName: There is no such layer.
        NoTensor: Its output is not one tensor.
        SettingError: The features would fill the memory, or are not finite.
    """
    from core.data.fitting import fitted

    name = layer.removeprefix(INPUT_OF)
    if name not in dict(classifier.module.named_modules()) or not name:
        raise UnknownName("layer", layer, [found.name for found in feature_layers(classifier)])
    held = None if layer.startswith(INPUT_OF) else layer_outputs(classifier).maps.get(name)
    watched = captured_inputs if layer.startswith(INPUT_OF) else captured
    n = len(images)
    pixels = fitted(images, classifier.card.preprocessing, lambda share, text: progress(0.0, text))
    logits = np.empty((n, classifier.number_of_classes), np.float32)
    features: np.ndarray | None = None

    @torch.inference_mode()
    def look(start: int, stop: int) -> None:
        nonlocal features
        with watched(classifier.module, [name]) as outputs:
            answer = classifier.logits(classifier.inputs(pixels(np.arange(start, stop))))
        if name not in outputs:
            raise SettingError(f"The layer {layer!r} takes no part in the answer: choose another.")
        values = pooled(outputs[name].float(), held).cpu().numpy()
        if features is None:
            _check_size(n, values.shape[1], layer)
            features = np.empty((n, values.shape[1]), np.float32)
        features[start:stop], logits[start:stop] = values, answer.cpu().numpy()

    classifier.in_batches(
        n, look, lambda share, note: progress(share, note or f"{round(share * n):,} of {n:,} images")
    )
    assert features is not None
    if not np.isfinite(features).all():
        raise SettingError(
            f"Some features of {layer!r} are not finite: the network computes infinities or NaN there. "
            "Choose an earlier layer, or train it again with a smaller learning rate."
        )
    return features, logits


def _check_size(n: int, width: int, layer: str) -> None:
    if 4 * n * width > MAXIMUM_BYTES:
        most = MAXIMUM_BYTES // (4 * width)
        raise SettingError(
            f"{n:,} images with {width:,} features each at {layer!r} need "
            f"{4 * n * width / 2**20:.0f} MB: choose at most {most:,} images, or a pooled layer."
        )


def sample_rows(split: Split, count: int) -> np.ndarray:
    """Rows of `count` images with every class in its share, ascending; all where there are no more.

    Raises:
        SettingError: `count` is too small for a picture.
    """
    if count < FEWEST_IMAGES:
        raise SettingError(f"{count} images were asked for: choose {FEWEST_IMAGES} or more.")
    if count >= len(split):
        return np.arange(len(split))
    return stratified_indices(split.labels, count, 0)[1]


def feature_space(features: np.ndarray, layer: str = "", progress: Progress = no_progress) -> FeatureSpace:
    """Features with their true neighbors.

    Raises:
        SettingError: There are too few images, or all have the same features.
    """
    if len(features) < FEWEST_IMAGES:
        raise SettingError(
            f"There are {len(features)} images: a picture of them needs {FEWEST_IMAGES} or more."
        )
    if not (np.ptp(features, axis=0) > 0).any():
        raise SettingError(
            f"Every image has the same features at {layer or 'this layer'!r}: nothing can be told "
            "apart there. Choose an earlier layer."
        )
    k = min(NEIGHBORS, len(features) - 1)
    return FeatureSpace(features, *nearest_neighbors(features, k, progress))


def embed(
    space: FeatureSpace,
    labels: np.ndarray,
    *,
    projection: str = "tsne",
    dimensions: int = 2,
    settings: Settings | None = None,
    progress: Progress = no_progress,
) -> Picture:
    """The picture of a feature space, and how far it can be trusted.

    Args:
        projection: A name in `core.embedding.projections.PROJECTIONS`.
        settings: Of the projection.
    Shape:
        labels: (N,) int
    Raises:
        UnknownName: There is no such projection.
        SettingError: `dimensions` is neither 2 nor 3.
    """
    if dimensions not in (2, 3):
        raise SettingError(f"dimensions is {dimensions}: choose 2 or 3.")
    chosen = projection_named(projection)

    def later(begin: float, end: float) -> Progress:
        return lambda share, text: progress(begin + share * (end - begin), text)

    measured = silhouettes(space.features, labels, later(0, 0.1))
    projected = chosen.project(space, dimensions, progress=later(0.1, 0.9), **(settings or {}))
    k = min(TRUST_NEIGHBORS, space.indices.shape[1])
    shown, _ = nearest_neighbors(projected.points, k, later(0.9, 0.95))
    shown_silhouette = silhouettes(projected.points, labels, later(0.95, 1))
    return Picture(
        projected,
        shown,
        share_preserved(space.indices[:, :k], shown).astype(np.float32),
        _mean(measured),
        _mean(shown_silhouette),
    )


def place(
    new: np.ndarray,
    space: FeatureSpace,
    picture: Picture,
    *,
    projection: str = "tsne",
    settings: Settings | None = None,
) -> np.ndarray:
    """Where new images belong in a finished picture, which stays as it is.

    Shape:
        new: (M, F) float32, features of the same layer
        returns: (M, dimensions) float32
    """
    chosen = projection_named(projection)
    return np.asarray(chosen.place(new, space, picture.projected, **(settings or {})), np.float32)


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).any() else float(values.mean())
