"""Filters as cards: the kernel, the strongest patches, facts, and a switch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pages.elements.component import component, with_head

_filter_cards = component(__file__, "filter_cards")


@dataclass(frozen=True)
class FilterCard:
    """What stands on a card beside the pictures.

    Attributes:
        channel: Which filter.
        values: What it answers to each of its patches.
        badges: Short words, each with its explanation.
        lines: Figures below the patches.
        off: Whether it is switched off.
    """

    channel: int
    values: list[float]
    badges: list[tuple[str, str]]
    lines: list[str]
    off: bool


def filter_cards(
    cards: Sequence[FilterCard],
    patches: np.ndarray,
    kernels: np.ndarray | None,
    kernel_words: str,
    *,
    key: str,
    on_open: Callable[[], None],
    on_switch: Callable[[], None],
) -> None:
    """Draw one card a channel. Clicks are `st.session_state[key]["opened"]` and `["switched"]`, the channel.

    Args:
        patches: (N, k, side, side, 4) uint8; a card with fewer than k values has fewer patches.
        kernels: (N, height, width, 1 or 3) uint8, where a filter can be seen; `kernel_words` says what it is.
    """
    parts = []
    for i, card in enumerate(cards):
        if kernels is not None:
            opaque = np.full((*kernels.shape[1:3], 4), 255, np.uint8)
            opaque[..., :3] = kernels[i]
            parts.append(opaque.tobytes())
        parts.append(np.ascontiguousarray(patches[i, : len(card.values)]).tobytes())
    head = {
        "cards": [asdict(card) for card in cards],
        "side": patches.shape[2],
        "kernel": None if kernels is None else list(kernels.shape[1:3]),
        "kernel_words": kernel_words,
    }
    _filter_cards(
        key=key,
        data=with_head(head, b"".join(parts)),
        on_opened_change=on_open,
        on_switched_change=on_switch,
    )
