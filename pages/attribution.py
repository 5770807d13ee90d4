"""Attribution: which pixels an answer rests on, by several methods or for several classes."""

import streamlit as st

from core.attribution.methods import methods
from pages.elements.attribution.mask_scores import mask_scores
from pages.elements.attribution.parts import Asked, explain, photo_while_waiting, settings_of_methods, show
from pages.elements.figures.what_next import what_next
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose, what_the_network_sees

COMPARISONS = ("Methods", "Classes")
# What stands side by side at first: each is there within a second on two cores.
FIRST_METHODS = ("integrated_gradients", "grad_cam", "gradient_x_input", "guided_backprop", "saliency")
MOST_CLASSES = 4  # classes side by side

with page("Attribution", "Which pixels does the answer rest on?"):
    bar = draw_bar()
    chosen = choose(bar)
    waiting = photo_while_waiting(chosen)
    names = methods.names()
    titles = {member.name: member.title for member in methods}
    with bar.controls:
        compare = st.segmented_control(
            "Side by side", COMPARISONS, default=COMPARISONS[0], key="att_compare", bind="query-params",
            required=True, label_visibility="collapsed",
        )  # fmt: skip
    with bar.drawer():
        if compare == "Methods":
            picked = st.pills(
                "Methods", names, selection_mode="multi", default=list(FIRST_METHODS),
                format_func=titles.__getitem__, key="att_methods", bind="query-params",
            )  # fmt: skip
            targets = [chosen.target]
        else:
            picked = [
                st.selectbox(
                    "Method", names, format_func=titles.__getitem__, key="att_method", bind="query-params",
                    width=260,
                )
            ]  # fmt: skip
            best = chosen.logits.argsort()[::-1]
            others = [int(c) for c in best if c != chosen.target][:2]
            classes = st.multiselect(
                "Classes",
                chosen.card.class_names,
                [chosen.card.class_names[c] for c in (chosen.target, *others)],
                max_selections=MOST_CLASSES,
                key=f"att_classes_{chosen.sha256[:8]}_{chosen.target}",
            )
            targets = [chosen.card.class_names.index(name) for name in classes]
        settings = settings_of_methods(chosen, picked)
    if not (picked and targets):
        waiting.empty()
    if not picked:
        st.info("Choose a method in the settings (⚙).", icon=":material/settings:")
    elif not targets:
        st.info("Choose a class in the settings (⚙).", icon=":material/settings:")
    else:
        asked = [
            Asked(name, target, settings[name]) for name in picked if name in settings for target in targets
        ]
        found = explain(chosen, asked)
        waiting.empty()
        show(chosen, found, by_class=compare == "Classes")
        what_next("occlusion", "activations", "filters", "confusion_matrices")
        mask_scores(chosen, settings)
    what_the_network_sees(chosen.image, chosen.card)
