"""What lies on the disk, its limits, and the sentences of a disk that refuses."""

import errno
import os
import time
from pathlib import Path

import pytest

from core import disk
from core.disk import MB, NoRoom
from core.errors import SettingError, Unavailable, UnknownName


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    return tmp_path


def put(area, name, size, hours=1.0):
    path = disk.home(area) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    at = time.time() - 3600 * hours
    os.utime(path, (at, at))
    return path


def test_entries_are_the_largest_first_with_all_that_is_in_them():
    put("runs", "a/weights", 3 * MB)
    put("runs", "a/history", 1 * MB)
    put("runs", "b/weights", 5 * MB)
    runs = disk.area_named("runs")
    assert [(e.name, e.bytes // MB) for e in disk.entries(runs)] == [("b", 5), ("a", 4)]
    assert disk.size_of(runs) // MB == 9
    with pytest.raises(UnknownName, match=r"no area named 'rnus'.*'runs'"):
        disk.area_named("rnus")


def test_what_can_be_made_again_goes_the_least_recently_used_first(monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_INDEXED_MB", "10")
    for name, hours in (("old", 9), ("older", 10), ("new", 2)):
        put("data/indexed", f"{name}/images.bin", 3 * MB, hours)
    put("data/indexed", "now/images.bin", MB // 2, 0)
    disk.require_room("data/indexed", 4 * MB, "The data set")
    left = {e.name for e in disk.entries(disk.area_named("data/indexed"))}
    assert "older" not in left
    assert {"new", "now"} <= left


def test_what_is_in_use_is_never_deleted_and_the_rest_is_refused(monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_INDEXED_MB", "4")
    put("data/indexed", "now/images.bin", 3 * MB, 0)
    with pytest.raises(NoRoom, match=r"2.0 MB in .*indexed.* take 1.0 MB: 1.0 MB .*CONVOSCOPE_INDEXED_MB"):
        disk.require_room("data/indexed", 2 * MB, "The data set")
    assert disk.entries(disk.area_named("data/indexed"))


def test_runs_are_refused_with_what_is_missing_and_never_deleted(monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_RUNS_MB", "4")
    put("runs", "a/weights", 3 * MB)
    with pytest.raises(NoRoom, match=r"The training needs 2.0 MB.*1.0 MB are missing.*Storage"):
        disk.require_room("runs", 2 * MB, "The training")
    disk.require_room("runs", MB // 2, "The training")
    assert disk.size_of(disk.area_named("runs")) == 3 * MB
    monkeypatch.setenv("CONVOSCOPE_RUNS_MB", "many")
    with pytest.raises(SettingError, match="CONVOSCOPE_RUNS_MB is 'many'"):
        disk.require_room("runs", 1, "The training")


def test_a_disk_with_less_room_is_said_to_be_so(monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_RUNS_MB", "100")
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 2 * MB)
    with pytest.raises(NoRoom, match=r"5.0 MB in .*runs, where 2.0 MB are free: 3.0 MB are missing.*HOME"):
        disk.require_room("runs", 5 * MB, "The training")


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, NoRoom, "is full"),
        (errno.EROFS, Unavailable, "Read-only file system"),
        (errno.EACCES, Unavailable, "Permission denied"),
    ],
)
def test_what_a_disk_refuses_is_a_sentence_with_the_folder_and_what_to_do(tmp_path, number, kind, words):
    sentence = disk.sentence_of(OSError(number, os.strerror(number), str(tmp_path / "x" / "y.npz")))
    assert isinstance(sentence, kind)
    assert words in str(sentence)
    assert str(tmp_path) in str(sentence)
    assert "CONVOSCOPE_HOME" in str(sentence)
    bare = disk.sentence_of(OSError(number, os.strerror(number)))
    assert str(tmp_path) in str(bare)


def test_a_name_that_is_too_long_is_a_sentence_and_other_errors_are_not():
    with pytest.raises(OSError, match="too long") as caught:
        Path("x" * 5000).stat()
    assert "5,000 characters" in str(disk.sentence_of(caught.value))
    assert disk.sentence_of(FileNotFoundError(2, "No such file")) is None


def test_deleting_what_another_has_deleted_is_as_good():
    path = put("runs", "a/weights", 10)
    (entry,) = disk.entries(disk.area_named("runs"))
    disk.delete(entry)
    disk.delete(entry)
    assert not path.exists()


@pytest.mark.parametrize(("number", "words"), [(errno.EROFS, "Read-only"), (errno.ENOSPC, "is full")])
def test_a_clone_that_cannot_be_written_is_one_sentence_on_the_command_line(
    tmp_path, monkeypatch, capsys, number, words
):
    from core.__main__ import main

    def refuse(path, *args, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr("core.paths.Path.mkdir", refuse)
    assert main(["classifiers"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "CONVOSCOPE_HOME" in said
    assert "Traceback" not in said


def test_a_home_that_is_a_file_is_named(tmp_path, monkeypatch, capsys):
    from core.__main__ import main

    (tmp_path / "file").touch()
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "file"))
    assert main(["classifiers"]) == 2
    assert "CONVOSCOPE_HOME is" in capsys.readouterr().err


def test_copies_of_a_data_set_in_other_settings_stay_within_the_limit(tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    from core.data.catalogue import open_dataset

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "mine" / name / f"{i}.png")
    monkeypatch.setenv("CONVOSCOPE_INDEXED_MB", "1")
    monkeypatch.setattr(disk, "JUST_USED", -1)
    sizes = []
    for size in (40, 48, 56, 64, 72):
        open_dataset("image_folder", folder=str(tmp_path / "mine"), size=size)
        sizes.append(disk.size_of(disk.area_named("data/indexed")))
    assert max(sizes) <= 1.05 * MB
    with pytest.raises(NoRoom, match="The data set 'mine' at 400 pixels needs"):
        open_dataset("image_folder", folder=str(tmp_path / "mine"), size=400)
