"""What a change brings, seed by seed: the mean difference to the base run with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairedDifference:
    """The difference of a changed run to its base, over runs that share a seed.

    Attributes:
        mean: Changed less base.
        interval: 95% interval of the mean (Student's t over the seeds); None for a single seed.
        p_value: Of the paired t-test; None for a single seed.
        could_be_noise: True unless the interval keeps clear of 0; a single seed always could be.
    """

    differences: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    could_be_noise: bool


def paired_difference(
    base: Sequence[float] | np.ndarray, changed: Sequence[float] | np.ndarray
) -> PairedDifference:
    """Compare two rows of results; position i of both has the same seed.

    Raises:
        ValueError: They differ in length, or are empty.
    """
    if len(base) != len(changed) or len(base) == 0:
        raise ValueError(f"{len(base)} base results and {len(changed)} changed ones cannot be paired.")
    differences = np.asarray(changed, float) - np.asarray(base, float)
    mean = float(differences.mean())
    values = tuple(float(d) for d in differences)
    if len(values) < 2:
        return PairedDifference(values, mean, None, None, True)
    error = float(differences.std(ddof=1)) / math.sqrt(len(values))
    if error == 0:
        same = mean == 0
        return PairedDifference(values, mean, (mean, mean), 1.0 if same else 0.0, same)
    from scipy.stats import t

    freedom = len(values) - 1
    half = float(t.ppf(0.975, freedom)) * error
    p_value = float(2 * t.sf(abs(mean) / error, freedom))
    interval = (mean - half, mean + half)
    return PairedDifference(values, mean, interval, p_value, interval[0] <= 0 <= interval[1])
