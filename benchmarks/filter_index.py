"""The filter index against a bare forward pass; a channel switched off against running everything."""

from typing import Any

import numpy as np
import torch

from benchmarks import Row, alternate, bare_forward
from benchmarks.occlusion import plain
from core.ablation.channel_removal import ChannelRemoval, channel_removal
from core.ablation.switch_off import switched_off
from core.data.preprocessing import Preprocessing
from core.filters.channel_layers import ChannelLayer, layers_of
from core.filters.filter_index import FilterIndex
from core.filters.index import build_index
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.hooks import captured

PATCHES_PER_CHANNEL = 9


def measure() -> list[Row]:
    rows = []
    for title, name, settings, images in (
        ("small_cnn", "small_cnn", {}, 4096),
        ("resnet18", "resnet18", {}, 512),
        # The hardest for an index: maps down to one place, and hardly any work between them.
        ("resnet18 of a quarter of the width", "resnet18", {"width": 0.25}, 2048),
        ("speed_cnn", "speed_cnn", {}, 1024),
        ("wide_cnn", "wide_cnn", {}, 512),
    ):
        classifier = _classifier(name, settings)
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
        rows += _index(title, classifier, pixels, rng.integers(0, 10, images))
    return rows + _atlas()


def _index(name: str, classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> list[Row]:
    layers = layers_of(classifier)
    sites, some = [layer.site for layer in layers], pixels[:64]

    def ours(count: int = len(pixels)) -> FilterIndex:
        return build_index(classifier, lambda rows: pixels[rows], labels[:count], 10, k=PATCHES_PER_CHANNEL)

    @torch.inference_mode()
    def keep_all(given: np.ndarray = pixels) -> dict[str, Any]:
        kept: dict[str, list[torch.Tensor]] = {site: [] for site in sites}
        for start in range(0, len(given), 32):
            with captured(classifier.module, sites) as maps:
                classifier.module(classifier.inputs(given[start : start + 32]))
            for site in sites:
                kept[site].append(maps[site])
        return {
            site: torch.cat(parts).flatten(2).amax(2).topk(PATCHES_PER_CHANNEL, 0)
            for site, parts in kept.items()
        }

    found, expected = ours(len(some)), keep_all(some)
    apart = max(
        float(np.abs(found.layers[i].top_values.T - expected[site].values.numpy()).max())
        for i, site in enumerate(sites)
    )
    bare, size = bare_forward(classifier.module, classifier.inputs(pixels), (16, 64, 256))
    what, words = f"Filter index of {name}, all convolutions, top {PATCHES_PER_CHANNEL}", f"{apart:.1e} apart"
    mine, theirs = alternate(ours, bare, 5)
    rows = [
        Row(f"{what}, {len(pixels):,} images", f"the forward pass alone, {size} a batch", mine, theirs, words)
    ]
    if name == "wide_cnn":
        mine, theirs = alternate(ours, keep_all, 3)
        rows.append(Row(f"{what}, {len(pixels)} images", "keeping all", mine, theirs, words))
    return rows


def _atlas() -> list[Row]:
    """Of the wide CNN, by the channel: for all of a layer the plain way takes minutes."""
    classifier = _classifier("wide_cnn", {})
    pytorch = plain(classifier).module
    images, tried = 32, 2
    pixels = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    inputs = classifier.inputs(pixels)
    rows = []
    for layer in layers_of(classifier)[1:]:
        removal = channel_removal(classifier.module, layer.site, inputs[:2])
        assert removal is not None
        some = layer.channels // (16 if layer.name == "conv2" else 2)

        @torch.inference_mode()
        def begin(removal: ChannelRemoval = removal) -> torch.Tensor:
            logits: torch.Tensor = removal.begin(inputs)
            return logits

        def ours(removal: ChannelRemoval = removal, some: int = some) -> dict[int, torch.Tensor]:
            found: dict[int, torch.Tensor] = {}
            for image, channel, logits in removal.each(range(some)):
                for c in channel[channel < tried].unique().tolist():
                    here = channel == c
                    found.setdefault(c, removal.base.clone())[image[here]] = logits[here]
            return found

        @torch.inference_mode()
        def zeroing(layer: ChannelLayer = layer) -> list[torch.Tensor]:
            found = []
            for c in range(tried):
                with switched_off(pytorch, [layer], {layer.name: [c]}):
                    found.append(pytorch(inputs))
            return found

        # What is computed once is shared by all channels of the layer, not only by those tried here.
        once, _ = alternate(begin, begin, 3)
        expected, found = zeroing(), ours()
        apart = max(float((found[c] - expected[c]).abs().max()) for c in found)
        mine, theirs = alternate(ours, zeroing, 3)
        rows.append(
            Row(
                f"One of {layer.channels} channels of wide_cnn's {layer.name} off, {images} images",
                "zeroing and running all",
                mine / some + once / layer.channels,
                theirs / tried,
                f"{apart:.1e} apart",
            )
        )
    return rows


def _classifier(name: str, settings: dict) -> Classifier:
    torch.manual_seed(0)
    module = models[name](channels=3, number_of_classes=10, input_size=(32, 32), **settings)
    preprocessing = Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3)
    return Classifier(module, ModelCard(name, name, tuple("abcdefghij"), preprocessing), torch.device("cpu"))
