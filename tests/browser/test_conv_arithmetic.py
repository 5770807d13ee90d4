"""The convolution playground in a real browser: every number it shows is Python's."""

import json
import re
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import expect

from core.by_hand.conv_arithmetic import forward
from core.by_hand.conv_exercise import Exercise, to_address
from core.by_hand.conv_layer import Layer
from core.by_hand.conv_presets import preset, presets
from core.by_hand.template_matching import filtered, gray, kernel, match
from core.data.samples import sample_image
from pages.elements.conv_arithmetic.photo_kernel import small
from tests.by_hand.conv_terms import fed_by, terms, unread

pytestmark = pytest.mark.browser
rng = np.random.default_rng(3)


def _numbers(*shape):
    return rng.integers(-4, 5, shape).astype(float)


def _exercise(kind, *, channels=2, filters=3, size=(5, 4), bias=True, **settings):
    pooling = kind in ("max_pool", "avg_pool")
    filters = channels if pooling else filters
    layer = Layer(kind, channels, filters, bias=bias and not pooling, **settings)
    return Exercise(
        layer,
        _numbers(channels, *size),
        None if pooling else _numbers(*layer.weight_shape),
        _numbers(filters) if layer.bias else None,
    )


MORE = {
    "grouped, strided, dilated": _exercise(
        "conv",
        channels=4,
        filters=4,
        size=(7, 6),
        groups=2,
        stride=(2, 1),
        dilation=(1, 2),
        padding=(1, 2),
        kernel_size=(3, 2),
    ),
    "same, even kernel, replicate": _exercise(
        "conv", kernel_size=(2, 4), padding="same", padding_mode="replicate"
    ),
    "circular": _exercise("conv", padding=(2, 1), padding_mode="circular"),
    "reflect": _exercise("conv", padding=(2, 2), padding_mode="reflect", bias=False),
    "transposed": _exercise(
        "conv_transpose",
        channels=2,
        filters=2,
        stride=(2, 3),
        padding=(1, 0),
        groups=2,
        output_padding=(1, 2),
        dilation=(2, 1),
        kernel_size=(2, 3),
    ),
    "max, dilated, ceil": _exercise(
        "max_pool", kernel_size=(2, 2), stride=(3, 2), dilation=(2, 1), ceil_mode=True
    ),
    "average, ceil": _exercise("avg_pool", size=(6, 5), stride=(2, 2), padding=(1, 1), ceil_mode=True),
    "average, without padding": _exercise("avg_pool", stride=(2, 2), padding=(1, 1), count_include_pad=False),
}
EVERY = {p.name: p.exercise for p in presets()} | MORE


def _open(page, server, **parameters):
    page.goto(f"{server}/conv_arithmetic?{urlencode(parameters)}")
    page.locator(".root .stage, .root .panes").first.wait_for()


def _output(page):
    return page.evaluate(
        """() => {
        const root = ([...document.querySelectorAll('*')]
            .find((e) => e.shadowRoot?.querySelector('.stage')).shadowRoot);
        return [...root.querySelectorAll('.outputs .grid')].map((grid) => {
            const columns = getComputedStyle(grid).gridTemplateColumns.split(' ').length;
            const cells = [...grid.querySelectorAll('.cell')].map((c) => Number(c.dataset.value));
            const rows = [];
            while (cells.length) rows.push(cells.splice(0, columns));
            return rows;
        });
    }"""
    )


@pytest.mark.parametrize("name", EVERY)
def test_every_number_is_pythons(page, server, name):
    exercise = EVERY[name]
    layer, x = exercise.layer, exercise.x
    _open(page, server, **to_address(exercise))
    expected = forward(layer, x, exercise.weight, exercise.bias)
    np.testing.assert_allclose(np.array(_output(page)), expected, atol=1e-9)
    size = x.shape[1:]
    last = tuple(n - 1 for n in expected.shape)
    for o, i, j in {(0, 0, 0), last, tuple(n // 2 for n in expected.shape)}:
        page.locator(f'[data-field="o.{o}.{i}.{j}"]').click()
        parts = terms(layer, x, exercise.weight, o, (i, j))
        found = page.evaluate(
            """() => {
            const root = ([...document.querySelectorAll('*')]
            .find((e) => e.shadowRoot?.querySelector('.stage')).shadowRoot);
            return Object.fromEntries([...root.querySelectorAll('[data-product]')]
                .map((c) => [c.dataset.tap, Number(c.dataset.product)]));
        }"""
        )
        assert found == {f"{t.channel}.{t.tap[0]}.{t.tap[1]}": t.product for t in parts}
        if not layer.is_pooling and parts:
            shown = page.locator(".written .sum").get_attribute("data-result")
            assert float(shown) == pytest.approx(expected[o, i, j])
    source = tuple(n // 2 for n in size)
    page.locator(f'[data-field="x.0.{source[0]}.{source[1]}"]').hover()
    fed = {cell for cell, _ in fed_by(layer, size, source)}
    assert page.locator(".outputs .titled").first.locator(".cell.fed").count() == len(fed)
    rows, columns = unread(layer, size)
    (top, bottom), (left, right) = layer.paddings
    area = (size[0] + top + bottom, size[1] + left + right)
    left_over = area[0] * area[1] - (area[0] - len(rows)) * (area[1] - len(columns))
    if layer.kind == "conv_transpose":
        left_over = 0
    assert page.locator(".channel").first.locator(".cell.unread").count() == left_over
    assert page.errors == []


def test_a_changed_cell_changes_the_output_and_the_address(page, server):
    _open(page, server)
    cell = page.locator('[data-field="x.0.1.1"]')
    cell.fill("10")
    cell.press("Enter")
    exercise = preset("valid").exercise
    x = exercise.x.copy()
    x[0, 1, 1] = 10
    expected = forward(exercise.layer, x, exercise.weight)
    np.testing.assert_allclose(_output(page), expected)
    page.wait_for_url(re.compile("conv_x="))
    page.reload()
    page.locator(".root .stage").wait_for()
    np.testing.assert_allclose(_output(page), expected)
    assert page.errors == []


def test_settings_follow_at_once_and_presets_are_recognized(page, server):
    _open(page, server)
    page.locator('[data-field="padding"]').fill("1")
    page.locator('[data-field="dilation"]').fill("2")
    np.testing.assert_allclose(_output(page)[0], [[24, 24], [20, 20]])
    page.wait_for_url(re.compile("conv_dilation=2"))
    page.reload()
    page.locator(".root .stage").wait_for()
    assert "18 and 26" in page.locator(".note").inner_text()
    page.locator('[data-field="stride"]').fill("2")
    assert page.locator(".note").count() == 0  # the answer of another exercise is not left standing
    page.wait_for_url(re.compile("conv_stride=2"))
    page.wait_for_timeout(800)  # sooner than any hand: an address from just before would be taken for an echo
    page.go_back()
    expect(page.locator('[data-field="stride"]')).to_have_value("1")
    np.testing.assert_allclose(_output(page)[0], [[24, 24], [20, 20]])
    page.get_by_label("layer").select_option("max_pool")
    assert len(_output(page)) == 3
    page.get_by_label("layer").select_option("conv_transpose")
    page.get_by_label("layer").select_option("conv")
    np.testing.assert_allclose(_output(page)[0], [[24, 24], [20, 20]])


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("stride", "0", "a whole number from 1 to 9"),
        ("padding", "wide", '"same" or "valid"'),
        ("kernel_size", "7", "The kernel needs 7 rows, but the padded input has 4"),
        ("groups", "2", "choose a divisor of both 3"),
        ("x.1.0.0", "two", '"two" is not a number'),
    ],
)
def test_what_is_wrong_is_named_and_the_last_good_result_stays(page, server, field, text, message):
    _open(page, server)
    before = _output(page)
    cell = page.locator(f'[data-field="{field}"]')
    cell.fill(text)
    cell.press("Tab")
    assert message in page.locator('[role="alert"]').first.inner_text()
    assert page.locator(f'[data-field="{field}"]').get_attribute("aria-invalid") == "true"
    assert _output(page) == before
    assert page.errors == []


def test_playing_stepping_and_keys(page, server):
    _open(page, server, conv_padding="1")
    where = page.locator(".player [role=status]")
    page.get_by_label("one cell on").click()
    assert where.inner_text() == "row 1, column 2"
    page.locator('[data-field="o.0.0.1"]').press("ArrowDown")
    assert where.inner_text() == "row 2, column 2"
    seen = {where.inner_text()}
    page.get_by_label("play or pause").click()
    expect(where).not_to_have_text("row 2, column 2")
    seen.add(where.inner_text())
    expect(where).not_to_have_text(re.compile("|".join(seen)))
    page.get_by_label("play or pause").click()
    stopped = where.inner_text()
    page.wait_for_timeout(700)
    assert where.inner_text() == stopped
    page.wait_for_url(re.compile("conv_at="))


def test_cells_are_left_and_reached_by_keys(page, server):
    _open(page, server)
    page.locator('[data-field="x.0.0.0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    page.keyboard.type("-1/2")
    page.keyboard.press("ArrowUp")
    exercise = preset("valid").exercise
    x = exercise.x.copy()
    x[0, 1, 1], x[0, 2, 1] = 7, -0.5
    np.testing.assert_allclose(_output(page), forward(exercise.layer, x, exercise.weight))
    page.locator('[data-field="stride"]').focus()
    page.keyboard.press("ArrowUp")
    assert page.locator('[data-field="stride"]').input_value() == "2"
    assert page.errors == []


def test_a_block_is_pasted_into_the_cells(page, server):
    _open(page, server)
    page.locator('[data-field="x.2.1.1"]').evaluate(
        """(cell) => {
        const clipboardData = new DataTransfer();
        clipboardData.setData('text', '10\\t20\\n30\\t40');
        cell.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    }"""
    )
    exercise = preset("valid").exercise
    x = exercise.x.copy()
    x[2, 1:3, 1:3] = [[10, 20], [30, 40]]
    np.testing.assert_allclose(_output(page), forward(exercise.layer, x, exercise.weight))


def test_predict_first_hides_the_answer_until_one_is_typed(page, server):
    _open(page, server, conv_predict="1")
    assert "45" not in page.locator(".stage").inner_text()
    assert "Answer" not in page.locator(".note").first.inner_text()
    page.get_by_label("your rows").fill("3")
    page.get_by_label("your columns").fill("2")
    page.get_by_role("button", name="Check").click()
    assert "Not 3 × 2" in page.locator(".stage").inner_text()
    page.get_by_label("your rows").fill("2")
    page.get_by_role("button", name="Check").click()
    cell = page.locator('[data-field="o.0.0.0"]')
    cell.fill("45")
    cell.press("Enter")
    assert "correct" in page.locator('[data-field="o.0.0.0"]').get_attribute("class")
    page.locator('[data-field="o.0.1.0"]').fill("50")
    page.locator('[data-field="o.0.1.0"]').press("Enter")
    assert page.locator('[data-field="o.0.1.0"]').get_attribute("title") == "you wrote 50"
    assert "1 of 4 right, 2 answered" in page.locator(".stage").inner_text()
    page.get_by_role("button", name="Show all").click()
    np.testing.assert_allclose(_output(page)[0], [[45, 45], [54, 54]])


def test_a_bad_link_is_named_and_the_page_lives(page, server):
    page.goto(f"{server}/conv_arithmetic?conv_x=1+cat")
    assert "conv_x holds 'cat'" in page.get_by_test_id("stAlert").inner_text()
    page.locator(".root .stage").wait_for()
    np.testing.assert_allclose(_output(page)[0], [[45, 45], [54, 54]])


def _root_data(page, name):
    return page.evaluate(
        f"""() => [...document.querySelectorAll('*')].find((e) => e.shadowRoot?.querySelector('.panes'))
        .shadowRoot.querySelector('.root').dataset.{name}"""
    )


def test_a_kernel_on_the_photo_is_pythons(page, server):
    photo = gray(small(sample_image("chelsea").pixels))
    for name in ("sobel_x", "gabor"):
        _open(page, server, conv_part="Known kernels", conv_known=name)
        expected = filtered(photo, kernel(name).values)
        assert float(_root_data(page, "low")) == pytest.approx(expected.min(), abs=1e-9)
        assert float(_root_data(page, "high")) == pytest.approx(expected.max(), abs=1e-9)
    before = page.locator(".readout").inner_text()
    page.locator("canvas").nth(1).click(position={"x": 40, "y": 30})
    expect(page.locator(".readout")).not_to_have_text(before)
    x, y = map(int, _root_data(page, "at").split(","))
    assert float(_root_data(page, "value")) == pytest.approx(expected[y, x], abs=1e-9)


def test_a_dragged_patch_is_found_where_python_finds_it(page, server):
    photo = gray(small(sample_image("chelsea").pixels))
    _open(page, server, conv_part="Template matching")
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 90, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile("conv_patch="))
    x, y, side = map(int, re.search(r"conv_patch=(\d+)[+ ](\d+)[+ ](\d+)", page.url).groups())
    expected = match(photo, photo[y : y + side, x : x + side])
    assert float(_root_data(page, "low")) == pytest.approx(expected.min(), abs=1e-9)
    assert json.loads(_root_data(page, "best"))[0] == pytest.approx([x, y, 1.0], abs=1e-9)
    page.get_by_text("normalized: mean").click()
    page.wait_for_url(re.compile("conv_raw=1"))
    raw = match(photo, photo[y : y + side, x : x + side], normalized=False)
    assert float(_root_data(page, "high")) == pytest.approx(raw.max(), rel=1e-9)
    assert page.errors == []


def test_predict_first_hides_what_a_kernel_makes(page, server):
    _open(page, server, conv_part="Known kernels", conv_known="sobel_x", conv_photo_predict="true")
    answer = page.get_by_label("the wall: your answer")
    assert page.locator(".scale").inner_text() == ""
    answer.fill("0.5")
    answer.press("Enter")
    page.get_by_text("you wrote 0.5").wait_for()
    page.get_by_text("gray: 0, one scale for both signs").wait_for()
    page.get_by_label("kernel", exact=True).select_option("gaussian")
    answer.fill("0.5")  # another kernel, another question
    answer.press("Enter")
    page.get_by_text("✓ right").wait_for()


def test_predict_first_lets_point_at_the_best_place(page, server):
    photo = gray(small(sample_image("chelsea").pixels))
    _open(page, server, conv_part="Template matching", conv_patch="60 40 24", conv_photo_predict="true")
    expected = match(photo, photo[40:64, 60:84])
    expected[29:52, 49:72] = -1  # on the patch itself
    y, x = np.unravel_index(expected.argmax(), expected.shape)
    assert page.locator(".box.best").count() == 0
    result = page.get_by_label("result")
    box = result.bounding_box()
    height, width = expected.shape
    result.click(position={"x": (x + 0.5) * box["width"] / width, "y": (y + 0.5) * box["height"] / height})
    page.get_by_text("✓ right: nothing else fits as well").wait_for()
    assert page.locator(".box.best").count() > 0
    page.get_by_label("photo: drag the patch").press("ArrowRight")
    page.get_by_text("Before you see the map").wait_for()
    result.press("Enter")
    page.get_by_text("Before you see the map").wait_for(state="detached")
    assert page.errors == []
