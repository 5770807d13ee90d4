"""Fashion-MNIST, CIFAR-10 and digits, with stand-ins for what would have to be fetched."""

import gzip
import hashlib
import io
import struct
import tarfile

import numpy as np
import pytest
import torchvision

from core.data.sets import cifar10, datasets, fashion_mnist
from core.errors import BadDataset, Unavailable
from core.paths import home
from tests.publisher import Publisher, published

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


def test_fashion_mnist_is_downloaded_once_and_checked(monkeypatch):
    write_fashion(home("stand-in"), ".gz")
    files = {f"/{path.name}": path.read_bytes() for path in home("stand-in").glob("train*")}
    monkeypatch.setattr(fashion_mnist, "SHA256", {
        path[1:]: hashlib.sha256(data).hexdigest() for path, data in files.items()
    })  # fmt: skip
    with published(files) as address:
        monkeypatch.setattr(fashion_mnist, "ADDRESS", f"{address}/")
        assert len(datasets["fashion_mnist"](download=True).splits["train"]) == 12
    assert len(datasets["fashion_mnist"](download=True).splits["train"]) == 12  # now without the server


def test_the_wrong_training_images_are_refused(monkeypatch):
    write_fashion(home("stand-in"), ".gz")
    files = {f"/{path.name}": path.read_bytes() for path in home("stand-in").glob("train*")}
    with published(files) as address:
        monkeypatch.setattr(fashion_mnist, "ADDRESS", f"{address}/")
        with pytest.raises(Unavailable, match="arrived broken"):
            datasets["fashion_mnist"](download=True)
    assert "train" not in datasets["fashion_mnist"]().splits


@pytest.mark.parametrize(("name", "module"), [("fashion_mnist", fashion_mnist), ("cifar10", cifar10)])
def test_without_a_network_the_message_names_the_file_and_its_place(monkeypatch, name, module):
    monkeypatch.setattr(module, "ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(Unavailable, match=r"could not be downloaded .* put it here as .*data"):
        datasets[name](download=True)


def test_a_broken_idx_file_is_named():
    write_fashion(home("data", "fashion-mnist"))
    (home("data", "fashion-mnist") / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + bytes(30))
    with pytest.raises(BadDataset, match="train-images-idx3-ubyte is not a whole IDX file"):
        datasets["fashion_mnist"]()


def test_cifar10_that_is_not_here_says_where_it_is_looked_for():
    with pytest.raises(Unavailable, match=r"CIFAR-10 is not on this machine\. .*cifar10\.zip"):
        datasets["cifar10"]()


def cifar_records():
    """Images, labels, and both as the binary version has them."""
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(6, dtype=np.uint8)
    records = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(6, -1)], axis=1)
    return images, labels, records


CIFAR_FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


def cifar_archive(records):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name in CIFAR_FILES:
            data = records.astype(np.uint8).tobytes()
            about = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            about.size = len(data)
            packed.addfile(about, io.BytesIO(data))
    return out.getvalue()


def test_cifar10_s_binary_version():
    images, labels, records = cifar_records()
    folder = home("data", "cifar-10-batches-bin")
    for name in CIFAR_FILES:
        records.tofile(folder / name)
    data = datasets["cifar10"]()
    assert len(data.splits["train"]) == 30
    assert np.array_equal(data.splits["test"].images, images)
    assert data.splits["test"].labels.tolist() == labels.tolist()
    records[:, :100].tofile(folder / "data_batch_3.bin")
    with pytest.raises(BadDataset, match=r"data_batch_3\.bin has 600 bytes, not a multiple of 3073"):
        datasets["cifar10"]()


def test_cifar10_is_downloaded_checked_and_unpacked(monkeypatch):
    images, labels, records = cifar_records()
    archive = cifar_archive(records)
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive).hexdigest())
    with published({"/cifar.tar.gz": archive}) as address:
        monkeypatch.setattr(cifar10, "ADDRESS", f"{address}/cifar.tar.gz")
        Publisher.breaks = 1
        data = datasets["cifar10"](download=True)
    assert np.array_equal(data.splits["test"].images, images)
    assert data.splits["test"].labels.tolist() == labels.tolist()
    assert [path.name for path in home("data").iterdir()] == ["cifar-10-batches-bin"]
    assert datasets["cifar10"]().fingerprint == data.fingerprint


def test_another_archive_than_the_published_one_is_not_unpacked(monkeypatch):
    with published({"/cifar.tar.gz": cifar_archive(cifar_records()[2])}) as address:
        monkeypatch.setattr(cifar10, "ADDRESS", f"{address}/cifar.tar.gz")
        with pytest.raises(Unavailable, match="arrived broken"):
            datasets["cifar10"](download=True)
    assert not list(home("data").iterdir())


def test_an_archive_that_was_put_there_by_hand_is_used_or_named():
    images, _, records = cifar_records()
    path = home("data") / "cifar-10-binary.tar.gz"
    path.write_bytes(cifar_archive(records)[:-2000])
    with pytest.raises(Unavailable, match=r"cifar-10-binary\.tar\.gz in the data folder cannot be unpacked"):
        datasets["cifar10"]()
    assert [found.name for found in home("data").iterdir()] == [path.name]
    path.write_bytes(cifar_archive(records))
    assert np.array_equal(datasets["cifar10"]().splits["test"].images, images)


def test_pickled_batches_that_are_not_the_published_ones_are_never_opened(tmp_path):
    folder = home("data", "cifar-10-batches-py")
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "hacked").encode() + b"'\ntR.")
    with pytest.raises(
        Unavailable, match=r"CIFAR-10 could not be read from .* \(Dataset not found or corrupted\)"
    ):
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
