"""What a stranger meets: every page opens on its picture, in an empty home folder and without network."""

import pytest

from tests.browser.conftest import convoscope

pytestmark = pytest.mark.browser

# page: (what its picture is, how far down it may begin at 1366 × 768)
PAGES = {
    "home": ('[data-testid="stImage"] img', 170),
    "occlusion": ('canvas[data-pane="picture"]', 170),
    "attribution": (".stage canvas", 170),
    "filters": (".cards canvas", 215),
    "feature_visualization": ('canvas[role="img"], .film canvas, [data-testid="stImage"] img, img', 240),
    "activations": (".maps canvas", 190),
    "data": (".sheet canvas", 190),
    "train_monitor": ("canvas", 170),
    "confusion_matrices": ("canvas", 215),
    "embedding": ("canvas[data-map]", 280),
    "conv_arithmetic": (".cell", 420),
    "losses": ("svg", 420),
}
# What stands above the picture in the page itself: buttons, fields, sliders that can be seen.
ABOVE = """([top]) => {
    const found = [], kinds = 'button, input, select, [role="slider"], [role="combobox"]';
    const walk = (root) => {
        for (const element of root.querySelectorAll(kinds)) {
            const box = element.getBoundingClientRect(), style = getComputedStyle(element);
            const large = box.width > 4 && box.height > 4;
            if (style.visibility !== 'hidden' && large && box.bottom <= top) found.push(element);
        }
        for (const element of root.querySelectorAll('*')) if (element.shadowRoot) walk(element.shadowRoot);
    };
    walk(document.querySelector('[data-testid="stMainBlockContainer"]'));
    return found.length;
}"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    with convoscope(tmp_path_factory.mktemp("empty_home")) as address:
        yield address


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_on_its_picture(chromium, fresh, name):
    """Nothing red, nothing foreign, and the picture is at the top."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.set_default_timeout(120_000)
    problems, foreign = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda r: r.url.startswith(("http", "ws")) and "127.0.0.1" not in r.url and foreign.append(r.url),
    )
    try:
        page.goto(f"{fresh}/{'' if name == 'home' else name}")
        picture, lowest = PAGES[name]
        shown = page.locator(picture).first
        shown.wait_for()
        page.locator('[data-testid="stAlertContentError"]').first.wait_for(state="detached")
        assert page.locator('[data-testid="stException"]').count() == 0
        box = shown.bounding_box()
        assert box["y"] <= lowest, f"the picture begins at {box['y']:.0f}"
        if lowest <= 215:
            assert page.evaluate(ABOVE, [box["y"]]) <= 12
        assert not problems
        assert not foreign
    finally:
        context.close()


@pytest.mark.parametrize("name", ["occlusion", "attribution", "confusion_matrices"])
def test_on_a_phone_the_picture_is_on_the_first_screen(chromium, fresh, name):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    try:
        page.goto(f"{fresh}/{name}")
        shown = page.locator(PAGES[name][0]).first
        shown.wait_for()
        assert shown.bounding_box()["y"] <= 330
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    finally:
        context.close()
