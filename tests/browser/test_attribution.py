"""The attribution page in a real browser: maps follow the controls, and the address keeps them."""

import pytest

pytestmark = pytest.mark.browser

SUM = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
    .reduce((sum, value, i) => sum + (i % 4 === 3 ? 0 : value), 0)"""


def test_the_overlay_follows_opacity_and_grid(page, server):
    page.goto(f"{server}/attribution?classifier=efficientnet_lite0&image=chelsea&att_methods=Grad-CAM")
    canvas = page.locator(".panel canvas").nth(1)
    canvas.wait_for(timeout=120_000)
    assert page.locator(".panel h4").all_text_contents() == ["What the network sees", "Grad-CAM"]
    assert page.get_by_text("Explains the logit of tiger cat").count() == 1

    shown = canvas.evaluate(SUM)
    page.get_by_role("button", name="Grid").click()
    assert canvas.evaluate(SUM) != shown
    page.wait_for_url("**att_grid=yes**")

    slider = page.get_by_label("Opacity of the maps")
    slider.focus()
    slider.press("Home")
    bare = canvas.evaluate(SUM)
    slider.press("End")
    assert canvas.evaluate(SUM) != bare
    page.wait_for_url("**att_opacity=1**")

    canvas.focus()
    canvas.press("ArrowRight")
    assert "place 3, 3" in page.locator(".panel .value").nth(1).text_content()
    assert not page.errors


def test_a_map_that_is_pale_on_a_shared_scale_says_so(page, server):
    page.goto(
        f"{server}/attribution?classifier=efficientnet_lite0&image=chelsea&att_scale=shared"
        "&att_methods=Grad-CAM&att_methods=Vanilla+backprop&att_grad_cam_output=probability"
    )
    page.locator(".panel canvas").nth(2).wait_for(timeout=120_000)
    page.get_by_text("Pale, since its values reach only").wait_for()
    page.get_by_role("button", name="Own").click()
    page.get_by_text("Pale, since its values reach only").wait_for(state="detached")
    assert not page.errors
