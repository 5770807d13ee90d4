"""Two classifiers on the same images: who is right where, and could the difference be chance?"""

from dataclasses import dataclass

import numpy as np

from core.errors import BadDataset
from core.evaluation.prediction import Predictions


@dataclass(frozen=True)
class Comparison:
    """Images by who got them right; `p_value` is that of McNemar's exact test.

    Attributes:
        only_first, only_second: Positions of the images that only one of them gets right, (n,) int64.
        both, neither: How many images both or neither of them get right.
        p_value: How likely a difference as large or larger is between equally good classifiers.
    """

    only_first: np.ndarray
    only_second: np.ndarray
    both: int
    neither: int
    p_value: float

    @property
    def verdict(self) -> str:
        """In one sentence, for people."""
        first, second = len(self.only_first), len(self.only_second)
        if first + second == 0:
            return "Both get exactly the same images right."
        counts = f"{first:,} images only the first gets right, {second:,} only the second"
        if self.p_value >= 0.05:
            return f"{counts}: the difference could well be chance (McNemar, p = {self.p_value:.2g})."
        better = "first" if first > second else "second"
        p = f"p = {self.p_value:.2g}" if self.p_value >= 1e-6 else "p < 0.000001"
        return f"{counts}: the {better} is better by more than chance (McNemar, {p})."


def compare(first: Predictions, second: Predictions) -> Comparison:
    """Compare predictions of the same split; positions count the images of `first`.

    Raises:
        BadDataset: They are not of the same images, or not in the same classes.
    """
    if not np.array_equal(first.rows, second.rows):
        raise BadDataset(
            f"The two classifiers do not know the same classes of this data set ({len(first):,} and "
            f"{len(second):,} of its images can be judged): choose two with the same classes."
        )
    right, other = first.correct, second.correct
    return Comparison(
        only_first=np.flatnonzero(right & ~other),
        only_second=np.flatnonzero(~right & other),
        both=int((right & other).sum()),
        neither=int((~right & ~other).sum()),
        p_value=mcnemar(int((right & ~other).sum()), int((~right & other).sum())),
    )


def in_classes_of(first: Predictions, second: Predictions) -> Predictions:
    """`second` with its classes in the order of `first`'s.

    Raises:
        BadDataset: The classes are not the same.
    """
    from core.evaluation.prediction import match_classes

    if first.class_names == second.class_names:
        return second
    matching, _ = match_classes(first.class_names, second.class_names)
    if first.number_of_classes != second.number_of_classes or (matching < 0).any():
        raise BadDataset(
            f"The first classifier has {first.number_of_classes} classes and the second "
            f"{second.number_of_classes}, and they are not the same: choose two with the same classes."
        )
    place = np.argsort(matching)
    return Predictions(
        second.logits[:, matching], place[second.labels], first.class_names, second.rows, second.note
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The p value of McNemar's test, exact: a coin thrown for every image that only one gets right.

    Source:
        McNemar 1947, "Note on the sampling error of the difference between correlated proportions"
    """
    from scipy.stats import binomtest

    n = only_first + only_second
    return float(binomtest(only_first, n, 0.5).pvalue) if n else 1.0
