"""Images of the test set that the training set has too, exactly or nearly: they flatter a network."""

import hashlib
import threading
import uuid
from dataclasses import dataclass

import numpy as np

from core.data.dataset import Split, blocks
from core.errors import BadDataset
from core.paths import home
from core.progress import Progress, no_progress

COMPARED_SIDE = 12  # of the small pictures that are compared
_ROWS = 1000
_VERSION = 1
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Neighbors:
    """For every image of one split the image of another that is most like it.

    Shape:
        nearest: (N,) int64, rows of the other split; an identical image where there is one
        similarity: (N,) float32, −1…1; 1 for the identical
        exact: (N,) bool, whether all pixels are equal
    """

    nearest: np.ndarray
    similarity: np.ndarray
    exact: np.ndarray

    def at_least(self, similarity: float) -> np.ndarray:
        """Rows with a neighbor so similar, identical ones first, then the most similar."""
        rows = np.flatnonzero(self.exact | (self.similarity >= similarity))
        return rows[np.lexsort((rows, -self.similarity[rows], ~self.exact[rows]))]


def nearest_images(test: Split, train: Split, *, progress: Progress = no_progress) -> Neighbors:
    """The most similar training image of every test image.

    Kept on disk: 10,000 images against 50,000 take half a minute.

    Similarity is the correlation of the two pictures' pixels, reduced to 12 × 12 by averaging: it disregards
    brightness and contrast. Pictures of a single color are only compared for being identical.

    Raises:
        BadDataset: The two differ in the size of their images.
    """
    if test.images.shape[1:] != train.images.shape[1:]:
        raise BadDataset(
            f"The images have the shapes {test.images.shape[1:]} and {train.images.shape[1:]}: only images "
            "of one size can be compared."
        )
    key = hashlib.sha256(
        f"{_VERSION} {COMPARED_SIDE} {test.fingerprint} {train.fingerprint}".encode()
    ).hexdigest()
    path = home("cache", "duplicates") / f"{key[:24]}.npz"
    with _one_at_a_time:  # a class that opens the page together waits for one answer
        if path.is_file():
            with np.load(path) as stored:
                return Neighbors(stored["nearest"], stored["similarity"], stored["exact"])
        found = _compare(test, train, progress)
        part = path.with_suffix(f".{uuid.uuid4().hex[:8]}.npz")
        np.savez(part, nearest=found.nearest, similarity=found.similarity, exact=found.exact)
        part.replace(path)
    return found


def _compare(test: Split, train: Split, progress: Progress) -> Neighbors:
    progress(0.0, "Reducing the images")
    ours, theirs = _normalized(test.images), _normalized(train.images)
    nearest = np.zeros(len(test), np.int64)
    similarity = np.zeros(len(test), np.float32)
    for start in range(0, len(test), _ROWS):
        rows = slice(start, start + _ROWS)
        products = ours[rows] @ theirs.T
        nearest[rows] = products.argmax(axis=1)
        similarity[rows] = products.max(axis=1)
        done = min(len(test), start + _ROWS)
        progress(done / len(test), f"Comparing {done:,} of {len(test):,} test images")
    first = {digest: row for row, digest in reversed(list(enumerate(_digests(train.images))))}
    same = np.array([first.get(digest, -1) for digest in _digests(test.images)], np.int64)
    exact = same >= 0
    return Neighbors(
        np.where(exact, same, nearest), np.where(exact, 1, similarity.clip(-1, 1)).astype(np.float32), exact
    )


def _normalized(images: np.ndarray) -> np.ndarray:
    """(N, D) float32 rows of length 1 and mean 0, whose products are correlations; 0 for flat pictures."""
    height, width = images.shape[1:3]
    down, across = _averaging(height), _averaging(width)
    rows = []
    for block in blocks(images):
        small = np.tensordot(block.astype(np.float32), across, axes=(2, 0))  # (n, H, C, w)
        small = np.tensordot(small, down, axes=(1, 0)).reshape(len(block), -1)
        small -= small.mean(axis=1, keepdims=True)
        length = np.linalg.norm(small, axis=1, keepdims=True)
        rows.append(np.where(length > 1e-2, small / np.maximum(length, 1e-2), 0))
    return np.concatenate(rows).astype(np.float32)


def _averaging(size: int) -> np.ndarray:
    """(size, COMPARED_SIDE) weights that average pixels to fewer, each over its share of the old."""
    if size <= COMPARED_SIDE:
        return np.eye(size, dtype=np.float32)
    edges = np.linspace(0, size, COMPARED_SIDE + 1)
    starts = np.arange(size)[:, None]
    overlap = np.minimum(starts + 1, edges[1:]) - np.maximum(starts, edges[:-1])
    return (overlap.clip(0) / (size / COMPARED_SIDE)).astype(np.float32)


def _digests(images: np.ndarray) -> list[bytes]:
    return [
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        for block in blocks(images)
        for image in block
    ]
