"""How far a share that was counted can be trusted."""

from typing import overload

import numpy as np

Z_95 = 1.959963984540054


@overload
def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]: ...
@overload
def wilson_interval(
    successes: np.ndarray, trials: np.ndarray, z: float = Z_95
) -> tuple[np.ndarray, np.ndarray]: ...
def wilson_interval(successes, trials, z=Z_95):  # type: ignore[no-untyped-def]
    """Where a share lies with 95 % confidence, after `successes` of `trials`; 0 to 1 after no trial.

    Shape:
        successes, trials: numbers, or arrays of one shape
        returns: lower and upper end, of that shape
    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference"
    """
    n = np.maximum(trials, 1)
    share = np.asarray(successes) / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    known = np.asarray(trials) > 0
    low = np.where(known, np.maximum(0.0, centre - half), 0.0)
    high = np.where(known, np.minimum(1.0, centre + half), 1.0)
    if low.ndim == 0:
        return float(low), float(high)
    return low, high
