"""Embedding: what a layer makes of many images, as a map in which like lies beside like."""

import numpy as np
import streamlit as st

from core.data.dataset import ImageDataset, Split
from core.embedding.embed import sample_rows
from core.embedding.projections import PROJECTIONS, has_opentsne
from core.errors import BadDataset
from core.evaluation.prediction import match_classes
from core.evaluation.probabilities import probabilities
from core.models import catalogue
from pages.elements.as_text import plain
from pages.elements.embedding.questions import (
    MapSettings,
    features,
    layers_of,
    picture_of,
    placed_image,
    space_of,
)
from pages.elements.embedding.scatter import (
    NEIGHBORS_SHOWN,
    ImageMap,
    PlacedImage,
    Sprite,
    make_sprite,
    scatter,
)
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose_classifier, choose_image
from pages.elements.pickers.chosen_image import set_chosen_image
from pages.elements.pickers.dataset_picker import dataset_picker
from pages.elements.pickers.first_choice import (
    let_data_follow,
    opened_or_offered,
    start_with_what_is_here,
    stop_where_data_do_not_fit,
)
from pages.elements.settings_form import settings_form

IMAGE_COUNTS = (200, 500, 1000, 2000, 5000, 10_000)
PROJECTION_OF = {projection.title: name for name, projection in PROJECTIONS.items()}
AUTOMATIC = "automatic"
MOST_COMPARED = 2


@st.cache_data(max_entries=8, show_spinner=False)
def sprite_of(key: tuple[str, int], _images: np.ndarray) -> Sprite:
    return make_sprite(_images)


def mapped(
    classifier: str, title: str, layer: str, part: Split, data: ImageDataset, how: MapSettings,
    new: np.ndarray | None, new_title: str, new_sha256: str,
) -> tuple[ImageMap, dict[str, str | float | None], bool, str]:  # fmt: skip
    """One classifier's map of these images: the map, a line of the table, whether it predicts their classes,
    and a note on how classes were matched."""
    seen = features(classifier, title, layer, part)
    space = space_of(classifier, title, layer, part, seen)
    picture = picture_of(classifier, title, layer, part, space, how)
    try:
        matching, note = match_classes(data.class_names, catalogue.card_of(classifier).class_names)
        theirs = np.full(seen.logits.shape[1], data.number_of_classes)
        theirs[matching[matching >= 0]] = np.flatnonzero(matching >= 0)
        predicted, judges = theirs[seen.logits.argmax(axis=1)], True
    except BadDataset:
        predicted, judges = np.full(len(part), data.number_of_classes), False
        note = f"{title} knows other classes than {data.title}: its predictions are not shown."
    placed = None
    if new is not None:
        found = placed_image(classifier, layer, part, space, picture, how, new, new_sha256)
        placed = PlacedImage(point=list(found.point), nearest=list(found.nearest), title=new_title)
    kept, chance = float(picture.preserved.mean()), NEIGHBORS_SHOWN / (len(part) - 1)
    words = f"{kept:.0%} of the {NEIGHBORS_SHOWN} nearest neighbors are kept (by chance {min(1, chance):.0%})"
    if picture.silhouette is not None and picture.silhouette_shown is not None:
        apart = f" · silhouette {picture.silhouette:.2f} in the features"
        words += f"{apart}, {picture.silhouette_shown:.2f} in the picture".replace("-", "−")
    if picture.explained is not None:
        words += f" · {picture.explained:.0%} of the variance"
    line: dict[str, str | float | None] = {
        "classifier": title,
        "layer": layer,
        "features": seen.features.shape[1],
        "accuracy here": float((predicted == part.labels).mean()) if judges else None,
        "silhouette in the features": picture.silhouette,
        "silhouette in the picture": picture.silhouette_shown,
        "neighbors kept": kept,
    }
    shown = ImageMap(
        title, words, picture.points, predicted, probabilities(seen.logits).max(axis=1),
        picture.preserved, space.indices, picture.shown, placed,
    )  # fmt: skip
    return shown, line, judges, note


with page(
    "Embedding",
    "Each dot is an image, beside those that look alike to the network: which classes does it keep apart?",
):
    start_with_what_is_here()
    bar = draw_bar()
    with bar.chips:
        chip = st.container(width="content")
        first = choose_classifier()
        card = catalogue.card_of(first)
        with chip:
            image = choose_image(card, first)
    with bar.controls:
        title = st.segmented_control(
            "Projection", [*PROJECTION_OF], default="t-SNE", key="em_projection", bind="query-params",
            required=True, label_visibility="collapsed",
        )  # fmt: skip
        projection = PROJECTION_OF[title]
    with bar.controls:
        wanted = st.toggle(
            "Place this image in the map ★", key="em_place", bind="query-params",
            help="The finished map stays as it is; the image goes where its features put it. Try one of "
            "your own.",
        )  # fmt: skip
    found = layers_of(first)
    layers = found.titles
    let_data_follow("em", first, card)
    with bar.drawer():
        dimensions = st.segmented_control(
            "Dimensions", [2, 3], default=2, key="em_dimensions", bind="query-params", required=True,
            format_func=lambda n: f"{n}-D",
        )  # fmt: skip
        others = st.multiselect(
            "Compare with", [name for name in catalogue.names() if name != first], key="em_with",
            bind="query-params", max_selections=MOST_COMPARED, placeholder="up to two more",
            help="The same images through each, side by side: point at one and see it in all.",
        )  # fmt: skip
        entry = dataset_picker("em")
        place = st.container()
    data = opened_or_offered("em", entry)
    with place:
        names = list(data.splits)
        split_name = st.segmented_control(
            "Split", names, default="test" if "test" in names else names[0], key="em_split",
            bind="query-params", required=True,
        )  # fmt: skip
        if st.session_state.get("em_layer") not in (None, AUTOMATIC, *layers):
            del st.session_state["em_layer"]  # a layer of another classifier
        layer = st.selectbox(
            "Layer", [AUTOMATIC, *layers], key="em_layer", bind="query-params",
            help="Images are compared by its output, averaged over all places. Automatic means the last "
            "layer before the head.",
        )  # fmt: skip
        count = st.select_slider(
            "Images", IMAGE_COUNTS, 1000, key="em_count", bind="query-params",
            help="Drawn at random with the classes in proportion, and the same every time.",
        )  # fmt: skip
        settings = {}
        if PROJECTIONS[projection].settings:
            settings = settings_form(PROJECTIONS[projection].settings, f"em_{projection}")
    stop_where_data_do_not_fit("em", first, card, data)
    split = data.split(split_name)
    rows = sample_rows(split, count)
    part = split if len(rows) == len(split) else split.take(rows)
    address = f"{entry.name}/{split_name}/"
    chosen = str(st.session_state.get("chosen_image", ""))
    number = chosen.removeprefix(address)
    at = int(np.searchsorted(rows, int(number))) if chosen.startswith(address) and number.isdigit() else -1
    picked = at if 0 <= at < len(rows) and rows[at] == int(number) else -1
    if projection == "tsne" and not has_opentsne():
        st.caption(
            "openTSNE is not installed: scikit-learn's t-SNE stands in for it, and a new image is placed "
            "among its nearest neighbors."
        )
    how = MapSettings(projection, dimensions, settings)

    maps, lines, notes, judges = [], [], [], True
    classifiers = [first, *(other for other in others if other != first)]
    titles = [catalogue.card_of(name).title or name for name in classifiers]
    for name, title in zip(classifiers, titles, strict=True):
        if titles.count(title) > 1:  # two trainings of one network: their names tell which is which
            title = name
        if name == first:
            chosen_layer = layer if layer in layers else found.default
        else:
            chosen_layer = layers_of(name).default
        new = image.pixels if wanted and picked < 0 else None
        drawn, line, known, note = mapped(
            name, title, chosen_layer, part, data, how, new, image.name, image.sha256
        )
        maps.append(drawn)
        lines.append(line)
        judges = judges and known
        if note:
            notes.append(note if note.startswith(title) or not others else f"{title}: {note}")
    for note in dict.fromkeys(notes):
        st.info(plain(note), icon=":material/info:")
    if wanted and picked >= 0:
        st.caption("The chosen image is in the map, where a ring marks it.")

    def take(row: int) -> None:
        if 0 <= row < len(split):
            set_chosen_image(entry.name, split_name, row)

    scatter(
        maps, rows, part.labels, data.class_names, sprite_of((split.fingerprint, len(rows)), part.images),
        question=repr((part.fingerprint, [line["layer"] for line in lines], [m.title for m in maps], how)),
        picked=picked, has_predictions=judges, on_chosen=take, key="em_map",
    )  # fmt: skip
    share = st.column_config.NumberColumn(format="percent")
    silhouette = st.column_config.NumberColumn(format="%.3f", help="1: classes lie apart; 0: they overlap.")
    st.dataframe(
        lines, hide_index=True, key="em_table",
        column_config={
            "accuracy here": share, "neighbors kept": share,
            "silhouette in the features": silhouette, "silhouette in the picture": silhouette,
        },
    )  # fmt: skip
    with st.expander("How far can I trust this map?", icon=":material/help:"):
        st.markdown(
            "The network sees many numbers for each image, the map shows two or three, so something is lost. "
            "**Neighbors kept** says how many of an image's ten nearest in the features are among its ten "
            "nearest in the map; color by it to see where the map misleads. In t-SNE and UMAP the sizes of "
            "groups and the distances between them mean nothing; in PCA they do, to the extent of its "
            "share of the variance. The **silhouette in the features** judges the network, the one in the "
            "picture "
            "only the picture."
        )
