"""How a job stands, read from the files in its folder.

<folder>/job.json      what was asked: command, title, device, owner, when
         process.json  the process that looks after it
         child.json    the process that does it
         log.txt       what it printed
         exit.json     its exit code, once it has ended
         stop          there when someone asked it to stop
         history.jsonl its records, where the command writes them; progress is read from there
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.history import FILE, PlainRecord, read_plain_records
from core.paths import read_json, write_whole
from core.serving import processes
from core.settings import JsonObject

JOB, PROCESS, CHILD, LOG, EXIT, STOP = (
    "job.json", "process.json", "child.json", "log.txt", "exit.json", "stop",
)  # fmt: skip
ACTIVE = ("running", "stopping")
RESULTS = ("finished", "stopped", "failed")
LONGEST_LAST_WORDS = 300


@dataclass(frozen=True)
class Job:
    """One job as it stands at this moment.

    Attributes:
        state: "waiting", "running", "stopping", "stopped", "finished" or "failed".
        message: One sentence for people: behind whom it waits, or the last lines of its log where it failed.
        progress: Share done, 0…1, as far as its records tell.
        behind: Names of the jobs that come first, the running one included, where it waits.
        owner: Who started it; "" for the machine's own user.
    """

    name: str
    title: str
    folder: Path
    command: tuple[str, ...]
    device: str
    state: str
    message: str = ""
    progress: float = 0.0
    behind: tuple[str, ...] = ()
    queued: float = 0.0
    started: float | None = None
    ended: float | None = None
    owner: str = ""


class _Damaged(Exception):
    """A file of another form than we write."""


def look(folder: Path) -> Job:
    """The job in a folder. One whose files are damaged has failed, and its message says which file it is."""
    try:
        return _look(folder)
    except _Damaged as damage:
        words = f"Its file {damage} is damaged. Delete the run, or repair the file in {folder}."
        return Job(folder.name, folder.name, folder, (), "cpu", "failed", words)


def _look(folder: Path) -> Job:
    about = _object(folder, JOB) or {}
    process, ended = _object(folder, PROCESS), _object(folder, EXIT)
    command = about.get("command", [])
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise _Damaged(JOB)
    code = None if ended is None else _number(ended, "code", EXIT)
    state, message = _state(folder, process, None if code is None else int(code))
    return Job(
        name=folder.name,
        title=_text(about, "title", folder.name),
        folder=folder,
        command=tuple(command),
        device=_text(about, "device", "cpu"),
        state=state,
        message=message,
        progress=1.0 if state == "finished" else progress_in(folder),
        queued=_number(about, "queued", JOB, 0.0),
        started=None if process is None else _number(process, "started", PROCESS),
        ended=None if ended is None else _number(ended, "ended", EXIT),
        owner=_text(about, "owner", ""),
    )


def _state(folder: Path, process: JsonObject | None, code: int | None) -> tuple[str, str]:
    """The state, and what a failed job says."""
    asked = (folder / STOP).exists()
    if code is not None:
        # A command that was asked to stop may have been done before it heard of it.
        if code == 0 and (not asked or progress_in(folder) >= 1):
            return "finished", ""
        return ("stopped", "") if asked else ("failed", failure_sentence(folder, code))
    if process is None:
        return ("stopped" if asked else "waiting"), ""
    if is_at_work(folder):
        return ("stopping" if asked else "running"), ""
    # Gone without a word. Its records may say that all was done by then: only its watcher was killed.
    if progress_in(folder) >= 1:
        return "finished", ""
    # Where a stop was asked for, it was killed before it could say so.
    return ("stopped", "") if asked else ("failed", failure_sentence(folder, None))


def is_at_work(folder: Path) -> bool:
    """Whether the job's process or the one that looks after it is alive."""
    return any(processes.is_alive(read_json(folder / file)) for file in (PROCESS, CHILD))


def failure_sentence(folder: Path, code: int | None) -> str:
    """Why a job failed, in one sentence made of the last lines of its log."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    last = [line.strip() for line in lines if line.strip()][-1:]
    said = f" Its last message: {last[0][:LONGEST_LAST_WORDS]}" if last else " It printed nothing."
    if code is None:
        return f"It ended without a message: it was killed, or the machine was switched off.{said}"
    if code < 0:
        name = processes.name_of_signal(-code)
        return f"It was killed by {name}, from outside or because memory ran out.{said}"
    return f"It ended with code {code}.{said}"


def progress_in(folder: Path) -> float:
    """Share done by the job's records; 0 where there are none, or they are damaged."""
    try:
        about = (folder / FILE).stat()
        return _share_done_in(folder / FILE, about.st_mtime_ns, about.st_size)
    except (OSError, ValueError, TypeError, AttributeError):
        return 0.0


@lru_cache(maxsize=1000)
def _share_done_in(path: Path, mtime: int, size: int) -> float:
    return share_done(read_plain_records(path))


def share_done(history: list[PlainRecord]) -> float:
    """0…1, by the last record that tells: its `progress` where it has one, otherwise its step."""
    total = 0.0
    for record in history:
        if record.get("kind") == "start":
            total = float(record.get("epochs", 0) * record.get("steps_an_epoch", 0))
    for record in reversed(history):
        if record.get("kind") == "end":
            return 1.0
        if "progress" in record:
            return min(1.0, max(0.0, float(record["progress"])))
        if total and "step" in record:
            return min(1.0, record["step"] / total)
    return 0.0


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file of a job so that nobody ever sees half of it."""
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _object(folder: Path, file: str) -> JsonObject | None:
    if not os.path.lexists(folder / file):
        return None
    value = read_json(folder / file)
    if value is None:  # cut, or garbled: as if it were not there
        return None
    if not isinstance(value, dict):
        raise _Damaged(file)
    return value


def _text(about: JsonObject, key: str, default: str) -> str:
    value = about.get(key, default)
    if not isinstance(value, str):
        raise _Damaged(JOB)
    return value


def _number(about: JsonObject, key: str, file: str, default: float | None = None) -> float:
    value = about.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Damaged(file)
    return float(value)
