"""The first visitor after a start may come by any link."""

import pytest

from tests.browser.conftest import convoscope

pytestmark = pytest.mark.browser


def test_the_link_of_a_page_opened_first_of_all_shows_the_table_of_pages(page, tmp_path):
    with convoscope(tmp_path) as address:
        page.goto(f"{address}/losses?loss_p=0.3")
        page.locator(".root .bar").first.wait_for()
        assert page.get_by_label("loss_p").input_value() == "0.3"
        sidebar = page.get_by_test_id("stSidebarNav")
        for name in ("Train and judge", "Train monitor", "Convolution arithmetic", "Loss lab"):
            sidebar.get_by_text(name, exact=True).wait_for()
        sidebar.get_by_text("Convolution arithmetic").click()
        page.wait_for_url(f"{address}/conv_arithmetic*")
        page.locator("h1", has_text="Convolution arithmetic").wait_for()
        assert page.errors == []
