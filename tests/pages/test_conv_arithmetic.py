"""The convolution page without a browser: every part runs, names what is wrong, and needs no PyTorch."""

import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from core.paths import PROJECT


def _page(**parameters):
    at = AppTest.from_file(PROJECT / "pages/conv_arithmetic.py", default_timeout=60)
    for name, value in parameters.items():
        at.query_params[name] = value
    return at.run()


@pytest.mark.parametrize("part", ["By hand", "Sizes", "Stack", "Known kernels", "Template matching"])
def test_every_part_runs_and_says_no_error(part):
    at = _page(conv_part=part)
    assert at.title[0].value == "Convolution arithmetic"
    assert not at.exception
    assert not at.error


def test_a_bad_link_is_named():
    at = _page(conv_stride="0")
    assert "stride is 0: choose a whole number, 1 or more" in at.error[0].value
    at = _page(conv_part="Known kernels", conv_known="sobel")
    assert "no kernel named 'sobel'" in at.error[0].value
    at = _page(conv_part="Template matching", conv_patch="here")
    assert "conv_patch is 'here'" in at.error[0].value


def test_what_the_browser_sends_goes_into_the_address():
    at = _page()
    at.session_state["conv_grid"] = {
        "exercise": {
            "kind": "conv",
            "x": [[[1, 2], [3, 4]]],
            "weight": [[[[1]]]],
            "padding": [1, 1],
            "predict": True,
        }
    }
    at.run()
    assert at.query_params["conv_x"] == "1 2~3 4"
    assert at.query_params["conv_padding"] == "1"
    assert at.query_params["conv_predict"] == "1"
    at.session_state["conv_grid"] = {"exercise": {"x": "nonsense"}}
    at.run()
    assert "not a block of numbers" in at.error[0].value


@pytest.mark.parametrize(
    ("preset", "answer"),
    [("cs577", "126"), ("cs577_padding", "128"), ("cs577_stride", "63"), ("cs577_both", "64")],
)
def test_the_sizes_of_the_course(preset, answer):
    at = _page(conv_part="Sizes")
    at.button_group(key="conv_size_preset").select(preset).run()
    assert f"= {answer}" in at.latex[0].value
    assert {m.label: m.value for m in at.metric}["Output"] == f"{answer} × {answer} × 16"
    if preset == "cs577_padding":
        assert "answered 126" in at.info[0].value


def test_a_wrong_size_setting_is_named_and_the_last_result_stays():
    at = _page(conv_part="Sizes")
    at.number_input(key="conv_size_stride").set_value(0).run()
    assert "stride is 0" in at.error[0].value
    assert {m.label: m.value for m in at.metric}["Output"] == "126 × 126 × 16"
    at.number_input(key="conv_size_stride").set_value(1).run()
    at.text_input(key="conv_size_padding").set_value("full").run()
    assert "padding is 'full'" in at.error[0].value
    at.text_input(key="conv_size_padding").set_value("same").run()
    assert {m.label: m.value for m in at.metric}["Output"] == "128 × 128 × 16"
    assert at.code[0].value == 'torch.nn.Conv2d(32, 16, kernel_size=3, padding="same")'


def test_predict_first_hides_the_size():
    at = _page(conv_part="Sizes", conv_size_predict="true")
    assert not at.metric
    assert not at.latex
    guess = next(n for n in at.number_input if n.label.startswith("How many rows"))
    guess.set_value(125).run()
    assert "125 is not right: 126" in at.warning[0].value
    assert at.metric


def test_a_stack_is_counted_and_a_bad_line_named():
    at = _page(conv_part="Stack", conv_stack="conv 8 k3 p1\nmax k2", conv_stack_channels="3")
    table = at.dataframe[0].value
    assert list(table["parameters"]) == [8 * 28, 0]
    assert list(table["sees"]) == [3, 4]
    at.text_area(key="conv_stack").set_value("conv 8 k3 p1\nblur").run()
    assert "Line 2, 'blur'" in at.error[0].value
    assert list(at.dataframe[0].value["sees"]) == [3, 4]
    at.button_group(key="conv_stack_preset").select("inception").run()
    assert not at.error
    assert "branch 1: conv 64 k1" in list(at.dataframe[0].value["layer"])


def test_the_depth_stands_in_the_address_and_follows_the_stack():
    at = _page(conv_part="Stack", conv_stack="conv 8 k3\nconv 8 k3\nmax k2", conv_stack_depth="2")
    assert at.slider(key="conv_stack_depth").value == 2
    at.text_area(key="conv_stack").set_value("conv 8 k3").run()
    assert not at.exception
    assert not at.error
    at.text_area(key="conv_stack").set_value("conv 8 k3\nmax k2").run()
    assert at.slider(key="conv_stack_depth").value == 2
    at.text_area(key="conv_stack").set_value("conv 8 k3\nmax k2\nconv 8 k3").run()
    assert at.slider(key="conv_stack_depth").value == 3  # whoever stood at the end stays there
    at.slider(key="conv_stack_depth").set_value(2).run()
    at.text_area(key="conv_stack").set_value("conv 8 k3\nmax k2\nconv 8 k3\nconv 8 k3").run()
    assert at.slider(key="conv_stack_depth").value == 2
    assert not at.exception
    assert not at.error


def test_predict_first_hides_what_a_stack_sees():
    at = _page(conv_part="Stack", conv_stack="conv 8 k3\nmax k2", conv_stack_predict="true")
    assert not at.dataframe
    assert not at.metric
    guess = next(n for n in at.number_input if n.label.startswith("How many pixels"))
    guess.set_value(4).run()
    assert "4 is right" in at.success[0].value
    assert at.dataframe


@pytest.mark.parametrize("page", ["conv_arithmetic", "losses"])
def test_neither_page_imports_pytorch(page):
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"at = AppTest.from_file('{PROJECT}/pages/{page}.py', default_timeout=60).run()\n"
        "assert at.title and not at.exception and not at.error, at\n"
        "for option in at.button_group[0].options:\n"
        "    at.button_group[0].select(option.content if hasattr(option, 'content') else option).run()\n"
        "    assert not at.exception and not at.error, (option, at)\n"
        "loaded = sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'torchvision', 'timm', "
        "'captum'))\n"
        "assert not loaded, loaded[:5]\n"
        "print('free')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=PROJECT
    )
    assert done.stdout.strip().endswith("free"), done.stdout[-500:] + done.stderr[-2000:]


def test_a_shipped_network_stands_beside_the_stack():
    at = _page(conv_part="Stack", conv_stack_network="true", conv_network="efficientnet_lite0")
    assert not at.error
    assert not at.exception
    table = at.dataframe[1].value
    assert table["parameters"].sum() == 4_652_008  # what the paper of EfficientNet-Lite0 counts: 4.7 million
    assert at.select_slider[0].value in list(table["layer"])
