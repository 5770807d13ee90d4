"""Which engine finds a map first: by the multiplications left, and where those do not tell, by a race.

Blocks (`core.occlusion.incremental`) leave out what a window does not change, and are slower for what they do
not. Where they save most of the multiplications they are taken, where they save next to none nothing is
prepared for them. In between, and between the two orders of maps in memory, the first places of the map are
shared out, timed, and the quickest gets the rest: no place is computed twice. What won is remembered for the
network and the window.
"""

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch

from core.compute.convolution import nothing_measured
from core.models.classifier import Classifier
from core.network.fused_classifier import FusedNetwork, fused_classifier, known_network, network_of
from core.occlusion.full_forwards import Engine, full_forwards, fused_forwards
from core.occlusion.incremental import blocks_of
from core.occlusion.windows import places_of_a_first_map
from core.progress import Progress, no_progress

DECISIVE_SAVING = 1.8  # times fewer multiplications, from which on blocks are taken without a race
PLACES_OF_A_RACE = 24  # that each gets at most, and
SHARE_OF_A_RACE = 6  # no more than so much of a map
BLOCKS, FULL = "incremental", "full forwards"
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}

_won: WeakKeyDictionary[FusedNetwork, dict[int, str]] = WeakKeyDictionary()  # by window


def is_prepared(classifier: Classifier, window: int) -> bool:
    """Whether an engine was chosen for this network and this window, and is ready for the next image."""
    network = known_network(classifier.module)
    return network is not None and window in _won.get(network, {})


def quickest_logits(
    classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, str]:  # fmt: skip
    """The logits with the window at each corner, and which engine found them.

    Shape:
        image: (H, W, C) uint8
        filled: (H, W, C) uint8, what stands in the window
        corners: (P, 2)
        returns: (P, K) float32
    """
    if classifier.device.type != "cpu":
        return full_forwards(classifier, image, filled, corners, window, progress), FULL
    few = len(corners) <= places_of_a_first_map(image.shape[:2])
    if not len(corners) or (few and not is_prepared(classifier, window)):
        with nothing_measured():
            return full_forwards(classifier, image, filled, corners, window, progress), FULL
    network = network_of(classifier)
    if network is None:
        return full_forwards(classifier, image, filled, corners, window, progress), FULL
    won = _won.setdefault(network, {})
    ways = _ways(classifier, image, filled, corners, window, won.get(window))
    out = np.empty((len(corners), classifier.number_of_classes), np.float32)
    # In a race each gets some of the places, and the quickest of them the rest.
    seconds: dict[Way, float] = {}
    done = 0
    each = max(1, min(PLACES_OF_A_RACE, len(corners) // SHARE_OF_A_RACE))
    for way in ways if len(ways) > 1 else ():
        part = corners[done : done + each]
        if not len(part):
            break
        began = time.perf_counter()
        out[done : done + len(part)] = way.engine(classifier, image, filled, part, window, no_progress)
        seconds[way] = (time.perf_counter() - began) / len(part)
        done += len(part)
        progress(done / len(corners), "")
    best = min(seconds, key=lambda way: seconds[way]) if seconds else ways[0]
    if len(seconds) == len(ways) or len(ways) == 1:
        won[window] = best.name
        for name in LAYOUTS.keys() - {best.name} if best.name in LAYOUTS else ():
            network.classifiers.pop(LAYOUTS[name], None)  # one copy of the weights is enough
    if done < len(corners):
        rest = _rest(progress, done / len(corners))
        out[done:] = best.engine(classifier, image, filled, corners[done:], window, rest)
    return out, BLOCKS if best.name == BLOCKS else FULL


@dataclass(frozen=True, eq=False)
class Way:
    """An engine, and what it is remembered by."""

    name: str
    engine: Engine


def _ways(
    classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int,
    known: str | None,
) -> list[Way]:  # fmt: skip
    """Those that may be the quickest; one, where it is known or can be told in advance."""
    blocks = None
    if known in (None, BLOCKS):
        blocks = blocks_of(classifier, image, corners, window)
        if blocks is not None and not blocks.is_proven(classifier, image, filled, corners, window):
            blocks = None
        if blocks is not None and (known == BLOCKS or blocks.saving >= DECISIVE_SAVING):
            return [Way(BLOCKS, blocks.incremental)]
    found = []
    for name, layout in LAYOUTS.items():
        if known in (None, BLOCKS, name) and (fused := fused_classifier(classifier, layout)) is not None:
            found.append(Way(name, fused_forwards(fused)))
    if blocks is not None:
        found.append(Way(BLOCKS, blocks.incremental))
    return found or [Way(FULL, full_forwards)]


def _rest(progress: Progress, done: float) -> Progress:
    return lambda share, message: progress(done + share * (1 - done), message)
