import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.data import catalogue
from core.data.catalogue import add_upload, dataset_names, open_dataset, open_for_training
from core.disk import NoRoom
from core.errors import BadDataset, SettingError, UnknownName
from core.paths import PROJECT


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(catalogue, "_open", type(catalogue._open)())


def zip_of_images(extra=()):
    out = io.BytesIO()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("cat", "dog"):
            for i in range(10):
                picture = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(picture, "PNG")
                archive.writestr(f"pets/{name}/{i}.png", picture.getvalue())
        for name, data in extra:
            archive.writestr(name, data)
    out.seek(0)
    return out


def open_page(**address):
    page = AppTest.from_file(str(PROJECT / "pages" / "data.py"), default_timeout=60)
    for name, value in address.items():
        page.query_params[name] = value
    return page.run()


def _words(page):
    return " ".join(element.value for element in (*page.markdown, *page.caption, *page.info, *page.success))


def test_digits_by_the_address():
    page = open_page(data_set="digits")
    assert not page.exception
    assert not page.error
    assert "train 1,438, test 359" in _words(page)
    table = page.dataframe[0].value
    split = open_dataset("digits").splits["train"]
    assert table["mean gray"][0] == pytest.approx(split.mean_std[0][0], abs=1e-4)
    assert table["images"].tolist() == [1438, 359]


def test_a_setting_changes_the_data_set():
    page = open_page(data_set="digits")
    page.slider(key="data_digits_test_share").set_value(0.5).run()
    assert "train 899, test 898" in _words(page)


@pytest.mark.parametrize("part", ["Batch", "Duplicates", "Left out", "Upload"])
def test_every_part_is_drawn(part):
    page = open_page(data_set="digits", data_part=part)
    assert not page.exception
    assert not page.error


def test_a_batch_of_one_class_has_its_range_of_numbers():
    page = open_page(data_set="digits", data_part="Batch")
    page.toggle(key="data_flip").set_value(False)
    page.slider(key="data_crop").set_value(0)
    page.selectbox(key="data_class").select("7").run()
    assert not page.error
    assert "The network gets 24 × 1 × 8 × 8 numbers" in _words(page)


def test_an_unknown_data_set_in_the_address_gives_the_first():
    page = open_page(data_set="<script>")
    assert not page.exception
    assert page.selectbox(key="data_set").value == "fashion_mnist"


def test_what_cannot_be_had_is_said_in_a_sentence():
    page = open_page(data_set="cifar10")
    assert not page.error
    assert "**CIFAR\\-10** is not on this machine" in _words(page)


def test_an_upload_becomes_a_data_set_for_everyone():
    page = open_page(data_part="Upload")
    data = zip_of_images([("pets/cat/x.png", b"no image"), ("../evil.png", b"x")]).getvalue()
    page.file_uploader(key="data_upload").upload("My pets.zip", data, "application/zip").run()
    assert not page.exception
    assert not page.error
    assert "20 images in 2 classes" in _words(page)
    assert "2 files were left out" in _words(page)
    name = page.selectbox(key="data_set").value
    assert name.startswith("my-pets-")
    assert name in dataset_names()
    page.segmented_control(key="data_part").set_value("Left out").run()
    assert set(page.dataframe[0].value["file"]) == {"pets/cat/x.png", "../evil.png"}


def test_an_upload_that_is_no_zip_is_refused_in_the_page():
    page = open_page(data_part="Upload")
    page.file_uploader(key="data_upload").upload("x.zip", b"nothing", "application/zip").run()
    assert "'x.zip' is no zip" in page.error[0].value
    assert dataset_names() == ["fashion_mnist", "cifar10", "photos", "digits", "sutures"]


def test_the_same_zip_twice_is_one_data_set(tmp_path):
    data = zip_of_images()
    first, again = add_upload(data, "a.zip"), add_upload(data, "a.zip")
    assert first[0] == again[0]
    assert len(list((tmp_path / "data" / "uploads").glob("*"))) == 2  # the zip and its description


def test_names_of_uploads_lead_nowhere(tmp_path):
    name, _ = add_upload(zip_of_images(), "../../../etc/ä b\x00.zip")
    assert name.startswith("b-")
    assert [path.parent for path in tmp_path.rglob("*.zip")] == [tmp_path / "data" / "uploads"]
    with pytest.raises(UnknownName, match=r"no data set named '..\/x."):
        open_dataset("../x")


def test_nothing_is_kept_of_what_is_refused(tmp_path, monkeypatch):
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "x")
    empty.seek(0)
    with pytest.raises(BadDataset, match="no class folders with images"):
        add_upload(empty, "a.zip")
    monkeypatch.setattr(catalogue, "MAXIMUM_UPLOAD", 100)
    with pytest.raises(BadDataset, match=r"'a\.zip' is larger than"):
        add_upload(zip_of_images(), "a.zip")
    with pytest.raises(BadDataset, match=r"'a\.zip' is empty"):
        add_upload(io.BytesIO(), "a.zip")
    monkeypatch.setattr(catalogue, "MAXIMUM_UPLOAD", 2**30)
    monkeypatch.setenv("CONVOSCOPE_UPLOADS_MB", "0")
    with pytest.raises(NoRoom, match=r"The zip 'a\.zip' needs .* CONVOSCOPE_UPLOADS_MB"):
        add_upload(zip_of_images(), "a.zip")


def test_the_same_zip_under_another_name_is_the_same_data_set(tmp_path):
    first, _ = add_upload(zip_of_images(), "one.zip")
    again, _ = add_upload(zip_of_images(), "two.zip")
    assert first == again
    assert [path.name for path in (tmp_path / "data" / "uploads").glob("*.zip")] == [f"{first}.zip"]


def test_an_upload_that_is_canceled_leaves_nothing(tmp_path):

    class Canceled(BaseException):
        """As Streamlit ends a script whose visitor clicked on something else."""

    def progress(share, text):
        raise Canceled

    with pytest.raises(Canceled):
        add_upload(zip_of_images(), "a.zip", progress=progress)
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_equal_questions_share_one_answer():
    assert open_dataset("digits", seed=1) is open_dataset("digits", seed="1")
    assert open_dataset("digits", seed=1) is not open_dataset("digits", seed=2)
    with pytest.raises(SettingError, match="no setting 'sed'"):
        open_dataset("digits", sed=1)
    assert open_for_training("digits") is open_dataset("digits")


def test_the_command_lists_and_describes(capsys):
    from core.__main__ import main

    assert main(["datasets"]) == 0
    assert "sutures" in capsys.readouterr().out
    assert main(["datasets", "digits", "--settings", "test_share=0.5", "--duplicates"]) == 0
    out = capsys.readouterr().out
    assert "898 images" in out
    assert "0 test images are training images too" in out
    assert main(["datasets", "digit"]) == 2
    assert "Did you mean 'digits'" in capsys.readouterr().err


def zip_named(*names):
    out = io.BytesIO()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(picture, "PNG")
            archive.writestr(name, picture.getvalue())
    out.seek(0)
    return out


VEHICLES = [f"{c}/{part}/{i}.png" for c in ("train", "bus") for part in ("a", "b") for i in range(4)]


def test_an_open_layout_is_asked_about_filled_with_the_guess_and_changed_by_one_click():
    page = open_page(data_part="Upload")
    page.file_uploader(key="data_upload").upload("v.zip", zip_named(*VEHICLES).getvalue()).run()
    assert not page.error
    assert page.dataframe[-1].value["class"].tolist() == ["bus", "train"]
    assert "The folder 'train' may be a class or a split" in _words(page)
    radio = next(each for each in page.radio if each.label == "Folders")
    assert radio.value == ""
    radio.set_value("train=train").run()
    assert page.dataframe[-1].value.to_dict("list") == {"class": ["a", "b"], "training": [4, 4]}
    page.button(key="data_read_upload").click().run()
    assert not page.error
    name = page.selectbox(key="data_set").value
    assert open_dataset(name).class_names == ("a", "b")  # everywhere, from now on
    assert catalogue.said_of_upload(name) == {"splits": "train=train"}
    next(each for each in page.radio if each.label == "Folders").set_value("none").run()
    page.button(key="data_read_folders").click().run()
    assert not page.error
    assert "2 classes" in _words(page)
    assert open_dataset(name).class_names == ("bus", "train")


def test_what_gives_no_classes_can_be_said_otherwise():
    page = open_page(data_part="Upload")
    names = [f"{split}/{i}.png" for split in ("train", "test") for i in range(4)]
    page.file_uploader(key="data_upload").upload("v.zip", zip_named(*names).getvalue()).run()
    assert page.button(key="data_read_upload").disabled
    next(each for each in page.radio if each.label == "Folders").set_value("none").run()
    page.button(key="data_read_upload").click().run()
    assert open_dataset(page.selectbox(key="data_set").value).class_names == ("test", "train")


def test_two_spellings_are_asked_about():
    page = open_page(data_part="Upload")
    names = ["train/Cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png"]
    page.file_uploader(key="data_upload").upload("v.zip", zip_named(*names).getvalue()).run()
    assert page.dataframe[-1].value["class"].tolist() == ["Cat", "dog"]
    radio = next(each for each in page.radio if "differ in capital letters" in each.label)
    radio.set_value("apart").run()
    assert page.dataframe[-1].value["class"].tolist() == ["Cat", "cat", "dog"]
    page.button(key="data_read_upload").click().run()
    name = page.selectbox(key="data_set").value
    assert open_dataset(name).class_names == ("Cat", "cat", "dog")


def test_a_reading_that_gives_nothing_leaves_an_upload_as_it_was():
    name, _ = add_upload(zip_named(*VEHICLES), "v.zip")
    with pytest.raises(BadDataset, match="no class folders with images"):
        catalogue.read_upload_as(name, {"splits": "train=skip, bus=skip"})
    assert catalogue.said_of_upload(name) == {}
    with pytest.raises(UnknownName, match="no uploaded data set named 'digits'"):
        catalogue.said_of_upload("digits")
    with pytest.raises(SettingError, match="splits names the folder 'car'"):
        add_upload(zip_named(*VEHICLES), "w.zip", {"splits": "car=train"})
    assert [entry.name for entry in catalogue.catalogue() if entry.path] == [name]


@pytest.mark.parametrize(("name", "data", "sentence"), [
    ("cats.rar", b"Rar!\x1a\x07\x01\x00" + bytes(40), "is a RAR archive"),
    ("cats.tar.gz", b"\x1f\x8b\x08" + bytes(40), "is compressed by gzip"),
    ("cat.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "is a picture"),
    ("cats.txt", b"cats", "is no zip"),
])  # fmt: skip
def test_a_file_of_another_kind_is_refused_in_a_sentence(name, data, sentence):
    page = open_page(data_part="Upload")
    page.file_uploader(key="data_upload").upload(name, data).run()
    assert f"'{name}' {sentence}" in page.error[0].value
