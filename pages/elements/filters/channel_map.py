"""A channel's map over the chosen image: where in the picture it answers."""

import hashlib

import numpy as np
import streamlit as st

from core.data.images import enlarge
from core.data.preprocessing import fit
from core.models.classifier import Classifier
from core.models.question import Question
from core.network.activations import ChannelMap
from core.network.activations import channel_map as map_of
from core.progress import Progress
from pages.elements.ask import asked
from pages.elements.filters.chosen_filters import Filters, shown
from pages.elements.pickers.choose import choose_image

ORANGE = np.array((255, 120, 0), np.float32)


def channel_map(f: Filters, channel: int) -> None:
    """Draw the picker of the image, and the map over it."""
    st.markdown("**Its map over the chosen image**")
    image = choose_image(f.card, f.classifier)
    pixels = fit(image.pixels, f.card.preprocessing)
    sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    site = f.layer.site

    def analysis(classifier: Classifier, progress: Progress) -> ChannelMap:
        return map_of(classifier, pixels, site, channel)

    values = asked(
        Question("channel map", f.classifier, ChannelMap, (sha256, site, channel)), analysis
    ).values
    strongest = float(f.one.top_values[channel, 0])
    limit = max(strongest, float(values.max()), 1e-12)
    share = np.clip(values / limit, 0, 1)
    laid = _laid_over(pixels, share, f)
    columns = st.columns(2)
    columns[0].image(enlarge(laid, 220), width="stretch", alt="The map of the channel over the image")
    gray = np.rint(255 * share).astype(np.uint8)
    columns[1].image(
        enlarge(np.stack([gray] * 3, axis=2), 220), width="stretch", alt="The map of the channel alone"
    )
    st.caption(
        f"Orange, and white on the right, where it answers: full color is {shown(limit)}, the most on "
        f"any of {f.images:,} images. Here it reaches {shown(float(values.max()))}, "
        f"{values.max() / limit:.0%} of it."
    )


def _laid_over(pixels: np.ndarray, share: np.ndarray, f: Filters) -> np.ndarray:
    """(H, W, 3) uint8: each place of the map drawn at the middle of what it sees."""
    height, width = pixels.shape[:2]
    at = []
    seen = f.layer.seen
    rows, columns = (None, None) if seen is None else (seen.rows, seen.columns)
    for known, size, places in ((rows, height, share.shape[0]), (columns, width, share.shape[1])):
        if known is not None and len(known) == places and (places == 1 or known[0, 2] != known[-1, 2]):
            at.append(known[:, 2] + (known[:, 3] - 1) / 2)
        else:
            at.append((np.arange(places) + 0.5) * size / places - 0.5)
    tall = np.stack([np.interp(np.arange(height), at[0], column) for column in share.T], axis=1)
    over = np.stack([np.interp(np.arange(width), at[1], row) for row in tall])[..., None]
    base = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    # A little darker, so that orange stands out on white too.
    return np.rint((1 - 0.8 * over) * 0.75 * base + 0.8 * over * ORANGE).astype(np.uint8)
