"""Fetching a published file from a server on this machine that breaks off."""

import hashlib

import numpy as np
import pytest

from core.data.download import fetch
from core.errors import Abandoned, Unavailable
from tests.publisher import Publisher, published


@pytest.fixture
def publisher():
    with published({}) as address:
        yield address


DATA = np.random.default_rng(0).integers(0, 256, 2_000_000, np.uint8).tobytes()


def test_a_download_arrives_whole_with_progress(publisher, tmp_path):
    Publisher.files["/w.pth"] = DATA
    seen = []
    path = fetch(
        "Weights", f"{publisher}/w.pth", tmp_path / "w.pth", progress=lambda s, m: seen.append((s, m))
    )
    assert path.read_bytes() == DATA
    assert seen[-1][0] == 1.0
    assert "of 2 MB" in seen[-1][1]
    assert not list(tmp_path.glob("*.part"))


def test_a_broken_connection_goes_on_where_it_was(publisher, tmp_path):
    Publisher.files["/w.pth"] = DATA
    Publisher.breaks = 2
    digits = hashlib.sha256(DATA).hexdigest()[:8]
    path = fetch("Weights", f"{publisher}/w.pth", tmp_path / "w.pth", sha256_prefix=digits)
    assert path.read_bytes() == DATA
    assert Publisher.ranges[0] == "bytes=1000000-"


def test_what_cannot_be_had_names_file_and_place(publisher, tmp_path):
    target = tmp_path / "w.pth"
    with pytest.raises(Unavailable, match=r"could not be downloaded \(Not Found\).*put it here as .*w\.pth"):
        fetch("Weights", f"{publisher}/none.pth", target)
    with pytest.raises(Unavailable, match="could not be downloaded"):
        fetch("Weights", "http://127.0.0.1:9/w.pth", target)
    Publisher.files["/w.pth"] = DATA
    with pytest.raises(Unavailable, match="arrived broken"):
        fetch("Weights", f"{publisher}/w.pth", target, sha256_prefix="00000000")
    assert not target.exists()


def test_what_was_canceled_goes_on_where_it_was(publisher, tmp_path):
    Publisher.files["/w.pth"] = DATA

    def cancel(share, message):
        if share > 0.4:
            raise Abandoned

    with pytest.raises(Abandoned):
        fetch("Weights", f"{publisher}/w.pth", tmp_path / "w.pth", progress=cancel)
    assert not (tmp_path / "w.pth").exists()
    fetch("Weights", f"{publisher}/w.pth", tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == DATA
    start = int(Publisher.ranges[0].removeprefix("bytes=").rstrip("-"))
    assert 0.4 * len(DATA) < start < len(DATA)
