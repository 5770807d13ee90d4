"""Zips that were damaged, or made to do harm: a data set, or a sentence; never another exception."""

import io
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.data.folder_index import find_images, read_dataset
from core.errors import ConvoscopeError

SEEDS = (*range(150), 1086)  # the last has an entry without a name
_NAMES = (
    "train/cat/1.png", "train/dog/2.png", "test/Cat/3.png", "test/dog/4.jpg", "train/\u732b/5.png",
    "labels.csv", "train/cat/.git/6.png", "../7.png", "a\\b.png", "inner.zip",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def whole_zip(compression: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name in _NAMES:
            data = picture("JPEG" if name.endswith("jpg") else "PNG")
            archive.writestr(name, b"file,class\n1.png,cat\n" if name.endswith("csv") else data)
    return out.getvalue()


WHOLE = [whole_zip(zipfile.ZIP_STORED), whole_zip(zipfile.ZIP_DEFLATED)]


def damaged(raw: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled or cut off; mostly in the table of contents, where it hurts."""
    data = bytearray(raw)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data)) if draw.random() < 0.4 else len(data) - 1 - draw.randrange(
            min(len(data), 700)
        )  # fmt: skip
        match draw.randrange(5):
            case 0:
                data[at] = draw.randrange(256)
            case 1:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                data[at : at + 4] = draw.choice([b"\xff\xff\xff\xff", bytes(4), b"\xfe\xff\xff\x7f"])
            case 3:
                del data[at : at + draw.randint(1, 20)]
            case _:
                data[at:at] = data[at : at + draw.randint(1, 40)]
        if not data:
            break
    return bytes(data[: draw.randrange(len(data) + 1)] if data and draw.random() < 0.1 else data)


def read(raw: bytes, **settings: str) -> None:
    refusal, found = "", None
    try:
        files = find_images(io.BytesIO(raw), title="a.zip", names=settings.pop("names", "guess"))
        found = read_dataset(files, name="a", title="a", size=8, **settings)
    except ConvoscopeError as error:
        refusal = str(error)
    if found is None:
        assert refusal.endswith(".")
        return
    assert found.number_of_classes >= 2
    assert sum(len(split) for split in found.splits.values()) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_zip_is_read_or_refused_in_words(seed):
    draw = random.Random(seed)
    read(damaged(draw.choice(WHOLE), draw))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_refused_in_words(data, with_an_end):
    end = b"PK\5\6" + bytes(4) + b"\1\0\1\0" + len(data).to_bytes(4, "little") + bytes(6)
    read(data + end if with_an_end else data)


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=6), st.sampled_from(["guess", "cp437", "cp932"])
)
def test_folders_of_any_name_are_read(tmp_path_factory, folders, names):
    out = io.BytesIO()
    data = picture("PNG")
    with zipfile.ZipFile(out, "w") as archive:
        for number, (first, second) in enumerate(folders):
            archive.writestr(f"{first}/{second}/{number}.png", data)
    read(out.getvalue(), names=names)
