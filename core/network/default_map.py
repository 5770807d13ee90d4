"""The feature map to explain a network by, where nobody has chosen one."""

from weakref import WeakKeyDictionary

import torch

from core.models.classifier import Classifier
from core.network.feature_maps import FeatureMap, LayerOutputs, feature_maps, layer_outputs
from core.network.hooks import captured

FEWEST_PLACES_A_SIDE = 7  # with fewer, a map over the image says next to nothing

_known: WeakKeyDictionary[Classifier, tuple[LayerOutputs, FeatureMap]] = WeakKeyDictionary()


def default_map(classifier: Classifier) -> FeatureMap:
    """The last map with at least 7 places a side; where there is none, the last of those with most places.

    Only layers that everything goes through are chosen. Where the answer is read off a class token, the
    places of the last layers move nothing any more, and an earlier layer is taken.

    Raises:
        NoFeatureMap: No layer has a map.
    """
    seen = layer_outputs(classifier)
    known = _known.get(classifier)
    if known is None or known[0] is not seen:
        known = _known[classifier] = seen, _chosen(classifier, seen)
    return known[1]


def _chosen(classifier: Classifier, seen: LayerOutputs) -> FeatureMap:
    maps = feature_maps(classifier)
    candidates = [one for name, one in maps.items() if name in seen.trunk] or list(maps.values())
    large = [one for one in candidates if min(one.size) >= FEWEST_PLACES_A_SIDE]
    if not large:
        most = max(one.size[0] * one.size[1] for one in candidates)
        large = [one for one in candidates if one.size[0] * one.size[1] == most]
    for one in reversed(large):
        if one.tokens is None or _moves_the_answer(classifier, one):
            return one
    return large[-1]


def _moves_the_answer(classifier: Classifier, one: FeatureMap) -> bool:
    """Whether the answer depends on the places of a layer, and not on its class token alone."""
    preprocessing = classifier.card.preprocessing
    generator = torch.Generator().manual_seed(0)
    shape = (1, preprocessing.channels, *preprocessing.input_size)
    inputs = torch.randn(shape, generator=generator).to(classifier.device)
    with torch.inference_mode(False), torch.enable_grad():
        with captured(classifier.module, [one.layer]) as outputs:
            logits = classifier.logits(inputs.requires_grad_())
        signs = torch.randn(logits.shape, generator=generator).to(logits)
        (gradient,) = torch.autograd.grad((logits * signs).sum(), outputs[one.layer], allow_unused=True)
    return gradient is not None and bool(one.of(gradient).any())
