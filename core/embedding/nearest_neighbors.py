"""Exact nearest neighbors, how many of them a picture keeps, and how well classes hold together."""

from collections.abc import Iterator

import numpy as np

from core.errors import SettingError
from core.progress import Progress, no_progress

_BLOCK_VALUES = 4 * 2**20  # distances computed at once: a few tens of milliseconds


def nearest_neighbors(
    points: np.ndarray, k: int, progress: Progress = no_progress
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest others of every point by Euclidean distance, the nearest first.

    Nothing is approximated: every point is compared with every other, block by block.

    Shape:
        points: (N, F) float
        returns: (N, k) int32 indices and (N, k) float32 distances
    Raises:
        SettingError: There are not k others.
    """
    n = len(points)
    if not 1 <= k < n:
        raise SettingError(f"{k} neighbors of {n} points were asked for: choose 1 to {n - 1}.")
    indices, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    for start, squares in _squared_distances(points, points):
        stop = start + len(squares)
        squares[np.arange(stop - start), np.arange(start, stop)] = np.inf  # nobody is a neighbor of himself
        indices[start:stop], distances[start:stop] = _smallest(squares, k)
        progress(stop / n, "Comparing every image with every other")
    return indices, distances


def nearest_to(new: np.ndarray, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k points nearest to each new one, the nearest first.

    Shape:
        new: (M, F) float
        points: (N, F) float
        returns: (M, k) int32 indices into `points` and (M, k) float32 distances
    """
    found = [_smallest(squares, min(k, len(points))) for _, squares in _squared_distances(new, points)]
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])


def share_preserved(true: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Which share of its true nearest neighbors each point still has among its neighbors in a picture.

    Points thrown anywhere would keep k / (N − 1) of them.

    Shape:
        true: (N, k) indices of neighbors in the features
        shown: (N, k) indices of neighbors in the picture
        returns: (N,) float64, 0…1
    Source:
        Lee, Verleysen 2009, "Quality assessment of dimensionality reduction",
        Neurocomputing 72: the mean is their Q_NX
    """
    if true.shape != shown.shape:
        raise ValueError(f"There are {true.shape} true neighbors and {shown.shape} shown ones: give as many.")
    n = len(true)
    offset = np.arange(n, dtype=np.int64)[:, None] * n  # the same neighbor of another point is another pair
    kept: np.ndarray = np.isin(true + offset, shown + offset).mean(axis=1)
    return kept


def silhouettes(points: np.ndarray, labels: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
    """The silhouette of every point: (b − a) / max(a, b), 1 deep inside its class, below 0 nearer to another.

    a is its mean distance to the others of its class, b to the nearest other class. The only one of its class
    has 0, and where there is one class only, all have NaN.

    Shape:
        points: (N, F) float
        labels: (N,) int
        returns: (N,) float64, −1…1
    Source:
        Rousseeuw 1987, "Silhouettes", Journal of Computational and Applied Mathematics 20
    """
    n = len(points)
    classes, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        return np.full(n, np.nan)
    is_of = np.zeros((n, len(classes)), np.float32)
    is_of[np.arange(n), member] = 1
    values = np.zeros(n)
    for start, squares in _squared_distances(points, points):
        stop = start + len(squares)
        rows, own = np.arange(stop - start), member[start:stop]
        squares[rows, np.arange(start, stop)] = 0
        sums = (np.sqrt(squares) @ is_of).astype(np.float64)
        a = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
        means = sums / sizes
        means[rows, own] = np.inf
        b = means.min(axis=1)
        largest = np.maximum(a, b)
        fine = (sizes[own] > 1) & (largest > 0)
        values[start:stop][fine] = ((b - a)[fine]) / largest[fine]
        progress(stop / n, "Measuring how well the classes hold together")
    return values


def _squared_distances(new: np.ndarray, points: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(start, squared distances of new[start:…] to all points), block by block."""
    middle = points.mean(axis=0, dtype=np.float64)  # nearer to 0, less is lost in |a|² + |b|² − 2ab
    points, new = ((values - middle).astype(np.float32) for values in (points, new))
    of_points = np.einsum("ij,ij->i", points, points)
    rows = max(1, _BLOCK_VALUES // len(points))
    for start in range(0, len(new), rows):
        block = new[start : start + rows]
        squares = block @ points.T
        squares *= -2
        squares += of_points
        squares += np.einsum("ij,ij->i", block, block)[:, None]
        yield start, np.maximum(squares, 0, out=squares)


def _smallest(squares: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    found = np.argpartition(squares, k - 1, axis=1)[:, :k] if k < squares.shape[1] else None
    if found is None:
        found = np.broadcast_to(np.arange(squares.shape[1]), squares.shape)
    values = np.take_along_axis(squares, found, axis=1)
    order = np.lexsort((found, values), axis=1)  # equal distances: by index
    found, values = (np.take_along_axis(array, order, axis=1) for array in (found, values))
    return found.astype(np.int32), np.sqrt(values).astype(np.float32)
