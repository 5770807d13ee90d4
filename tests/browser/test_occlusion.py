"""The scrubber in a real browser: what it shows while the window moves is what the network said there."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from core.data.preprocessing import fit
from core.data.samples import sample_image
from core.models.catalogue import load
from core.occlusion.occlusion import occlusion_logits
from tests.browser.conftest import drawn

pytestmark = pytest.mark.browser

WINDOW, STRIDE = 75, 48  # few places: the network is a real one


@pytest.fixture(scope="module")
def occluded():
    classifier = load("efficientnet_lite0")
    pixels = fit(sample_image("coffee").pixels, classifier.card.preprocessing)
    return occlusion_logits(classifier, pixels, window=WINDOW, stride=STRIDE), classifier.card.class_names


_PLACES = (
    "n => [...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector(`[data-places='${n}']`))"
)


def _open(page, server, **more):
    extra = "".join(f"&{name}={value}" for name, value in more.items())
    page.goto(
        f"{server}/occlusion?classifier=efficientnet_lite0&image=coffee&occ_window={WINDOW}"
        f"&occ_stride={STRIDE}{extra}"
    )
    page.locator('canvas[data-pane="picture"]').wait_for(timeout=240_000)
    page.wait_for_function(_PLACES, arg="25")  # coarse at first, now sharp


def _shown(page):
    root = page.locator(".root:has(.panes)")
    return root.evaluate("root => ({ ...root.dataset, text: root.textContent })")


def _check(shown, occluded, class_names, target=None):
    target = occluded.predicted if target is None else target
    row = occluded.tops.tolist().index(int(shown["top"]))
    column = occluded.lefts.tolist().index(int(shown["left"]))
    assert float(shown["probability"]) == pytest.approx(occluded.values(target)[row, column], abs=1e-4)
    base = occluded.base(target)
    whole = f"{100 * base:.1f}%" if base > 0.0005 else "< 0.1%"
    assert f"{whole} with nothing hidden" in shown["text"]
    assert shown["first"] == class_names[occluded.winners[row, column]]
    assert int(shown["places"]) == occluded.winners.size
    return row, column


def test_dragging_arrow_keys_and_numbers_on_hover(page, server, occluded):
    occluded, class_names = occluded
    _open(page, server)
    shown = _shown(page)
    _check(shown, occluded, class_names)
    assert (int(shown["top"]), int(shown["left"])) == occluded.weakest(occluded.predicted)[:2]

    canvas = page.locator('canvas[data-pane="picture"]')
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.4, steps=12)
    page.mouse.up()
    page.wait_for_url(re.compile("occ_at="))
    row, column = _check(_shown(page), occluded, class_names)
    middle = (WINDOW - 1) / 2
    assert abs(occluded.tops[row] + middle - 0.4 * 224) <= STRIDE / 2 + 1
    assert abs(occluded.lefts[column] + middle - 0.5 * 224) <= STRIDE / 2 + 1

    canvas.press("ArrowRight")
    canvas.press("ArrowDown")
    drawn(page)
    assert _check(_shown(page), occluded, class_names) == (row + 1, column + 1)
    canvas.press("Home")
    drawn(page)
    row, column = _check(_shown(page), occluded, class_names)
    assert occluded.values(occluded.predicted)[row, column] == pytest.approx(
        occluded.weakest(occluded.predicted)[2]
    )

    heat = page.locator('canvas[data-pane="map"]')
    box = heat.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
    drawn(page)
    drop = occluded.map(occluded.predicted, "drop")
    near = drop[166:171, 54:59]
    hover = float(_shown(page)["hover"])
    assert np.abs(near - hover).min() < 1e-4
    assert page.errors == []


def test_a_link_opens_the_same_place_and_value(page, server, occluded):
    occluded, class_names = occluded
    _open(page, server, occ_at="96+48", occ_value="Logit")
    shown = _shown(page)
    assert (shown["top"], shown["left"]) == ("96", "48")
    _check(shown, occluded, class_names)
    expect(page.get_by_role("heading", name="Logit left")).to_be_visible()


def test_a_target_that_wins_nowhere_is_shown_as_exactly(page, server, occluded):
    """It is not among the classes that every browser gets, so it brings its own numbers."""
    occluded, class_names = occluded
    target = int(occluded.logits.max((0, 1)).argmin())
    _open(page, server, occ_at="48+96", target=class_names[target].replace(" ", "+"))
    # Fresh, the coarse map has no window at row 48: the sharp one goes there.
    shown = _shown(page)
    assert (shown["top"], shown["left"]) == ("48", "96")
    _check(shown, occluded, class_names, target)


def test_another_target_and_back(page, server, occluded):
    occluded, class_names = occluded
    _open(page, server, occ_at="48+96")
    for target in np.argsort(-occluded.base_logits)[1:3].tolist():
        page.locator(".st-key-chip_target button").first.click()
        box = page.get_by_role("combobox", name=re.compile("^Explain"))
        box.click()
        box.fill(class_names[target])
        page.get_by_role("option", name=class_names[target], exact=True).click()
        page.wait_for_url(re.compile(f"target={class_names[target].split()[0]}"))
        expect(page.get_by_text(f"Drop of {class_names[target]}, ")).to_be_visible()
        expect(page.locator(".st-key-chip_target button").first).to_contain_text(class_names[target])
        page.keyboard.press("Escape")
        drawn(page)
        _check(_shown(page), occluded, class_names, target)
    page.wait_for_timeout(700)  # Back sooner than this is taken for a click made before the address changed
    page.go_back()
    second = int(np.argsort(-occluded.base_logits)[1])
    expect(page.get_by_text(f"Drop of {class_names[second]}, ")).to_be_visible()
    drawn(page)
    _check(_shown(page), occluded, class_names, second)
    assert page.errors == []


def test_touch_moves_the_window_and_not_the_page(chromium, server, occluded):
    occluded, class_names = occluded
    context = chromium.new_context(viewport={"width": 420, "height": 900}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    try:
        _open(page, server)
        canvas = page.locator('canvas[data-pane="picture"]')
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] - 8, box["y"] + 8)
        drawn(page)
        shown = _shown(page)
        assert (int(shown["top"]), int(shown["left"])) == (0, 149)
        _check(shown, occluded, class_names)
    finally:
        context.close()
