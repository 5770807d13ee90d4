"""Names of zips whose programs did not say how they are written."""

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.folder_index import find_images, look_into
from core.data.zip_names import ENCODINGS, decoded_names, likely_encodings
from core.errors import SettingError


def zip_of(*folders: bytes) -> io.BytesIO:
    """A zip whose folders have these bytes for a name, with no mark of an encoding."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, folder in enumerate(folders):
            archive.writestr(f"{'X' * len(folder)}{number}/1.jpg", b"a")
    raw = out.getvalue()
    for number, folder in enumerate(folders):
        raw = raw.replace(b"X" * len(folder) + b"%d/" % number, folder + b"%d/" % number)
    return io.BytesIO(raw)


def entries_of(*folders: bytes) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(zip_of(*folders)).infolist()


@pytest.mark.parametrize(("encoding", "words"), [
    ("gb18030", "猫 狗"), ("gb18030", "苹果 香蕉 橙子"), ("gb18030", "健康 生病"), ("cp932", "猫 犬"),
    ("cp932", "りんご みかん"), ("cp932", "ネコ イヌ"), ("cp949", "고양이 개"), ("big5", "貓 狗"),
    ("big5", "蘋果 香蕉"), ("cp437", "Äpfel Größe"), ("cp437", "café thé"), ("cp1252", "Äpfel Größe"),
    ("cp1252", "niño león"), ("cp866", "кошка собака"), ("cp1251", "кошка собака"), ("cp850", "Äpfel Øre"),
    ("cp1253", "γάτα σκύλος"), ("cp874", "แมว สุนัข"), ("utf-8", "猫"), ("utf-8", "Äpfel"),
])  # fmt: skip
def test_the_likeliest_encoding_is_that_of_words(encoding, words):
    entries = entries_of(*(word.encode(encoding) for word in words.split()))
    assert likely_encodings(entries)[0] == encoding
    names = [name.split("/")[0] for name in decoded_names(entries, encoding)]
    assert names == [f"{word}{number}" for number, word in enumerate(words.split())]


def test_an_open_encoding_is_asked_about_with_what_the_names_would_be():
    source = zip_of("猫".encode("gb18030"), "狗".encode("gb18030"))
    (choice,) = look_into(find_images(source, title="a.zip")).choices
    assert choice.setting == "names"
    assert choice.taken == "gb18030"
    assert choice.options["gb18030"] == "Chinese, GBK: 猫0, 狗1"
    assert choice.options["cp949"] == "Korean: 챔0, 뭍1"
    assert len(set(choice.options.values())) == len(choice.options)
    (choice,) = look_into(find_images(source, title="a.zip", names="cp949")).choices
    assert (choice.taken, choice.said) == ("cp949", True)
    with pytest.raises(SettingError, match=r"names is 'klingon'\. Choose one of guess, utf-8"):
        find_images(source, names="klingon")


def test_nothing_is_asked_where_every_encoding_gives_the_same():
    assert not look_into(find_images(zip_of(b"cat", b"dog"))).is_open
    assert not look_into(find_images(zip_of("кошка".encode()))).is_open


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=8).filter(lambda b: not set(b) & set(b"/\0X\\")), min_size=1))
def test_any_bytes_are_names_that_stay_different(folders):
    entries = entries_of(*folders)
    for encoding in ("utf-8", *likely_encodings(entries), *ENCODINGS):
        assert len(set(decoded_names(entries, encoding))) == len(folders)
