"""From features of hundreds of numbers to a picture of two or three: PCA, t-SNE, UMAP, and new points.

All three start from the same exact neighbors or the same principal components, so that what differs
between two pictures is the method. PCA keeps distances as far as a flat picture can; t-SNE and UMAP keep who
is next to whom, and the distances between far groups in them mean nothing.
"""

import importlib.util
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from core.compute.library_internals import umap_among_neighbors
from core.embedding.nearest_neighbors import nearest_to
from core.errors import SettingError, UnknownName
from core.progress import Progress, no_progress
from core.settings import Range, Setting, settings_of

# Neighbors that t-SNE and UMAP are given: three times the largest perplexity.
NEIGHBORS = 150
FEWEST_IMAGES = 8
SEED = 0
NEIGHBORS_WITHOUT_FORCES = 5  # among which a new point lies where there is no openTSNE
# 1,800 images: Barnes-Hut took half of the time of FFT. openTSNE itself changes at 10,000.
FFT_FROM = 6000
THREADS_FROM = 3000
# Steps with exaggeration, and without. From FFT_FROM images on fewer will do: of 10,000 images' ten nearest
# neighbors 32.0 % were kept with these, and 33.2 % by scikit-learn's 1,000, which took 4.7 times as long.
STEPS, STEPS_OF_MANY = (250, 500), (100, 200)


@dataclass(frozen=True)
class FeatureSpace:
    """Features of N images with their true neighbors: what every projection starts from.

    Shape:
        features: (N, F) float32
        indices: (N, k) int32, the k nearest others, the nearest first
        distances: (N, k) float32
    """

    features: np.ndarray
    indices: np.ndarray
    distances: np.ndarray

    def __post_init__(self) -> None:
        if len(self.features) < FEWEST_IMAGES:
            raise SettingError(
                f"There are {len(self.features)} images: a picture of them needs {FEWEST_IMAGES} or more."
            )


@dataclass(frozen=True, eq=False)
class ProjectedPoints:
    """What a projection finds.

    Attributes:
        explained: The share of the variance that each axis of PCA shows; the other two have no axes.
    Shape:
        points: (N, dimensions) float32
        mean: (F,) float32, of PCA
        components: (dimensions, F) float32, of PCA
        explained: (dimensions,)
    """

    points: np.ndarray
    mean: np.ndarray | None = None
    components: np.ndarray | None = None
    explained: np.ndarray | None = None


@dataclass(frozen=True)
class Projection:
    """A way to draw features: `project` makes the picture, `place` puts new points into it."""

    name: str
    title: str
    project: Callable[..., ProjectedPoints]
    place: Callable[..., np.ndarray]

    @property
    def settings(self) -> tuple[Setting, ...]:
        return settings_of(self.project)


def principal_components(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, the first components and the share of the variance that each explains.

    Shape:
        features: (N, F)
        returns: (F,), (count, F) with rows of length 1, (count,); missing components are 0
    """
    mean = features.mean(axis=0, dtype=np.float64)
    centered = features - mean
    n, width = centered.shape
    # The smaller of the two products has the same eigenvalues as the other.
    product = centered.T @ centered if width <= n else centered @ centered.T
    values, vectors = np.linalg.eigh(product)
    values, vectors = np.maximum(values[::-1][:count], 0), vectors[:, ::-1][:, :count]
    components = vectors.T if width <= n else (centered.T @ vectors).T
    lengths = np.linalg.norm(components, axis=1, keepdims=True)
    components = np.where(lengths > 1e-12, components / np.maximum(lengths, 1e-12), 0)
    # Either sign is as good: the largest number of a component is made positive, so that pictures repeat.
    signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    components *= np.where(signs == 0, 1, signs)[:, None]
    total = max(float((centered**2).sum()), 1e-300)
    missing = count - len(components)
    return (
        mean,
        np.pad(components, ((0, missing), (0, 0))),
        np.pad(values / total, (0, missing)),
    )


def pca(space: FeatureSpace, dimensions: int = 2, *, progress: Progress = no_progress) -> ProjectedPoints:
    """The directions in which the features vary most."""
    mean, components, explained = principal_components(space.features, dimensions)
    points = ((space.features - mean) @ components.T).astype(np.float32)
    return ProjectedPoints(points, mean.astype(np.float32), components.astype(np.float32), explained)


def place_by_pca(
    new: np.ndarray, space: FeatureSpace, picture: ProjectedPoints, **settings: Any
) -> np.ndarray:
    assert picture.components is not None  # it was made by `pca`
    points: np.ndarray = ((new - picture.mean) @ picture.components.T).astype(np.float32)
    return points


def tsne(
    space: FeatureSpace,
    dimensions: int = 2,
    *,
    perplexity: Annotated[float, Range(5, 50, 1)] = 30.0,
    progress: Progress = no_progress,
) -> ProjectedPoints:
    """Neighbors stay neighbors, as probabilities: steps with exaggeration, then twice as many without.

    Args:
        perplexity: About how many neighbors count for each image.
    Source:
        van der Maaten, Hinton 2008, JMLR 9; Linderman et al. 2019, "FIt-SNE", Nature Methods 16; openTSNE
    """
    if not has_opentsne():
        return _tsne_of_scikit_learn(space, dimensions, perplexity, progress)
    from openTSNE import TSNE

    steps, done = STEPS if len(space.features) < FFT_FROM else STEPS_OF_MANY, 0
    every = 5

    def show(iteration: int, error: float, embedding: np.ndarray) -> bool:
        nonlocal done
        done += every
        progress(min(1.0, done / sum(steps)), f"t-SNE: step {min(done, sum(steps))} of {sum(steps)}")
        return False

    fit = TSNE(
        dimensions,
        early_exaggeration_iter=steps[0],
        n_iter=steps[1],
        negative_gradient_method=_gradient_method(len(space.features), dimensions),
        callbacks=show,
        callbacks_every_iters=every,
        n_jobs=_threads(len(space.features)),
        random_state=SEED,
    )
    embedding = fit.fit(affinities=_affinities(space, perplexity), initialization=_start(space, dimensions))
    return ProjectedPoints(np.asarray(embedding, np.float32))


def has_opentsne() -> bool:
    """Whether openTSNE is here; for Linux on Arm it has no wheel."""
    return importlib.util.find_spec("openTSNE") is not None


def _tsne_of_scikit_learn(
    space: FeatureSpace, dimensions: int, perplexity: float, progress: Progress
) -> ProjectedPoints:
    """What stands in for openTSNE: the same picture, slower, and in one go."""
    from sklearn.manifold import TSNE

    progress(0.0, "t-SNE by scikit-learn, in one go")
    fit = TSNE(
        dimensions,
        perplexity=min(perplexity, (len(space.features) - 1) / 3),
        init=_start(space, dimensions).astype(np.float32),
        n_jobs=_threads(len(space.features)),
        random_state=SEED,
    )
    return ProjectedPoints(np.asarray(fit.fit_transform(space.features), np.float32))


def place_by_tsne(
    new: np.ndarray, space: FeatureSpace, picture: ProjectedPoints, **settings: Any
) -> np.ndarray:
    """Among the images it is most like, then moved by the forces that made the picture, which stays as it is.

    Source:
        Poličar, Stražar, Zupan 2023, "Embedding to reference t-SNE space", Machine Learning 112; openTSNE
    """
    if not has_opentsne():
        return _amid_nearest(new, space, np.array(picture.points, np.float32), NEIGHBORS_WITHOUT_FORCES)
    from openTSNE import TSNEEmbedding

    points = np.array(picture.points, np.float64)
    finished = TSNEEmbedding(
        points,
        _affinities(space, settings.get("perplexity", 30.0)),
        negative_gradient_method=_gradient_method(len(points), points.shape[1]),
        n_jobs=_threads(len(points)),
        random_state=SEED,
    )
    return np.asarray(finished.transform(np.asarray(new, np.float32)), np.float32)


def _amid_nearest(new: np.ndarray, space: FeatureSpace, points: np.ndarray, few: int) -> np.ndarray:
    """In the middle of the nearest images of the picture, the nearer the heavier."""
    indices, near = nearest_to(new, space.features, few)
    weights = np.exp(-near / np.maximum(near[:, -1:], 1e-12))
    placed = np.einsum("mk,mkd->md", weights / weights.sum(1, keepdims=True), points[indices])
    return np.asarray(placed, np.float32)


def umap(
    space: FeatureSpace,
    dimensions: int = 2,
    *,
    n_neighbors: Annotated[int, Range(2, 100)] = 15,
    min_dist: Annotated[float, Range(0.0, 0.99, 0.01)] = 0.1,
    progress: Progress = no_progress,
) -> ProjectedPoints:
    """Neighbors stay neighbors, as a graph that springs pull together; groups are denser than in t-SNE.

    Args:
        n_neighbors: How many neighbors count for each image, itself included.
        min_dist: How close two points may lie in the picture.
    Source:
        McInnes, Healy, Melville 2018, "UMAP", arXiv:1802.03426; umap-learn
    """
    progress(0.0, "UMAP: preparing, which takes up to a minute the first time")
    start = _start(space, dimensions) * 1e5  # about ±10, as UMAP starts by itself
    fitted = _fit_umap(space, start, n_neighbors, min_dist, None, progress)
    return ProjectedPoints(np.asarray(fitted.embedding_, np.float32))


def place_by_umap(
    new: np.ndarray, space: FeatureSpace, picture: ProjectedPoints, **settings: Any
) -> np.ndarray:
    points = np.array(picture.points, np.float32)
    fitted = _fit_umap(
        space, points, settings.get("n_neighbors", 15), settings.get("min_dist", 0.1), 0, no_progress
    )
    indices, near = nearest_to(new, space.features, len(points))
    distances = np.empty(near.shape, np.float32)
    np.put_along_axis(distances, indices.astype(np.int64), near, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        placed = umap_among_neighbors(fitted, points, distances)
    if placed is None:  # the middle of the nearest, the nearer the heavier, as UMAP starts
        few = max(1, min(len(points), settings.get("n_neighbors", 15)))
        weights = np.exp(-near[:, :few] / np.maximum(near[:, few - 1 : few], 1e-12))
        placed = np.einsum("mk,mkd->md", weights / weights.sum(1, keepdims=True), points[indices[:, :few]])
    return placed


PROJECTIONS = {
    "tsne": Projection("tsne", "t-SNE", tsne, place_by_tsne),
    "umap": Projection("umap", "UMAP", umap, place_by_umap),
    "pca": Projection("pca", "PCA", pca, place_by_pca),
}


def projection_named(name: str) -> Projection:
    """The projection of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in PROJECTIONS:
        raise UnknownName("projection", name, PROJECTIONS)
    return PROJECTIONS[name]


def _start(space: FeatureSpace, dimensions: int) -> np.ndarray:
    """The first principal components, tiny: the same start every time, and the large groups already apart."""
    mean, components, _ = principal_components(space.features, dimensions)
    start = (space.features - mean) @ components.T
    # A hair of noise parts images with the same features, which no force could part otherwise.
    start = start / max(float(start[:, 0].std()), 1e-12)
    start += np.random.default_rng(SEED).normal(0, 1e-3, start.shape)
    return np.ascontiguousarray(start * 1e-4)


def _gradient_method(n: int, dimensions: int) -> str:
    return "fft" if dimensions == 2 and n >= FFT_FROM else "bh"


def _threads(n: int) -> int:
    """One for few images: at every step threads wait for each other, long where the machine is full."""
    if n < THREADS_FROM:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(8, cores, int(asked) if asked.isdigit() else cores))


def _affinities(space: FeatureSpace, perplexity: float) -> Any:
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import KNNIndex

    k = min(space.indices.shape[1], int(3 * perplexity))

    class Exact(KNNIndex):
        """openTSNE's door for neighbors that were found by others."""

        VALID_METRICS = ("euclidean",)

        def build(self) -> tuple[np.ndarray, np.ndarray]:
            return space.indices[:, :k].astype(np.int64), space.distances[:, :k].astype(np.float64)

        def query(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            indices, distances = nearest_to(query, space.features, k)
            return indices.astype(np.int64), distances.astype(np.float64)

    return PerplexityBasedNN(
        knn_index=Exact(space.features, k),
        perplexity=min(perplexity, k / 3),
        n_jobs=_threads(len(space.features)),
    )


class _Told:
    """A file that a progress bar writes to; each line that it writes counts as one step."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps, self._done = progress, steps, 0

    def write(self, text: str) -> None:
        if text.strip():
            self._done = min(self._steps, self._done + 1)
            self._progress(self._done / self._steps, f"UMAP: step {self._done} of {self._steps}")

    def flush(self) -> None:
        """Nothing is held back."""


def _fit_umap(
    space: FeatureSpace,
    start: np.ndarray,
    n_neighbors: int,
    min_dist: float,
    n_epochs: int | None,
    progress: Progress,
) -> Any:
    from tqdm import tqdm
    from umap import UMAP

    # Its bar tells `progress`, which belongs to this thread alone: no second thread that refreshes it, and no
    # lock that is shared with other processes, which may be killed while they hold it.
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
    n = len(space.features)
    n_neighbors = min(n_neighbors, n - 1, space.indices.shape[1] + 1)
    others = slice(0, n_neighbors - 1)
    indices = np.hstack([np.arange(n, dtype=np.int32)[:, None], space.indices[:, others]])
    distances = np.hstack([np.zeros((n, 1), np.float32), space.distances[:, others]])
    steps = 500 if n <= 10_000 else 200
    told = {"disable": False, "file": _Told(progress, steps), "mininterval": 0, "miniters": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one thread for a seed, no index for neighbors given
        return UMAP(
            n_neighbors=n_neighbors,
            n_components=start.shape[1],
            min_dist=min_dist,
            n_epochs=steps if n_epochs is None else n_epochs,
            init=start.astype(np.float32),
            random_state=SEED,
            n_jobs=1,
            precomputed_knn=(indices, distances),
            tqdm_kwds=told,
        ).fit(space.features)
