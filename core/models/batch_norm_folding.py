"""Batch norm folded away: the same function, with a layer less after every convolution."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from core.errors import SettingError
from core.models.card import ModelCard
from core.models.checkpoint import build

SETTING = "batch_norm"  # of every architecture that can be built with or without


def check_foldable(architecture: str, settings: Mapping[str, Any]) -> None:
    """Raises SettingError if such a network has no batch norm that a setting takes away."""
    if not settings.get(SETTING):
        own = f"its setting {SETTING} is false" if SETTING in settings else f"it has no setting {SETTING}"
        raise SettingError(
            f"fold_batch_norm is true, but there is nothing to fold in {architecture!r}: {own}. Give "
            f"the architecture {SETTING}=true, or leave fold_batch_norm off."
        )


@torch.no_grad()
def folded(module: nn.Module, card: ModelCard) -> tuple[nn.Module, ModelCard]:
    """A trained network as its architecture without batch norm, in evaluation mode the same function.

    After training, a batch norm multiplies each filter's output by γ/√(σ² + ε) and adds β − μγ/√(σ² + ε):
    both can be done to the filter's weights and bias once, instead of to every output.

    Args:
        module: As `build(card)` made it, trained; every batch norm follows a convolution.
    Returns:
        The new network on the same device, and its card, whose setting `batch_norm` is false.
    Raises:
        SettingError: The card's network has no batch norm that a setting takes away.
    """
    check_foldable(card.architecture, card.settings)
    card = dataclasses.replace(card, settings={**card.settings, SETTING: False})
    plain = build(card)
    old = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    new = iter(part for part in plain.modules() if isinstance(part, nn.Conv2d | nn.Linear))
    for part, follower in zip(old, [*old[1:], None], strict=True):
        if isinstance(part, nn.BatchNorm2d):
            continue
        weight, bias = part.weight, part.bias
        if isinstance(follower, nn.BatchNorm2d):
            assert follower.running_mean is not None
            assert follower.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                weight, bias, follower.running_mean, follower.running_var, follower.eps, follower.weight,
                follower.bias,
            )  # fmt: skip
        target = next(new)
        target.weight.copy_(weight)
        if target.bias is not None and bias is not None:
            target.bias.copy_(bias)
    return plain.to(next(module.parameters()).device).eval(), card
