"""Feature visualization and Activations in a real browser: the picture is scrubbed, maps are clicked."""

import pytest

pytestmark = pytest.mark.browser


def state(page):
    return page.locator(".root:has(.film)").evaluate("(root) => ({...root.dataset})")


def test_the_picture_is_scrubbed_back_and_forth_without_the_server(page, server):
    page.goto(
        f"{server}/feature_visualization?classifier=digits_cnn&dream_of=Class&dream_class=3&dream_set_steps=8"
        "&dream_set_every=4"
    )
    picture = page.locator(".film img.picture").first
    picture.wait_for(timeout=120_000)
    last = state(page)
    assert last["step"] == "8"
    assert last["frames"] == "3"
    shown = picture.get_attribute("src")

    slider = page.get_by_label("step of the picture")
    slider.focus()
    slider.press("Home")
    first = state(page)
    assert first["step"] == "0"
    assert float(first["objective"]) < float(last["objective"])
    assert picture.get_attribute("src") != shown
    assert page.locator(".film .figure").text_content() != ""

    page.get_by_label("play the steps").click()
    page.get_by_text("step 8 of 8").wait_for()
    assert "the best of" in page.locator(".film .words").text_content()
    with page.expect_download() as download:
        page.get_by_role("button", name="WebP").click()
    assert download.value.suggested_filename == "digits_cnn_class_3.webp"
    assert not page.errors


def test_a_map_is_clicked_and_leads_to_what_its_channel_looks_for(page, server):
    page.goto(f"{server}/activations?classifier=digits_cnn&image=digits/test/3")
    page.locator(".maps canvas").first.wait_for(timeout=120_000)
    assert page.locator(".maps canvas").count() == 32
    page.locator('button[data-layer="conv2"]').click()
    page.get_by_text("64 channels of 4 × 4 places").wait_for()
    page.locator('.maps button[data-id="7"]').click()
    page.get_by_text("Channel 7", exact=True).wait_for()
    page.wait_for_url("**act_channel=7**")
    page.get_by_role("link", name="What does it look for?").click()
    page.get_by_role("heading", name="activation2, channel 7").wait_for(timeout=120_000)
    assert not page.errors
