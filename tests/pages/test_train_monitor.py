import json
import math

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import SettingError
from core.history import EpochRecord, MeasuredAccuracy, StartRecord, StepRecord, append_record
from core.paths import PROJECT, home
from core.runs import run_list
from core.runs.ablation_plans import list_ablations, save_ablation
from core.runs.ablation_study import Change
from core.runs.run_list import (
    RunFigures,
    best_figures,
    follow,
    list_runs,
    seconds_left,
    settings_of_run,
)
from core.serving import jobs
from core.training.training_settings import TrainingSettings
from pages.elements.train_monitor.run_comparison import comparison_table, presets
from pages.elements.train_monitor.run_view import FIRST_RUN, classifier_of, titles_of
from pages.elements.train_monitor.training_curves import (
    MOST_COLORS,
    View,
    comparison_chart,
    points,
    run_chart,
    smooth,
)
from pages.elements.train_monitor.training_form import free_name, in_one_line

DEFAULTS = TrainingSettings().as_values()


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(run_list, "_jobs", {})
    monkeypatch.setattr(run_list, "_read", {})


@pytest.fixture
def submitted(monkeypatch):
    """What would have been started."""
    asked = []
    monkeypatch.setattr(jobs, "submit", lambda name, command, **more: asked.append((name, command)))
    return asked


def a_run(name, accuracies, losses=None, *, ended=True, **settings):
    """A folder with a history, as a training in a shell leaves it."""
    path = home("runs") / name / "history.jsonl"
    given = DEFAULTS | {"dataset": "digits", "epochs": len(accuracies)} | settings
    start = {"kind": "start", "epochs": len(accuracies), "steps_an_epoch": 10, "train_images": 100}
    append_record(path, start | {"settings": given})
    for epoch, accuracy in enumerate(accuracies, start=1):
        append_record(path, {"kind": "step", "epoch": epoch, "step": epoch * 10 - 5, "loss": 2 / epoch,
                             "accuracy": accuracy, "gradient_norm": 1.0, "learning_rate": 0.1,
                             "images_per_second": 50.0})  # fmt: skip
        append_record(path, {
            "kind": "epoch", "epoch": epoch, "step": epoch * 10, "train_loss": 2 / epoch,
            "train_accuracy": min(1.0, accuracy + 0.05 * epoch), "validation_accuracy": accuracy,
            "validation_loss": losses[epoch - 1] if losses else 1 - accuracy, "gradient_norm": 1.0,
            "learning_rate": 0.1, "seconds": 4.0,
        })  # fmt: skip
    if ended:
        metrics = {"test": {"accuracy": 0.5, "interval": [0.4, 0.6]}}
        append_record(path, {"kind": "end", "reason": "all epochs done", "verdict": "", "metrics": metrics})
    return path


def open_page(**address):
    page = AppTest.from_file(str(PROJECT / "pages" / "train_monitor.py"), default_timeout=60)
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def charts(page):
    return [json.loads(chart.proto.spec) for chart in page.get("echarts_chart")]


def test_an_empty_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("core.runs.run_list.PROJECT", tmp_path)  # nothing shipped either
    for part, words in {"Watch": "New run", "Compare": "second run", "Ablation": "train one"}.items():
        assert words in open_page(tm_part=part).info[0].value


def test_a_run_with_its_verdict_in_words():
    a_run("tiny", [0.5, 0.8, 0.7, 0.7, 0.7], [1.0, 0.5, 0.9, 1.2, 1.6])
    page = open_page(tm_run="tiny")
    words = page.warning[0].value.replace("\\", "")
    assert "Best at epoch 2 with 80.0%" in words
    assert "from epoch 3 on it overfits" in words
    assert "On the test images the best weights reach 50.00% (95% interval 40.00% to 60.00%)" in words
    assert not page.error


def test_a_run_that_broke_is_shown_as_an_error():
    path = home("runs") / "linear" / "history.jsonl"
    append_record(
        path, {"kind": "start", "epochs": 9, "steps_an_epoch": 1, "settings": {"learning_rate": 0.1}}
    )
    for epoch, (loss, norm) in enumerate([(1.0, 2.0), (0.9, 9.0), (math.nan, math.inf)], start=1):
        record = {"kind": "epoch", "epoch": epoch, "train_loss": loss, "train_accuracy": 0.5}
        if math.isfinite(loss):  # a run that broke is not validated any more
            record |= {"validation_loss": loss, "validation_accuracy": 0.4}
        append_record(path, record | {"gradient_norm": norm})
    page = open_page(tm_run="linear", tm_curves="Gradient norm", tm_log="true")
    assert "no longer a finite number in epoch 3" in page.error[0].value
    assert "grown from 2 in epoch 1 to 9 in epoch 2" in page.error[0].value


def test_the_chart_marks_the_best_epoch_and_where_overfitting_begins():
    history = follow(a_run("tiny", [0.5, 0.8, 0.7, 0.7, 0.7], [1.0, 0.5, 0.9, 1.2, 1.6]))
    verdict = run_list.judge(history)
    for by, places in (("epoch", [2, 3]), ("step", [20, 30])):
        chart = run_chart(history, "Loss", View(("Loss",), by, False, 0.0), verdict)
        assert [mark["xAxis"] for mark in chart["series"][-1]["markLine"]["data"]] == places
        assert [series["name"] for series in chart["series"]] == ["train", "validation"]
    assert points(history, "Loss", "step") == [(5, 2.0), (15, 1.0), (25, 2 / 3), (35, 0.5), (45, 0.4)]
    assert points(history, "Loss", "step", held_out=True)[1] == (20, 0.5)


def test_smoothing_keeps_the_raw_line_and_a_constant():
    assert smooth([2.0] * 5, 0.9) == pytest.approx([2.0] * 5)
    assert smooth([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 3) / 0.75])
    history = follow(a_run("tiny", [0.5, 0.8, 0.7]))
    chart = run_chart(history, "Accuracy", View(("Accuracy",), "epoch", False, 0.6), None)
    names = [series["name"] for series in chart["series"]]
    assert names == ["train, raw", "train", "validation, raw", "validation"]
    assert [y for _, y in chart["series"][2]["data"]] == [0.5, 0.8, 0.7]


def test_on_a_logarithmic_axis_zero_and_nan_are_gaps():
    history = [EpochRecord(i, train_loss=loss) for i, loss in enumerate([1, 0, math.nan, 2], 1)]
    chart = run_chart(history, "Loss", View(("Loss",), "epoch", True, 0.0), None)
    assert [y for _, y in chart["series"][0]["data"]] == [1, None, None, 2]


def test_a_long_curve_is_thinned_and_keeps_its_end():
    history = [StepRecord(1, i, float(i)) for i in range(1, 9999)]
    data = run_chart(history, "Loss", View(("Loss",), "step", False, 0.0), None)["series"][0]["data"]
    assert len(data) <= 2001
    assert data[0] == [1, 1.0]
    assert data[-1] == [9998, 9998.0]


def test_a_history_is_followed_and_read_again_after_a_resume():
    path = a_run("tiny", [0.5], ended=False)
    assert [r.kind for r in follow(path)] == ["start", "step", "epoch"]
    append_record(path, {"kind": "epoch", "epoch": 2})
    assert follow(path)[-1] == EpochRecord(2)
    path.write_text('{"kind": "start"}\n')
    assert follow(path) == [StartRecord()]


def test_time_left_by_epochs_and_in_the_first_epoch_by_images():
    path = a_run("tiny", [0.5, 0.6], ended=False)
    assert seconds_left(follow(path), 0.25) == pytest.approx(2 * 0.75 * 4.0)
    steps = [r for r in follow(path) if not isinstance(r, EpochRecord)]
    assert seconds_left(steps, 0.25) == pytest.approx(2 * 100 * 0.75 / 50)


def test_runs_compared_by_what_differs_and_their_best_epochs():
    a_run("plain", [0.5, 0.9, 0.6], dropout=0, architecture_settings="dropout=0.5")
    a_run("other", [0.5, 0.7, 0.8], architecture_settings="batch_norm=true")
    page = open_page(tm_part="Compare", tm_runs=["plain", "other"])
    table = page.dataframe[0].value
    assert table["run"].tolist() == ["plain", "other"]
    assert table["validation accuracy"].tolist() == [0.9, 0.8]
    assert table["best epoch"].tolist() == [2, 3]
    assert table["dropout"].tolist() == ["0.5", "0"]
    assert table["batch_norm"].tolist() == ["False", "True"]
    assert "learning_rate" not in table


def test_grouped_by_a_factor_runs_share_a_color():
    histories = {name: follow(a_run(name, [0.5, 0.6])) for name in ("a", "b", "c")}
    view = View(("Loss",), "epoch", False, 0.0)
    chart = comparison_chart(histories, "Loss", view, {"a": "x", "b": "y", "c": "x"})
    colors = [(series["name"], series["color"]) for series in chart["series"]]
    assert colors[0] == colors[4] != colors[2]
    assert [name for name, _ in colors] == ["x", "x", "y", "y", "x", "x"]
    runs = {name: best_figures(history) for name, history in histories.items()}
    assert comparison_table({}, runs)["test accuracy"].tolist() == [0.5] * 3


def test_shipped_histories_are_shown_like_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(run_list, "PROJECT", tmp_path)
    path = a_run("moved", [0.5, 0.6])
    folder = tmp_path / "checkpoints" / "shown"
    folder.mkdir(parents=True)
    path.rename(folder / "history.jsonl")
    run = next(run for run in list_runs() if run.name == "shipped/shown")
    assert run.job is None
    assert best_figures(run.history()).best_epoch == 2


def test_the_form_starts_what_it_shows(submitted):
    page = open_page(tm_part="New run", tm_set="digits", tm_epochs="3", tm_small_cnn_widths="4,8")
    page.text_input(key="tm_learning_rate").set_value("0.01").run()
    page.button(key="tm_start").click().run()
    assert not page.exception
    ((name, command),) = submitted
    assert name == "digits_small_cnn"
    options = dict(zip(command[6::2], command[7::2], strict=True))
    assert options["--dataset"] == "digits"
    assert options["--epochs"] == "3"
    assert options["--learning-rate"] == "0.01"
    assert options["--architecture-settings"] == "widths=4,8"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tm_learning_rate", "fast", "learning_rate is 'fast': choose a number from 1e-06 to 10"),
        ("tm_name", "../up", "'../up' cannot be that of a folder"),
        ("tm_small_cnn_widths", "8,,", "widths is '8,,'"),
    ],
)
def test_nonsense_in_the_form_is_named(field, value, words):
    page = open_page(tm_part="New run", tm_set="digits")
    page.text_input(key=field).set_value(value).run()
    if not page.error:
        page.button(key="tm_start").click().run()
    assert not page.exception
    assert words in page.error[0].value
    assert not (home("runs") / "digits_small_cnn").exists()


def test_a_closed_group_says_what_a_link_changed_in_it():
    def titles(**address):
        return [e.label for e in open_page(tm_part="New run", tm_set="digits", **address).expander]

    assert not [title for title in titles() if "changed" in title]
    linked = titles(tm_crop="2", tm_weight_decay="0.1", tm_half="true", tm_epochs="3")
    named = [title.partition("changed: ")[2] for title in linked if "changed" in title]
    assert named == ["crop", "weight decay", "half"]
    # What is written in another way is the same.
    assert not [title for title in titles(tm_weight_decay="0.00", tm_crop="0") if "changed" in title]


def test_folding_where_there_is_no_batch_norm_is_refused_before_anything_is_queued(submitted):
    page = open_page(tm_part="New run", tm_architecture="small_cnn", tm_fold_batch_norm="true")
    page.button(key="tm_start").click().run()
    assert "nothing to fold in 'small_cnn'" in page.error[0].value
    assert not submitted


def test_a_run_is_copied_into_the_form():
    a_run("tiny", [0.5, 0.6], epochs=7, flip="random", architecture_settings="dropout=0.5; widths=8,16")
    page = open_page(tm_run="tiny")
    page.button(key="tm_copy").click().run()
    assert not page.exception
    assert page.number_input(key="tm_epochs").value == 7
    assert page.selectbox(key="tm_flip").value == "random"
    assert page.text_input(key="tm_small_cnn_widths").value == "8,16"
    assert page.selectbox(key="tm_set").value == "digits"


def test_an_ablation_is_queued_with_whole_pairs(submitted):
    a_run("tiny", [0.5, 0.6], architecture_settings="widths=8,16")
    page = open_page(tm_part="Ablation", tm_base="tiny")
    page.get("button_group")[1].set_value(["with batch norm", "learning rate 0.01"]).run()
    page.button(key="tm_queue").click().run()
    assert not page.exception
    names = [name for name, _ in submitted]
    assert names == [f"ablation_tiny_{change}_{seed}" for seed in (0, 1)
                     for change in ("base", "with_batch_norm", "rate_0.01")]  # fmt: skip
    assert "widths=8,16; batch_norm=true" in submitted[1][1]
    assert list_ablations()[0].seeds == (0, 1)


def test_the_table_of_an_ablation():
    base = DEFAULTS | {"dataset": "digits"}
    change = Change("sgd", "optimizer sgd", {"optimizer": "sgd"}, {})
    save_ablation("try", "tiny", base, [change], [0, 1])
    for name, best in {"base_0": 0.5, "base_1": 0.6, "sgd_0": 0.7, "sgd_1": 0.78}.items():
        a_run(f"try_{name}", [0.1, best, 0.2])
    page = open_page(tm_part="Ablation", tm_ablation="try")
    table = page.dataframe[0].value
    assert table["seed 1"].tolist() == ["60.00% (epoch 2)", "78.00% (epoch 2)"]
    assert "+19.00 points over 2 seeds (95% interval +6.29 to +31.71)" in table["what it brought"][1]
    with pytest.raises(SettingError, match="give the ablation another name"):
        save_ablation("try", "tiny", base, [change], [0, 1])


def test_names_and_lines_of_settings():
    (home("runs") / "a").mkdir()
    assert free_name("a") == "a_2"
    assert free_name("my data/../x") == "my_data_x"
    assert in_one_line({"widths": "8,16", "batch_norm": True}) == "widths=8,16; batch_norm=true"
    with pytest.raises(SettingError, match="semicolon"):
        in_one_line({"widths": "8;16"})


def test_settings_of_a_network_stand_beside_the_others():
    a_run("tiny", [0.5], architecture_settings="dropout=0.5")
    settings = settings_of_run(list_runs()[0])
    assert settings["dropout"] == 0.5
    assert settings["batch_norm"] is False
    assert "architecture_settings" not in settings


def test_runs_are_measured_against_the_one_that_one_thing_was_changed_about():
    a_run("study_sgd", [0.5, 0.6], optimizer="sgd")
    a_run("study_plain", [0.5, 0.9])
    a_run("study_flips", [0.5, 0.8], flip="random")
    page = open_page(tm_part="Compare", tm_runs=["study_sgd", "study_plain", "study_flips"])
    assert page.selectbox(key="tm_against").value == "study_plain"
    table = page.dataframe[0].value.set_index("run")
    assert table["differs in"].to_dict() == {"plain": "—", "flips": "flip random", "sgd": "optimizer sgd"}
    # test accuracies of all are 0.5, of an unknown number of images
    assert table["against plain"].to_dict() == {"plain": "—", "flips": "+0.00 points", "sgd": "+0.00 points"}
    page.selectbox(key="tm_against").set_value("study_sgd").run()
    assert page.dataframe[0].value.set_index("run")["differs in"]["flips"] == "optimizer adam, flip random"


def test_the_interval_of_a_test_accuracy_is_one_column():
    figures = {
        "a": RunFigures(1, 1, test=MeasuredAccuracy(0.9, (0.8812, 0.9188))),
        "b": RunFigures(1, 1, validation_accuracy=0.5),
    }
    table = comparison_table({}, figures).set_index("run")
    assert table["95% interval"].to_dict() == {"a": "88.12 to 91.88%", "b": ""}
    assert table.index.tolist() == ["b", "a"]  # what has no validation accuracy comes last


def test_shipped_runs_that_belong_together_are_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(run_list, "PROJECT", tmp_path)
    for name, settings in {
        "d_a": {"epochs": 2},
        "d_b": {"epochs": 2, "flip": "random"},
        "d_c": {"architecture": "mlp"},
    }.items():
        path = a_run(name, [0.5, 0.6], **settings)
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        path.parent.rename(tmp_path / "checkpoints" / name)
    runs = list_runs()
    assert run_list.families(runs) == {"Digits": ["shipped/d_a", "shipped/d_b", "shipped/d_c"]}
    page = open_page(tm_part="Compare")
    page.button(key="tm_of_Digits").click().run()
    assert not page.exception
    assert page.dataframe[0].value["run"].tolist() == ["a", "b", "c"]


def test_a_training_by_several_implementations_is_several_runs(tmp_path):
    path = a_run("perceptron", [0.5, 0.6])
    path.with_name("history_pytorch.jsonl").write_bytes(path.read_bytes())
    assert [run.name for run in list_runs()][:2] == ["perceptron", "perceptron/pytorch"]
    page = open_page(tm_run="perceptron")
    page.button(key="tm_others").click().run()
    assert not page.exception
    assert page.multiselect(key="tm_runs").value == ["perceptron", "perceptron/pytorch"]


def test_a_link_leads_to_its_run_also_where_a_button_chose_it():
    a_run("older", [0.5])
    a_run("newer", [0.6])
    page = open_page(tm_run="older")
    assert page.selectbox(key="tm_run").value == "older"
    page.session_state["tm_run_next"] = "newer"  # as a start does
    page.run()
    assert page.query_params["tm_run"] == "newer"
    page.query_params["tm_run"] = "older"  # Back
    page.run()
    assert page.selectbox(key="tm_run").value == "older"
    page.session_state["tm_runs_next"] = ["older", "newer"]
    page.session_state["tm_part_next"] = "Compare"
    page.run()
    assert page.query_params["tm_runs"] == ["older", "newer"]
    assert "tm_run" not in page.query_params


def test_the_page_opens_on_a_run_that_has_something_to_say_and_leads_on():
    page = open_page()
    assert page.selectbox(key="tm_run").value == FIRST_RUN
    assert "overfits" in page.warning[0].value
    assert [link.value for link in page.markdown if "classifier=" in link.value] == [
        f"[{words}](/{to}?classifier=sutures_no_dropout)"
        for words, to in {
            "See its mistakes": "confusion_matrices", "Hide parts of an image": "occlusion",
            "Look at its filters": "filters", "What excites a channel": "feature_visualization",
        }.items()
    ]  # fmt: skip
    a_run("tiny", [0.5, 0.8])
    assert open_page().selectbox(key="tm_run").value == "tiny"


def test_it_opens_on_the_run_of_the_classifier_that_other_pages_show():
    page = AppTest.from_file(str(PROJECT / "pages" / "train_monitor.py"), default_timeout=60)
    page.session_state["classifier"] = "digits_cnn"
    page.run()
    assert page.selectbox(key="tm_run").value == "shipped/digits_cnn"


def test_a_run_leads_on_only_once_it_has_left_a_classifier():
    a_run("tiny", [0.5])
    runs = {run.name: run for run in list_runs()}
    assert classifier_of(runs["tiny"]) is None  # a history without weights
    assert classifier_of(runs["shipped/fashion_mnist_mlp_relu/pytorch"]) == "fashion_mnist_mlp_relu"
    titles = titles_of(["tiny", "shipped/fashion_mnist_mlp_relu/pytorch", "shipped/fashion_mnist_mlp_relu"])
    assert titles["tiny"] == "tiny"
    assert titles["shipped/fashion_mnist_mlp_relu/pytorch"].endswith(" · pytorch")
    assert len(set(titles.values())) == 3


def test_a_comparison_opens_on_a_preset_and_others_are_a_click_away():
    page = open_page(tm_part="Compare")
    names = [f"shipped/fashion_mnist_mlp_{name}" for name in ("relu", "tanh", "sigmoid", "linear")]
    assert page.multiselect(key="tm_runs").value == names
    assert not page.info
    page.button(key="tm_of_Three implementations").click().run()
    assert page.multiselect(key="tm_runs").value == [
        names[0] + end for end in ("", "/pytorch", "/scikit-learn")
    ]
    assert presets(names[:3]) == {}


def test_at_most_eight_colors_and_names_at_the_ends_of_lines():
    histories = {f"run {i}": follow(a_run(f"run {i}", [0.5, 0.6])) for i in range(MOST_COLORS + 3)}
    view = View(("Loss",), "epoch", False, 0.0)
    series = comparison_chart(histories, "Loss", view)["series"]
    named = [s for s in series if s.get("endLabel", {}).get("show")]
    assert [s["name"] for s in named] == list(histories)[:MOST_COLORS]
    assert len({s["color"] for s in named}) == MOST_COLORS == 8
    assert {s["lineStyle"]["type"] for s in named} == {"solid"}
    assert len({s["color"] for s in series}) == MOST_COLORS + 1  # the others are gray
    grouped = comparison_chart(histories, "Loss", view, dict.fromkeys(histories, "all"))["series"]
    assert sum(s.get("endLabel", {}).get("show", False) for s in grouped) == 1
