"""The attribution page in a real browser: maps follow the controls, and the address keeps them."""

import numpy as np
import pytest

from core.attribution.rendering import (
    VIEWS,
    Look,
    heat_table,
    layer,
    limit_of,
    percentile_for,
    signed_table,
    smoothed,
)
from core.paths import PROJECT

pytestmark = pytest.mark.browser

SUM = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
    .reduce((sum, value) => sum + value, 0)"""
DRAW = """([source, plane, height, width, sigma, look, percent, tables]) => {
    const draw = new Function(`${source}; return [smoothed, limitOf, layerOf];`)();
    const made = draw[0](Float32Array.from(plane), height, width, sigma);
    return [...draw[2](made, look, draw[1](made, percent), tables)];
}"""


def test_the_layer_is_the_one_that_python_draws(page):
    source = (PROJECT / "pages/elements/attribution/rendering.js").read_text("utf-8")
    tables = {"heat": heat_table().ravel().tolist(), "signed": signed_table().ravel().tolist()}
    raw = np.random.default_rng(0).standard_t(2, (23, 31)).astype(np.float32)
    page.goto("about:blank")
    for view in VIEWS:
        for sigma in (0.0, 0.75, 4.0):
            plane = smoothed(raw if view in ("signed", "raw") else np.abs(raw), sigma)
            look = Look(view, sigma, 0.3)
            expected = layer(plane, look, limit_of(plane))
            before = raw if view in ("signed", "raw") else np.abs(raw)
            found = page.evaluate(DRAW, [
                source, before.ravel().tolist(), *raw.shape, sigma, {"view": view, "share": 0.3},
                percentile_for(raw.shape), tables,
            ])  # fmt: skip
            found = np.array(found, np.uint8).reshape(*raw.shape, 4)
            same = np.abs(found.astype(int) - expected.astype(int)).max(axis=2) <= 1
            assert same.mean() > 0.998, (view, sigma)  # a value on an edge between two levels may round apart


def test_views_follow_at_once_and_the_address_keeps_them(page, server):
    page.goto(f"{server}/attribution?classifier=efficientnet_lite0&image=chelsea")
    canvas = page.locator(".stage canvas")
    canvas.wait_for(timeout=120_000)
    assert page.locator(".tag").text_content() == "Integrated gradients"
    assert page.get_by_text("Explains the logit of tiger cat").count() == 1
    box = page.locator(".stage").bounding_box()
    assert box["y"] <= 170
    assert box["width"] >= 420

    seen = {canvas.evaluate(SUM)}
    for view in ("Signed", "Spotlight", "Raw", "Heat"):
        page.get_by_role("button", name=view, exact=True).click()
        seen.add(canvas.evaluate(SUM))
    assert len(seen) == 4
    page.get_by_role("button", name="Spotlight", exact=True).click()
    page.wait_for_url("**att_view=spotlight**")

    page.get_by_role("button", name="Heat", exact=True).click()
    slider = page.get_by_label("Smoothing in pixels")
    before = canvas.evaluate(SUM)
    slider.focus()
    slider.press("Home")
    page.wait_for_url("**att_sigma=0**")
    assert canvas.evaluate(SUM) != before

    page.get_by_title("Show Grad-CAM large").click()
    assert page.locator(".tag").text_content() == "Grad-CAM"
    page.wait_for_url("**att_main=1**")
    assert not page.errors


def test_the_map_wipes_against_the_photo_and_tells_values(page, server):
    page.goto(f"{server}/attribution?classifier=efficientnet_lite0&image=chelsea&att_methods=Grad-CAM")
    stage = page.locator(".stage")
    stage.locator("canvas").wait_for(timeout=120_000)
    line = page.get_by_role("slider", name="Wipe between the map and the photo")
    at = int(line.get_attribute("aria-valuenow"))
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    assert "mean of 9 × 9 around it" in page.locator(".value").text_content()
    page.mouse.down()
    page.mouse.move(box["x"] + 300 + box["width"] / 5, box["y"] + 300, steps=4)
    page.mouse.up()
    assert int(line.get_attribute("aria-valuenow")) == pytest.approx(at + 20, abs=1)
    line.focus()
    line.press("Home")
    assert line.get_attribute("aria-valuenow") == "0"
    assert not page.errors


def test_a_map_that_is_pale_on_a_shared_scale_says_so(page, server):
    page.goto(
        f"{server}/attribution?classifier=efficientnet_lite0&image=chelsea&att_scale=shared"
        "&att_methods=Grad-CAM&att_methods=Vanilla+backprop&att_grad_cam_output=probability"
    )
    page.locator(".tiles canvas").nth(1).wait_for(timeout=120_000)
    page.get_by_text("Pale, since its values reach only").wait_for()
    page.get_by_role("button", name="Own scale").click()
    page.get_by_text("Pale, since its values reach only").wait_for(state="detached")
    assert not page.errors
