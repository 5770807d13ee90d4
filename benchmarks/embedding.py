"""t-SNE of 10,000 images with 512 features, against scikit-learn's: once each, since it takes minutes."""

import os
import time

import numpy as np
from sklearn.manifold import TSNE

from benchmarks import Row
from core.embedding.embed import feature_space
from core.embedding.nearest_neighbors import nearest_neighbors, share_preserved
from core.embedding.projections import tsne


def measure(n: int = 10_000, width: int = 512) -> list[Row]:
    """Both from the features on; theirs with scikit-learn's own settings, on all cores."""
    features = ten_classes(n, width)
    began = time.perf_counter()
    space = feature_space(features)
    ours = tsne(space).points
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    theirs = TSNE(random_state=0, n_jobs=os.cpu_count()).fit_transform(features)
    their_seconds = time.perf_counter() - began
    kept = [
        share_preserved(space.indices[:, :10], nearest_neighbors(points, 10)[0]).mean()
        for points in (ours, theirs)
    ]
    return [
        Row(
            f"t-SNE of {n:,} × {width}, exact neighbors",
            "scikit-learn",
            seconds,
            their_seconds,
            f"of the 10 nearest neighbors {kept[0]:.3f} are kept, and {kept[1]:.3f}",
        )
    ]


def ten_classes(n: int, width: int) -> np.ndarray:
    """Classes that each fill 12 directions of their own, with a little noise in all: (n, width) float32."""
    rng = np.random.default_rng(0)
    label = np.arange(n) % 10
    middles, directions = rng.normal(0, 0.6, (10, width)), rng.normal(0, 1 / 3, (10, 12, width))
    features = middles[label] + rng.normal(0, 0.3, (n, width))
    for k in range(10):
        features[label == k] += rng.normal(0, 1, ((label == k).sum(), 12)) @ directions[k]
    return features.astype(np.float32)
