"""Downloads of data sets: seen by everybody, canceled within a moment, and gone on with."""

import hashlib
import time

import pytest

from core import roles
from core.data.sets import cifar10, datasets
from core.paths import home
from core.roles import NotAllowed, Visitor
from core.serving import downloads
from tests.data.sets.test_published import cifar_archive, cifar_records
from tests.publisher import Publisher, published


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "_downloads", {})
    archive = cifar_archive(cifar_records()[2])
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive).hexdigest())
    with published({"/cifar.tar.gz": archive}) as address:
        monkeypatch.setattr(cifar10, "ADDRESS", f"{address}/cifar.tar.gz")
        yield archive


def ended():
    until = time.monotonic() + 30
    while downloads.state("cifar10").running:
        assert time.monotonic() < until
        time.sleep(0.01)
    return downloads.state("cifar10")


def test_a_download_arrives(publisher):
    assert downloads.state("cifar10") is None
    downloads.begin("cifar10")
    found = ended()
    assert not found.error
    assert not found.canceled
    assert found.share == 1.0
    assert len(datasets["cifar10"]().split("train")) == 30


def test_a_canceled_one_leaves_what_it_had_and_the_next_goes_on_there(publisher, monkeypatch):
    monkeypatch.setattr("core.data.download.CHUNK_BYTES", 1000)
    monkeypatch.setattr(Publisher, "pause", 0.002)
    downloads.begin("cifar10")
    while downloads.state("cifar10").share < 0.05:
        time.sleep(0.001)
    downloads.cancel("cifar10")
    assert ended().canceled
    part = home("data") / "cifar-10-binary.tar.gz.part"
    assert 0 < part.stat().st_size < len(publisher)
    monkeypatch.setattr(Publisher, "pause", 0.0)
    downloads.begin("cifar10")
    assert not ended().canceled
    assert Publisher.ranges
    assert "train" in datasets["cifar10"]().splits


def test_what_failed_says_why_and_can_be_tried_again(publisher, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cifar10, "ADDRESS", "http://127.0.0.1:9/cifar.tar.gz")
        downloads.begin("cifar10")
        assert "could not be downloaded" in ended().error
    downloads.begin("cifar10")
    assert not ended().error


def test_in_a_class_only_the_teacher_downloads(publisher, monkeypatch):
    monkeypatch.setattr(roles, "_visitor", lambda: Visitor("student", may_all=False))
    with pytest.raises(NotAllowed, match="Only the teacher may download a data set"):
        downloads.begin("cifar10")
    assert downloads.state("cifar10") is None
