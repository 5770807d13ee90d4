"""Two classifiers on the same images: matrices side by side, their difference, and who is right where."""

from functools import partial

import numpy as np
import streamlit as st

from core.evaluation.comparison import compare, in_classes_of
from core.evaluation.confusion import accuracy, confusion_matrix, normalized
from core.evaluation.prediction import Predictions
from pages.elements.as_text import plain
from pages.elements.confusion_matrices.judged import Judged, cell_of_address, cell_words, forget_cell, wall
from pages.elements.confusion_matrices.parts import keep_pick, matrix_controls
from pages.elements.figures.confusion_grid import confusion_grid
from pages.elements.page import errors_shown


@st.fragment
def comparison_part(first: Judged, second: Judged) -> None:
    """Draw the comparison; a signed difference is second minus first."""
    with errors_shown():
        a, b = first.predictions, in_classes_of(first.predictions, second.predictions)
        found = compare(a, b)
        st.markdown(f"**{plain(found.verdict)}**")
        names = [plain(judged.classifier) for judged in (first, second)]
        classes = np.union1d(first.classes, np.unique(b.predicted))
        square = np.ix_(classes, classes)
        matrices = [confusion_matrix(p.labels, p.predicted, p.number_of_classes)[square] for p in (a, b)]
        shown_names = [a.class_names[i] for i in classes.tolist()]
        normalize, order, mute = matrix_controls(matrices[0])
        values = [normalized(matrix, normalize) for matrix in matrices]
        rest = ~np.eye(len(classes), dtype=bool) if mute else np.ones((len(classes),) * 2, bool)
        cell = cell_of_address(len(classes))
        limit = max(float(v[rest].max(initial=0)) for v in values)
        for column, name, matrix, title in zip(
            st.columns(2, gap="large"), names, matrices, ("first", "second"), strict=True
        ):
            with column:
                share, (low, high) = accuracy(matrix)
                st.markdown(f"**The {title}, {name}**: {share:.2%} ({low:.2%} to {high:.2%})")
                confusion_grid(
                    matrix, shown_names, key=f"cm_{title}_grid", order=order, normalize=normalize,
                    mute_diagonal=mute, limit=limit, selected=cell,
                    on_pick=partial(keep_pick, f"cm_{title}_grid"),
                )  # fmt: skip
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**The difference: the second minus the first**")
            confusion_grid(
                matrices[1] - matrices[0], shown_names, key="cm_difference_grid", order=order,
                normalize=normalize, mute_diagonal=mute, values=values[1] - values[0], signed=True,
                labels=("more in the first", "more in the second"), selected=cell,
                on_pick=partial(keep_pick, "cm_difference_grid"),
            )  # fmt: skip
        with right:
            only = [found.only_first, found.only_second]
            if cell is not None:
                true, said = (int(classes[i]) if i >= 0 else None for i in cell)
                only = [
                    _of_cell(positions, wrong, true, said)
                    for positions, wrong in zip(only, (b, a), strict=True)
                ]
                st.button(
                    f"{cell_words(tuple(shown_names), cell)}: show all cells", on_click=forget_cell,
                    key="cm_all_cells", icon=":material/filter_alt_off:",
                )  # fmt: skip
            groups = {
                f"Only the first is right ({len(only[0]):,})": (first, only[0]),
                f"Only the second is right ({len(only[1]):,})": (second, only[1]),
            }
            chosen = st.segmented_control("Images", list(groups), default=next(iter(groups)), key="cm_only",
                                          required=True, label_visibility="collapsed")  # fmt: skip
            judged, positions = groups.get(chosen or "", next(iter(groups.values())))
            other = second if judged is first else first
            order_by = np.argsort(-other.predictions.confidence[positions], kind="stable")
            st.caption("Probabilities are those of the other one, which is wrong here.")
            if len(positions):
                wall(other, positions[order_by], key="cm_only_wall", beside=True)
            else:
                st.caption("There is none.")


def _of_cell(positions: np.ndarray, wrong: Predictions, true: int | None, said: int | None) -> np.ndarray:
    """Those images of a cell's true class that the one that is wrong took for its predicted class.

    Args:
        true, said: None for any class.
    """
    keep = np.ones(len(positions), bool)
    if true is not None:
        keep &= wrong.labels[positions] == true
    if said is not None and said != true:
        keep &= wrong.predicted[positions] == said
    return positions[keep]
