"""Stored answers: what goes in comes out, nothing broken is ever read, and the disk has a limit."""

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from core import store
from core.paths import PROJECT


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "_counted", None)
    store.forget_memory()


ANSWER = {
    "logits": np.arange(6, dtype=np.float32).reshape(2, 3),
    "note": "grüße",
    "steps": [1, 2],
    "none": None,
}


def same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == b[name].dtype
            np.testing.assert_array_equal(value, b[name])
        else:
            assert value == b[name]


def test_what_is_kept_is_found_in_memory_and_on_disk():
    key = store.key_of("f", "label", (1, "two"))
    assert store.find(key) is None
    same(ANSWER, store.keep(key, ANSWER))
    same(ANSWER, store.find(key))
    store.forget_memory()
    same(ANSWER, store.find(key))


def test_keys_depend_on_everything():
    keys = {
        store.key_of(*question)
        for question in [
            ("f", "a", ()),
            ("g", "a", ()),
            ("f", "b", ()),
            ("f", "a", (1,)),
            ("f", "a", ("1",)),
            ("f", "a", ({"x": 1},)),
        ]
    }
    assert len(keys) == 6
    assert store.key_of("f", "a", ({"x": 1, "y": 2},)) == store.key_of("f", "a", ({"y": 2, "x": 1},))


def test_a_found_answer_cannot_be_changed_for_others():
    key = store.key_of("f", "label", ())
    found = store.keep(key, ANSWER)
    with pytest.raises(ValueError, match="read-only"):
        found["logits"][0, 0] = 7
    found["note"] = "mine"
    assert store.find(key)["note"] == "grüße"


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"PK" + data[9:]]
)
def test_a_broken_entry_is_a_miss(damage):
    key = store.key_of("f", "label", ())
    store.keep(key, ANSWER)
    path = store._path(key)
    path.write_bytes(damage(path.read_bytes()))
    store.forget_memory()
    assert store.find(key) is None
    assert not path.exists()


def test_a_crash_while_writing_leaves_the_old_answer(monkeypatch):
    key = store.key_of("f", "label", ())
    store.keep(key, ANSWER)

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        store.keep(key, {"note": "new"})
    store.forget_memory()
    same(ANSWER, store.find(key))
    assert [path.name for path in store._path(key).parent.iterdir()] == [f"{key}.npz"]


def test_the_least_recently_used_go_first(monkeypatch):
    big = {"values": np.zeros(1000, np.float64)}  # about 8.5 KB an entry
    monkeypatch.setattr(store, "DISK_LIMIT", 60_000)
    keys = [store.key_of("f", "label", (i,)) for i in range(12)]
    for age, key in enumerate(keys):
        store.keep(key, big)
        path = store._path(key)
        if path.exists():
            os.utime(path, (1000 + age, 1000 + age))
        os.utime(store._path(keys[0]), (5000, 5000))  # the first is used all the time
    store.forget_memory()
    assert store.size() <= 60_000
    assert store.find(keys[0]) is not None
    assert store.find(keys[-1]) is not None
    assert store.find(keys[1]) is None


def test_many_threads_write_and_read_one_key():
    key = store.key_of("f", "label", ())
    wrong = []

    def work(number):
        for _ in range(20):
            store.keep(key, {"a": np.full(1000, number), "b": np.full(1000, number)})
            store.forget_memory()
            found = store.find(key)
            if found is None or not (found["a"] == found["b"]).all():
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_folder_where_an_entry_should_be_is_a_miss_and_gives_way(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    key = store.key_of("x", "a folder in the way", ())
    path = store._path(key)
    (path / "inside").mkdir(parents=True)
    assert store.find(key) is None
    (path / "inside").mkdir(parents=True)
    assert store.keep(key, {"fine": True}) == {"fine": True}
    store.forget_memory()
    assert store.find(key) == {"fine": True}
    store.drop(key)
    (path / "inside").mkdir(parents=True)
    store.drop(key)
    assert not path.exists()


def test_the_limit_holds_where_several_processes_fill_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "DISK_LIMIT", 2_000_000)
    monkeypatch.setattr(store, "_counted", None)
    monkeypatch.setattr(store, "_added", 0)
    peak = 0
    for turn in range(60):
        store.keep(store.key_of("own", "limit", (turn,)), {"bytes": np.zeros(50_000, np.uint8)})
        for other in range(3):  # what three other processes write, of which this one is not told
            path = store._path(store.key_of("other", "limit", (turn, other)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(50_000))
        peak = max(peak, store.size())
    assert peak < 1.5 * store.DISK_LIMIT


def test_an_answer_of_one_device_is_not_served_as_another_s(monkeypatch):
    here = store.key_of("f", "label", (1,))
    assert here == store.key_of("f", "label", (1,))
    monkeypatch.setattr(store, "computed_on", lambda: "cuda bfloat16")
    assert store.key_of("f", "label", (1,)) != here


@pytest.mark.parametrize(
    ("library", "device", "system", "expected"),
    [
        ("libtorch_cuda.so", "/dev/nvidiactl", ("linux", "x86_64"), "cuda float32"),
        ("libtorch_cuda.so", "", ("linux", "x86_64"), "cpu float32"),
        ("libtorch_cpu.so", "/dev/nvidiactl", ("linux", "x86_64"), "cpu float32"),
        ("torch_cuda.dll", "", ("win32", "AMD64"), "cuda float32"),
        ("libtorch_cpu.dylib", "", ("darwin", "arm64"), "mps float32"),
        ("libtorch_cpu.dylib", "", ("darwin", "x86_64"), "cpu float32"),
    ],
)
def test_the_device_is_known_without_pytorch(library, device, system, expected, tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / library).touch()
    spec = importlib.util.spec_from_loader("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    monkeypatch.setattr("sys.platform", system[0])
    monkeypatch.setattr("platform.machine", lambda: system[1])
    there = Path.exists
    monkeypatch.setattr(Path, "exists", lambda p: str(p) == device if str(p).startswith("/dev") else there(p))
    assert store.computed_on.__wrapped__() == expected


def test_looking_for_the_device_does_not_import_pytorch():
    code = "import sys; from core import store; store.computed_on(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


def test_an_answer_that_ships_is_found_until_there_is_an_own_one(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints" / "some" / "answers"
    folder.mkdir(parents=True)
    key = store.key_of("weights", "label", ())
    (folder / f"{key}.npz").write_bytes(store.to_small_bytes({"values": np.arange(3), "words": "shipped"}))
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "checkpoints")
    store.forget_memory()
    found = store.find(key)
    assert found["words"] == "shipped"
    assert found["values"].tolist() == [0, 1, 2]
    assert store.find(store.key_of("other weights", "label", ())) is None
    store.drop(key)  # nothing that ships is deleted
    assert (folder / f"{key}.npz").exists()
    store.keep(key, {"words": "own"})
    store.forget_memory()
    assert store.find(key) == {"words": "own"}


def test_a_damaged_answer_that_ships_is_a_miss(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints" / "some" / "answers"
    folder.mkdir(parents=True)
    key = store.key_of("weights", "damaged", ())
    (folder / f"{key}.npz").write_bytes(b"nothing")
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "checkpoints")
    assert store.find(key) is None
