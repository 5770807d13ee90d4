"""The page of confusion matrices without a browser: every part, links, and matrices that are uploaded."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.data.catalogue import add_upload, open_dataset
from core.evaluation.confusion import confusion_matrix
from core.evaluation.matrix_file import write_matrix
from core.paths import PROJECT
from pages.elements.confusion_matrices.judged import judged_predictions, predictions_csv, zip_of
from tests.evaluation.test_confusion import drawn
from tests.nearest_mean import save_nearest_mean
from tests.pages.test_data import zip_of_images

PARTS = ["Matrix", "Findings", "Classes", "One vs. rest", "Calibration", "Errors", "Two classifiers"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    save_nearest_mean(home / "runs" / "good")
    save_nearest_mean(home / "runs" / "worse", noise=0.25)
    return home


@pytest.fixture
def open_page(home, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(home))

    def open_page(**parameters):
        at = AppTest.from_file(PROJECT / "pages/confusion_matrices.py", default_timeout=120)
        for name, value in {"classifier": "runs/good", **parameters}.items():
            at.query_params[name] = value
        return at.run()

    return open_page


def texts(at):
    return "\n".join(
        str(e.value) for kind in ("markdown", "info", "caption", "warning", "error") for e in at.get(kind)
    )


@pytest.mark.parametrize("part", PARTS)
def test_every_part_runs_and_says_no_error(open_page, part):
    at = open_page(cm_part=part, cm_other="runs/worse", cm_cell="8-1")
    assert not at.exception
    assert not at.error
    assert at.title[0].value == "Confusion matrices"


def test_a_link_leads_to_a_cell_and_its_images_are_counted(open_page):
    at = open_page(cm_cell="8-1")
    split = open_dataset("digits").split("test")
    from core.evaluation.prediction import predict_split
    from core.models.checkpoint import load_checkpoint
    from core.paths import home

    said = predict_split(load_checkpoint(home("runs") / "good"), split).argmax(1)
    count = confusion_matrix(split.labels, said, 10)[8, 1]
    assert count > 0
    assert f"“8” taken for “1”: {count} image" in texts(at)


@pytest.mark.parametrize("cell", ["99-0", "8", "a-b", "x-x", "-1-2", "8-1-3", "٣-1"])
def test_a_bad_cell_in_a_link_is_no_cell(open_page, cell):
    at = open_page(cm_cell=cell)
    assert not at.exception
    assert texts(at) == texts(open_page())  # as without one: the worst pair


def test_all_errors_of_a_class_are_a_cell_too(open_page):
    assert "“8” taken for other classes:" in texts(open_page(cm_cell="8-x"))
    assert "Other classes taken for “1”:" in texts(open_page(cm_cell="x-1"))


def test_a_finding_leads_to_its_images(open_page):
    at = open_page(cm_part="Findings", cm_split="train", classifier="runs/worse")
    assert "an accuracy of" in texts(at)
    button = next(b for b in at.button if str(b.key).startswith("cm_finding_"))
    button.click().run()
    assert "cm_cell" in at.query_params
    assert f"{button.label}: " in texts(at)


def test_the_classifier_brings_its_data_set(open_page):
    at = open_page()
    assert at.selectbox(key="cm_set").value == "digits"
    assert at.selectbox(key="cm_split").value == "test"
    at.selectbox(key="cm_split").set_value("train").run()
    assert not at.exception
    assert not at.error


def test_a_data_set_with_other_classes_is_refused_in_words(open_page):
    pets, _ = add_upload(zip_of_images(), "pets.zip")
    at = open_page(cm_set=pets)
    assert "are none of the classifier's 10" in texts(at)
    assert not at.exception


def test_two_classifiers_are_compared(open_page):
    at = open_page(cm_part="Two classifiers", cm_other="runs/worse")
    assert "only the second" in texts(at)
    assert "The difference: the second minus the first" in texts(at)


def test_the_table_by_class_has_the_figures_of_the_matrix(open_page):
    table = open_page(cm_part="Classes").dataframe[0].value
    assert len(table) == 10
    assert (table["TP"] + table["FN"] == table["Images"]).all()
    np.testing.assert_allclose(table["Recall"], table["TP"] / table["Images"])
    assert table["Images"].sum() == len(open_dataset("digits").split("test"))


@pytest.mark.parametrize("k", [1, 2, 10, 200])
def test_an_uploaded_matrix_is_shown_and_told(open_page, k):
    rng = np.random.default_rng(k)
    matrix = rng.poisson(0.5, (k, k)) + np.diag(rng.integers(50, 90, k))
    at = open_page(cm_part="Your own matrix")
    assert "Upload the matrix of a report" in texts(at)
    at.file_uploader(key="cm_file").set_value(
        ("m.csv", write_matrix(matrix, tuple(f"c{i}" for i in range(k))).encode(), "text/csv")
    )
    at.text_input(key="cm_stated").set_value("12.5 %").run()
    assert not at.exception
    assert not at.error
    accuracy = matrix.trace() / matrix.sum()
    assert f"an accuracy of {accuracy:.2%}".replace(".", "\\.") in texts(at)
    assert any("does not follow from the matrix" in w.value for w in at.warning)
    assert len(at.dataframe[0].value) == k


def test_a_file_without_a_matrix_is_named(open_page):
    at = open_page(cm_part="Your own matrix")
    at.file_uploader(key="cm_file").set_value(("m.csv", b"1,2\n3", "text/csv")).run()
    assert "m.csv, line 2 has 1 numbers" in at.error[0].value
    at.file_uploader(key="cm_file").set_value(("m.csv", b"1,2\n3,4", "text/csv"))
    at.text_input(key="cm_stated").set_value("ninety").run()
    assert "write a percentage such as 91.64 %" in at.error[0].value


def test_the_zip_of_a_cell_holds_its_images(tmp_path):
    import io
    import zipfile

    from PIL import Image

    split = open_dataset("digits").split("test")
    predictions = drawn(n=60)
    judged = judged_predictions("m", "digits", "test", split, predictions)
    i, j = np.argwhere((judged.matrix > 1) & ~np.eye(7, dtype=bool))[0]
    positions = judged.positions((int(i), int(j)))
    with zipfile.ZipFile(io.BytesIO(zip_of(judged, positions))) as archive:
        names = archive.namelist()
        assert len(names) == judged.matrix[i, j]
        first = np.asarray(Image.open(io.BytesIO(archive.read(names[0]))))
    assert np.array_equal(first, split.images[predictions.rows[positions[0]], ..., 0])
    assert names[0].startswith(f"0001_{predictions.rows[positions[0]]}_")


def test_predictions_as_csv_give_the_matrix_again():
    from core.evaluation.matrix_file import read_matrix

    split = open_dataset("digits").split("test")
    predictions = drawn(n=300)
    judged = judged_predictions("m", "digits", "test", split, predictions)
    matrix, names = read_matrix(predictions_csv(judged).encode())
    assert names == predictions.class_names
    assert np.array_equal(matrix, judged.matrix)


def test_only_the_classes_that_occur_are_shown():
    predictions = drawn(n=300)
    wide = np.full((300, 1000), -50, np.float32)
    wide[:, 100:107] = predictions.logits
    from core.evaluation.prediction import Predictions

    many = Predictions(wide, predictions.labels + 100, tuple(f"n{i}" for i in range(1000)), predictions.rows)
    judged = judged_predictions("m", "digits", "test", open_dataset("digits").split("test"), many)
    assert judged.names == tuple(f"n{i}" for i in range(100, 107))
    assert np.array_equal(judged.positions((1, 2)), predictions.where(true=1, predicted=2))


def test_images_of_unknown_classes_are_not_even_predicted(monkeypatch, home):
    from dataclasses import replace

    from pages.elements.confusion_matrices import judged as module

    monkeypatch.setenv("CONVOSCOPE_HOME", str(home))
    dataset = open_dataset("digits")
    names = tuple(f"new {name}" if int(name) > 4 else name for name in dataset.class_names)
    split, asked = dataset.split("test"), []

    def answered(question, analysis, **about):
        from core.models.catalogue import load

        answer = analysis(load(question.classifier), lambda share, text: None)
        asked.append(len(answer.logits))
        return answer

    monkeypatch.setattr(module, "asked", answered)
    found = module.judged("runs/good", replace(dataset, class_names=names), "test")
    known = np.flatnonzero(split.labels <= 4)
    assert asked == [len(known)]
    assert np.array_equal(found.predictions.rows, known)
    assert np.array_equal(found.predictions.labels, split.labels[known])
    assert "5 of the data set's 10 classes are unknown" in found.predictions.note
