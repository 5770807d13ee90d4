"""What a stranger meets: every page and every view of it, in an empty home folder and without network.

Each opens on a picture, and with nothing red, no traceback, no error in the browser's console and no request
to another host. On a laptop and on a phone the picture stands at the top.
"""

import time
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import PATIENCE, convoscope

pytestmark = pytest.mark.browser

# page: how far down its picture may begin at 1366 × 768. The aim is 170 for all.
PAGES = {
    "home": 170,
    "occlusion": 170,
    "attribution": 170,
    "filters": 215,
    "feature_visualization": 240,
    "activations": 190,
    "data": 190,
    "train_monitor": 170,
    "confusion_matrices": 215,
    "embedding": 280,
    "conv_arithmetic": 420,
    "losses": 420,
}
MOST_ABOVE = 12  # interactive things above the picture on the pages that begin at 215 or higher; the aim is 8
# page: (the parameter of its views, the views that have a picture at once, those that wait for something)
VIEWS = {
    "occlusion": ("occ_part", ("All windows",), ("Gallery",)),
    "attribution": ("att_compare", ("Classes",), ()),
    "filters": ("fl_view", ("One channel",), ("Switch off",)),
    "feature_visualization": ("dream_start", ("The chosen image",), ()),
    "activations": ("act_view", ("One filter of every layer",), ()),
    "data": ("data_part", ("Batch",), ("Duplicates", "Left out", "Upload")),
    "train_monitor": ("tm_part", ("Compare",), ("New run", "Ablation", "Import logs")),
    "confusion_matrices": (
        "cm_part",
        ("Classes", "One against the rest", "Calibration", "Errors", "Two classifiers"),
        ("Findings", "Your own matrix"),
    ),
    "embedding": ("em_projection", ("PCA", "UMAP"), ()),
    "conv_arithmetic": ("conv_part", ("Stack", "Known kernels", "Template matching"), ("Sizes",)),
    "losses": ("loss_part", ("Softmax", "A step with L2"), ()),
    "import_checkpoint": ("", (), ("",)),
    "storage": ("", (), ("",)),
}
WITH_PICTURE = [
    *((page, {}) for page in PAGES),
    *((page, {key: view}) for page, (key, views, _) in VIEWS.items() for view in views),
    # The shipped networks of CIFAR-10 bring their predictions along.
    ("confusion_matrices", {"classifier": "cifar10_resnet18"}),
]
WITHOUT_PICTURE = [
    *((page, {key: view} if key else {}) for page, (key, _, views) in VIEWS.items() for view in views),
    ("filters", {"fl_view": "Patches by rank"}),  # waits for filters to be chosen
    ("filters", {"classifier": "cifar10_resnet18"}),
    ("embedding", {"classifier": "cifar10_resnet18"}),
    ("filters", {"classifier": "efficientnet_lite0", "fl_set": "fashion_mnist"}),
]
# How many times as long as an empty page the first picture may take, and the seconds that always do: a
# busy machine is no defect, a page that computes for minutes before it shows anything is one.
MOST_TIMES_EMPTY, ALWAYS_ENOUGH = 40, 100

# The first picture in the page itself: its distance from the top, and what stands above it.
PICTURE = """() => {
    const pictures = [], controls = [], kinds = 'button, input, select, [role=slider], [role=combobox]';
    const visible = (element) => {
        const box = element.getBoundingClientRect(), style = getComputedStyle(element);
        return style.visibility !== 'hidden' && box.width > 4 && box.height > 4 ? box : null;
    };
    const walk = (root) => {
        for (const element of root.querySelectorAll('canvas, img, svg, .cell, .meter')) {
            const box = visible(element);
            const cell = element.matches('.cell, .meter');
            if (box && (cell || (box.width >= 60 && box.height >= 60))) pictures.push(box.top);
        }
        for (const element of root.querySelectorAll(kinds)) {
            const box = visible(element);
            if (box) controls.push(box.bottom);
        }
        for (const element of root.querySelectorAll('*')) if (element.shadowRoot) walk(element.shadowRoot);
    };
    const main = document.querySelector('[data-testid="stMainBlockContainer"]');
    if (main) walk(main);
    if (!pictures.length) return null;
    const top = Math.min(...pictures);
    return {top, above: controls.filter((bottom) => bottom <= top).length};
}"""
AT_REST = """() => document.querySelector('[data-testid="stApp"]')
    ?.getAttribute('data-test-script-state') === 'notRunning'"""
STREAMLITS_OWN = ("_stcore/health", "_stcore/host-config")  # asked below the page's path too, and not found


# A warning is no fault on Train monitor, where it is the verdict on a training that overfits.
BAD, WARNING = ("stException", "stAlertContentError"), "stAlertContentWarning"
NeverAtRest = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").TimeoutError


class Visit:
    """A window that remembers what went wrong in it."""

    def __init__(self, context, address):
        self.window, self.address = context.new_page(), address
        self.window.set_default_timeout(120_000)
        self.page, self.problems, self.foreign = "", [], []
        self.window.on("pageerror", lambda error: self.problems.append(str(error)))
        self.window.on("console", self._said)
        self.window.on("request", self._asked)

    def _said(self, message):
        if message.type == "error" and not any(
            own in message.location.get("url", "") for own in STREAMLITS_OWN
        ):
            self.problems.append(message.text)

    def _asked(self, request):
        if request.url.startswith(("http", "ws")) and "127.0.0.1" not in request.url:
            self.foreign.append(request.url)

    def open(self, page, query):
        """Open a page; returned is when."""
        began, self.page = time.monotonic(), page
        path = "" if page == "home" else page
        self.window.goto(f"{self.address}/{path}?{urlencode(query)}")
        return began

    def picture(self):
        """Where the first picture is, as soon as there is one."""
        self.window.wait_for_function(PICTURE)
        return self.window.evaluate(PICTURE)

    def picture_at(self, lowest):
        """Where the first picture is once it is at `lowest` or higher, else where it stays."""
        with suppress(NeverAtRest):
            self.window.wait_for_function(f"() => ({PICTURE})()?.top <= {lowest}", timeout=PATIENCE)
        return self.window.evaluate(PICTURE)

    def check(self):
        """Fail on anything red, and on what the browser has complained of."""
        with suppress(NeverAtRest):  # what is computed for minutes shows its picture before
            self.window.wait_for_function(AT_REST, timeout=PATIENCE)
        for bad in (*BAD, *(() if self.page == "train_monitor" else (WARNING,))):
            found = self.window.locator(f'[data-testid="{bad}"]')
            assert not found.count(), found.first.inner_text()
        assert "Traceback" not in self.window.inner_text("body")
        assert not self.problems
        assert not self.foreign


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    with convoscope(tmp_path_factory.mktemp("empty_home")) as address:
        yield address


@pytest.fixture
def visit(chromium, fresh):
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    yield Visit(context, fresh)
    context.close()


@pytest.fixture(scope="module")
def empty_page(chromium, fresh):
    """Seconds until the page with the least on it is at rest, the second time."""
    for _ in range(2):
        context = chromium.new_context(viewport={"width": 1366, "height": 768})
        empty = Visit(context, fresh)
        began = empty.open("storage", {})
        empty.window.locator("h1").first.wait_for()
        empty.window.wait_for_function(AT_REST)
        seconds = time.monotonic() - began
        context.close()
    return seconds


def words(case):
    return "-".join((case[0], *case[1].values())).replace(" ", "_")


def cases(views):
    """Each page as it opens in `make test`; its other views in `make test-all`."""
    return [pytest.param(case, id=words(case), marks=[pytest.mark.all] if case[1] else []) for case in views]


@pytest.mark.parametrize("case", cases(WITH_PICTURE))
def test_a_view_opens_on_a_picture_soon(visit, empty_page, case):
    began = visit.open(*case)
    visit.picture()
    assert time.monotonic() - began <= max(ALWAYS_ENOUGH, MOST_TIMES_EMPTY * empty_page)
    page, query = case
    if not query:
        visit.check()
        found = visit.picture_at(PAGES[page])
        assert found["top"] <= PAGES[page], f"the picture begins at {found['top']:.0f}"
        if PAGES[page] <= 215:
            assert found["above"] <= MOST_ABOVE
    visit.check()


@pytest.mark.parametrize("case", cases(WITHOUT_PICTURE))
def test_a_view_that_waits_for_something_says_so_without_an_error(visit, case):
    visit.open(*case)
    visit.window.locator("h1").first.wait_for()
    visit.check()


@pytest.mark.parametrize("name", ["home", "occlusion", "attribution", "confusion_matrices"])
def test_on_a_phone_the_picture_is_on_the_first_screen(chromium, fresh, name):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    try:
        phone = Visit(context, fresh)
        phone.open(name, {})
        phone.picture()
        phone.check()  # what stands above may be drawn later than what stands below
        assert phone.picture_at(330)["top"] <= 330
        assert phone.window.evaluate("() => document.documentElement.scrollWidth") <= 390
    finally:
        context.close()
