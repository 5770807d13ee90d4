"""The parts of the confusion-matrices page that show one matrix: the matrix, findings, classes, errors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from core.evaluation.calibration import calibration
from core.evaluation.confusion import (
    accuracy,
    class_scores,
    order_by_error,
    order_by_similarity,
    top_k_accuracy,
)
from core.evaluation.findings import Finding, findings
from core.evaluation.matrix_file import MatrixFile, Reading, read_matrix_file, write_matrix
from pages.elements.as_text import plain
from pages.elements.confusion_matrices.judged import (
    Judged,
    cell_images,
    cell_of_address,
    cell_words,
    predictions_csv,
    set_cell,
    wall,
)
from pages.elements.figures.confusion_grid import confusion_grid
from pages.elements.page import errors_shown
from pages.elements.visitor import read_once

NORMALIZE = {"Counts": None, "% of true": "true", "% of predicted": "pred", "% of all": "all"}
ORDERS = ("As given", "By similarity", "By error")


def matrix_controls(matrix: np.ndarray) -> tuple[str | None, np.ndarray, bool]:
    """How the matrix is to be shown: normalization, order of the classes, diagonal muted."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        normalize = st.segmented_control(
            "Show", list(NORMALIZE), default="Counts", key="cm_normalize", bind="query-params", required=True
        )
        order = st.segmented_control(
            "Order of the classes",
            ORDERS,
            default=ORDERS[0],
            key="cm_order",
            bind="query-params",
            required=True,
        )
        mute = st.toggle(
            "Mute the diagonal", key="cm_mute", bind="query-params",
            help="Leaves out the correct predictions, so that the colors show errors only.",
        )  # fmt: skip
    places = {
        "By similarity": order_by_similarity,
        "By error": order_by_error,
    }.get(order or "", lambda matrix: np.arange(len(matrix)))(matrix)
    return NORMALIZE[normalize or "Counts"], places, mute


def clickable_matrix(
    matrix: np.ndarray, names: Sequence[str], controls: tuple[str | None, np.ndarray, bool], *, key: str
) -> tuple[int, int] | None:
    """The matrix, and the cell that is picked, which stands in the address."""
    normalize, order, mute = controls
    cell = cell_of_address(len(matrix)) or worst_pair(matrix)
    confusion_grid(
        matrix,
        names,
        key=key,
        order=order,
        normalize=normalize,
        mute_diagonal=mute,
        selected=cell,
        on_pick=lambda: keep_pick(key),
    )
    return cell


def worst_pair(matrix: np.ndarray) -> tuple[int, int] | None:
    """The two classes mixed up most often: what is open before anyone has picked a cell."""
    errors = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    if not errors.any():
        return None
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    return int(true), int(predicted)


def keep_pick(key: str) -> None:
    """Put the cell that was picked in the matrix `key` into the address; for callbacks."""
    state = st.session_state.get(key)
    picked = state.get("picked") if state else None
    if isinstance(picked, list) and len(picked) == 2 and all(isinstance(i, int) for i in picked):
        set_cell(*picked)


@st.fragment
def matrix_part(judged: Judged) -> None:
    """The matrix beside the images of its cell."""
    with errors_shown():
        left, right = st.columns([11, 9], gap="large")
        with left:
            place = st.container()
            controls = matrix_controls(judged.matrix)
            with place:
                cell = clickable_matrix(judged.matrix, judged.names, controls, key="cm_grid")
            with st.container(horizontal=True):
                st.download_button(
                    "Matrix as CSV", lambda: write_matrix(judged.matrix, judged.names),
                    f"{judged.stem}_matrix.csv", "text/csv", key="cm_csv", on_click="ignore",
                    icon=":material/table:",
                )  # fmt: skip
                st.download_button(
                    "Predictions as CSV", lambda: predictions_csv(judged), f"{judged.stem}_predictions.csv",
                    "text/csv", key="cm_predictions_csv", on_click="ignore", icon=":material/list:",
                )  # fmt: skip
        with right:
            share, (low, high) = accuracy(judged.matrix)
            st.markdown(
                f"**{share:.2%}** of {judged.matrix.sum():,} images are right "
                f"(95% interval {low:.2%} to {high:.2%})."
            )
            cell_images(judged, cell, key="cm_cell")


@st.fragment
def findings_part(judged: Judged) -> None:
    """What stands out, in sentences, each with its images a click away."""
    with errors_shown():
        left, right = st.columns([1, 1], gap="large")
        with left:
            list_findings(findings(judged.matrix, judged.names), judged.names, buttons=True)
        with right:
            cell = cell_of_address(len(judged.matrix))
            if cell is None:
                st.info(
                    "Press a button beside a sentence to see the images it is about.",
                    icon=":material/image:",
                )
            else:
                cell_images(judged, cell, key="cm_found")


ICONS = {
    "accuracy": "target", "stated": "fact_check", "best": "thumb_up", "worst": "thumb_down",
    "confusion": "call_split", "false positives": "input", "false negatives": "output",
    "asymmetric": "arrow_right_alt", "symmetric": "sync_alt", "never predicted": "block",
    "no better than guessing": "casino", "nothing": "check",
}  # fmt: skip


def list_findings(found: Sequence[Finding], names: tuple[str, ...], *, buttons: bool) -> None:
    """The sentences one below the other; with buttons, those lead to their images."""
    for number, finding in enumerate(found):
        text = plain(finding.text).replace("95%", "95%")
        if finding.kind == "stated" and "does not follow" in finding.text:
            st.warning(text, icon=":material/fact_check:")
            continue
        with st.container(gap=None):
            st.markdown(f":material/{ICONS[finding.kind]}: {text}")
            if not buttons or not finding.cells:
                continue
            with st.container(horizontal=True):
                for cell in finding.cells:
                    st.button(
                        cell_words(names, cell), key=f"cm_finding_{number}_{cell[0]}_{cell[1]}",
                        on_click=set_cell, args=cell, icon=":material/image:", type="tertiary",
                    )  # fmt: skip


def class_table(matrix: np.ndarray, names: Sequence[str]) -> None:
    """Averages, and recall, precision and F1 of every class with their 95% intervals."""
    scores = class_scores(matrix)
    share, (low, high) = accuracy(matrix)
    macro, weighted = scores.macro(), scores.weighted()
    with st.container(horizontal=True):
        st.metric("Accuracy", f"{share:.2%}", help=f"95% interval {low:.2%} to {high:.2%}")
        for title, values in (("macro", macro), ("weighted", weighted)):
            for name, value in values.items():
                if not (title == "weighted" and name == "recall"):  # which is the accuracy
                    st.metric(f"{'F1' if name == 'f1' else name.capitalize()}, {title}", f"{value:.2%}")
    hits = np.diagonal(matrix)
    table: dict[str, object] = {"Class": list(names), "Images": scores.support}
    for title, name in (("Recall", "recall"), ("Precision", "precision"), ("F1", "f1")):
        low_ends, high_ends = getattr(scores, f"{name}_interval")
        table[title] = getattr(scores, name)
        table[f"{title} 95%"] = [f"{a:.1%} – {b:.1%}" for a, b in zip(low_ends, high_ends, strict=True)]
    table["TP"], table["FN"] = hits, scores.support - hits
    table["FP"], table["TN"] = (
        scores.predicted - hits,
        matrix.sum() - scores.support - scores.predicted + hits,
    )
    percent = {
        title: st.column_config.ProgressColumn(
            title, format="percent", min_value=0, max_value=1, width="small"
        )
        for title in ("Recall", "Precision", "F1")
    }
    st.dataframe(
        pd.DataFrame(table), hide_index=True, column_config=percent, height=min(700, 38 + 35 * len(names)),
        key="cm_table",
    )  # fmt: skip
    st.caption(
        "Recall is the share of a class that is recognized, often called the class's accuracy; precision "
        "is the share of the images given its name that belong to it. The 95% intervals are "
        "Wilson's. A "
        "macro average counts every class the same, a weighted one by its images. Click a column's head to "
        "sort."
    )


@st.fragment
def classes_part(judged: Judged) -> None:
    """The table by class, and top-k accuracy."""
    with errors_shown():
        class_table(judged.matrix, judged.names)
        predictions = judged.predictions
        ks = [k for k in (1, 2, 3, 5, 10) if k <= predictions.number_of_classes]
        shown = [f"top {k}: **{top_k_accuracy(predictions.logits, predictions.labels, k):.2%}**" for k in ks]
        st.markdown(f"The label is among the most probable classes: {' · '.join(shown)}")


@st.fragment
def calibration_part(judged: Judged) -> None:
    """The reliability diagram and the expected calibration error."""
    with errors_shown():
        bins = st.slider("Bins", 5, 30, 15, key="cm_bins", bind="query-params", width=320)
        found = calibration(judged.predictions.confidence, judged.predictions.correct, bins=bins)
        left, right = st.columns([3, 2], gap="large")
        filled = found.counts > 0
        table = pd.DataFrame({
            "from": found.edges[:-1], "to": found.edges[1:], "confidence": found.confidence,
            "accuracy": found.accuracy, "low": found.interval[0], "high": found.interval[1],
            "images": found.counts, "middle": (found.edges[:-1] + found.edges[1:]) / 2,
        })[filled]  # fmt: skip
        with left:
            st.vega_lite_chart(table, _RELIABILITY, key="cm_reliability", alt="Accuracy over confidence")
        with right:
            st.metric("Expected calibration error", f"{found.error:.2%}")
            sure = float(judged.predictions.confidence.mean())
            lean = "too sure of itself" if found.bias > 0 else "less sure of itself than it could be"
            st.markdown(
                f"On average it is {sure:.1%} sure and {judged.predictions.correct.mean():.1%} right: "
                f"{lean}, by {abs(found.bias) * 100:.1f} points."
            )
            st.caption(
                "Each bar holds the images of one range of confidence; its height is the share "
                "that is right, the thin line its 95% interval. On the dashed line a network that says 80 % "
                "is right in 80 % of the cases. The error is the mean distance from that line, each image "
                "counting once."
            )
            st.dataframe(
                table[["from", "to", "images", "confidence", "accuracy"]], hide_index=True,
                key="cm_bins_table",
                column_config={
                    name: st.column_config.NumberColumn(format="percent")
                    for name in ("from", "to", "confidence", "accuracy")
                },
            )  # fmt: skip


_UNIT = {"domain": [0, 1]}
_RELIABILITY = {
    "height": 420,
    "layer": [
        {
            "mark": {"type": "bar", "opacity": 0.75},
            "encoding": {
                "x": {"field": "from", "type": "quantitative", "scale": _UNIT, "title": "Confidence",
                      "axis": {"format": "%"}, "bin": {"binned": True}},
                "x2": {"field": "to"},
                "y": {"field": "accuracy", "type": "quantitative", "scale": _UNIT,
                      "title": "Share that is right", "axis": {"format": "%"}},
                "tooltip": [{"field": "images", "title": "Images", "format": ","},
                            {"field": "confidence", "title": "Mean confidence", "format": ".1%"},
                            {"field": "accuracy", "title": "Right", "format": ".1%"}],
            },
        },
        {
            "mark": {"type": "rule", "color": "gray", "strokeWidth": 2},
            "encoding": {"x": {"field": "middle", "type": "quantitative"},
                         "y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
        },
        {
            "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
            "mark": {"type": "line", "strokeDash": [6, 4], "color": "gray"},
            "encoding": {"x": {"field": "x", "type": "quantitative"},
                         "y": {"field": "y", "type": "quantitative"}},
        },
    ],
}  # fmt: skip


@st.fragment
def errors_part(judged: Judged) -> None:
    """Likely label errors, and walls of false positives and false negatives by class."""
    with errors_shown():
        kinds = ("Confident and wrong", "False negatives", "False positives")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = st.segmented_control(
                "Which errors", kinds, default=kinds[0], key="cm_errors", bind="query-params", required=True
            )
            name = None
            if kind != kinds[0]:
                name = st.selectbox("Class", judged.names, key="cm_class", bind="query-params", width=260)
        if name is None:
            st.caption(
                "The network is sure, and the label says otherwise. Look at the first ones: is the network "
                "wrong, or the label?"
            )
            positions = judged.predictions.where(wrong=True)
        else:
            i = judged.names.index(name)
            positions = judged.positions((i, -1) if kind == kinds[1] else (-1, i))
        st.markdown(f"**{len(positions):,} image{'s' * (len(positions) != 1)}**")
        wall(judged, positions, key="cm_errors_wall", zip_name=f"{judged.stem}_errors.zip")


def upload_part() -> None:
    """Any confusion matrix as CSV: shown, judged, told in words."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    file = left.file_uploader(
        "A confusion matrix, or a list of true and predicted classes", key="cm_file",
        help="CSV of any kind, JSON, or what scikit-learn, pandas, NumPy, PyTorch, R or Weka print.",
    )  # fmt: skip
    stated = right.text_input(
        "Stated accuracy", key="cm_stated", placeholder="91.64 %",
        help="The accuracy that the report states; it is compared with the matrix.",
    )  # fmt: skip
    if file is None:
        st.info(
            "Upload the matrix of a report, of scikit-learn or of a spreadsheet, for example\n\n"
            "```\n,cat,dog\ncat,90,10\ndog,4,96\n```\n\nand read what stands out in it.",
            icon=":material/upload_file:",
        )
        return
    data, found = read_once(file, _with_its_bytes, "cm_file_read")
    asked = _reading_form(found)
    if asked != found.reading:
        found = read_matrix_file(data, file.name, asked)
    with right:
        st.caption(plain(f"Read as {found.taken_for} {' '.join(found.notes)}"))
    uploaded_matrix(found.matrix, found.class_names, stated)


def _with_its_bytes(data: bytes, name: str) -> tuple[bytes, MatrixFile]:
    """A matrix, and what it was read from: it may have to be read in another way."""
    return data, read_matrix_file(data, name)


# field of a reading: (its question, what each choice is called)
_QUESTIONS = {
    "rows": ("Rows are", {"true": "true classes", "predicted": "predicted classes"}),
    "numbers": ("1.000 is", {"decimal": "one", "thousands": "a thousand"}),
    "labels": ("Cat and cat, 1 and 1.0", {"merge": "are one class", "apart": "are two classes"}),
}


def _reading_form(found: MatrixFile) -> Reading:
    """What the file leaves open, filled with the guess: one click changes it. Rows can always be turned."""
    chosen = {}
    with st.container(horizontal=True):
        for field, (question, options) in _QUESTIONS.items():
            guess = getattr(found.reading, field)
            if field == "rows" or field in found.open:
                chosen[field] = st.segmented_control(
                    question, list(options), default=guess, format_func=options.__getitem__,
                    key=f"cm_read_{field}_{guess}", required=True,
                )  # fmt: skip
    return replace(found.reading, **{field: value for field, value in chosen.items() if value})


@st.fragment
def uploaded_matrix(matrix: np.ndarray, names: tuple[str, ...], stated: str) -> None:
    controls = matrix_controls(matrix)
    left, right = st.columns([11, 9], gap="large")
    with left, errors_shown():
        clickable_matrix(matrix, names, controls, key="cm_uploaded_grid")
    with right, errors_shown():
        list_findings(findings(matrix, names, stated=stated), names, buttons=False)
    with errors_shown():
        class_table(matrix, names)
