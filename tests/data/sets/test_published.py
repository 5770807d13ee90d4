"""Fashion-MNIST, CIFAR-10 and digits, with stand-ins for what would have to be fetched."""

import gzip
import struct

import numpy as np
import pytest
import torchvision

from core.data.sets import cifar10, datasets, fashion_mnist
from core.errors import BadDataset, Unavailable
from core.paths import home

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "no package")


def write_idx(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    data = head + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_fashion(folder, suffix=""):
    images = rng.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    for stem in ("train", "t10k"):
        write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", np.arange(12, dtype=np.uint8) % 10)
    return images


def test_the_test_images_ship_and_the_note_says_that_training_images_do_not():
    data = datasets["fashion_mnist"]()
    assert list(data.splits) == ["test"]
    assert data.splits["test"].images.shape == (10000, 28, 28, 1)
    assert data.splits["test"].counts(10).tolist() == [1000] * 10
    with pytest.raises(
        Unavailable, match=r"no train images here\. Only the 10,000 test images .*dataset-fashion"
    ):
        data.split("train")


def test_shipped_images_are_those_torchvision_reads(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    for path in fashion_mnist.SHIPPED.glob("*.gz"):
        for stem in ("train", "t10k"):  # torchvision wants both parts to be there
            raw.mkdir(parents=True, exist_ok=True)
            name = path.name.replace("t10k", stem).removesuffix(".gz")
            (raw / name).write_bytes(gzip.decompress(path.read_bytes()))
    theirs = torchvision.datasets.FashionMNIST(str(tmp_path), train=False)
    ours = datasets["fashion_mnist"]()
    assert np.array_equal(ours.splits["test"].images[..., 0], theirs.data.numpy())
    assert np.array_equal(ours.splits["test"].labels, theirs.targets.numpy())
    assert ours.class_names == tuple(theirs.classes)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_data_folder_comes_first(suffix):
    images = write_fashion(home("data", "fashion-mnist"), suffix)
    data = datasets["fashion_mnist"]()
    assert data.note == ""
    assert np.array_equal(data.splits["train"].images[..., 0], images)
    assert len(data.splits["test"]) == 12


def test_fashion_mnist_is_downloaded_by_torchvision(monkeypatch):
    asked = []

    def stand_in(root, download):
        asked.append(download)
        write_fashion(home("data", "FashionMNIST", "raw"))

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", stand_in)
    assert len(datasets["fashion_mnist"](download=True).splits["train"]) == 12
    datasets["fashion_mnist"](download=True)
    assert asked == [True]  # once


@pytest.mark.parametrize(("name", "what"), [("fashion_mnist", "FashionMNIST"), ("cifar10", "CIFAR10")])
def test_without_a_network_the_message_says_what_to_do(monkeypatch, name, what):
    def stand_in(*args, **kwargs):
        raise RuntimeError("Error downloading x:\nTried http://y, got:\n<urlopen error no route to host>")

    monkeypatch.setattr(torchvision.datasets, what, stand_in)
    with pytest.raises(
        Unavailable, match=r"downloaded \(<urlopen error no route to host>\)\. Is there a network\?"
    ):
        datasets[name](download=True)


def test_a_broken_idx_file_is_named():
    write_fashion(home("data", "fashion-mnist"))
    (home("data", "fashion-mnist") / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + bytes(30))
    with pytest.raises(BadDataset, match="train-images-idx3-ubyte is no whole IDX file"):
        datasets["fashion_mnist"]()


def test_cifar10_that_is_not_here_says_where_it_is_looked_for():
    with pytest.raises(Unavailable, match=r"CIFAR-10 is not here\. .*cifar10\.zip"):
        datasets["cifar10"]()


def test_cifar10_s_binary_version():
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(6, dtype=np.uint8)
    records = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(6, -1)], axis=1)
    folder = home("data", "cifar-10-batches-bin")
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        records.tofile(folder / name)
    data = datasets["cifar10"]()
    assert len(data.splits["train"]) == 30
    assert np.array_equal(data.splits["test"].images, images)
    assert data.splits["test"].labels.tolist() == labels.tolist()
    records[:, :100].tofile(folder / "data_batch_3.bin")
    with pytest.raises(BadDataset, match=r"data_batch_3\.bin has 600 bytes, not a multiple of 3073"):
        datasets["cifar10"]()


def test_pickled_batches_that_are_not_the_published_ones_are_never_opened(tmp_path):
    folder = home("data", "cifar-10-batches-py")
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "hacked").encode() + b"'\ntR.")
    with pytest.raises(Unavailable, match=r"CIFAR-10 could not be read \(Dataset not found or corrupted"):
        datasets["cifar10"]()
    assert not (tmp_path / "hacked").exists()


def test_folders_named_cifar10_with_other_classes_are_refused(tmp_path):
    from PIL import Image

    for name in ("cat", "dog"):
        folder = home("data", "cifar10", "train", name)
        for i in range(5):
            Image.new("RGB", (32, 32)).save(folder / f"{i}.png")
    with pytest.raises(BadDataset, match=r"holds the classes cat, dog; CIFAR-10 has airplane"):
        datasets["cifar10"]()
    assert cifar10.CLASS_NAMES[2] == "bird"


def test_digits_are_scikit_learn_s():
    from sklearn.datasets import load_digits

    data = datasets["digits"](seed=3)
    images = np.concatenate([split.images for split in data.splits.values()])[..., 0]
    theirs = load_digits().images
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 1438, "test": 359}
    assert np.array_equal(np.sort(images.sum((1, 2))), np.sort((theirs * 255 / 16).round().sum((1, 2))))
    assert (
        datasets["digits"](seed=4).fingerprint != data.fingerprint == datasets["digits"](seed=3).fingerprint
    )
