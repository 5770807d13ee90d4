"""The index of a classifier on a data set, as the page Filters asks for it, and which channels are off."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import streamlit as st

from core.ablation import switch_off
from core.ablation.channel_ranges import Channels, parse_channels, write_channels
from core.data.dataset import ImageDataset, Split, indexed_rows
from core.data.fitting import fit_any, fitted
from core.filters.channel_layers import ChannelLayer
from core.filters.filter_index import FilterIndex, LayerIndex, sizes_of
from core.filters.index import index_split
from core.filters.index_file import find_index, index_question, keep_index, part_path
from core.models.card import ModelCard
from core.models.catalogue import checkpoint_folder
from core.models.classifier import Classifier
from core.progress import Progress
from pages.elements.ask import asked

PATCHES_PER_CHANNEL = 16
OFF, LAYER, CHANNEL, VIEW = "fl_off", "fl_layer", "fl_channel", "fl_view"
VIEWS = ("Channels", "One channel", "Patches by rank", "Switch off")


@dataclass(frozen=True, eq=False)
class Filters:
    """A classifier's index on a split, and what was chosen in it.

    Attributes:
        index: What every channel answers to.
        number: Which of the index's layers is chosen.
        off: The channels that are switched off, by layer.
    """

    classifier: str
    card: ModelCard
    dataset: ImageDataset
    split_name: str
    images: int
    index: FilterIndex
    number: int = 0
    off: dict[str, list[int]] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        return self.dataset.split(self.split_name)

    @property
    def layers(self) -> list[ChannelLayer]:
        return [one.layer for one in self.index.layers]

    @property
    def layer(self) -> ChannelLayer:
        return self.one.layer

    @property
    def one(self) -> LayerIndex:
        return self.index.layers[self.number]

    def pixels(self, row: int) -> np.ndarray:
        """(H, W, C) uint8 of an image as the network sees it."""
        return fit_any(self.split.images[row], self.card.preprocessing)

    def class_of(self, row: int) -> str:
        return self.dataset.class_names[int(self.split.labels[row])]


def indexed(classifier: str, card: ModelCard, dataset: ImageDataset, split_name: str, images: int) -> Filters:
    """The index, computed the first time with a bar. For the body of a page, not a fragment."""
    split = dataset.split(split_name)
    count = len(indexed_rows(split.labels, images))
    question = index_question(classifier, split.fingerprint, count, PATCHES_PER_CHANNEL)
    folder = checkpoint_folder(classifier)

    def analysis(classifier: Classifier, progress: Progress) -> FilterIndex:
        part = part_path(question, folder)
        found = index_split(
            classifier, split, dataset.number_of_classes, images=count, k=PATCHES_PER_CHANNEL, part=part,
            progress=progress,
        )  # fmt: skip
        return keep_index(question, folder, found)

    index = find_index(question, folder) or asked(
        question, analysis, short=False,
        message=f"Looking through {count:,} images for what every filter answers to",
    )  # fmt: skip
    return Filters(classifier, card, dataset, split_name, count, index)


def switched_channels(layers: Sequence[ChannelLayer]) -> dict[str, list[int]]:
    """What the address says is off, as far as this network has it.

    Raises:
        SettingError: It cannot be read.
    """
    words = [word for word in str(st.query_params.get(OFF, "")).split(";") if word.strip()]
    sizes = sizes_of(layers)
    found = parse_channels(words)
    kept = {name: [c for c in found[name] if c < sizes[name]] for name in sizes if name in found}
    return {name: channels for name, channels in kept.items() if channels}


def switch_off_channels(channels: Channels) -> None:
    """Make these the channels that are off; for callbacks."""
    words = ";".join(write_channels(channels))
    if words:
        st.query_params[OFF] = words
    else:
        st.query_params.pop(OFF, None)


def toggle_channel(f: Filters, channel: int) -> None:
    """Switch a channel of the chosen layer off, or on again."""
    if not 0 <= channel < f.layer.channels:
        return
    own = set(f.off.get(f.layer.name, [])) ^ {channel}
    channels = {**f.off, f.layer.name: sorted(own)}
    switch_off_channels({name: channels[name] for name in f.index.names if channels.get(name)})


def pixels_of(f: Filters) -> switch_off.Pixels:
    """Rows of the split as the network sees them."""
    height, width = f.card.preprocessing.input_size
    if f.split.images.shape[1:] == (height, width, f.card.preprocessing.channels):
        return fitted(f.split.images, f.card.preprocessing)
    return lambda rows: np.stack([f.pixels(int(row)) for row in rows])


def chosen_channel(channels: int) -> int:
    """The channel that the address names, else the first."""
    text = str(st.query_params.get(CHANNEL, "0"))
    return min(int(text), channels - 1) if text.isdecimal() and len(text) < 7 else 0


def shown(value: float) -> str:
    return f"{value:.3g}"
