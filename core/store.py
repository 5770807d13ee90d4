"""Answers that were computed before: on disk under a hash of all they depend on, the latest in memory too.

Some answers come with Convoscope, `checkpoints/<name>/answers/<key>.npz`: what every page opens on. They are
found like all others, under the hash of all they depend on, and nothing is ever written there.

An answer is a dictionary of NumPy arrays and of values that JSON knows. Each is one .npz file, written beside
its place and then renamed, so that a crash leaves no broken entry; a file that cannot be read is a miss.
"""

import hashlib
import importlib.util
import io
import json
import os
import platform
import shutil
import sys
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.paths import PROJECT, home, write_whole

Answer = dict[str, Any]

DISK_LIMIT = int(os.environ.get("CONVOSCOPE_CACHE_MB", "2048")) * 2**20
MEMORY_LIMIT = 256 * 2**20
# Raise it when answers that are stored already would come out differently today.
STORE_VERSION = 1

SHIPPED = PROJECT / "checkpoints"
COUNTS_A_LIMIT = 20
_VALUES = "values.json"


def key_of(fingerprint: str, label: str, depends_on: tuple[Any, ...]) -> str:
    """The name an answer is stored under.

    Args:
        fingerprint: Of the classifier.
        label: What was asked.
        depends_on: Everything else: hashes of images, settings. Only what JSON knows, so that equal is equal.
    """
    facts = [STORE_VERSION, computed_on(), fingerprint, label, depends_on]
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def computed_on() -> str:
    """The kind of device that answers are computed on, and how exactly.

    It is told from the machine and from the files of PyTorch without importing it: a page looks for stored
    answers before PyTorch is there.
    """
    found = importlib.util.find_spec("torch")
    libraries = {p.stem.removeprefix("lib") for p in Path(found.origin).parent.glob("lib/*torch_*")} if (
        found is not None and found.origin
    ) else set()  # fmt: skip
    if "torch_cuda" in libraries and _is_there("/dev/nvidiactl", "/dev/dxg"):
        return "cuda float32"
    if "torch_hip" in libraries and _is_there("/dev/kfd"):
        return "hip float32"
    return "mps float32" if (sys.platform, platform.machine()) == ("darwin", "arm64") else "cpu float32"


def _is_there(*devices: str) -> bool:
    """Windows has no files of devices: there the library alone counts."""
    return sys.platform == "win32" or any(Path(device).exists() for device in devices)


def find(key: str) -> Answer | None:
    """The stored answer, or None. Its arrays are read-only, since others get the same ones."""
    with _lock:
        if key in _memory:
            _memory.move_to_end(key)
            return dict(_memory[key][0])
    path = _path(key)
    try:
        answer = _read(path.read_bytes())
        os.utime(path)  # used now: the least recently used go first
    except FileNotFoundError:
        shipped = _shipped(SHIPPED).get(key)
        return None if shipped is None else open_file(shipped, key)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        _clear(path)
        return None
    _remember(key, answer)
    return dict(answer)


def keep(key: str, answer: Answer) -> Answer:
    """Store an answer; returned is what `find` will give. A full disk costs the entry, not the answer."""
    data = _write(answer)
    answer = _read(data)
    _remember(key, answer)
    if len(data) <= DISK_LIMIT:
        path = _path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                _clear(path)
            write_whole(path, data, durable=False)  # a damaged entry is a miss
            _make_room(len(data))
        except OSError:
            _clear(path)
    return dict(answer)


def drop(key: str) -> None:
    """Forget an answer, for example one of an earlier form."""
    with _lock:
        _memory.pop(key, None)
    _clear(_path(key))


def open_file(path: Path, key: str) -> Answer | None:
    """An answer in a file of its own, which was made with `to_bytes`; None where there is none.

    Args:
        key: What it is known by in memory, too.
    """
    with _lock:
        if key in _memory and path.exists():
            _memory.move_to_end(key)
            return dict(_memory[key][0])
    try:
        answer = _read(path.read_bytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    _remember(key, answer)
    return dict(answer)


def to_bytes(answer: Answer) -> bytes:
    """An answer as the contents of a file."""
    return _write(answer)


def size() -> int:
    """How many bytes of answers are on disk."""
    return sum(path.stat().st_size for path in home("cache").glob("*/*.npz"))


@cache
def _shipped(folder: Path) -> dict[str, Path]:
    """The files of the answers that come with Convoscope, by key: looked for once."""
    return {path.stem: path for path in folder.glob("*/answers/*.npz")}


def _path(key: str) -> Path:
    return home("cache") / key[:2] / f"{key}.npz"


def _clear(path: Path) -> None:
    """Delete the file or folder in the place of an entry; where that is not allowed, it stays a miss."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def to_small_bytes(answer: Answer) -> bytes:
    """`to_bytes`, compressed: for answers that ship."""
    return _write(answer, np.savez_compressed)


def _write(answer: Answer, save: Callable[..., None] = np.savez) -> bytes:
    arrays = {name: value for name, value in answer.items() if isinstance(value, np.ndarray)}
    values = {name: value for name, value in answer.items() if name not in arrays}
    out = io.BytesIO()
    text = np.frombuffer(json.dumps(values).encode(), np.uint8)
    save(out, allow_pickle=False, **{_VALUES: text}, **arrays)
    return out.getvalue()


def _read(data: bytes) -> Answer:
    answer: Answer = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        for name in file.files:
            if name == _VALUES:
                answer.update(json.loads(file[name].tobytes()))
            else:
                answer[name] = file[name]
                answer[name].flags.writeable = False
    return answer


_lock = threading.Lock()
_memory: OrderedDict[str, tuple[Answer, int]] = OrderedDict()
_counted: int | None = None  # bytes on disk at the last count, and what this process has added since
_added = 0  # since then


def _remember(key: str, answer: Answer) -> None:
    size = sum(value.nbytes for value in answer.values() if isinstance(value, np.ndarray)) + 1000
    with _lock:
        _memory[key] = (answer, size)
        _memory.move_to_end(key)
        while sum(size for _, size in _memory.values()) > MEMORY_LIMIT and len(_memory) > 1:
            _memory.popitem(last=False)


def forget_memory() -> None:
    """Drop what is in memory; the disk keeps all."""
    with _lock:
        _memory.clear()


def _make_room(added: int) -> None:
    """Delete the least recently used entries once the limit is passed, down to nine tenths of it.

    Other processes add entries as well, so all are counted again after each twentieth of the limit.
    """
    global _counted, _added
    with _lock:
        _added += added
        _counted = None if _counted is None else _counted + added
        if _counted is not None and _counted <= DISK_LIMIT and _added <= DISK_LIMIT / COUNTS_A_LIMIT:
            return
        found = []
        for path in home("cache").glob("*/*.npz"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # another process was faster
            found.append((stat.st_mtime_ns, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        if total > DISK_LIMIT:
            for _, size, path in sorted(found, key=lambda entry: entry[:2]):
                _clear(path)
                total -= size
                if total <= 0.9 * DISK_LIMIT:
                    break
        _counted, _added = total, 0
