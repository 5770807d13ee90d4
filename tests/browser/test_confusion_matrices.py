"""Confusion matrices in a real browser: a click on a cell shows its images, and so does the keyboard."""

import re
from urllib.parse import urlencode

import numpy as np
import pytest

from core.data.catalogue import open_dataset
from core.evaluation.matrix_file import write_matrix
from core.evaluation.one_vs_rest import one_vs_rest
from core.evaluation.prediction import predict_split, predictions_of
from core.models.checkpoint import load_checkpoint
from tests.nearest_mean import save_nearest_mean

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def predictions(server, tmp_path_factory):
    """A classifier in the server's folder, and what it says of the test images of Digits."""
    folder = tmp_path_factory.getbasetemp() / "convoscope_home0" / "runs" / "mean"
    card = save_nearest_mean(folder, noise=0.1)
    dataset = open_dataset("digits")
    split = dataset.split("test")
    logits = predict_split(load_checkpoint(folder), split)
    return predictions_of(logits, split, dataset.class_names, card.class_names)


def open_page(page, server, **parameters):
    page.set_default_timeout(60_000)
    page.goto(f"{server}/confusion_matrices?{urlencode({'classifier': 'runs/mean', **parameters})}")


def matrix_of(page):
    canvas = page.locator('canvas[role="application"]').first
    canvas.wait_for()
    page.wait_for_function("e => e.dataset.cell > 0", arg=canvas.element_handle())
    return canvas


def click_cell(page, canvas, i, j):
    left, top, cell = (float(canvas.get_attribute(f"data-{name}")) for name in ("left", "top", "cell"))
    canvas.click(position={"x": left + (j + 0.5) * cell, "y": top + (i + 0.5) * cell})


def shown_images(page, heading):
    page.locator("strong", has_text=heading).wait_for()
    buttons = page.locator("ul.wall button")
    buttons.first.wait_for()
    return [int(buttons.nth(i).get_attribute("data-id")) for i in range(buttons.count())]


def largest_error(predictions):
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (predictions.labels, predictions.predicted), 1)
    np.fill_diagonal(matrix, 0)
    i, j = np.unravel_index(matrix.argmax(), matrix.shape)
    return int(i), int(j)


def test_a_click_on_a_cell_shows_its_images_and_a_click_on_one_chooses_it(page, server, predictions):
    i, j = largest_error(predictions)
    expected = predictions.rows[predictions.where(true=i, predicted=j)].tolist()
    open_page(page, server)
    click_cell(page, matrix_of(page), i, j)
    assert shown_images(page, f"“{i}” taken for “{j}”: {len(expected)} image") == expected[:24]
    assert f"cm_cell={i}-{j}" in page.url
    page.locator(f'ul.wall button[data-id="{expected[-1]}"]').scroll_into_view_if_needed()
    top = page.locator("ul.wall").bounding_box()["y"]
    page.locator(f'ul.wall button[data-id="{expected[-1]}"]').click()
    page.wait_for_url(re.compile(rf"image=digits(%2F|/)test(%2F|/){expected[-1]}(&|$)"))
    page.locator(f'ul.wall button[data-id="{expected[-1]}"][aria-pressed="true"]').wait_for()
    page.get_by_text(f"Image {expected[-1]} is now the chosen image").wait_for()
    assert page.locator("ul.wall").bounding_box()["y"] == top
    assert page.errors == []


def test_the_classifier_stays_over_pages_and_back(page, server, predictions):
    open_page(page, server)
    matrix_of(page)
    page.get_by_role("link", name="Activations").click()
    page.get_by_role("heading", name="Activations").wait_for()
    page.wait_for_url(re.compile("activations.*classifier=runs(%2F|/)mean"))
    page.get_by_role("link", name="Loss lab").click()  # which has no classifier
    page.get_by_role("heading", name="Loss lab").wait_for()
    page.get_by_role("link", name="Confusion matrices").click()
    matrix_of(page)
    for _ in range(12):
        page.go_back()
        page.wait_for_timeout(300)
        if "activations" in page.url:
            break
    page.get_by_role("heading", name="Activations").wait_for()
    page.wait_for_url(re.compile("activations.*classifier=runs(%2F|/)mean"))
    page.locator(".st-key-chip_classifier button").first.click()
    page.locator(".st-key-classifier").get_by_text("runs/mean").or_(
        page.locator(".st-key-classifier input[value='runs/mean']")
    ).first.wait_for()


def test_the_last_of_quick_clicks_counts_on_a_slow_machine(page, server, predictions):
    i = int(np.bincount(predictions.labels).argmax())
    expected = predictions.rows[predictions.where(true=i, predicted=i)].tolist()[:24]
    open_page(page, server, cm_cell=f"{i}-{i}")
    assert shown_images(page, f"“{i}” recognized correctly") == expected
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    for row in expected[:5]:
        page.locator(f'ul.wall button[data-id="{row}"]').dispatch_event("click")
    page.locator(f'ul.wall button[data-id="{expected[4]}"][aria-pressed="true"]').wait_for()
    page.wait_for_url(re.compile(rf"image=digits(%2F|/)test(%2F|/){expected[4]}(&|$)"))
    assert page.locator('ul.wall button[aria-pressed="true"]').count() == 1
    # A button that is being pressed while the wall learns of another choice stays, and so does its click.
    held = page.locator(f'ul.wall button[data-id="{expected[1]}"]')
    held.hover()
    page.mouse.down()
    page.locator(f'ul.wall button[data-id="{expected[2]}"]').dispatch_event("click")
    page.locator(f'ul.wall button[data-id="{expected[2]}"][aria-pressed="true"]').wait_for()
    page.mouse.up()
    page.locator(f'ul.wall button[data-id="{expected[1]}"][aria-pressed="true"]').wait_for()
    page.wait_for_url(re.compile(rf"image=digits(%2F|/)test(%2F|/){expected[1]}(&|$)"))
    assert page.errors == []


def test_the_keyboard_does_the_same(page, server, predictions):
    i, j = largest_error(predictions)
    open_page(page, server)
    canvas = matrix_of(page)
    canvas.focus()
    for key in ["ArrowDown"] * i + ["ArrowRight"] * j + ["Enter"]:
        page.keyboard.press(key)
    expected = predictions.rows[predictions.where(true=i, predicted=j)].tolist()
    assert shown_images(page, f"“{i}” taken for “{j}”:") == expected[:24]


def test_the_threshold_counts_as_python_does(page, server, predictions):
    open_page(page, server, cm_part="One vs. rest", cm_class="8", cm_threshold="0.3", cm_outcome="fn")
    slider = page.locator('input[type="range"][aria-label="Threshold"]')
    slider.wait_for()
    scores, positive = predictions.probabilities[:, 8], predictions.labels == 8
    for threshold, keys in ((0.3, 0), (0.32, 4)):
        slider.focus()
        for _ in range(keys):
            page.keyboard.press("ArrowRight")
        matrix = one_vs_rest(scores, positive, threshold)
        for outcome, count in zip(("tn", "fp", "fn", "tp"), matrix.ravel(), strict=True):
            assert page.locator(f'[data-outcome="{outcome}"] b').inner_text() == f"{count:,}"
    page.wait_for_url(re.compile("cm_threshold=0.32"))


def test_200_classes_are_zoomed_and_saved(page, server, tmp_path):
    matrix = np.random.default_rng(0).poisson(0.3, (200, 200)) + np.diag([60] * 200)
    file = tmp_path / "m.csv"
    file.write_text(write_matrix(matrix, tuple(f"species {i}" for i in range(200))))
    open_page(page, server, cm_part="Your own matrix")
    page.locator('input[type="file"]').set_input_files(file)
    canvas = matrix_of(page)
    before = float(canvas.get_attribute("data-cell"))
    canvas.focus()
    for _ in range(5):
        page.keyboard.press("+")
    assert float(canvas.get_attribute("data-cell")) > 8 * before
    for key in ["ArrowDown", "ArrowDown", "ArrowRight"]:
        page.keyboard.press(key)
    words = page.locator(".readout").first.inner_text()
    assert f"“species 2” taken for “species 1”: {matrix[2, 1]} image" in words
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the matrix as a picture").click()
    download.value.save_as(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes()[:4] == b"\x89PNG"
    assert page.errors == []
