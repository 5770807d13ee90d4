"""Drawing a digit: the network answers while one draws, and the drawing becomes the image of every page."""

import base64

import numpy as np
import pytest

from pages.elements.pickers.drawing_pad import drawn_pixels

pytestmark = pytest.mark.browser

# The pad's own canvas, and what is to be made of it.
INK = """(canvas) => {
    const {width, height} = canvas, rgba = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    return [width, Array.from({length: width * height}, (_, i) => rgba[4 * i])];
}"""
SEEN = """(canvas) => {
    const {width, height} = canvas, rgba = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    return btoa(String.fromCharCode(...Array.from({length: width * height}, (_, i) => rgba[4 * i])));
}"""


def _expected(ink, cells):
    """The square box round the ink, in means over areas, by way of the integral of the picture."""
    rows, columns = np.flatnonzero((ink > 127).any(1)), np.flatnonzero((ink > 127).any(0))
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    edges = [
        (found[0] + found[-1] + 1 - size) / 2 + np.arange(cells + 1) * size / cells
        for found in (rows, columns)
    ]
    side = np.arange(len(ink) + 1)
    sums = np.pad(ink.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    down = np.array([[np.interp(edge, side, column) for column in sums.T] for edge in edges[0]])
    both = np.array([[np.interp(edge, side, row) for edge in edges[1]] for row in down])
    return np.diff(np.diff(both, axis=0), axis=1) / (size / cells) ** 2


@pytest.mark.timeout(300)
def test_a_drawn_seven(page, server):
    page.goto(f"{server}/occlusion?classifier=digits_cnn")
    page.locator('canvas[data-pane="picture"]').wait_for()
    page.locator(".st-key-chip_image button").first.click()
    page.get_by_role("radio", name="Draw").click()
    paper = page.locator("canvas.paper")
    paper.wait_for()
    assert page.get_by_role("button", name="Use it").is_disabled()
    box = paper.bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.move(*at(0.3, 0.25))
    page.mouse.down()
    for place in ((0.7, 0.25), (0.45, 0.8)):
        page.mouse.move(*at(*place), steps=8)
    page.locator(".pad .answer b").first.wait_for()  # while the pen is still down
    page.mouse.up()
    page.locator(".pad .answer .share", has_text="7").first.wait_for()
    side, ink = paper.evaluate(INK)
    seen = drawn_pixels(page.locator("canvas.seen").evaluate(SEEN), 8, 8)[..., 0]
    np.testing.assert_allclose(seen, _expected(np.array(ink).reshape(side, side), 8), atol=1)
    assert seen[:, :].any(1).all()  # the ink fills the input from edge to edge

    page.get_by_role("button", name="Undo").click()
    assert not np.frombuffer(base64.b64decode(page.locator("canvas.seen").evaluate(SEEN)), np.uint8).any()
    page.mouse.move(*at(0.5, 0.2))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.8), steps=8)
    page.mouse.up()
    page.locator(".pad .answer .share", has_text="1").first.wait_for()
    page.get_by_role("button", name="Use it").click()
    page.locator(".st-key-chip_image").get_by_text("Drawing").first.wait_for()
    paper.wait_for(state="hidden")  # the tray has closed
    page.get_by_role("link", name="Attribution", exact=True).first.click()
    page.get_by_role("heading", name="Attribution").wait_for()
    page.locator(".st-key-chip_image").get_by_text("Drawing").first.wait_for()
    assert page.errors == []
