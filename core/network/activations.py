"""One image on its way through a network: the map of every channel of a layer, and of one channel of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import SettingError
from core.models.classifier import Classifier
from core.network.feature_maps import layer_outputs
from core.network.hooks import captured
from core.network.unit import outputs

SCALES = ("shared", "own")
ORDERS = ("number", "strongest first", "least first")


@dataclass(frozen=True, eq=False)
class LayerActivations:
    """What every channel of a layer answers to an image.

    Attributes:
        maps: (channels, height, width) float32; (channels, 1, 1) where the output has no places.
    """

    maps: np.ndarray


@dataclass(frozen=True, eq=False)
class ChannelMaps:
    """The maps of the channels with one number in several layers.

    Attributes:
        maps: (height, width) float32 by layer; layers without a map or with fewer channels are left out.
    """

    maps: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """What one channel answers to an image.

    Attributes:
        values: (height, width) float32
    """

    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Painted:
    """A map in whole steps of a scale, ready to be colored.

    Attributes:
        levels: (height, width) uint8. Unsigned: 0 is zero, 255 the limit. Signed: 128 is zero, 255 the limit,
            1 minus the limit.
        limit: The value with the fullest color.
        signed: Whether the scale has values below 0.
    """

    levels: np.ndarray
    limit: float
    signed: bool


@torch.no_grad()
def activations(classifier: Classifier, pixels: np.ndarray, layer: str) -> LayerActivations:
    """What every channel of a layer answers to an image.

    Shape:
        pixels: (H, W, C) uint8 in the classifier's size
    Raises:
        UnknownName, NoTensor: There is no such layer, or its output is not one tensor.
        SettingError: It is neither a map nor a vector.
    """
    output = outputs(classifier, layer, classifier.inputs(pixels[None]))
    if output.ndim == 2:
        output = output[..., None, None]
    if output.ndim != 4 or layer not in layer_outputs(classifier).shapes:
        raise SettingError(
            f"The output of {layer!r} has the shape {tuple(output.shape)}, not channels with a map each: "
            "choose another layer."
        )
    return LayerActivations(np.ascontiguousarray(output[0].float().cpu().numpy()))


@torch.no_grad()
def channel_map(classifier: Classifier, pixels: np.ndarray, layer: str, channel: int) -> ChannelMap:
    """What one channel of a layer answers to an image.

    Shape:
        pixels: (H, W, C) uint8 in the classifier's size
    Raises:
        UnknownName, NoTensor: There is no such layer, or its output is not one tensor.
    """
    output = outputs(classifier, layer, classifier.inputs(pixels[None]))
    return ChannelMap(np.ascontiguousarray(output[0, channel].float().cpu().numpy()))


@torch.no_grad()
def one_channel_of_each(
    classifier: Classifier, pixels: np.ndarray, layers: Sequence[str], channel: int
) -> ChannelMaps:
    """The map of the channel with that number in each of some layers, in one run.

    Shape:
        pixels: (H, W, C) uint8 in the classifier's size
    """
    known = layer_outputs(classifier).maps
    maps = {layer: known[layer] for layer in layers if layer in known and channel < known[layer].channels}
    with captured(classifier.module, maps) as found:
        classifier.module(classifier.inputs(pixels[None]))
    return ChannelMaps(
        {
            layer: np.ascontiguousarray(one.of(found[layer])[0, channel].float().cpu().numpy())
            for layer, one in maps.items()
        }
    )


def order_of(maps: np.ndarray, order: str) -> np.ndarray:
    """Channels by number, or by the largest value on their map; equal ones by number. (C,) int64"""
    largest = maps.reshape(len(maps), -1).max(1)
    if order == "strongest first":
        return np.argsort(-largest, kind="stable")
    if order == "least first":
        return np.argsort(largest, kind="stable")
    return np.arange(len(maps))


def painted(maps: Sequence[np.ndarray], scale: str, *, among: np.ndarray | None = None) -> list[Painted]:
    """Maps on one scale, or each on its own; zero is the same color in all of them.

    Args:
        maps: (height, width) each.
        among: The maps that a shared scale is of, where these are only some of them.
    """
    whole = list(maps) if among is None else [among]
    signed = any(bool((part < 0).any()) for part in whole)
    shared = max((float(np.abs(part).max(initial=0)) for part in whole), default=0.0)
    found = []
    for one in maps:
        limit = float(np.abs(one).max(initial=0)) if scale == "own" else shared
        share = np.clip(one / limit, -1, 1) if limit > 0 else np.zeros(one.shape)
        levels = np.rint(128 + 127 * share if signed else 255 * share).astype(np.uint8)
        found.append(Painted(levels, limit, signed))
    return found
