"""Images that are not on this machine: a card that fetches them, and what can be seen without them."""

import hashlib
import time
from collections import OrderedDict

import pytest
from streamlit.testing.v1 import AppTest

from core.__main__ import main
from core.data import catalogue
from core.data.sets import cifar10, fashion_mnist
from core.paths import PROJECT, home
from core.serving import downloads
from tests.data.sets.test_published import cifar_archive, cifar_records
from tests.publisher import published

CLASSIFIER = "cifar10_small_cnn"


@pytest.fixture(autouse=True)
def publisher(tmp_path, monkeypatch):
    """An empty home folder, and a server with a CIFAR-10 of 36 images."""
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "_downloads", {})
    monkeypatch.setattr(catalogue, "_open", OrderedDict())
    archive = cifar_archive(cifar_records()[2])
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive).hexdigest())
    with published({"/cifar.tar.gz": archive}) as address:
        monkeypatch.setattr(cifar10, "ADDRESS", f"{address}/cifar.tar.gz")
        yield


def open_page(page, **address):
    test = AppTest.from_file(str(PROJECT / "pages" / f"{page}.py"), default_timeout=120)
    test.query_params["classifier"] = CLASSIFIER
    for name, value in address.items():
        test.query_params[name] = value
    return test.run()


def texts(test):
    found = [*test.markdown, *test.info, *test.caption, *test.error, *test.warning]
    return " ".join(element.value for element in found).replace("\\", "")


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ("Matrix", "**68.09%** of 10,000 images are right"),
        ("Findings", "6,809 of 10,000 images"),
        ("Classes", "The label is among the most probable classes"),
        ("Calibration", "68.1% right"),
        ("One vs. rest", "False positives"),
        ("Errors", "3,191 images"),
        ("Two classifiers", "The second, cifar10_resnet18"),
    ],
)
def test_every_part_of_the_confusion_page_works_without_a_single_image(part, shown):
    test = open_page("confusion_matrices", cm_part=part, cm_other="cifar10_resnet18")
    assert not test.exception
    assert not test.error
    assert shown in texts(test)


def test_a_cell_says_where_its_images_can_be_had():
    test = open_page("confusion_matrices")
    assert "The images of **CIFAR-10** are not on this machine" in texts(test)
    assert "Download 170 MB" in [button.label for button in test.button]
    assert "cifar10.zip" in texts(test)
    assert str(home("data")) in texts(test)


@pytest.mark.parametrize(("page", "prefix"), [("filters", "fl"), ("embedding", "em")])
def test_a_page_without_its_images_offers_them_and_others(page, prefix):
    test = open_page(page)
    assert not test.exception
    assert not test.error
    assert "**CIFAR-10** is not on this machine. It is a download of 170 MB." in texts(test)
    labels = [button.label.replace("\\", "") for button in test.button]
    assert "Download 170 MB" in labels
    assert "Use Fashion-MNIST instead" in labels


def test_the_card_fetches_the_images_and_the_page_goes_on():
    test = open_page("embedding", em_projection="PCA", em_split="train")
    test.button(key="em_missing_download").click().run()
    until = time.monotonic() + 30
    while downloads.state("cifar10").running:
        assert time.monotonic() < until
        time.sleep(0.02)
    test.run()
    assert not test.exception
    assert not test.error
    assert "is not on this machine" not in texts(test)
    assert test.selectbox(key="em_set").value == "cifar10"


def test_a_failed_download_says_why_and_offers_to_try_again(monkeypatch):
    monkeypatch.setattr(cifar10, "ADDRESS", "http://127.0.0.1:9/cifar.tar.gz")
    test = open_page("embedding")
    test.button(key="em_missing_download").click().run()
    until = time.monotonic() + 30
    while downloads.state("cifar10").running:
        assert time.monotonic() < until
        time.sleep(0.02)
    test.run()
    assert not test.exception
    assert "could not be downloaded" in texts(test)
    assert test.button(key="em_missing_download").label == "Try again"


def test_the_card_leads_to_the_data_that_ship():
    test = open_page("filters", fl_n="200")
    test.button(key="fl_missing_instead").click().run()
    assert not test.exception
    assert not test.error
    assert test.selectbox(key="fl_set").value == "fashion_mnist"
    assert test.selectbox(key="classifier").value == "fashion_mnist_cnn"


def test_the_data_page_offers_the_training_images_that_do_not_ship(monkeypatch, tmp_path):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "no package")
    test = open_page("data", data_set="fashion_mnist")
    assert not test.exception
    assert "Only the 10,000 test images are on this machine" in texts(test)
    assert test.button(key="data_train_download").label == "Download 27 MB"
    test = open_page("data", data_set="cifar10")
    assert not test.error
    assert test.button(key="data_missing_download").label == "Download 170 MB"


def test_evaluate_and_findings_work_without_the_images(capsys):
    assert main(["evaluate", CLASSIFIER]) == 0
    printed = capsys.readouterr()
    assert "6,809 of 10,000 images" in printed.out
    assert "not on this machine" in printed.err
    assert main(["findings", CLASSIFIER]) == 0
    assert capsys.readouterr().out.splitlines() == printed.out.splitlines()[:-2]
    assert main(["evaluate", CLASSIFIER, "--split", "train"]) == 2
