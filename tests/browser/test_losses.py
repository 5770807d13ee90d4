"""The loss lab in a real browser: every figure is Python's, and what can be dragged can be dragged."""

import re
from urllib.parse import urlencode

import numpy as np
import pytest

from tests.browser.conftest import drawn
from tests.by_hand.losses import (
    binary_cross_entropy,
    binary_gradients,
    cross_entropy,
    descend,
    entropy,
    kl_divergence,
    softmax,
    softmax_by_hand,
    softmax_jacobian,
    squared_error,
)

pytestmark = pytest.mark.browser


def _open(page, server, **parameters):
    page.goto(f"{server}/losses?{urlencode(parameters)}")
    page.locator(".root .bar").first.wait_for()


def _figure(page, name):
    return float(page.locator(f'[data-figure="{name}"]').get_attribute("data-value"))


@pytest.mark.parametrize(("y", "p", "base"), [(1, 0.1, 2), (0, 0.7, 0), (1, 0.999, 0)])
def test_two_classes(page, server, y, p, base):
    _open(page, server, loss_y=y, loss_p=p, loss_base=base)
    unit = base or np.e
    slopes = binary_gradients(y, p, base=unit)
    assert _figure(page, "cross-entropy") == pytest.approx(binary_cross_entropy(y, p, base=unit))
    assert _figure(page, "squared error") == pytest.approx(squared_error(y, p))
    for name, words in (("cross_entropy", "cross-entropy"), ("squared_error", "squared error")):
        for variable in "pz":
            assert _figure(page, f"slope of {words} in {variable}") == pytest.approx(
                slopes[f"{name}_{variable}"]
            )


def test_the_wildlife_exercise_and_dragging(page, server):
    _open(page, server, loss_base=2)
    assert _figure(page, "mean cross-entropy") == pytest.approx(1.79, abs=0.005)
    chart = page.locator(".plot").first
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 90, steps=8)
    page.mouse.up()
    page.wait_for_url(re.compile("loss_p=0.6"))
    p = float(page.get_by_label("loss_p").input_value())
    assert p == pytest.approx((0.7 * 460 - 38) / (460 - 48), abs=0.01)
    assert _figure(page, "cross-entropy") == pytest.approx(binary_cross_entropy(1, p, base=2))
    page.locator('[data-field="handle"]').press("ArrowRight")
    drawn(page)
    assert float(page.get_by_label("loss_p").input_value()) == pytest.approx(p + 0.01)
    assert page.errors == []


def test_what_is_typed_wrong_is_named_where_it_stands(page, server):
    _open(page, server)
    before = _figure(page, "cross-entropy")
    page.get_by_label("loss_p").fill("1.5")
    page.get_by_label("loss_p").press("Enter")
    assert '"1.5": a number from 0 to 1' in page.locator(".problem").first.inner_text()
    assert _figure(page, "cross-entropy") == before
    page.goto(f"{server}/losses?loss_p=2")
    assert "loss_p is '2': write 1 number from 0 to 1" in page.get_by_test_id("stAlert").inner_text()


def test_cross_entropy_bars(page, server):
    _open(page, server, loss_part="Cross-entropy", loss_true="0.5 0.3 0.2", loss_predicted="0.1 0.1 0.8")
    column = page.get_by_label("Truth p: drag the bars, class 1")
    box = column.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] * 0.2, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile(r"loss_true=0\.(79|8)"))
    p = np.array(
        [float(v) for v in re.search(r"loss_true=([^&]*)", page.url)[1].replace("%20", "+").split("+")]
    )
    p, q = p / p.sum(), np.array([0.1, 0.1, 0.8])
    assert p[0] == pytest.approx(0.8, abs=0.01)
    assert _figure(page, "entropy") == pytest.approx(entropy(p), abs=1e-6)
    assert _figure(page, "KL divergence") == pytest.approx(kl_divergence(p, q), abs=1e-6)
    assert _figure(page, "cross-entropy") == pytest.approx(cross_entropy(p, q), abs=1e-6)
    page.get_by_label("Prediction q: drag the bars, class 3").press("PageUp")
    page.get_by_label("Prediction q: drag the bars, class 3").press("PageUp")
    page.get_by_text("no finite price").wait_for()
    assert page.errors == []


@pytest.mark.parametrize(
    ("part", "field", "key", "figure"),
    [
        ("Two classes", "handle", "PageUp", lambda: binary_cross_entropy(1, 0.6)),
        ("Cross-entropy", "loss_predicted.0", "PageUp", lambda: cross_entropy([0.7, 0.2, 0.1], _raised(5))),
        ("A step with L2", "bowl", "ArrowLeft", lambda: _stepped(-2.5 - 5 * 0.1)),
    ],
)
def test_keys_that_come_faster_than_the_picture_all_count(page, server, part, field, key, figure):
    name = {"Two classes": "cross-entropy", "Cross-entropy": "cross-entropy"}.get(part, "new w1")
    _open(page, server, loss_part=part)
    page.locator(f'[data-field="{field}"]').evaluate(
        """(element, key) => {
          const press = () => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          for (let i = 0; i < 5; i++) press();
        }""",
        key,
    )
    page.wait_for_url(re.compile("loss_(p|predicted|w)="))
    assert _figure(page, name) == pytest.approx(figure(), rel=1e-3)


def _raised(steps):
    """The default prediction after its first bar was raised `steps` times by 0.1."""
    q = np.array([0.3, 0.5, 0.2])
    q[1:] *= (0.7 - steps * 0.1) / 0.7
    q[0] += steps * 0.1
    return q


def _stepped(w1):
    return descend(
        np.array([w1, 2.0]), np.array([2.0, 0.5]), np.array([1.0, 3.0]), rate=0.2, weight_decay=0.5
    )[1][0]


def test_typing_goes_on_while_the_picture_changes(page, server):
    _open(page, server)
    page.get_by_label("pair 0 p").fill("0.25")
    page.keyboard.press("Tab")
    page.locator('[data-loss="0"][data-value^="1.38"]').wait_for()  # drawn anew, with -log 0.25
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("0.5")  # in place of the 0.2 that is selected
    page.get_by_role("button", name="Add a row").click()  # leaves the field by the very click
    page.get_by_label("pair 3 p").wait_for()
    assert page.get_by_label("pair 1 p").input_value() == "0.5"
    assert page.errors == []


def test_an_answer_left_with_tab_is_kept(page, server):
    _open(page, server, loss_part="A step with L2", loss_predict="true")
    page.get_by_label("new w1: your answer").click()
    page.keyboard.type("7")
    page.keyboard.press("Tab")
    page.get_by_text("you wrote 7").wait_for()
    page.keyboard.type("8")
    page.keyboard.press("Enter")
    page.get_by_text("you wrote 8").wait_for()


@pytest.mark.parametrize(("more", "answer"), [("5", "15"), ("", "1")])
def test_a_redrawing_in_mid_answer_takes_nothing_and_loses_nothing(page, server, more, answer):
    _open(page, server, loss_part="A step with L2", loss_predict="true")
    page.get_by_label("new w2: your answer").click()
    page.keyboard.type("1")
    page.get_by_label("new w1: your answer").evaluate(
        "input => { input.value = '-1.35'; input.dispatchEvent(new Event('change')); }"
    )
    page.locator(".right").wait_for()
    assert page.get_by_label("new w2: your answer").input_value() == "1"
    page.keyboard.type(more)
    page.keyboard.press("Enter")
    page.get_by_text(f"you wrote {answer}", exact=True).wait_for()


@pytest.mark.parametrize(
    "z", [[1.0, 2.0, 3.0], [1000.0, 1001.0, 1002.0], [-200.0, -201.0], [88.0, 80.0, 3.0, 0.0]]
)
def test_softmax(page, server, z):
    _open(page, server, loss_part="Softmax", loss_z=" ".join(map(str, z)))
    z = np.array(z)
    naive = [float(page.locator(f'[data-naive="{i}"]').get_attribute("data-value")) for i in range(len(z))]
    np.testing.assert_allclose(naive, softmax_by_hand(z), rtol=1e-5)
    np.testing.assert_allclose(
        [_figure(page, f"p{i + 1}") for i in range(len(z))], softmax(z, dtype=np.float32), rtol=1e-5
    )
    jacobian = [
        [float(page.locator(f'[data-jacobian="{i}.{j}"]').get_attribute("data-value")) for j in range(len(z))]
        for i in range(len(z))
    ]
    np.testing.assert_allclose(jacobian, softmax_jacobian(z), atol=1e-12)


def test_a_step_with_l2(page, server):
    _open(page, server, loss_part="A step with L2", loss_rate="0.1", loss_decay="0.3", loss_w="1 -2")
    h = np.array([1.0, 3.0])
    after = descend(np.array([1.0, -2.0]), np.array([2.0, 0.5]), h, rate=0.1, weight_decay=0.3)[1]
    np.testing.assert_allclose([_figure(page, "new w1"), _figure(page, "new w2")], after)
    rate = page.get_by_label("learning rate")
    box = rate.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    page.wait_for_url(re.compile("loss_rate=0.5"))
    assert page.errors == []


def test_predict_first(page, server):
    _open(page, server, loss_part="A step with L2", loss_predict="true")
    assert page.locator("[data-figure]").count() == 0
    assert page.locator("line.arrow").count() == 0
    page.get_by_label("new w1: your answer").fill("-1.35")
    page.get_by_label("new w1: your answer").press("Enter")
    page.get_by_label("new w2: your answer").fill("7")
    page.get_by_label("new w2: your answer").press("Enter")
    assert "right" in page.locator(".right").inner_text()
    page.get_by_text("you wrote 7").wait_for()
    assert page.locator("line.arrow").count() == 2
