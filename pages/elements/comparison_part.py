"""Two classifiers on the same images: matrices side by side, their difference, and who is right where."""

import numpy as np
import streamlit as st

from core.comparison import compare, in_classes_of
from core.confusion import accuracy, confusion_matrix, normalised
from pages.elements.confusion_grid import confusion_grid
from pages.elements.confusion_parts import matrix_controls
from pages.elements.dataset_picker import plain
from pages.elements.judged import Judged, wall
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
        values = [normalised(matrix, normalize) for matrix in matrices]
        rest = ~np.eye(len(classes), dtype=bool) if mute else np.ones((len(classes),) * 2, bool)
        limit = max(float(v[rest].max(initial=0)) for v in values)
        for column, name, matrix, title in zip(
            st.columns(2, gap="large"), names, matrices, ("first", "second"), strict=True
        ):
            with column:
                share, (low, high) = accuracy(matrix)
                st.markdown(f"**The {title}, {name}**: {share:.2%} ({low:.2%} to {high:.2%})")
                confusion_grid(
                    matrix, shown_names, key=f"cm_{title}_grid", order=order, normalize=normalize,
                    mute_diagonal=mute, limit=limit, on_pick=lambda: None,
                )  # fmt: skip
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**The difference: the second minus the first**")
            confusion_grid(
                matrices[1] - matrices[0], shown_names, key="cm_difference_grid", order=order,
                normalize=normalize, mute_diagonal=mute, values=values[1] - values[0], signed=True,
                labels=("more in the first", "more in the second"),
            )  # fmt: skip
        with right:
            groups = {
                f"Only the first is right ({len(found.only_first):,})": (first, found.only_first),
                f"Only the second is right ({len(found.only_second):,})": (second, found.only_second),
            }
            chosen = st.segmented_control("Images", list(groups), default=next(iter(groups)), key="cm_only",
                                          required=True, label_visibility="collapsed")  # fmt: skip
            judged, positions = groups.get(chosen or "", next(iter(groups.values())))
            other = second if judged is first else first
            order_by = np.argsort(-other.predictions.confidence[positions], kind="stable")
            st.caption("Probabilities are those of the other one, which is wrong here.")
            if len(positions):
                wall(other, positions[order_by], key="cm_only_wall")
            else:
                st.caption("There is none.")
