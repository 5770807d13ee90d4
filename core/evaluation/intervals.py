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
    """Where a share lies with 95% confidence, after `successes` of `trials`; 0 to 1 after no trial.

    Shape:
        successes, trials: numbers, or arrays of one shape
        returns: lower and upper end, of that shape
    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference"
    """
    n = np.maximum(trials, 1)
    share = np.asarray(successes) / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    known = np.asarray(trials) > 0
    low = np.where(known, np.maximum(0.0, center - half), 0.0)
    high = np.where(known, np.minimum(1.0, center + half), 1.0)
    if low.ndim == 0:
        return float(low), float(high)
    return low, high


def difference_interval(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Where the difference of two shares lies with 95% confidence; each is (successes, trials) of its own.

    Source:
        Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10
    """
    shares = [successes / max(1, trials) for successes, trials in (first, second)]
    (low1, high1), (low2, high2) = (wilson_interval(*counted) for counted in (first, second))
    difference = shares[0] - shares[1]
    low = difference - float(np.hypot(shares[0] - low1, high2 - shares[1]))
    high = difference + float(np.hypot(high1 - shares[0], shares[1] - low2))
    return low, high


def paired_interval(lost: np.ndarray, gained: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the change of a share lies with 95% confidence, where the same things were judged twice.

    Args:
        lost: How many were right the first time only.
        gained: How many were right the second time only.
        trials: How many there are in all.
    Shape:
        lost, gained: arrays of one shape
        returns: lower and upper end of the second share less the first, of that shape
    Source:
        Bonett, Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based
        on paired data"
    """
    n = trials + 2
    away, to = (np.asarray(lost) + 1) / n, (np.asarray(gained) + 1) / n
    half = Z_95 * np.sqrt(np.maximum(0.0, away + to - (to - away) ** 2) / n)
    return np.maximum(-1.0, to - away - half), np.minimum(1.0, to - away + half)
