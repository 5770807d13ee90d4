"""The loss lab without a browser: every part runs, and addresses are read, kept and named where wrong."""

import pytest
from streamlit.testing.v1 import AppTest

from core.paths import PROJECT


def _page(**parameters):
    at = AppTest.from_file(PROJECT / "pages/losses.py", default_timeout=60)
    for name, value in parameters.items():
        at.query_params[name] = value
    return at.run()


@pytest.mark.parametrize("part", ["Two classes", "Cross-entropy", "Softmax", "A step with L2"])
def test_every_part_runs_and_says_no_error(part):
    at = _page(loss_part=part)
    assert at.title[0].value == "Loss lab"
    assert not at.exception
    assert not at.error


@pytest.mark.parametrize(
    ("part", "parameters", "message"),
    [
        ("Two classes", {"loss_p": "1.5"}, "loss_p is '1.5': write 1 number from 0 to 1"),
        ("Two classes", {"loss_p": "high"}, "loss_p holds 'high'"),
        ("Two classes", {"loss_pairs": "1 0.1 0"}, "loss_pairs is '1 0.1 0'"),
        ("Cross-entropy", {"loss_true": "0.5 0.5"}, "loss_true has 2 numbers, loss_predicted 3"),
        ("Softmax", {"loss_z": "1"}, "loss_z is '1': write 2 to 6 numbers"),
        ("A step with L2", {"loss_rate": "-1"}, "loss_rate is '-1'"),
    ],
)
def test_a_bad_link_is_named(part, parameters, message):
    at = _page(loss_part=part, **parameters)
    assert message in at.error[0].value
    assert not at.exception


def test_what_the_browser_sends_goes_into_the_address():
    at = _page(loss_part="Softmax")
    at.session_state["loss_softmax"] = {"values": {"loss_z": [1000, 1001], "loss_bits": [32]}}
    at.run()
    assert at.query_params["loss_z"] == "1000 1001"
    assert "loss_bits" not in at.query_params
    at.session_state["loss_softmax"] = {"values": {"loss_z": ["x"], "loss_bits": [32]}}
    at.run()
    assert "loss_z is" in at.error[0].value
