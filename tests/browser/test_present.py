"""Present mode and full screen, by their keys."""

import pytest

pytestmark = pytest.mark.browser
PICTURE = 'canvas[data-pane="picture"]'


@pytest.mark.timeout(300)
def test_present_fills_the_height_with_the_picture_and_escape_brings_all_back(page, server):
    page.goto(f"{server}/occlusion?classifier=digits_cnn&image=digits/test/3")
    picture, sidebar = page.locator(PICTURE), page.get_by_test_id("stSidebar")
    picture.wait_for()
    page.get_by_role("button", name="Present").wait_for()
    before = picture.bounding_box()
    page.keyboard.press("p")
    sidebar.wait_for(state="hidden")
    page.locator(".st-key-bar").wait_for(state="hidden")
    shown = picture.bounding_box()
    assert shown["height"] > 1.15 * before["height"]
    assert shown["y"] < 130
    assert shown["y"] + shown["height"] <= 768
    assert page.evaluate("() => getComputedStyle(document.documentElement).fontSize") == "25.6px"
    page.keyboard.press("Escape")
    sidebar.wait_for()
    assert picture.bounding_box() == before
    page.get_by_role("button", name="Present").click()
    sidebar.wait_for(state="hidden")
    page.keyboard.press("p")
    sidebar.wait_for()
    page.locator(".st-key-chip_classifier button").first.click()
    page.locator(".st-key-classifier input").press_sequentially("pf")  # letters, where text is typed
    assert sidebar.is_visible()
    assert not page.evaluate("() => Boolean(document.fullscreenElement)")
    assert page.errors == []


@pytest.mark.timeout(300)
def test_the_largest_picture_goes_to_the_full_screen_and_back(page, server):
    page.goto(f"{server}/train_monitor")
    chart = page.locator("canvas").first
    chart.wait_for()
    page.get_by_role("button", name="Present").wait_for()
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement?.querySelector('canvas')")
    page.wait_for_function("() => document.querySelector('canvas').getBoundingClientRect().width > 1200")
    page.keyboard.press("f")
    page.wait_for_function("() => !document.fullscreenElement")
    assert page.errors == []
