"""Long work as child processes: each has a folder, and all that look at the folder see how it stands.

No service keeps the queue. A job that waits is a folder with `job.json` and no process; a job that ends, and
every look at the jobs, starts the next one of a device that is free, under a lock. So a queue goes on with
no page open, a refreshed page, a restarted server and a second browser all see the same, and a process that
died is seen to be dead. Jobs of several owners take turns.
"""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core import roles
from core.disk import require_room
from core.errors import ConvoscopeError, SettingError, one_of
from core.paths import PROJECT, home
from core.paths import read_json as _read
from core.serving import processes
from core.serving.job import ACTIVE, CHILD, EXIT, JOB, LOG, PROCESS, RESULTS, STOP, Job, look, share_done
from core.serving.job import write_json as _write
from core.settings import Settings

__all__ = [
    "CHILD", "EXIT", "JOB", "LOG", "PROCESS", "RESULTS", "STOP", "Job", "JobError", "as_job", "job", "jobs",
    "note_stop", "remove", "resume", "share_done", "start_next", "stop", "submit", "train_command",
]  # fmt: skip
LONGEST_NAME = 100
LEAST_ROOM = 20 * 2**20  # bytes: weights, their state and a history of a small network
_NAMES_OF_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{i}" for port in ("COM", "LPT") for i in range(10)),
}
_UNDER_A_WATCHER = "CONVOSCOPE_JOB"  # tells a command that its folder is looked after


class JobError(ConvoscopeError):
    """Something that a job in this state cannot do."""


def check_name(name: str) -> str:
    """The name, if it can be that of a run's folder on every system.

    Raises:
        SettingError: It cannot.
    """
    shown = name if len(name) <= LONGEST_NAME else f"{name[:20]}… ({len(name)} characters)"
    if not name or name[0] in ".-" or any(not (c.isalnum() or c in "._-") for c in name):
        raise SettingError(
            f"The name {shown!r} cannot be that of a folder: use letters, digits, _ and -, and begin with "
            "a letter or a digit."
        )
    if name.endswith(".") or name.partition(".")[0].upper() in _NAMES_OF_DEVICES:
        raise SettingError(
            f"The name {shown!r} cannot be that of a folder on Windows: choose another, without a dot at its "
            "end."
        )
    if len(name) > LONGEST_NAME:
        raise SettingError(f"The name {shown!r} is too long: use at most {LONGEST_NAME} characters.")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise SettingError(
            f"This system's language setting has no way to write {name!r}: use plain letters, or set LC_ALL "
            "to a UTF-8 locale or PYTHONUTF8=1."
        ) from None
    return name


def submit(
    name: str, command: Sequence[str], *, title: str = "", device: str = "cpu", parent: Path | None = None
) -> Job:
    """Put a command at the end of its device's queue; it begins at once if the device is free.

    A job of that name that was stopped or failed is taken up again: the command is one that goes on by itself
    from what is in the folder.

    Args:
        name: Also the name of its folder, in `parent`.
        command: Program and arguments; `{folder}` in an argument stands for the job's folder.
        device: Jobs of one device run one at a time.
        parent: home("runs") if not given.
    Raises:
        SettingError: The name cannot be that of a folder.
        JobError: A job of that name waits, runs or has finished.
        NotAllowed: The visitor has as many jobs waiting as are allowed, or the job is someone else's.
        NoRoom: The runs have reached their limit, or the disk is full.
    """
    check_name(name)
    if parent is None:
        require_room("runs", LEAST_ROOM, f"The run {name!r}")
    parent = parent or home("runs")
    visitor = roles.visitor()
    with _queue_lock(parent):
        folder = parent / name
        found = _all(parent)
        before = next((j for j in found if j.name == name), None)
        if before is not None:
            if before.state not in ("stopped", "failed"):
                raise JobError(
                    f"There is a job {name!r} already, which is {before.state}. Choose another name."
                )
            visitor.require_own(before.owner, f"the run {name!r}")
        visitor.require_room_for_a_job(sum(j.owner == visitor.name for j in found if j.state == "waiting"))
        folder.mkdir(parents=True, exist_ok=True)
        for file in (STOP, EXIT, PROCESS, CHILD):
            (folder / file).unlink(missing_ok=True)
        about = {
            "name": name,
            "title": title or name,
            "command": [word.replace("{folder}", str(folder)) for word in command],
            "device": device,
            "queued": time.time(),
            "owner": before.owner if before is not None else visitor.name,
            "longest": visitor.longest_job,
        }
        _write(folder / JOB, about)
    return job(name, parent=parent)


@contextmanager
def as_job(folder: Path, command: Sequence[str], *, title: str = "", device: str = "cpu") -> Iterator[None]:
    """Show work that was started in a shell among the jobs, for as long as it lasts and afterwards.

    Does nothing for a command that was started by the queue. Nobody else can work in the folder meanwhile.

    Raises:
        JobError: Someone works in this folder already.
    """
    if os.environ.get(_UNDER_A_WATCHER) == str(folder.resolve()):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _queue_lock(folder.parent):
        if (folder / JOB).exists() and look(folder).state in ACTIVE:
            raise JobError(
                f"{folder.name!r} is running already: wait for it, stop it, or choose another name."
            )
        about = {
            "name": folder.name,
            "title": title or folder.name,
            "command": list(command),
            "device": device,
        }
        for file in (STOP, EXIT, CHILD):
            (folder / file).unlink(missing_ok=True)
        _write(folder / JOB, {**about, "queued": time.time()})
        mark: Mapping[str, object] = processes.mark_of(os.getpid()) or {}
        _write(folder / PROCESS, {**mark, "started": time.time(), "shell": True})
    code = 1
    try:
        yield
        code = 0
    finally:
        _write(folder / EXIT, {"code": code, "ended": time.time()})


def note_stop(folder: Path) -> None:
    """Say that the work in a folder ended early because someone wanted it to."""
    (folder / STOP).touch()


def stop_asked(folder: Path) -> bool:
    """Whether someone asked the work in a folder to stop; the only way to hear of it on Windows."""
    return (folder / STOP).exists()


def train_command(name: str, options: Settings) -> list[str]:
    """The command of a training, as a shell would run it too; `options` are settings of `train`."""
    words = [sys.executable, "-m", "core", "train", "--name", name]
    for option, value in options.items():
        if value is not None:
            written = str(value).lower() if isinstance(value, bool) else str(value)
            words += [f"--{option.replace('_', '-')}", written]
    return words


def jobs(*, parent: Path | None = None) -> list[Job]:
    """All jobs, running ones first, then waiting ones in their order, then the rest, latest first.

    Looking starts what may start.
    """
    parent = parent or home("runs")
    found = start_next(parent)
    running = sorted((j for j in found if j.state in ACTIVE), key=lambda j: j.started or 0)
    waiting = _in_turn(found)
    rest = sorted((j for j in found if j.state in RESULTS), key=lambda j: -(j.ended or j.queued))
    return running + [_with_queue(j, running, waiting) for j in waiting] + rest


def job(name: str, *, parent: Path | None = None) -> Job:
    """One job by name.

    Raises:
        JobError: There is none.
    """
    found = {j.name: j for j in jobs(parent=parent)}
    if name not in found:
        raise JobError(f"There is no job named {name!r}. {one_of(found)}")
    return found[name]


def stop(name: str, *, parent: Path | None = None) -> Job:
    """Ask a job to stop: a waiting one leaves the queue, a running one saves what it has and ends.

    Raises:
        JobError: There is none of that name, or it has ended.
        NotAllowed: It is someone else's.
    """
    parent = parent or home("runs")
    with _queue_lock(parent):
        current = _existing(name, parent)
        roles.visitor().require_own(current.owner, f"the run {name!r}")
        if current.state not in ("waiting", *ACTIVE):
            raise JobError(f"The job {name!r} is {current.state}: there is nothing to stop.")
        asked_before = (current.folder / STOP).exists()
        (current.folder / STOP).touch()
        process = _read(current.folder / PROCESS)
        if current.state in ACTIVE and isinstance(process, dict) and not asked_before:
            processes.ask_to_stop(process["pid"], group=not process.get("shell"))
            child = _read(current.folder / CHILD)
            if not processes.HAS_GROUPS and processes.is_alive(child):
                processes.ask_to_stop(child["pid"], group=False)
    return job(name, parent=parent)


def resume(name: str, *, parent: Path | None = None) -> Job:
    """Queue a stopped or failed job again, with the same command.

    Raises:
        JobError: It waits, runs or has finished.
        NotAllowed: It is someone else's.
    """
    current = job(name, parent=parent)
    if not current.command:
        raise JobError(f"The job {name!r} cannot be resumed: {current.message or 'it has no command.'}")
    return submit(name, current.command, title=current.title, device=current.device, parent=parent)


def remove(name: str, *, parent: Path | None = None) -> None:
    """Delete a job's folder and all that is in it.

    Raises:
        JobError: It still runs, or there is none of that name.
        NotAllowed: It is someone else's.
    """
    parent = parent or home("runs")
    with _queue_lock(parent):
        current = _existing(name, parent)
        roles.visitor().require_own(current.owner, f"the run {name!r}")
        if current.state in ACTIVE:
            raise JobError(f"The job {name!r} still runs: stop it first.")
        shutil.rmtree(current.folder)


def start_next(parent: Path) -> list[Job]:
    """Start the first waiting job of every device where none runs. Returns all jobs as they stand then."""
    with _queue_lock(parent):
        found = _all(parent)
        busy = {j.device for j in found if j.state in ACTIVE}
        for waiting in _in_turn(found):
            if waiting.device not in busy:
                busy.add(waiting.device)
                _start(waiting)
                found[found.index(waiting)] = look(waiting.folder)
        return found


def _all(parent: Path) -> list[Job]:
    return [look(folder) for folder in parent.iterdir() if (folder / JOB).exists()]


def _existing(name: str, parent: Path) -> Job:
    """The job of that name as it stands under the lock: somebody else may have been faster."""
    if (parent / name / JOB).exists() and Path(name).name == name:
        return look(parent / name)
    raise JobError(f"There is no job named {name!r}. {one_of(j.name for j in _all(parent))}")


def _in_turn(found: Sequence[Job]) -> list[Job]:
    """The waiting jobs in their order: the first of every owner, then the second of each, and so on.

    A running job is the first of its owner.
    """
    asked = Counter((j.device, j.owner) for j in found if j.state in ACTIVE)
    places = {}
    for waiting in sorted((j for j in found if j.state == "waiting"), key=lambda j: j.queued):
        places[waiting.name] = (asked[waiting.device, waiting.owner], waiting.queued)
        asked[waiting.device, waiting.owner] += 1
    return sorted((j for j in found if j.name in places), key=lambda j: places[j.name])


def _start(waiting: Job) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    environment[_UNDER_A_WATCHER] = str(waiting.folder.resolve())
    words = [sys.executable, "-m", "core.serving.watcher", str(waiting.folder.resolve()), *waiting.command]
    process = processes.start_apart(words, PROJECT, environment)
    mark = processes.mark_of(process.pid) or {"pid": process.pid}
    _write(waiting.folder / PROCESS, {**mark, "started": time.time()})
    _children.append(process)


_children: list[subprocess.Popen[bytes]] = []  # asked for their end, so that none stays behind as a zombie


def _with_queue(waiting: Job, running: list[Job], queue: list[Job]) -> Job:
    first = [j for j in running if j.device == waiting.device]
    first += [j for j in queue[: queue.index(waiting)] if j.device == waiting.device]
    names = " and ".join(f"“{j.title}”" for j in first[:2]) + (
        f" and {len(first) - 2} more" if first[2:] else ""
    )
    words = f"Waits behind {names}." if first else "Begins in a moment."
    return replace(waiting, behind=tuple(j.name for j in first), message=words)


@contextmanager
def _queue_lock(parent: Path) -> Iterator[None]:
    for child in _children[:]:
        if child.poll() is not None:
            _children.remove(child)
    with processes.locked(parent / ".lock"):
        yield
