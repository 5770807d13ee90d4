"""The embedding in a real browser: lasso, click, colors, an upload placed in the map, two maps linked."""

import io
import re
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from PIL import Image

from core.data.catalogue import open_dataset
from core.data.preprocessing import Preprocessing
from core.embedding.embed import features_of, last_before_head, sample_rows
from core.embedding.nearest_neighbors import nearest_to
from core.models.card import ModelCard
from core.models.catalogue import load
from core.models.checkpoint import build, save_checkpoint

pytestmark = pytest.mark.browser
STATE = "canvas => canvas.getRootNode().querySelector('.root').state"


@pytest.fixture(scope="module")
def seen():
    """What the page's classifier makes of the images that the page shows: rows, part, features, logits."""
    split = open_dataset("digits").split("test")
    rows = sample_rows(split, 200)
    part, classifier = split.take(rows), load("digits_cnn")
    layer = last_before_head(classifier)
    return classifier, layer, rows, part, *features_of(classifier, part.images, layer)


def open_page(page, server, **parameters):
    page.set_default_timeout(60_000)
    address = {"classifier": "digits_cnn", "em_projection": "PCA", "em_count": 200, **parameters}
    page.goto(f"{server}/embedding?{urlencode(address)}")
    return painted(page)


def painted(page):
    canvas = page.locator('canvas[role="application"]').first
    canvas.wait_for()
    page.wait_for_function(f"canvas => ({STATE})(canvas)?.maps[0].painted", arg=canvas.element_handle())
    canvas.scroll_into_view_if_needed()
    return canvas


def places(canvas, number=0):
    """(N, 2): where each point of a map lies on the canvas, in the page's pixels."""
    state = f"canvas => {{ const map = ({STATE})(canvas).maps[{number}]; return [[...map.x], [...map.y]]; }}"
    return np.array(canvas.evaluate(state)).T


def gap(values, low, high):
    """The middle of the widest gap between values of these ranks."""
    values = np.sort(values)[low:high]
    k = np.diff(values).argmax()
    return (values[k] + values[k + 1]) / 2


def lasso(page, canvas, points):
    """Draw a box around many points, far from cutting one; returned are the indices of those within it."""
    (left, right), (top, bottom) = ((gap(values, 10, 60), gap(values, 130, 190)) for values in points.T)
    box = canvas.bounding_box()
    page.keyboard.down("Shift")
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    for number, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    inside = ((points > [left, top]) & (points < [right, bottom])).all(1)
    assert 3 < inside.sum() < len(points)
    return np.flatnonzero(inside)


def shown_rows(page, heading):
    section = page.locator(".strip section", has=page.locator("h4", has_text=heading)).first
    section.locator(".thumb").first.wait_for()
    titles = section.locator(".thumb").evaluate_all("all => all.map(one => one.title)")
    return [int(re.match(r"image (\d+):", title)[1]) for title in titles]


def test_a_lasso_shows_its_images_and_a_click_chooses_one(page, server, seen):
    _, _, rows, _, _, _ = seen
    canvas = open_page(page, server)
    within = lasso(page, canvas, places(canvas))
    assert shown_rows(page, f"{len(within)} images in the lasso") == rows[within].tolist()
    row = rows[within[2]]
    page.locator(f'.strip .thumb[title^="image {row}:"]').first.click()
    page.wait_for_url(re.compile(rf"image=digits(%2F|/)test(%2F|/){row}(&|$)"))
    page.locator(".card", has_text=f"image {row}").wait_for()
    # A click on a dot does the same, and leaves the lasso where it is.
    other = int(within[0])
    x, y = places(canvas)[other]
    nearest = np.linalg.norm(places(canvas)[within] - [x, y], axis=1).argsort()[0]
    canvas.click(position={"x": x, "y": y})
    page.wait_for_url(re.compile(rf"image=digits(%2F|/)test(%2F|/){rows[within[nearest]]}(&|$)"))
    page.locator(
        "h4", has_text=f"{len(within)} images in the lasso"
    ).wait_for()  # also after the page has run again
    assert page.errors == []


def test_the_colors_count_what_python_counts(page, server, seen):
    _, _, _, part, _, logits = seen
    canvas = open_page(page, server)
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    page.get_by_label("Color by").select_option("predicted")
    said = np.bincount(logits.argmax(1), minlength=10)
    legend = page.locator(".legend button .mono").all_inner_texts()
    assert [int(text) for text in legend] == said.tolist()
    page.get_by_label("Color by").select_option("right")
    right = int((logits.argmax(1) == part.labels).sum())
    assert [int(text) for text in page.locator(".legend button .mono").all_inner_texts()] == [
        right,
        200 - right,
    ]
    assert page.locator('canvas[role="application"]').first.evaluate("canvas => canvas.toDataURL()") != before
    assert page.errors == []


def test_an_upload_is_placed_in_the_finished_map_beside_what_it_is_like(page, server, seen):
    classifier, layer, rows, _, features, _ = seen
    pixels = open_dataset("digits").split("train").images[7]
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, "PNG")
    canvas = open_page(page, server)
    before = places(canvas)
    page.locator('[data-testid="stPopover"] button', has=page.locator("img")).click()
    page.get_by_role("radio", name="Upload").or_(page.get_by_role("button", name="Upload")).first.click()
    page.locator('input[type="file"]').set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    page.locator('[data-testid="stPopover"] button', has_text="mine.png").wait_for()
    page.keyboard.press("Escape")
    page.locator("label", has_text="Place this image in the map").click()
    nearest = nearest_to(features_of(classifier, pixels[None], layer)[0], features, 10)[0][0]
    assert shown_rows(page, "nearest in the features to the ★ mine.png") == rows[nearest].tolist()
    np.testing.assert_array_equal(places(painted(page)), before)  # what was finished stays
    assert page.errors == []


def test_two_maps_of_the_same_images_share_pointer_and_lasso(page, server, seen, tmp_path_factory):
    rows = seen[2]
    torch.manual_seed(0)
    card = ModelCard(
        "other", "small_cnn", open_dataset("digits").class_names,
        Preprocessing((8, 8), (0.3,), (0.4,), channels=1), settings={"widths": "4,8", "hidden": 16},
        dataset="digits", title="Untrained",
    )  # fmt: skip
    folder = tmp_path_factory.getbasetemp() / "convoscope_home0" / "imported" / "other"
    save_checkpoint(folder, build(card), card)
    canvas = open_page(page, server, em_with="imported/other")
    canvases = page.locator('canvas[role="application"]')
    assert canvases.count() == 2
    notes = page.locator("figcaption").all_inner_texts()
    assert all("silhouette" in note for note in notes)
    within = lasso(page, canvases.nth(1), places(canvas, 1))
    assert shown_rows(page, f"{len(within)} images in the lasso") == rows[within].tolist()
    left = canvas.evaluate(f"canvas => ({STATE})(canvas).masks.map(mask => [...mask])")
    assert np.flatnonzero(left[0]).tolist() == np.flatnonzero(left[1]).tolist() == within.tolist()
    x, y = places(canvas)[within[1]]
    canvas.hover(position={"x": x, "y": y})
    row = rows[canvas.evaluate(f"canvas => ({STATE})(canvas).hover")]
    assert row in rows[within]
    page.locator(".card", has_text=f"image {row}").wait_for()
    assert page.locator(".card").inner_text().count("neighbors") == 2  # what each network makes of it
    assert page.errors == []
