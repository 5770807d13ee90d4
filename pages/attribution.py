"""Attribution: which pixels an answer rests on, by several methods or for several classes."""

import streamlit as st

from core.attribution.methods import methods
from pages.elements.attribution.mask_scores import mask_scores
from pages.elements.attribution.parts import Asked, explain, settings_of_methods, show
from pages.elements.page import page
from pages.elements.pickers.choose import choose, what_the_network_sees

COMPARE = ("Methods", "Classes")
MOST = 4  # classes side by side

with page("Attribution", "Lay over the image what each pixel contributes to an answer.", icon="🎯"):
    chosen = choose()
    names = methods.names()
    titles = {member.name: member.title for member in methods}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        compare = st.segmented_control(
            "Side by side", COMPARE, default=COMPARE[0], key="att_compare", bind="query-params", required=True
        )
        if compare == "Methods":
            picked = st.pills(
                "Methods", names, selection_mode="multi", default=["integrated_gradients", "grad_cam"],
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
                max_selections=MOST,
                key=f"att_classes_{chosen.sha256[:8]}_{chosen.target}",
            )
            targets = [chosen.card.class_names.index(name) for name in classes]
    if not picked:
        st.info("Choose a method above to see which pixels it points to.", icon=":material/touch_app:")
    elif not targets:
        st.info("Choose a class above to see what speaks for it.", icon=":material/touch_app:")
    else:
        settings = settings_of_methods(chosen, picked)
        asked = [
            Asked(name, target, settings[name]) for name in picked if name in settings for target in targets
        ]
        show(chosen, explain(chosen, asked), by_class=compare == "Classes")
        mask_scores(chosen, settings)
    what_the_network_sees(chosen.image, chosen.card)
