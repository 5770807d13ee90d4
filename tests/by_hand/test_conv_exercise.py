"""Exercises: every preset's numbers, and addresses that come back as they went."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.by_hand.conv_arithmetic import forward
from core.by_hand.conv_exercise import from_address, from_json, numbers_from_text, to_address, to_json
from core.by_hand.conv_layer import BadLayer, output_size
from core.by_hand.conv_presets import preset, presets, size_presets
from core.errors import UnknownName
from tests.by_hand.conv_terms import unread


def _out(name):
    e = preset(name).exercise
    return forward(e.layer, e.x, e.weight, e.bias)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("valid", [[45, 45], [54, 54]]),
        ("padding", [[18, 27, 27, 18], [30, 45, 45, 30], [36, 54, 54, 36], [26, 39, 39, 26]]),
        ("dilation", [[24, 24], [20, 20]]),
        ("stride", [[72, 90], [180, 198]]),
        ("max_pool", [[7, 9, 10], [17, 19, 20], [22, 24, 25]]),
    ],
)
def test_the_numbers_of_a_preset(name, expected):
    np.testing.assert_array_equal(_out(name)[0], expected)


def test_what_the_answers_say():
    assert unread(preset("stride").exercise.layer, (6, 6)) == ([5], [5])
    np.testing.assert_allclose(_out("pointwise")[0, :, 0], [1.25, 1.5, 1.75, 2])
    assert _out("transpose").shape == (1, 7, 7)
    assert _out("avg_pool")[0, 0, 0] == pytest.approx(16 / 9)
    assert preset("depthwise").exercise.weight.size == 27
    padded = np.pad(preset("reflect").exercise.x[0], 1, mode="reflect")
    assert padded[0, 0] == 7
    assert all(p.answer and p.question for p in presets())
    assert "18 and 26" in preset("dilation").wrong


def test_the_course_presets_are_pytorchs():
    e = preset("dilation").exercise
    torchs = F.conv2d(torch.from_numpy(e.x)[None], torch.from_numpy(e.weight), padding=1, dilation=2)
    np.testing.assert_array_equal(_out("dilation"), torchs[0].numpy())


def test_the_sizes_of_the_course():
    rows = {p.name: output_size(p.layer, p.size)[0] for p in size_presets()}
    assert rows == {"cs577": 126, "cs577_padding": 128, "cs577_stride": 63, "cs577_both": 64}
    assert all(rows[p.name] == p.rows for p in size_presets())


@pytest.mark.parametrize("name", [p.name for p in presets()])
def test_an_exercise_survives_browser_and_address(name):
    e = preset(name).exercise
    default = presets()[0].exercise
    for back in (
        from_json(json.loads(json.dumps(to_json(e)))),
        from_address(to_address(e), default),
        from_address(to_address(e, default), default),
    ):
        assert to_json(back) == to_json(e)
        np.testing.assert_array_equal(
            forward(back.layer, back.x, back.weight, back.bias), forward(e.layer, e.x, e.weight, e.bias)
        )


def test_an_address_is_short_where_the_numbers_are_those_one_begins_with():
    start = presets()[0].exercise
    assert to_address(start, start) == {}
    assert to_address(preset("dilation").exercise, start) == {"conv_padding": "1", "conv_dilation": "2"}


def test_an_address_may_name_settings_only():
    e = from_address({"conv_padding": "1", "conv_dilation": "2 2"}, preset("valid").exercise)
    np.testing.assert_array_equal(forward(e.layer, e.x, e.weight)[0], [[24, 24], [20, 20]])
    assert from_address({"conv_w": "1/9 1/9~1/9 1/9", "conv_x": "9 9~9 9"}, e).weight[0, 0, 0, 0] == 1 / 9


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"conv_x": "1 2~3"}, "rows of equally many numbers"),
        ({"conv_x": "1 cat~3 4"}, "conv_x holds 'cat': write a number"),
        ({"conv_x": "1 nan~3 4"}, "conv_x holds 'nan'"),
        ({"conv_x": "1 1e999999999~3 4"}, "conv_x holds '1e999999999'"),
        ({"conv_x": "1 1/0~3 4"}, "conv_x holds '1/0'"),
        ({"conv_stride": "0"}, "stride is 0: choose a whole number, 1 or more"),
        ({"conv_stride": "-1"}, "conv_stride is '-1'"),
        ({"conv_kind": "blur"}, "no layer of the kind 'blur'"),
        ({"conv_w": "~~~".join(["1"] * 9)}, "channels: by hand up to 8"),
        ({"conv_x": "~".join([" ".join(["1"] * 17)] * 17), "conv_w": "1"}, "up to 16 × 16"),
        ({"conv_x": "1 1~1 1", "conv_w": "1 1 1~1 1 1~1 1 1"}, "needs 3 rows, but the padded input has 2"),
    ],
)
def test_a_bad_address_is_named(address, message):
    with pytest.raises(BadLayer, match=message):
        from_address(address, presets()[0].exercise)


@pytest.mark.parametrize("data", [{}, {"x": "text"}, {"x": [[[1]]]}, {"x": [[[1]]], "weight": [[[["a"]]]]},
                                  {"x": [[[1]]], "weight": [[[[1]]]], "groups": "two"}])  # fmt: skip
def test_what_a_browser_sends_is_not_trusted(data):
    with pytest.raises(BadLayer):
        from_json(data)


def test_there_is_no_such_preset():
    with pytest.raises(UnknownName, match=r"no exercise named 'dilated'.*dilation"):
        preset("dilated")
    assert numbers_from_text("1, 2", 1, "x") == [1, 2]
