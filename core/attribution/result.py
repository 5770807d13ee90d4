"""What every attribution method answers with: a map, and what is needed to judge and to redo it."""

from dataclasses import dataclass, field

import numpy as np

from core.settings import Settings


@dataclass(frozen=True, eq=False)
class Attribution:
    """A map of what each pixel contributes to a score.

    Attributes:
        values: (C, H, W) one value a pixel and channel, or (h, w) one value a place of a layer; float32.
        target: The class explained, by index.
        score: What is explained: the logit of the target for this image, or its probability.
        signed: Whether negative values mean something (evidence against the target).
        method: The name of the method in `core.attribution.methods.methods`.
        settings: Every setting of the method, as it was used.
        expected: What the values should add up to, where the method promises a sum; else None.
        convergence_delta: Sum of the values − `expected`, in the unit of `score`; None where there is none.
        note: In words, why the map is blank or what to mind; empty where there is nothing to say.
        found: What the method settled itself, such as the steps it took or the layer it looked at.
    """

    values: np.ndarray
    target: int
    score: float
    signed: bool
    method: str
    settings: Settings
    expected: float | None = None
    note: str = ""
    found: Settings = field(default_factory=dict)

    @property
    def convergence_delta(self) -> float | None:
        if self.expected is None:
            return None
        return float(self.values.sum(dtype=np.float64)) - self.expected

    @property
    def completeness_error(self) -> float | None:
        """How far the sum of the map is from `expected`, in percent of it; None where nothing is promised.

        Where image and baseline score alike, a percentage says nothing: the answer is infinite, or 0 if the
        sum is as small.
        """
        delta = self.convergence_delta
        if delta is None or self.expected is None:
            return None
        if abs(self.expected) < 1e-6:
            return 0.0 if abs(delta) < 1e-6 else float("inf")
        return 100 * abs(delta / self.expected)

    @property
    def is_blank(self) -> bool:
        return not self.values.any()

    @property
    def plane(self) -> np.ndarray:
        """(h, w): the channels of a pixel added up."""
        return self.values.sum(axis=0) if self.values.ndim == 3 else self.values
