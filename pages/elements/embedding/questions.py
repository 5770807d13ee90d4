"""What the page Embedding asks of a classifier, each question with the form of its answer."""

from dataclasses import asdict, dataclass

import numpy as np

from core.data.dataset import Split
from core.embedding.embed import (
    Picture,
    embed,
    feature_layers,
    feature_space,
    features_of,
    last_before_head,
    place,
)
from core.embedding.nearest_neighbors import nearest_to
from core.embedding.projections import FeatureSpace
from core.models.classifier import Classifier
from core.models.question import Question
from core.progress import Progress
from core.settings import Settings
from pages.elements.ask import asked
from pages.elements.embedding.scatter import NEIGHBORS_SHOWN


@dataclass(frozen=True)
class FeatureLayers:
    """The layers that features can be taken from.

    Attributes:
        titles: By the layer's name, in the order of execution.
        default: The one that is taken where none is chosen.
    """

    titles: dict[str, str]
    default: str


@dataclass(frozen=True, eq=False)
class Features:
    """What a layer and the head make of N images.

    Shape:
        features: (N, F) float32
        logits: (N, K) float32
    """

    features: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest images of each of N, by their features.

    Shape:
        indices: (N, k) int32
        distances: (N, k) float32
    """

    indices: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class MapSettings:
    """How a map is drawn: the projection, its dimensions, and the projection's own settings."""

    projection: str
    dimensions: int
    settings: Settings


@dataclass(frozen=True)
class Placed:
    """Where a new image belongs in a finished picture, and the images nearest to it in the features."""

    point: tuple[float, ...]
    nearest: tuple[int, ...]


def layers_of(classifier: str) -> FeatureLayers:
    """The layers that features can be taken from."""

    def analysis(classifier: Classifier, progress: Progress) -> FeatureLayers:
        titles = {layer.name: layer.title for layer in feature_layers(classifier)}
        return FeatureLayers(titles, last_before_head(classifier))

    return asked(
        Question("feature layers", classifier, FeatureLayers), analysis, message="Looking at the layers"
    )


def features(classifier: str, title: str, layer: str, part: Split) -> Features:
    """The features of a layer, and the logits, of all images of a part."""

    def analysis(classifier: Classifier, progress: Progress) -> Features:
        return Features(*features_of(classifier, part.images, layer, progress=_named(progress, title)))

    question = Question("features of a layer", classifier, Features, (part.fingerprint, layer))
    message = f"{title}: features of {len(part):,} images"
    return asked(question, analysis, short=False, message=message)


def space_of(classifier: str, title: str, layer: str, part: Split, seen: Features) -> FeatureSpace:
    """The features with the neighbors of each image."""

    def analysis(classifier: Classifier, progress: Progress) -> Neighbors:
        space = feature_space(seen.features, layer, _named(progress, title))
        return Neighbors(space.indices, space.distances)

    question = Question("neighbors in the features", classifier, Neighbors, (part.fingerprint, layer))
    near = asked(question, analysis, short=False, message=f"{title}: every image beside every other")
    return FeatureSpace(seen.features, near.indices, near.distances)


def picture_of(
    classifier: str, title: str, layer: str, part: Split, space: FeatureSpace, how: MapSettings
) -> Picture:
    """The picture of a feature space by the projection that was chosen."""

    def analysis(classifier: Classifier, progress: Progress) -> Picture:
        return embed(
            space, part.labels, projection=how.projection, dimensions=how.dimensions, settings=how.settings,
            progress=_named(progress, title),
        )  # fmt: skip

    question = Question("embedding", classifier, Picture, (part.fingerprint, layer, asdict(how)))
    return asked(question, analysis, short=False, message=f"{title}: drawing the map")


def placed_image(
    classifier: str, layer: str, part: Split, space: FeatureSpace, picture: Picture, how: MapSettings,
    pixels: np.ndarray, sha256: str,
) -> Placed:  # fmt: skip
    """Where the chosen image belongs in a finished map, and which images are like it."""

    def analysis(classifier: Classifier, progress: Progress) -> Placed:
        found, _ = features_of(classifier, pixels[None], layer)
        at = place(found, space, picture, projection=how.projection, settings=how.settings)
        nearest, _ = nearest_to(found, space.features, NEIGHBORS_SHOWN)
        return Placed(tuple(at[0].tolist()), tuple(nearest[0].tolist()))

    depends_on = (part.fingerprint, layer, asdict(how), sha256)
    question = Question("placed in a map", classifier, Placed, depends_on)
    return asked(question, analysis, message="Placing the image")


def _named(progress: Progress, title: str) -> Progress:
    return lambda share, text: progress(share, f"{title}: {text}")
