"""What the page Filters is made of: the index of a classifier on a data set, and views of its channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import ablation, store
from core.ablation_atlas import Atlas, ablation_atlas
from core.catalogue import fingerprint_of
from core.channel_words import Channels, parse_channels, write_channels
from core.classifier import Classifier
from core.errors import BadDataset
from core.filter_index import (
    BINS,
    LABEL,
    LayerIndex,
    depends_on,
    field_box,
    index_split,
    indexed_rows,
    open_index,
)
from core.filter_patches import tile, with_box
from core.filter_presets import random_filters, report_filters
from core.image_dataset import ImageDataset, Split
from core.model_card import ModelCard
from core.progress import Progress
from core.store import Answer
from core.training_data import fit_any
from pages.elements.ask import ask
from pages.elements.chosen_image import set_chosen_image
from pages.elements.dataset_picker import plain
from pages.elements.filter_pictures import filter_cards, picture_row

K = 16
A_PAGE = 24
PATCHES = 7
TWIN = 0.95
LARGEST_TILE = 48
BEYOND = (128, 128, 140, 60)  # where a patch reaches over the border, on any background
OFF, LAYER, CHANNEL, VIEW = "fl_off", "fl_layer", "fl_channel", "fl_view"
VIEWS = ("Channels", "One channel", "Patches by rank", "Switch off")
COST_IMAGES = 1000
COSTS = "ablation atlas 1"


@dataclass(frozen=True, eq=False)
class Filters:
    """A classifier's index on a split, and what was chosen in it.

    Attributes:
        answer: As the store keeps it; `index` is the same by layer.
        number: Of the chosen layer in `answer["layers"]`.
        off: Channels that are switched off, by layer.
    """

    classifier: str
    card: ModelCard
    dataset: ImageDataset
    split_name: str
    images: int
    answer: Answer
    index: dict[str, LayerIndex]
    number: int = 0
    off: dict[str, list[int]] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        return self.dataset.split(self.split_name)

    @property
    def layers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.answer["layers"]
        return found

    @property
    def layer(self) -> dict[str, Any]:
        return self.layers[self.number]

    @property
    def one(self) -> LayerIndex:
        return self.index[self.layer["name"]]

    def pixels(self, row: int) -> np.ndarray:
        """(H, W, C) uint8 of an image as the network sees it."""
        return fit_any(self.split.images[row], self.card.preprocessing)

    def box(self, number: int, place: int) -> tuple[int, int, int, int] | None:
        return field_box(self.answer, number, place)

    def class_of(self, row: int) -> str:
        return self.dataset.class_names[int(self.split.labels[row])]


def asked(classifier: str, card: ModelCard, dataset: ImageDataset, split_name: str, images: int) -> Filters:
    """The index, computed the first time with a bar. For the body of a page, not a fragment."""
    split = dataset.split(split_name)
    count = len(indexed_rows(split.labels, images))

    def analysis(classifier: Classifier, progress: Progress) -> Answer:
        return index_split(classifier, split, dataset.number_of_classes, images=count, k=K, progress=progress)

    answer = ask(
        LABEL, classifier, analysis, depends_on=depends_on(split.fingerprint, count, K), short=False,
        message=f"Looking through {count:,} images for what every filter answers to",
    )  # fmt: skip
    return Filters(classifier, card, dataset, split_name, count, answer, open_index(answer))


def switched_channels(layers: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """What the address says is off, as far as this network has it.

    Raises:
        SettingError: It cannot be read.
    """
    words = [word for word in str(st.query_params.get(OFF, "")).split(";") if word.strip()]
    sizes = {layer["name"]: layer["channels"] for layer in layers}
    found = parse_channels(words)
    kept = {name: [c for c in found[name] if c < sizes[name]] for name in sizes if name in found}
    return {name: channels for name, channels in kept.items() if channels}


def switch_off(channels: Channels) -> None:
    """Make these the channels that are off; for callbacks."""
    words = ";".join(write_channels(channels))
    if words:
        st.query_params[OFF] = words
    else:
        st.query_params.pop(OFF, None)


def preset(f: Filters, *, seed: int | None = None) -> dict[str, list[int]]:
    """The report's ten filters, or ten at random."""
    if seed is None:
        return report_filters(f.card.architecture, f.layers)
    return random_filters(f.layers, 10, seed)


def cards_view(f: Filters) -> None:
    """All channels of the layer as cards, sorted and searched, page by page."""
    one, layer = f.one, f.layer
    costs = _known_costs(f)
    selectivity, dead = one.selectivity(), one.dead()
    twins, cosines = f.answer[f"{f.number}/twins"], f.answer[f"{f.number}/twin_cosines"]
    sorts: dict[str, np.ndarray] = {
        "number": np.arange(layer["channels"]),
        "most selective": -selectivity,
        "least selective": selectivity,
        "strongest activation": -one.top_values[:, 0],
        "most often zero": -one.zeros,
        "nearest copy of another": -cosines,
    }
    if costs is not None:
        place = np.argsort(costs.ranked())
        sorts = {"costs most": place, "costs least": -place, **sorts}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order_by = st.selectbox("Sort by", list(sorts), key="fl_sort", width=210)
        preferred = st.selectbox(
            "Prefers", ["any class", *f.dataset.class_names], key="fl_prefers", width=160,
            help="Channels whose mean activation is highest on this class.",
        )  # fmt: skip
        search = st.text_input(
            "Channels", key="fl_search", placeholder="3, 10-20, dead, copy, off", width=230,
            help="Numbers and ranges, or one of the words dead, copy and off.",
        )  # fmt: skip
        _cost_button(f, costs)
    keep = _searched(search, f, dead, cosines)
    if preferred in f.dataset.class_names:
        keep &= one.preferred(1)[:, 0] == f.dataset.class_names.index(preferred)
    order = [int(c) for c in np.argsort(sorts[order_by or "number"], kind="stable") if keep[c]]
    off = set(f.off.get(layer["name"], []))
    st.caption(
        f"{len(order):,} of {layer['channels']:,} channels, looked at {layer['place']}. "
        f"{int(dead.sum())} dead, {int((cosines >= TWIN).sum())} near copies of another, {len(off)} off. "
        "Click the patches to look closer."
    )
    if not order:
        st.info("No channel is like that: search for something else.", icon=":material/search_off:")
        return
    pages = -(-len(order) // A_PAGE)
    if st.session_state.get("fl_page", 1) > pages:
        st.session_state["fl_page"] = 1
    number = st.pagination(pages, key="fl_page") if pages > 1 else 1
    some = np.array(order[(number - 1) * A_PAGE : number * A_PAGE])
    cards = []
    for c in some.tolist():
        badges = []
        if dead[c]:
            badges.append(["dead", "It answers the same to every image."])
        if cosines[c] >= TWIN:
            badges.append(
                [f"copy of {twins[c]}", f"The cosine of the angle between their kernels is {cosines[c]:.3f}."]
            )
        cards.append(
            {
                "channel": c,
                "values": [float(v) for v in one.top_values[c, :PATCHES] if np.isfinite(v)],
                "badges": badges,
                "lines": _lines(f, c, selectivity, costs),
                "off": c in off,
            }
        )
    kernels = f.answer["kernels"][some] if f.number == 0 and "kernels" in f.answer else None
    n = PATCHES - (kernels is not None)
    for card in cards:
        card["values"] = card["values"][:n]
    patches = patch_tiles(f, f.number, one.top_rows[some, :n], one.top_places[some, :n])
    filter_cards(cards, patches, kernels, key="fl_cards", on_open=_open, on_switch=lambda: _switch(f))


def patch_tiles(
    f: Filters, number: int, rows: np.ndarray, places: np.ndarray, side: int | None = None
) -> np.ndarray:
    """Patches as squares of one size: (N, k) rows and places to (N, k, side, side, 4) uint8."""
    height, width = f.card.preprocessing.input_size
    first = f.box(number, 0)
    longest = max(height, width) if first is None else max(min(first[2], height), min(first[3], width))
    side = side or min(LARGEST_TILE, longest)
    out = np.zeros((*rows.shape, side, side, 4), np.uint8)
    seen: dict[int, np.ndarray] = {}
    for at in np.ndindex(*rows.shape):
        row = int(rows[at])
        if row >= 0:
            if row not in seen:
                seen[row] = f.pixels(row)
            out[at] = tile(seen[row], f.box(number, int(places[at])), side)
    return out


def channel_view(f: Filters, channel_map: Callable[[Filters, int], None]) -> None:
    """One channel large.

    Args:
        channel_map: Draws its map over the chosen image.
    """
    one, layer = f.one, f.layer
    c = chosen_channel(layer["channels"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            f"Channel of {plain(layer['name'])}, 0 to {layer['channels'] - 1}", 0, layer["channels"] - 1, c,
            key="fl_channel_number", on_change=_type_channel, width=220,
        )  # fmt: skip
        is_off = c in f.off.get(layer["name"], [])
        st.button(
            "Switch it on again" if is_off else "Switch it off", icon=":material/power_settings_new:",
            on_click=_toggle, args=(f, c),
        )  # fmt: skip
        k = st.slider("Images", 1, K, 9, key="fl_k", width=220)
    left, right = st.columns([3, 2], gap="large")
    with left:
        kinds = ["Strongest", "By norm", "Weakest"] + (["Within a class"] if one.class_rows.shape[1] else [])
        kind = st.segmented_control(
            "Images", kinds, default="Strongest", key="fl_kind", required=True, label_visibility="collapsed"
        )
        rows, values, places = one.top_rows[c], one.top_values[c], one.top_places[c]
        note = "The largest value on its map; beside each image the part that this place sees."
        if kind == "By norm":
            rows, values, places = one.norm_rows[c], one.norm_values[c], np.full(K, -1)
            note = "The whole map counts: the square root of the sum of its squares."
        elif kind == "Weakest":
            rows, values, places = one.weak_rows[c], one.weak_values[c], np.full(K, -1)
            note = "The images whose largest value is smallest."
        elif kind == "Within a class":
            best = int(one.preferred(1)[c, 0])
            name = st.selectbox(
                "Class", f.dataset.class_names, index=best, key=f"fl_class_{f.layer['name']}_{c}"
            )
            label = f.dataset.class_names.index(name)
            rows, values, places = (a[c, label] for a in (one.class_rows, one.class_values, one.class_places))
        st.caption(f"{note} Click one to make it the chosen image of every page.")
        found = [i for i in range(min(k, len(rows))) if rows[i] >= 0]
        if found:
            picture_row(
                np.stack([_beside(f, int(rows[i]), int(places[i])) for i in found]),
                [f"{shown(values[i])} · {f.class_of(int(rows[i]))}" for i in found],
                [int(rows[i]) for i in found],
                key="fl_images", title="Make it the chosen image of every page", on_pick=lambda: _pick(f),
            )  # fmt: skip
    with right:
        costs = _known_costs(f)
        for line in _lines(f, c, one.selectivity(), costs):
            st.markdown(plain(line))
        twins, cosines = f.answer[f"{f.number}/twins"], f.answer[f"{f.number}/twin_cosines"]
        st.markdown(
            f"Nearest kernel: channel {twins[c]} (cosine {cosines[c]:.2f})"
            if twins[c] >= 0
            else "The only filter of its layer."
        )
        _histogram(f, c)
        channel_map(f, c)


def rank_view(f: Filters) -> None:
    """The patches of some filters, a column each, the strongest on top."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        preset_buttons(f)
        k = st.slider("Ranks", 1, K, 9, key="fl_ranks", width=220)
    if not f.off:
        st.info(
            "Choose filters first: ten at random, or switch some off on their cards.",
            icon=":material/grid_view:",
        )
        return
    st.caption(
        "One column for each chosen filter, the strongest patch on top. “Switch off” takes "
        "these same filters away."
    )
    numbers = {layer["name"]: i for i, layer in enumerate(f.layers)}
    chosen = [(name, c) for name, channels in f.off.items() for c in channels][:40]
    for column, (name, c) in zip(st.columns(max(10, len(chosen)), gap="xsmall"), chosen, strict=False):
        one = f.index[name]
        stack = patch_tiles(f, numbers[name], one.top_rows[c : c + 1, :k], one.top_places[c : c + 1, :k], 64)[
            0
        ]
        stack[stack[..., 3] == 0] = BEYOND
        gap = np.zeros((len(stack), 4, stack.shape[2], 4), np.uint8)
        with column:
            st.markdown(f"**{plain(name)}**  \n{c}")
            st.image(np.concatenate([stack, gap], axis=1).reshape(-1, stack.shape[2], 4), width="content")


def preset_buttons(f: Filters) -> None:
    """Buttons for whole sets of filters."""
    report = preset(f)
    if report:
        st.button("The report's ten", icon=":material/menu_book:", on_click=switch_off, args=(report,))
    st.button("Ten at random", icon=":material/shuffle:", on_click=_ten_at_random, args=(f,))
    st.button("None", icon=":material/clear_all:", on_click=switch_off, args=({},), disabled=not f.off)


def chosen_channel(channels: int) -> int:
    """The channel that the address names, else the first."""
    text = str(st.query_params.get(CHANNEL, "0"))
    return min(int(text), channels - 1) if text.isdecimal() and len(text) < 7 else 0


def shown(value: float) -> str:
    return f"{value:.3g}"


def _lines(f: Filters, c: int, selectivity: np.ndarray, costs: Atlas | None) -> list[str]:
    one, names = f.one, f.dataset.class_names
    means = one.class_means[c]
    best = [int(i) for i in one.preferred(3)[c] if np.isfinite(means[i]) and means[i] > max(0.0, one.mean[c])]
    lines = []
    if best and not one.dead()[c]:
        lines.append("Prefers " + ", ".join(f"{names[i]} ({shown(means[i])})" for i in best))
    figures = f"Selectivity {selectivity[c]:.2f} · largest {shown(one.top_values[c, 0])}"
    lines.append(figures + (f" · zero in {one.zeros[c]:.0%}" if one.zeros[c] > 0.001 else ""))
    if costs is not None:
        lines.append(_cost_words(f, costs, c))
    return lines


def _cost_words(f: Filters, costs: Atlas, c: int) -> str:
    by_class, (low, high) = costs.right[c] - costs.whole, costs.interval
    worst = int(np.argmin(by_class))
    words = f"Without it {100 * costs.change[c]:+.1f} points ({100 * low[c]:+.1f} to {100 * high[c]:+.1f})"
    if by_class[worst] < 0:
        words += f", most of it {f.card.class_names[worst]} ({by_class[worst]:+d})"
    return words.replace("-", "−")


def _searched(text: str, f: Filters, dead: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Which channels a search keeps: (C,) bool."""
    word = (text or "").strip().lower()
    if not word:
        return np.ones(len(dead), bool)
    keep = np.zeros(len(dead), bool)
    off = f.off.get(f.layer["name"], [])
    known = {"dead": dead, "copy": cosines >= TWIN, "off": np.isin(np.arange(len(dead)), off)}
    if word in known:
        return known[word]
    for channels in parse_channels([f"{f.layer['name']}:{word}"]).values():
        inside = [c for c in channels if c < len(keep)]
        keep[inside] = True
    return keep


def _cost_question(f: Filters) -> tuple[Any, ...]:
    return (f.split.fingerprint, min(COST_IMAGES, f.images), f.layer["name"])


def _known_costs(f: Filters) -> Atlas | None:
    """What each channel of the layer costs, if that was measured."""
    fingerprint = fingerprint_of(f.classifier)
    found = store.find(store.key_of(fingerprint or "", COSTS, _cost_question(f)))
    return None if found is None else Atlas.of(found)


def _cost_button(f: Filters, costs: Atlas | None) -> None:
    if costs is not None:
        return
    asked_for = st.session_state.get("fl_cost_of") == [f.classifier, *_cost_question(f)]
    if not asked_for:
        st.button(
            "What does each cost?", icon=":material/query_stats:",
            on_click=lambda: st.session_state.update(fl_cost_of=[f.classifier, *_cost_question(f)]),
            help=f"Switch each of the {f.layer['channels']:,} channels off alone and count what goes "
            f"wrong on {min(COST_IMAGES, f.images)} images. This takes a while in wide layers.",
        )  # fmt: skip
        return
    try:
        rows, labels, _ = ablation.judged_rows(
            f.split, f.dataset.class_names, f.card.class_names, min(COST_IMAGES, f.images)
        )
    except BadDataset as error:
        st.session_state["fl_cost_of"] = None
        st.error(str(error), icon=":material/error:")
        return

    def analysis(classifier: Classifier, progress: Progress) -> Answer:
        name = f.layer["name"]
        atlas = ablation_atlas(classifier, pixels_of(f), rows, labels, name, progress=progress)
        return atlas.answer()

    ask(
        COSTS, f.classifier, analysis, depends_on=_cost_question(f), short=False,
        message=f"Switching off {f.layer['channels']:,} channels, one at a time",
    )  # fmt: skip
    st.session_state["fl_cost_of"] = None
    st.rerun()


def pixels_of(f: Filters) -> ablation.Pixels:
    """Rows of the split as the network sees them."""
    from core.training_data import fitted

    height, width = f.card.preprocessing.input_size
    if f.split.images.shape[1:] == (height, width, f.card.preprocessing.channels):
        return fitted(f.split.images, f.card.preprocessing)
    return lambda rows: np.stack([f.pixels(int(row)) for row in rows])


def _histogram(f: Filters, c: int) -> None:
    """How strongly images activate the channel, in the colours of the classes that it prefers."""
    one, names = f.one, f.dataset.class_names
    counts, top = one.histograms[c], float(one.histogram_tops[c])
    filled = np.flatnonzero(counts[:, 1:].sum(0))
    last = int(filled[-1]) + 1 if len(filled) else 1
    best = one.preferred(4)[c].tolist() if len(counts) > 1 else []
    groups = [(names[i], counts[i]) for i in best]
    rest = counts.sum(0) - sum((g for _, g in groups), np.zeros(BINS + 1, int))
    groups.append(("other classes" if best else "all images", rest))
    edges = np.linspace(0, top, BINS + 1)
    table = pd.DataFrame(
        [
            {"from": 0.0 if b == 0 else edges[b - 1], "to": 0.0 if b == 0 else edges[b], "bin": b,
             "label": "0 or less" if b == 0 else f"to {shown(edges[b])}", "images": int(group[b]),
             "class": name}
            for name, group in groups for b in range(last + 1)
        ]
    )  # fmt: skip
    order = list(dict.fromkeys(table["label"]))
    st.markdown("**How strongly images activate it**")
    st.vega_lite_chart(
        table,
        {
            "mark": {"type": "bar", "tooltip": True},
            "height": 280,
            "encoding": {
                "x": {"field": "label", "type": "nominal", "sort": order, "title": "largest value on the map",
                      "axis": {"labelOverlap": True, "labelAngle": 0}},
                "y": {"field": "images", "type": "quantitative", "title": "images"},
                "color": {"field": "class", "type": "nominal", "title": None, "sort": [n for n, _ in groups],
                          "legend": {"orient": "top", "columns": 3}},
            },
        },
        width="stretch",
        key="fl_histogram",
    )  # fmt: skip


def _beside(f: Filters, row: int, place: int) -> np.ndarray:
    """What the place sees, beside the whole image with a box around it: (side, 2 · side + gap, 4)."""
    pixels = f.pixels(row)
    longest = max(pixels.shape[:2])
    factor = max(1, 112 // longest)
    box = f.box(f.number, place) if place >= 0 else None
    whole = with_box(pixels, box, factor)
    if longest > 112:
        whole = whole[:: -(-longest // 112), :: -(-longest // 112)]
    height, width = whole.shape[:2]
    out = np.zeros((height, width if place < 0 else width + 6 + height, 4), np.uint8)
    out[:, -width:, :3], out[:, -width:, 3] = whole, 255
    if place >= 0:
        out[:, :height] = tile(pixels, box, height)
    return out


def _open() -> None:
    channel = st.session_state["fl_cards"]["opened"]
    if isinstance(channel, int):
        st.query_params[CHANNEL] = str(channel)
        st.session_state[VIEW] = VIEWS[1]
        st.session_state["fl_channel_number"] = channel


def _switch(f: Filters) -> None:
    channel = st.session_state["fl_cards"]["switched"]
    if isinstance(channel, int):
        _toggle(f, channel)


def _toggle(f: Filters, channel: int) -> None:
    if not 0 <= channel < f.layer["channels"]:
        return
    name = f.layer["name"]
    own = set(f.off.get(name, [])) ^ {channel}
    channels = {**f.off, name: sorted(own)}
    switch_off({layer["name"]: channels[layer["name"]] for layer in f.layers if channels.get(layer["name"])})


def _type_channel() -> None:
    st.query_params[CHANNEL] = str(int(st.session_state["fl_channel_number"]))


def _ten_at_random(f: Filters) -> None:
    seed = st.session_state["fl_seed"] = st.session_state.get("fl_seed", -1) + 1
    switch_off(preset(f, seed=seed))


def _pick(f: Filters) -> None:
    row = st.session_state["fl_images"]["picked"]
    if isinstance(row, int) and 0 <= row < len(f.split):
        set_chosen_image(f.dataset.name, f.split_name, row)
        st.toast(f"Image {row} is now the chosen image of every page.", icon=":material/image:")
