"""Classes that stand in a table beside the images."""

import pytest

from core.data.annotation_files import classes_in_table
from core.data.folder_layout import read_layout

FILES = [f"d/images/a{i}.jpg" for i in range(6)]
BREEDS = ["pug", "pug", "corgi", "corgi", "husky", "husky"]


def table(*rows: str) -> dict[str, str]:
    return {"d/labels.csv": "\n".join(rows)}


@pytest.mark.parametrize("rows", [
    ["id,breed", *(f"a{i},{b}" for i, b in enumerate(BREEDS))],  # without the ending
    ["file;breed", *(f"a{i}.jpg;{b}" for i, b in enumerate(BREEDS))],
    ["breed\tpath", *(f"{b}\timages/a{i}.jpg" for i, b in enumerate(BREEDS))],
    [f"a{i}.jpg {b}" for i, b in enumerate(BREEDS)],  # no heading
    ["id,label_number,label,sex", *(f"a{i},{i // 2},{b},{'mf'[i % 2]}" for i, b in enumerate(BREEDS))],
    ["id,width,breed", *(f"a{i},{100 + i},{b}" for i, b in enumerate(BREEDS))],  # widths are no classes
])  # fmt: skip
def test_the_column_of_classes_is_found(rows):
    found = classes_in_table(table(*rows), FILES)
    assert [found.classes[file] for file in FILES] == BREEDS


@pytest.mark.parametrize("rows", [
    [],
    ["id,breed", *(f"b{i},pug" for i in range(6))],  # other files
    ["id,breed", *(f"a{i},pug" for i in range(6))],  # one class
    ["id,text", *(f"a{i},text {i}" for i in range(6))],  # all different
    ["id,label,class", *(f"a{i},{b},{i % 2}" for i, b in enumerate(BREEDS))],  # which one?
    ['"', "a0,\"", "\0,\0"],
])  # fmt: skip
def test_no_column_is_taken_where_none_is_plainly_the_one(rows):
    assert not classes_in_table(table(*rows), FILES).classes


def test_pictures_without_folders_of_classes_are_sorted_by_the_table():
    rows = table("id,breed", *(f"a{i},{b}" for i, b in enumerate([*BREEDS[:4], "pug"])))
    reading = read_layout(FILES, texts=lambda: rows)
    assert reading.counts() == {"": {"corgi": 2, "pug": 3}}
    assert [s.path for s in reading.left_out] == ["d/images/a5.jpg"]
    assert "d/labels.csv names no class for it" in reading.left_out[0].reason
    assert reading.notes == (
        "No folders of classes were found; the classes are those of d/labels.csv, column 'breed', which "
        "names 5 of 6 images.",
    )


def test_splits_hold_beside_a_table():
    files = [f"train/a{i}.jpg" for i in range(6)] + ["test/b0.jpg", "test/b1.jpg"]
    rows = {"train.csv": "\n".join(["id,breed", *(f"a{i},{b}" for i, b in enumerate(BREEDS))])}
    reading = read_layout(files, texts=lambda: rows)
    assert reading.counts() == {"train": {"corgi": 2, "husky": 2, "pug": 2}}
    assert [(r.folder, r.role, r.images, r.used) for r in reading.roles] == [
        ("test", "test", 2, 0), ("train", "train", 6, 6)
    ]  # fmt: skip
    assert len(reading.left_out) == 2


def test_folders_of_classes_come_before_a_table():
    files = [f"{b}/a{i}.jpg" for i, b in enumerate(BREEDS)]
    rows = {"labels.csv": "\n".join(["id,sex", *(f"a{i},{'mf'[i % 2]}" for i in range(6))])}
    assert read_layout(files, texts=lambda: rows).class_names == ("corgi", "husky", "pug")
