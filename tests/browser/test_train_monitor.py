"""A run from the button to its end, in a real browser: it grows, survives a reload, stops and goes on."""

import re

import pytest

pytestmark = pytest.mark.browser
FORM = "tm_part=New+run&tm_set=digits&tm_small_cnn_widths=4,8&tm_small_cnn_hidden=16&tm_batch_size=32"


def _open(page, server, address):
    page.goto(f"{server}/train_monitor?{address}")
    page.get_by_role("heading", name="Train monitor").wait_for(timeout=90_000)


def _epoch(page):
    """The epoch that the progress line tells."""
    text = page.get_by_text(re.compile(r"epoch \d+ of")).first.inner_text()
    return int(re.search(r"epoch (\d+) of", text)[1])


def _wait_for_epoch(page, least, timeout=90):
    for _ in range(timeout * 4):
        if _epoch(page) >= least:
            return
        page.wait_for_timeout(250)
    pytest.fail(f"epoch {least} was not reached; the page says {_epoch(page)}")


@pytest.mark.timeout(600)
def test_a_run_grows_survives_a_reload_stops_and_goes_on(page, server):
    _open(page, server, f"{FORM}&tm_epochs=400")
    page.locator(".st-key-tm_name input").wait_for(timeout=90_000)
    page.locator(".st-key-tm_name input").fill("browser_run")
    page.locator(".st-key-tm_name input").press("Enter")
    page.get_by_text("--name browser_run").wait_for(state="attached")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("running").first.wait_for(timeout=90_000)
    page.locator("canvas").first.wait_for(timeout=90_000)
    _wait_for_epoch(page, 2)
    assert page.get_by_text(re.compile("images/s")).count() == 1
    before = _epoch(page)
    _wait_for_epoch(page, before + 1)  # nobody touched the page

    page.reload()
    page.locator("canvas").first.wait_for(timeout=90_000)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Resume", exact=True).wait_for(timeout=90_000)
    stopped = _epoch(page)
    assert 2 <= stopped < 400

    page.get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).wait_for(timeout=90_000)
    _wait_for_epoch(page, stopped + 1)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Resume", exact=True).wait_for(timeout=90_000)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    page.get_by_role("button", name="Resume", exact=True).wait_for(state="hidden")
    assert page.errors == []


@pytest.mark.timeout(600)
def test_a_short_run_ends_with_its_verdict_and_its_test_accuracy(page, server):
    _open(page, server, f"{FORM}&tm_epochs=2")
    page.locator(".st-key-tm_name input").wait_for(timeout=90_000)
    page.locator(".st-key-tm_name input").fill("short_run")
    page.locator(".st-key-tm_name input").press("Enter")
    page.get_by_text("--name short_run").wait_for(state="attached")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("finished").first.wait_for(timeout=120_000)
    words = page.get_by_test_id("stAlert").first.inner_text()
    assert "On the test images the best weights reach" in words
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert sum(line.startswith("short_run,epoch") for line in lines) == 2
    page.get_by_role("button", name="Use these settings").click()
    page.get_by_role("button", name="Start", exact=True).wait_for()
    assert page.locator(".st-key-tm_epochs input").input_value() == "2"
    assert page.errors == []
