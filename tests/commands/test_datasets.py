import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.__main__ import main


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))


@pytest.fixture
def vehicles(tmp_path):
    """A class called train, with folders in it, beside another one."""
    path = tmp_path / "vehicles.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for folder in ("train/a", "train/b", "bus/a", "bus/b"):
            for i in range(4):
                picture = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(picture, "PNG")
                archive.writestr(f"{folder}/{i}.png", picture.getvalue())
    return path


def test_the_guess_stands_on_the_error_output_and_settings_overrule_it(vehicles, capsys):
    assert main(["datasets", "image_folder", "--settings", f"folder={vehicles}"]) == 0
    said = capsys.readouterr()
    assert (
        "The folder 'train' may be a class or a split. Guessed: none (every folder is a class)." in said.err
    )
    assert "Otherwise: splits=train=train (all other folders are left out)." in said.err
    assert "classes  bus, train" in said.out
    assert main(["datasets", "image_folder", "--settings", f"folder={vehicles}; splits=train=train"]) == 0
    said = capsys.readouterr()
    assert "The folder 'train' (8 images) was taken for the training set." in said.err
    assert "Guessed" not in said.err
    assert "classes  a, b" in said.out


def test_what_is_said_about_a_zip_that_is_added_is_kept(vehicles, capsys):
    assert main(["datasets", "--add", str(vehicles), "--settings", "splits=train=train, bus=test"]) == 0
    said = capsys.readouterr()
    assert "classes  a, b" in said.out
    name = said.err.split()[-1]
    assert main(["datasets", name]) == 0
    said = capsys.readouterr()
    assert "The folder 'bus' (8 images) was taken for the test set." in said.err
    assert "classes  a, b" in said.out
    assert main(["datasets", "--add", str(vehicles), "--settings", "size=8"]) == 2
    assert "size is not kept with a zip" in capsys.readouterr().err


def test_a_refusal_names_the_setting_that_helps(tmp_path, vehicles, capsys):
    assert main(["datasets", "image_folder", "--settings", f"folder={vehicles}; splits=cat=train"]) == 2
    assert "splits names the folder 'cat'. Choose one of bus, train" in capsys.readouterr().err
    flat = tmp_path / "flat"
    for split in ("train", "test"):
        (flat / split).mkdir(parents=True)
        (flat / split / "1.png").write_bytes(b"x")
    assert main(["datasets", "image_folder", "--settings", f"folder={flat}"]) == 2
    assert "splits=none (every folder is a class)" in capsys.readouterr().err


def test_a_training_says_what_it_took_the_folders_for(vehicles, capsys):
    settings = f"folder={vehicles}; splits=cat=train"
    assert main(["train", "--dataset", "image_folder", "--dataset-settings", settings]) == 2
    assert "splits names the folder 'cat'" in capsys.readouterr().err
