"""Zips and folders as courses, programs and systems make them: what belongs to which split and class."""

import zipfile
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.file_names import split_of
from core.data.folder_index import find_images, look_into, read_dataset
from core.data.folder_layout import read_layout
from core.errors import BadDataset, SettingError


def counted(*names: str) -> dict[tuple[str, str], int]:
    places = read_layout(names).places
    return dict(Counter((place.split, place.class_name) for place in places))


def some(folder: str, n: int = 2) -> list[str]:
    return [f"{folder}/{i}.jpg" for i in range(n)]


CAT_DOG = {("train", "cat"): 2, ("train", "dog"): 2, ("test", "cat"): 2, ("test", "dog"): 2}
LAYOUTS = {
    "plain": ("train/cat", "train/dog", "test/cat", "test/dog"),
    "course data": ("d/training_set/cat", "d/training_set/dog", "d/test_set/cat", "d/test_set/dog"),
    "Intel scenes": ("seg_train/seg_train/cat", "seg_train/seg_train/dog", "seg_test/seg_test/cat",
                     "seg_test/seg_test/dog"),
    "data": ("train_data/cat", "train_data/dog", "test-data/cat", "test-data/dog"),
    "class first": ("cat/train", "cat/test", "dog/train", "dog/test"),
    "capitals": ("Train/cat", "Train/dog", "TEST/cat", "TEST/dog"),
    "another spelling in test": ("train/cat", "train/dog", "test/Cat", "test/DOG"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_are_known_by_the_words_of_their_names(layout):
    assert counted(*(name for folder in LAYOUTS[layout] for name in some(folder))) == CAT_DOG


def test_a_class_called_train_beside_others_is_a_class():
    names = [n for c in ("train", "bus", "car") for n in (*some(f"vehicles/{c}/a"), *some(f"vehicles/{c}/b"))]
    assert counted(*names) == {("", "train"): 4, ("", "bus"): 4, ("", "car"): 4}


def test_letters_in_another_encoding_are_the_same_class_and_long_names_stay_apart():
    found = counted("train/caf\u00e9/1.jpg", "test/cafe\u0301/1.jpg")
    assert found == {("train", "caf\u00e9"): 1, ("test", "caf\u00e9"): 1}
    long = "x" * 100
    assert len(counted(f"{long}a/1.jpg", f"{long}b/1.jpg")) == 2


def test_two_spellings_in_one_split_stay_two():
    assert len(counted("train/Cat/1.jpg", "train/cat/1.jpg", "test/cat/1.jpg")) == 3


def test_pictures_that_nobody_sorted_are_left_out_with_the_reason():
    names = [*some("tiny/train/n01/images"), *some("tiny/train/n02/images"), *some("tiny/val/images", 3)]
    reading = read_layout(names)
    skipped = reading.left_out
    assert {place.split for place in reading.places} == {"train"}
    assert len(skipped) == 3
    assert "'images' is not one of the classes in train" in skipped[0].reason
    reading = read_layout((*some("train/a"), *some("train/b"), *some("test")))
    assert {place.split for place in reading.places} == {"train"}
    assert all("it is in no folder of a class inside 'test'" in s.reason for s in reading.left_out)


@pytest.mark.parametrize(("folder", "split"), [
    ("training_set", "train"), ("seg_train", "train"), ("val_data", "val"), ("Testing", "test"),
    ("test2", "test"), ("single_prediction", ""), ("trainers", ""), ("train_and_test", ""), ("", ""),
])  # fmt: skip
def test_words_of_a_folder(folder, split):
    assert split_of(folder)[0] == split


def packed(path, entries: dict[str, bytes], *, flag: bool = True):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    if not flag:  # macOS writes UTF-8 without the mark that says so
        raw = bytearray(path.read_bytes())
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = raw.find(mark)
            while place >= 0:
                raw[place + at + 1] &= ~0x08
                place = raw.find(mark, place + 4)
        path.write_bytes(raw)
    return path


@pytest.mark.parametrize("name", ["\u00c4pfel", "Gr\u00f6\u00dfe", "\u732b"])
def test_names_of_a_zip_without_the_mark_of_utf_8(tmp_path, name):
    files = find_images(packed(tmp_path / "a.zip", {f"{name}/1.png": b"data"}, flag=False))
    assert files.names == (f"{name}/1.png",)
    with files.opened() as read:
        assert read(f"{name}/1.png") == b"data"


def test_names_that_are_no_utf_8_are_those_of_dos(tmp_path):
    path = packed(tmp_path / "a.zip", {"Xpfel/1.png": b"data"})
    path.write_bytes(path.read_bytes().replace(b"Xpfel", b"\x8epfel"))
    assert find_images(path).names == ("\u00c4pfel/1.png",)


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "@eaDir", ".git", ".thumbnails", "$RECYCLE.BIN"])
def test_hidden_and_tool_folders_are_passed_over_with_the_reason(tmp_path, folder):
    entries = {"cat/1.png": b"a", f"cat/{folder}/2.png": b"b", f"{folder}/3.png": b"c"}
    files = find_images(packed(tmp_path / "a.zip", entries))
    assert files.names == ("cat/1.png",)
    assert all("is hidden, or is a folder of a program" in s.reason for s in files.skipped)
    below = tmp_path / "folder" / "cat" / folder
    below.mkdir(parents=True)
    (below / "2.png").write_bytes(b"b")
    (below.parent / "1.png").write_bytes(b"a")
    assert [name.rpartition("/")[2] for name in find_images(tmp_path / "folder").names] == ["1.png"]


def test_the_pictures_of_a_split_are_sorted_by_the_list_beside_them():
    names = [*some("tiny/train/n01/images"), *some("tiny/train/n02/images")]
    names += [f"tiny/val/images/val_{i}.JPEG" for i in range(4)]
    rows = [f"val_{i}.JPEG\tn0{i % 2 + 1}\t0\t32\t44\t62" for i in range(4)]
    texts = {"tiny/words.txt": "n01\tcat\nn02\tdog", "tiny/val/val_annotations.txt": "\n".join(rows)}
    reading = read_layout(names, texts=lambda: texts)
    assert reading.counts()["val"] == {"n01": 2, "n02": 2}
    assert reading.notes == (
        "4 images of val were sorted into their classes by tiny/val/val_annotations.txt.",
    )
    rows[0] = "val_0.JPEG\tn99"  # not a class
    reading = read_layout(names, texts=lambda: {"tiny/val/val_annotations.txt": "\n".join(rows)})
    assert reading.counts()["val"] == {"n01": 1, "n02": 2}
    assert [s.path for s in reading.left_out] == ["tiny/val/images/val_0.JPEG"]


@pytest.mark.parametrize(("names", "choice"), [
    (some("train/a") + some("train/b") + some("bus/a") + some("bus/b"), "splits"),
    (some("train") + some("test"), "splits"),
    (some("train/Cat") + some("test/cat") + some("train/dog"), "spelling"),
])  # fmt: skip
def test_a_choice_that_was_made_is_shown_and_no_longer_open(names, choice):
    reading = read_layout(names)
    (asked,) = reading.choices
    assert (asked.setting, asked.said) == (choice, False)
    assert reading.is_open
    assert asked.sentence() in reading.sentences()
    for option in asked.options:
        again = read_layout(names, **{choice: option})
        assert not again.is_open
        assert {(c.taken, c.said) for c in again.choices if c.setting == choice} <= {(option, True)}
        if option == asked.taken:
            assert again.places == reading.places


def test_what_is_said_about_folders_holds():
    names = [*some("a/cat"), *some("a/dog"), *some("b/cat"), *some("b/dog"), *some("c/x")]
    reading = read_layout(names, splits="a=train, b=test")
    assert reading.counts() == {"train": {"cat": 2, "dog": 2}, "test": {"cat": 2, "dog": 2}}
    assert [(r.folder, r.role, r.images, r.used) for r in reading.roles] == [
        ("a", "train", 4, 4), ("b", "test", 4, 4), ("c", "skip", 2, 0)
    ]  # fmt: skip
    for wrong, match in (
        ("a", "write folders and what they are"), ("a=class, b=train", "a class cannot stand beside splits"),
        ("y=train", "names the folder 'y'. Choose one of a, b, c"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=match):
            read_layout(names, splits=wrong)


def test_a_zip_that_cannot_be_used_says_what_is_in_its_way(tmp_path):
    inner = packed(tmp_path / "inner.zip", {"cat/1.png": b"a"}).read_bytes()
    files = find_images(packed(tmp_path / "a.zip", {"data/images.zip": inner}))
    with pytest.raises(BadDataset, match=r"'data/images\.zip', was left out: it is an archive: unpack it"):
        read_dataset(files, name="a", title="a")
    path = tmp_path / "lzma.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name in ("cat/1.png", "dog/1.png"):
            archive.writestr(name, b"a" * 99)
    with pytest.raises(BadDataset, match=r"compressed in a way that is not read \(LZMA\): pack the folder"):
        read_dataset(find_images(path), name="a", title="a")


def test_backslashes_of_an_old_program_are_folders(tmp_path):
    files = find_images(packed(tmp_path / "a.zip", {"d\\cat\\1.png": b"a", "d\\dog\\1.png": b"b"}))
    assert look_into(files).class_names == ("cat", "dog")


_FOLDERS = st.lists(
    st.lists(
        st.sampled_from(["train", "test", "Val", "cat", "Cat", "dog", "images", "seg_train", ".git", "é",
                         "e\u0301", "x" * 300, " ", "..", "a=b, c", "\u200b", "\ud800", "train=test"]),
        max_size=4,
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(_FOLDERS, st.sampled_from(["", "none", "train=test", "cat=skip",
                                  "a=b, c=train", "cat=train, dog=val"]),
       st.sampled_from(["guess", "together", "apart"]))  # fmt: skip
def test_every_file_has_a_place_or_a_reason(folders, splits, spelling):
    names = ["/".join((*parts, f"{i}.png")) for i, parts in enumerate(folders)]
    try:
        reading = read_layout(names, splits=splits, spelling=spelling)
    except SettingError:
        return
    assert len(reading.places) + len(reading.left_out) == len(names)
    assert sum(role.used for role in reading.roles) == len(reading.places)
    assert len({place.name for place in reading.places}) == len(reading.places)
    assert all(sentence.strip() for sentence in reading.sentences())
