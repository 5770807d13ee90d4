"""Sets of filters to begin with: the ten of the wide CNN's report, and ten at random."""

from collections.abc import Sequence

import numpy as np

from core.filters.channel_layers import ChannelLayer

# The report counts layers from 1; it looked at these filters of its wide CNN and then switched them off.
FILTERS_OF_THE_REPORT = {1: (100, 200, 240), 2: (400, 800, 1000), 3: (1000, 2000), 4: (1000, 2000)}


def report_filters(architecture: str, layers: Sequence[ChannelLayer]) -> dict[str, list[int]]:
    """Ten filters that a course report chose, by layer; empty where the network is not the full wide CNN."""
    if architecture != "wide_cnn" or len(layers) != len(FILTERS_OF_THE_REPORT):
        return {}
    if any(max(FILTERS_OF_THE_REPORT[i]) >= layer.channels for i, layer in enumerate(layers, 1)):
        return {}  # a narrower copy has no such filters
    return {layer.name: list(FILTERS_OF_THE_REPORT[i]) for i, layer in enumerate(layers, 1)}


def random_filters(layers: Sequence[ChannelLayer], n: int, seed: int) -> dict[str, list[int]]:
    """`n` filters, each of a layer drawn at random, so that wide layers do not take them all."""
    rng = np.random.default_rng(seed)
    n = min(n, sum(layer.channels for layer in layers))
    found: dict[str, list[int]] = {layer.name: [] for layer in layers}
    while sum(map(len, found.values())) < n:
        layer = layers[int(rng.integers(len(layers)))]
        channel = int(rng.integers(layer.channels))
        if channel not in found[layer.name]:
            found[layer.name].append(channel)
    return {name: sorted(channels) for name, channels in found.items() if channels}
