"""Figures are made of numbers only: what is NaN or infinite is counted, named and refused."""

import numpy as np

from core.errors import ConvoscopeError


class NotFinite(ConvoscopeError):
    """Values that no figure can be made of."""


def check_finite(values: np.ndarray, what: str) -> None:
    """Refuse NaN and infinities.

    Args:
        values: (N, ...) one row an image, or (N,).
        what: The name of the values, in the plural: "logits".
    Raises:
        NotFinite: The message counts the rows and names the first.
    """
    if np.isfinite(values).all():
        return
    flat = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    rows = np.flatnonzero(~np.isfinite(flat).all(axis=1))
    raise NotFinite(
        f"The {what} of {len(rows):,} of {len(flat):,} images are not finite (NaN or infinite), first those "
        f"of image {rows[0]}: no figure can be made of them. The network's weights are damaged or its "
        "training diverged; choose another checkpoint or an earlier epoch."
    )
