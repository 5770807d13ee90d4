import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import pixel_index
from core.data.folder_index import find_images, read_dataset
from core.data.folder_layout import read_layout
from core.data.sets import datasets
from core.errors import BadDataset


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))


def save(path, mode="RGB", size=(20, 16), color=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(abs(hash(str(path))) % 2**32).integers(
        0, 256, (size[1], size[0], 3), np.uint8
    )
    image = Image.fromarray(values) if color is None else Image.new("RGB", size, color)
    image.convert(mode).save(path, **options)


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def test_classes_and_splits_are_read_from_the_folders(tmp_path):
    root = tmp_path / "x"
    for split in ("Training", "valid", "test"):
        for name in ("dog", "cat"):
            save(root / split / name / "deeper" / "1.png")
    data = datasets["image_folder"](folder=str(root), size=16)
    assert data.class_names == ("cat", "dog")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 2, "val": 2, "test": 2}
    assert data.splits["train"].files == ("Training/cat/deeper/1.png", "Training/dog/deeper/1.png")
    assert data.splits["train"].labels.tolist() == [0, 1]


def test_pixels_are_those_of_the_files_and_mapped_from_disk(tmp_path):
    root = tmp_path / "x"
    for split in ("train", "test"):
        for name in ("a", "b"):
            for i in range(3):
                save(root / split / name / f"{i}.png", size=(8, 8))
    data = datasets["image_folder"](folder=str(root))
    assert data.input_size == (8, 8)  # found by itself
    for split in data.splits.values():
        assert isinstance(split.images, np.memmap)
        for file, pixels in zip(split.files, split.images, strict=True):
            assert np.array_equal(pixels, np.asarray(Image.open(root / file)))


def test_a_zip_gives_the_same_data_as_its_folder(tmp_path):
    root = tmp_path / "x"
    for name in ("a", "b"):
        for i in range(10):
            save(root / "all" / name / f"{i}.jpg", size=(30, 20))
    folder = datasets["image_folder"](folder=str(root), size=12, seed=4)
    archive = datasets["image_folder"](folder=str(zipped(root, tmp_path / "x.zip")), size=12, seed=4)
    assert folder.fingerprint == archive.fingerprint
    assert folder.note == archive.note
    assert "20% of every class are the test set (seed 4)" in folder.note
    assert folder.splits["test"].counts(2).tolist() == [2, 2]
    other = datasets["image_folder"](folder=str(root), size=12, seed=5)
    assert other.splits["test"].files != folder.splits["test"].files


def test_any_size_and_mode_is_read_and_what_is_broken_is_listed(tmp_path):
    root = tmp_path / "x"
    for i, mode in enumerate(("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK")):
        save(root / "a" / f"{i}.{'jpg' if mode == 'CMYK' else 'png'}", mode, (10 + 7 * i, 40 - 3 * i))
    save(root / "b" / "1.png")
    (root / "b" / "2.png").write_bytes((root / "b" / "1.png").read_bytes()[:60])
    (root / "b" / "3.jpg").write_bytes(b"not an image")
    (root / "b" / "4.png").write_bytes(b"")
    (root / "b" / "notes.txt").write_text("x")
    (root / "loose.png").write_bytes((root / "b" / "1.png").read_bytes())
    os.symlink(root / "a", root / "c")
    data = datasets["image_folder"](folder=str(root), size=16, test_share=0.3)
    assert sum(map(len, data.splits.values())) == 9
    reasons = {s.path: s.reason for s in data.skipped}
    assert "broken or cut short" in reasons["b/2.png"]
    assert "not an image" in reasons["b/3.jpg"]
    assert "is empty" in reasons["b/4.png"]
    assert "does not end like an image" in reasons["b/notes.txt"]
    assert "in no folder of a class" in reasons["loose.png"]
    assert "link to a folder" in reasons["c"]


def test_the_middle_is_cut_out_or_the_whole_squeezed(tmp_path):
    root = tmp_path / "x"
    for name in ("a", "b"):
        (root / "train" / name).mkdir(parents=True)
        stripes = np.zeros((10, 30, 3), np.uint8)
        stripes[:, 10:20] = 200
        for split in ("train", "test"):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(stripes).save(root / split / name / "1.png")
    cut = datasets["image_folder"](folder=str(root), size=10)
    squeezed = datasets["image_folder"](folder=str(root), size=10, cut="squeeze", gray=True)
    assert (cut.splits["train"].images == 200).all()
    assert squeezed.channels == 1
    assert squeezed.splits["train"].images[0, 5, 0, 0] == 0


def test_files_are_decoded_once_and_again_when_they_change(tmp_path, monkeypatch):
    root = tmp_path / "x"
    for name in ("a", "b"):
        for i in range(5):
            save(root / name / f"{i}.png")
    reads = []
    decode = pixel_index.read_image
    monkeypatch.setattr(
        pixel_index, "read_image", lambda data, name: reads.append(name) or decode(data, name)
    )
    for _ in range(2):
        first = read_dataset(find_images(root), name="x", title="X", size=8)
    assert len(reads) == 10
    save(root / "a" / "0.png", color="red")
    assert read_dataset(find_images(root), name="x", title="X", size=8).fingerprint != first.fingerprint
    assert len(reads) == 20


def test_nothing_is_left_of_an_index_that_was_broken_off(tmp_path):
    root = tmp_path / "x"
    for name in ("a", "b"):
        save(root / name / "1.png")
        save(root / name / "2.png")

    def stop(share, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets["image_folder"](folder=str(root), size=8, progress=stop)
    assert list((tmp_path / "home" / "data" / "indexed").iterdir()) == []
    assert len(datasets["image_folder"](folder=str(root), size=8, test_share=0.5).splits["test"]) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "holds no class folders with images"),
        (("cat/1.png",), "holds one class, 'cat'"),
        (("1.png", "2.png"), "holds no class folders with images"),
    ],
)
def test_a_folder_without_classes_says_how_it_should_look(tmp_path, files, message):
    root = tmp_path / "x"
    root.mkdir()
    for file in files:
        save(root / file)
    with pytest.raises(BadDataset, match=message):
        datasets["image_folder"](folder=str(root))


def test_only_broken_images_are_refused_with_the_first_reason(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "x" / name).mkdir(parents=True)
        (tmp_path / "x" / name / "1.png").write_bytes(b"nothing")
    with pytest.raises(
        BadDataset, match=r"None of the 2 images in 'x' can be read\. The first: .*not an image"
    ):
        datasets["image_folder"](folder=str(tmp_path / "x"))


def test_no_folder_is_a_sentence():
    with pytest.raises(BadDataset, match="There is no folder or zip '/nowhere'"):
        datasets["image_folder"](folder="/nowhere")
    with pytest.raises(BadDataset, match="Give `folder` the path"):
        datasets["image_folder"]()


def test_common_folders_above_are_looked_through():
    reading = read_layout(("data/set/train/cat/1.png", "data/set/test/dog/x/2.png", "data/set/other/3.png"))
    assert [(p.split, p.class_name) for p in reading.places] == [("train", "cat"), ("test", "dog")]
    assert reading.left_out[0].reason == "its folder 'other' lies beside the folders train, val and test"


def test_validation_serves_as_test_where_there_is_none(tmp_path):
    root = tmp_path / "x"
    for split in ("train", "val"):
        for name in ("a", "b"):
            save(root / split / name / "1.png")
    data = datasets["image_folder"](folder=str(root), size=8)
    assert set(data.splits) == {"train", "test"}
    assert "serves as the test set" in data.note


CIFAR = Path(__file__).resolve().parents[4] / "shared" / "data" / "cifar10.zip"


@pytest.mark.skipif(not CIFAR.exists(), reason="the 60,000 JPEGs of CIFAR-10 are not here")
def test_a_few_thousand_of_cifar10_s_jpegs(tmp_path):
    (tmp_path / "home" / "data").mkdir(parents=True)
    with zipfile.ZipFile(CIFAR) as source, zipfile.ZipFile(tmp_path / "home/data/cifar10.zip", "w") as part:
        for name in source.namelist():
            if int(name[-8:-4]) < 40:
                part.writestr(name, source.read(name))
        sample = np.asarray(Image.open(io.BytesIO(source.read("train/frog/0007.jpg"))))
    data = datasets["cifar10"]()
    assert {name: split.counts(10).tolist() for name, split in data.splits.items()} == {
        "train": [40] * 10,
        "test": [40] * 10,
    }
    row = data.splits["train"].files.index("train/frog/0007.jpg")
    assert np.array_equal(data.splits["train"].images[row], sample)
    assert data.class_names[data.splits["train"].labels[row]] == "frog"
