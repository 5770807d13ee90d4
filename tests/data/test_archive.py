import io
import stat
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.data import archive
from core.data.archive import list_zip, open_zip
from core.errors import BadDataset, BadImage


def picture(kind="PNG", size=(12, 9)):
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def pack(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def _reasons(path):
    return {s.path: s.reason for s in list_zip(path).skipped}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../cat/1.png", "leads out of the folder"),
        ("cat/../../1.png", "leads out of the folder"),
        ("/etc/1.png", "absolute path"),
        ("C:/cat/1.png", "absolute path"),
        ("cat\\1.png", "backslash"),
        ("cat/run.sh", "does not end like an image"),
        ("cat/inner.zip", "it is an archive: unpack it"),
        ("__MACOSX/cat/._1.png", "operating system"),
        ("cat/.DS_Store", "operating system"),
    ],
)
def test_names_that_are_no_images_or_lead_elsewhere_are_left_out(tmp_path, name, reason):
    path = pack(tmp_path / "a.zip", [("cat/0.png", picture()), (name, picture())])
    listing = list_zip(path)
    assert list(listing.images) == ["cat/0.png"]
    assert len(listing.skipped) == 1
    assert reason in listing.skipped[0].reason


def test_links_encrypted_and_double_entries_are_left_out(tmp_path):
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(
            tmp_path / "a.zip", [("cat/0.png", picture()), (link, b"/etc/passwd"), ("cat/0.png", b"x")]
        )
    reasons = _reasons(path)
    assert reasons["cat/link.png"] == "it is a symbolic link"
    assert "same name" in reasons["cat/0.png"]
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    assert _reasons(path)["cat/0.png"] == "it is encrypted"


def test_an_entry_that_expands_too_much_is_never_expanded(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat/bomb.bmp", bytes(15 * 2**20)), ("cat/0.png", picture())])
    assert "times, as no picture does" in _reasons(path)["cat/bomb.bmp"]
    path = pack(tmp_path / "b.zip", [("cat/long.bmp", bytes(21 * 2**20))])
    assert "it has 21 MB; up to 20 MB" in _reasons(path)["cat/long.bmp"]


def test_too_much_in_all_is_refused(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", [(f"cat/{i}.png", picture()) for i in range(5)])
    monkeypatch.setattr(archive, "MAXIMUM_EXPANDED", 1000)
    with pytest.raises(BadDataset, match=r"'a.zip' would expand to"):
        list_zip(path)


def test_too_many_entries_are_refused_before_they_are_listed(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", [(f"cat/{i}.png", b"") for i in range(20)])
    monkeypatch.setattr(archive, "MAXIMUM_ENTRIES", 10)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # it must not come so far
    with pytest.raises(BadDataset, match=r"'a.zip' lists 20 files; up to 10 are read"):
        list_zip(path)


def test_a_lie_about_an_entry_s_length_is_found_out(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat/0.png", picture())])
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.find(b"PK\1\2") + 24, 10)  # the true length is longer
    path.write_bytes(data)
    with (
        open_zip(path, list_zip(path).images) as read,
        pytest.raises(BadImage, match=r"'cat/0.png' is damaged in the archive"),
    ):
        read("cat/0.png")


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all" * 100, b"PK\5\6" + bytes(18)[:10]])
def test_what_is_no_zip_is_refused(tmp_path, data):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(BadDataset, match=r"'a.zip' is not a zip"):
        list_zip(path)


def test_a_zip_cut_short_is_refused(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat/0.png", picture())])
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(BadDataset, match="not a zip"):
            list_zip(path)


def test_names_are_shown_without_control_characters(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat/\x1b[2Jx.txt", b""), ("y" * 500 + ".txt", b"")])
    shown = list(_reasons(path))
    assert all(name.isprintable() and len(name) <= 200 for name in shown)


def test_empty_entries_are_left_out_before_one_of_them_is_opened(tmp_path):
    reasons = _reasons(pack(tmp_path / "a.zip", [("cat/0.png", b""), ("cat/1.png", picture())]))
    assert reasons == {"cat/0.png": "it is empty (0 bytes)"}
