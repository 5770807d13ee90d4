"""The switchboard: some channels off, and what the network loses and gains by it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core.ablation import switch_off
from core.ablation.channel_ranges import parse_channels, write_channels
from core.ablation.effect import Effect, rank_among
from core.ablation.switch_off import AblatedLogits, RandomSets
from core.errors import ConvoscopeError, SettingError, UnknownName
from core.evaluation.comparison import mcnemar
from core.evaluation.prediction import Predictions
from core.filters.filter_index import sizes_of
from core.models.classifier import Classifier
from core.models.question import Question
from core.progress import Progress
from pages.elements.as_text import as_written, plain
from pages.elements.ask import asked
from pages.elements.figures.confusion_grid import confusion_grid
from pages.elements.filters.chosen_filters import OFF, Filters, pixels_of, switch_off_channels
from pages.elements.filters.ranks import preset_buttons
from pages.elements.page import errors_shown
from pages.elements.pickers.image_wall import image_wall

REPLACEMENT_WORDS = {
    "zero": "Zero: everywhere on its map, after its activation, the channel is 0",
    "mean": "Mean: everywhere on its map, the channel is its average over all these images",
    "resample": "Resample: the channel is what it is on another one of these images",
}
RANDOM_REPEATS = 20


def switchboard(f: Filters) -> None:
    """Choose what is off, and see what changes."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Channels that are off",
            st.query_params.get(OFF, ""),
            key=f"fl_off_text_{st.query_params.get(OFF, '')}",
            placeholder=f"such as {f.layer.name}:0,2,5-8",
            help="LAYER:NUMBERS, with a semicolon between layers. Or use the switches on the cards.",
            on_change=_typed, args=(f, f"fl_off_text_{st.query_params.get(OFF, '')}"),
        )  # fmt: skip
        how = st.selectbox("A channel that is off is", list(REPLACEMENT_WORDS), key="fl_how", width=190)
        preset_buttons(f)
    st.caption(
        f"{REPLACEMENT_WORDS[how]}. The convolution itself still runs, and a skip connection "
        "around it still carries the same values."
    )
    if problem := st.session_state.pop("fl_off_problem", None):
        st.error(as_written(problem), icon=":material/error:")
    if not f.off:
        st.info(
            "Everything is on. Switch channels off on their cards, take ten at random, or type some above.",
            icon=":material/power_settings_new:",
        )
        return
    rows, labels, note = switch_off.judged_rows(f.split, f.dataset.class_names, f.card.class_names, f.images)
    if note:
        st.warning(plain(note), icon=":material/label_off:")
    before, after = _logits(f, rows, {}, "zero"), _logits(f, rows, f.off, how)
    k = f.card.number_of_classes
    effect = Effect(labels, before.logits.argmax(1), after.logits.argmax(1), k, after.engine)
    _figures(f, effect)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**Change of the confusion matrix** (with the channels off, minus before)")
        occur = np.flatnonzero(
            np.bincount(np.concatenate([labels, effect.before, effect.after]), minlength=k)
        )
        names = [f.card.class_names[i] for i in occur]
        confusion_grid(
            effect.difference[np.ix_(occur, occur)],
            names,
            key="fl_difference",
            values=effect.difference[np.ix_(occur, occur)].astype(np.float64),
            signed=True,
            labels=("fewer", "more"),
            on_pick=lambda: _pick_cell(occur),
        )
    with right:
        _by_class(f, effect)
    _flips(f, effect, Predictions(after.logits, labels, tuple(f.card.class_names), rows))
    with errors_shown():
        _special(f, rows, labels, effect, how)


def _logits(f: Filters, rows: np.ndarray, off: dict[str, list[int]], how: str) -> AblatedLogits:
    def analysis(classifier: Classifier, progress: Progress) -> AblatedLogits:
        found = switch_off.ablated_logits(classifier, pixels_of(f), rows, off, how=how, progress=progress)
        return AblatedLogits(found)

    words = "; ".join(write_channels(off))
    of = (f.split.fingerprint, len(rows), words, how)
    return asked(
        Question("ablation 2", f.classifier, AblatedLogits, of), analysis, short=False,
        message=f"{len(rows):,} images with {words or 'nothing'} off",
    )  # fmt: skip


def _figures(f: Filters, effect: Effect) -> None:
    was, now = effect.accuracy
    intervals = effect.intervals
    number = sum(map(len, f.off.values()))
    p = mcnemar(len(effect.lost), len(effect.gained))
    with st.container(horizontal=True):
        st.metric("Accuracy before", f"{was:.1%}", help=_interval(intervals[0]))
        st.metric(
            f"with {number} channel{'s' * (number != 1)} off", f"{now:.1%}",
            f"{100 * (now - was):+.1f} points", help=_interval(intervals[1]),
        )  # fmt: skip
        st.metric("No longer right", f"{len(effect.lost):,}")
        st.metric("Now right", f"{len(effect.gained):,}")
        st.metric("Still wrong, another class", f"{len(effect.other):,}")
    sure = "larger than chance would give" if p < 0.05 else "no larger than chance may give"
    st.caption(
        f"On {len(effect.labels):,} images; 95% intervals {_interval(intervals[0])} before and "
        f"{_interval(intervals[1])} after. The difference is {sure} (McNemar's test, p = {p:.2g}). "
        f"Computed by {effect.engine}."
    )


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def _by_class(f: Filters, effect: Effect) -> None:
    counts = effect.by_class
    occur = np.flatnonzero(counts[:, 0])
    change = 100 * (counts[occur, 2] - counts[occur, 1]) / counts[occur, 0]
    table = pd.DataFrame(
        {
            "class": [f.card.class_names[i] for i in occur],
            "points": change,
            "before": [f"{r / n:.1%}" for n, r, _ in counts[occur]],
            "after": [f"{r / n:.1%}" for n, _, r in counts[occur]],
        }
    )
    if len(table) > 20:
        table = table.loc[table["points"].abs().nlargest(20).index]
    table = table.sort_values("points")
    st.markdown("**Change of each class's accuracy, in points**")
    st.vega_lite_chart(
        table,
        {
            "mark": {"type": "bar", "tooltip": {"content": "data"}},
            "height": {"step": 24},
            "encoding": {
                "y": {"field": "class", "type": "nominal", "sort": table["class"].tolist(), "title": None},
                "x": {"field": "points", "type": "quantitative", "title": None},
                "color": {"condition": {"test": "datum.points < 0", "value": "#d1495b"}, "value": "#2e86ab"},
            },
        },
        width="stretch",
        key="fl_by_class",
        alt="Accuracy of each class before and after",
    )


def _flips(f: Filters, effect: Effect, predictions: Predictions) -> None:
    """The images whose prediction changed."""
    flips = effect.flips()
    st.markdown(f"**Images that flip: {sum(len(p) for _, _, p in flips):,}**")
    if not flips:
        st.caption("Every image gets the same prediction as before.")
        return
    names = f.card.class_names
    kinds = {
        f"No longer right ({len(effect.lost)})": effect.lost,
        f"Now right ({len(effect.gained)})": effect.gained,
        f"Still wrong, another class ({len(effect.other)})": effect.other,
    }
    cell = st.session_state.get("fl_cell")
    if cell and max(cell) < len(names):
        kinds = {_cell_words(names, cell, (n := _cell_images(effect, cell))): n, **kinds}
    options = [*kinds, *(f"{names[a]} → {names[b]} ({len(p)})" for a, b, p in flips[:40])]
    groups = [*kinds.values(), *(p for _, _, p in flips[:40])]
    first = 0 if cell else next(i for i, group in enumerate(groups) if len(group))
    if st.session_state.get("fl_flip") not in (None, *options):
        del st.session_state["fl_flip"]
    choice = st.selectbox("Show", options, index=first, key="fl_flip", width=360)
    st.caption(
        "The bars are what the network says now; a title with an arrow goes from the true class to what "
        "it is taken for. Click an image to make it the chosen image of every page."
    )
    positions = groups[options.index(choice)]
    if not len(positions):
        st.caption("There are no such images.")
        return
    image_wall(
        predictions,
        positions,
        f.split,
        dataset=f.dataset.name,
        split_name=f.split_name,
        key="fl_wall",
        a_page=16,
    )


def _pick_cell(occur: np.ndarray) -> None:
    """A click on a cell shows the images that came to it or left it."""
    picked = st.session_state["fl_difference"]["picked"]
    if isinstance(picked, list | tuple) and len(picked) == 2 and all(isinstance(i, int) for i in picked):
        st.session_state["fl_cell"] = [int(occur[i]) if 0 <= i < len(occur) else -1 for i in picked]
        st.session_state.pop("fl_flip", None)


def _cell_images(effect: Effect, cell: list[int]) -> np.ndarray:
    """Images of the cell's true class that came to its prediction or left it; −1 is any class."""
    true, predicted = cell
    changed = effect.before != effect.after
    if true >= 0:
        changed &= effect.labels == true
    if predicted >= 0:
        changed &= (effect.before == predicted) | (effect.after == predicted)
    return np.flatnonzero(changed)


def _cell_words(names: Sequence[str], cell: list[int], images: np.ndarray) -> str:
    true, predicted = (names[i] if i >= 0 else "any class" for i in cell)
    return f"{true} to or from “{predicted}” ({len(images)})"


def _special(f: Filters, rows: np.ndarray, labels: np.ndarray, effect: Effect, how: str) -> None:
    """The chosen set among as many random channels of the same layers."""
    st.markdown("**Is this set special?**")
    words = [f.classifier, "; ".join(write_channels(f.off)), how, len(rows)]
    if st.session_state.get("fl_special") != words:
        st.button(
            f"Compare with {RANDOM_REPEATS} random sets", icon=":material/casino:",
            on_click=lambda: st.session_state.update(fl_special=words),
            help="As many channels of the same layers, drawn at random: do they cost as much?",
        )  # fmt: skip
        return
    off = {name: list(channels) for name, channels in f.off.items()}

    def analysis(classifier: Classifier, progress: Progress) -> RandomSets:
        found = switch_off.random_accuracies(
            classifier, pixels_of(f), rows, labels, off, repeats=RANDOM_REPEATS, how=how, progress=progress
        )
        return RandomSets(found)

    sizes = {name: len(channels) for name, channels in off.items()}
    of = (f.split.fingerprint, len(rows), sizes, how, RANDOM_REPEATS)
    others = asked(
        Question("random ablation 2", f.classifier, RandomSets, of), analysis, short=False,
        message=f"{RANDOM_REPEATS} random sets of as many channels",
    ).accuracies  # fmt: skip
    now = effect.accuracy[1]
    worse = int((others <= now + 1e-12).sum())
    p = rank_among(now, others)
    st.markdown(
        f"{worse} of {RANDOM_REPEATS} random sets cost as much or more (p = {p:.2f}); with a random set the "
        f"accuracy is {others.mean():.1%} on average, {others.min():.1%} to {others.max():.1%}; with the "
        f"chosen one {now:.1%}."
    )
    table = pd.DataFrame(
        {
            "accuracy": [*(100 * others), 100 * now],
            "set": ["random"] * len(others) + ["chosen"],
        }
    )
    st.vega_lite_chart(
        table,
        {
            "mark": {"type": "tick", "thickness": 3, "size": 34, "tooltip": True},
            "height": 130,
            "encoding": {
                "x": {"field": "accuracy", "type": "quantitative", "scale": {"zero": False},
                      "title": "accuracy in % with each set off"},
                "color": {"field": "set", "type": "nominal", "title": None, "legend": {"orient": "top"},
                          "scale": {"domain": ["chosen", "random"], "range": ["#e8710a", "#6b7a86"]}},
            },
        },
        width="stretch",
        key="fl_random", alt="Accuracy with random channels off and with the chosen ones off",
    )  # fmt: skip


def _typed(f: Filters, key: str) -> None:
    text = str(st.session_state.get(key, ""))
    try:
        channels = parse_channels([word for word in text.split(";") if word.strip()])
        sizes = sizes_of(f.layers)
        for name, numbers in channels.items():
            if name not in sizes:
                raise UnknownName("convolution", name, sizes)
            if numbers and max(numbers) >= sizes[name]:
                raise SettingError(
                    f"Channel {max(numbers)} of {name!r} does not exist: it has {sizes[name]}, from 0 to "
                    f"{sizes[name] - 1}."
                )
        switch_off_channels(channels)
    except ConvoscopeError as error:
        st.session_state["fl_off_problem"] = str(error)
