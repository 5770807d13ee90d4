"""t-SNE of 10,000 images with 512 features, against scikit-learn's: once each, since it takes minutes."""

import os
import time

import numpy as np
from sklearn.manifold import TSNE

from benchmarks import Row
from core.embedding import feature_space
from core.nearest_neighbours import nearest_neighbours, share_preserved
from core.projection import tsne


def measure(n: int = 10_000, width: int = 512) -> list[Row]:
    rng = np.random.default_rng(0)
    middles = rng.normal(0, 1.5, (10, width))
    features = (middles[np.arange(n) % 10] + rng.normal(0, 1, (n, width))).astype(np.float32)
    began = time.perf_counter()
    space = feature_space(features)
    ours = tsne(space)["points"]
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    theirs = TSNE(init="pca", random_state=0, max_iter=750, n_jobs=os.cpu_count()).fit_transform(features)
    their_seconds = time.perf_counter() - began
    kept = [
        share_preserved(space.indices[:, :10], nearest_neighbours(points, 10)[0]).mean()
        for points in (ours, theirs)
    ]
    return [
        Row(
            f"t-SNE of {n:,} × {width}, 750 steps, exact neighbours",
            "scikit-learn",
            seconds,
            their_seconds,
            f"neighbours kept {kept[0]:.1%} and {kept[1]:.1%}",
        )
    ]
