"""Long work as child processes: each has a folder, and whoever looks at the folder knows how it stands.

<folder>/job.json      what was asked: command, title, device, when
         process.json  the process that does it, and when it was started
         alive         locked by that process and its children for as long as one of them lives
         log.txt       what it printed
         exit.json     its exit code, once it has ended
         stop          there when someone asked it to stop
         history.jsonl its records, where the command writes them; progress is read from there

No service keeps the queue. A job that waits is a folder with `job.json` and no process; a job that ends, and
whoever looks at the jobs, starts the next one of a device that is free, under a lock. So a queue goes on with
no page open, a refreshed page, a restarted server and a second browser all see the same, and a process that
died is seen to be dead: the system drops its lock.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import ConvoscopeError, SettingError, one_of
from core.history import FILE, PlainRecord, read_plain_records
from core.paths import PROJECT, home

JOB, PROCESS, ALIVE, LOG, EXIT, STOP = (
    "job.json", "process.json", "alive", "log.txt", "exit.json", "stop",
)  # fmt: skip
RESULTS = ("finished", "stopped", "failed")
_NICENESS = 15
_UNDER_A_WATCHER = "CONVOSCOPE_JOB"  # tells a command that its folder is looked after

# The watcher runs the command, waits, and notes the exit code: it lives on when the server is restarted.
# A signal goes to the whole group, so the watcher only has to survive it; it passes on what came too early.
_WATCHER = """
import json, os, signal, subprocess, sys, time
folder, lock, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
early = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: early.append(number))
os.nice(max(0, NICENESS - os.nice(0)))
code = -signal.SIGTERM
if not os.path.exists(os.path.join(folder, "stop")):
    with open(os.path.join(folder, "log.txt"), "ab") as log:
        try:
            nothing = subprocess.DEVNULL
            child = subprocess.Popen(command, stdout=log, stderr=log, stdin=nothing, pass_fds=[lock])
            if early:
                child.send_signal(signal.SIGTERM)
            code = child.wait()
        except OSError as error:
            log.write(str(error).encode())
            code = 127
path = os.path.join(folder, "exit.json")
with open(path + ".partial", "w") as file:
    json.dump({"code": code, "ended": time.time()}, file)
os.replace(path + ".partial", path)
os.close(lock)
start = "import sys, pathlib, core.serving.jobs; core.serving.jobs.start_next(pathlib.Path(sys.argv[1]))"
subprocess.run([sys.executable, "-c", start, os.path.dirname(folder)])
""".replace("NICENESS", str(_NICENESS))


class JobError(ConvoscopeError):
    """Something that a job in this state cannot do."""


@dataclass(frozen=True)
class Job:
    """One job as it stands at this moment.

    Attributes:
        state: "waiting", "running", "stopping", "stopped", "finished" or "failed".
        message: One sentence for people: behind whom it waits, or the last lines of its log where it failed.
        progress: Share done, 0…1, as far as its records tell.
        behind: Names of the jobs that come first, the running one included, where it waits.
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
    """
    if (
        not name
        or name in (".", "..")
        or any(not (c.isalnum() or c in "._-") for c in name)
        or name[0] == "."
    ):
        raise SettingError(f"The name {name!r} is no name of a folder: use letters, digits, _ and - only.")
    parent = parent or home("runs")
    with _queue_lock(parent):
        folder = parent / name
        if (folder / JOB).exists():
            state = _look(folder).state
            if state in ("waiting", "running", "stopping", "finished"):
                raise JobError(f"There is a job {name!r} already, which is {state}. Choose another name.")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (STOP, EXIT, PROCESS):
            (folder / file).unlink(missing_ok=True)
        words = [word.replace("{folder}", str(folder)) for word in command]
        about = {
            "name": name,
            "title": title or name,
            "command": words,
            "device": device,
            "queued": time.time(),
        }
        _write(folder / JOB, about)
    start_next(parent)
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
    with open(folder / ALIVE, "a") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobError(
                f"{folder.name!r} is running already: wait for it, stop it, or choose another name."
            ) from None
        about = {
            "name": folder.name,
            "title": title or folder.name,
            "command": list(command),
            "device": device,
        }
        _write(folder / JOB, {**about, "queued": time.time()})
        for file in (STOP, EXIT):
            (folder / file).unlink(missing_ok=True)
        _write(folder / PROCESS, {"pid": os.getpid(), "started": time.time(), "shell": True})
        code = 1
        try:
            yield
            code = 0
        finally:
            _write(folder / EXIT, {"code": code, "ended": time.time()})


def note_stop(folder: Path) -> None:
    """Say that the work in a folder ended early because someone wanted it to."""
    (folder / STOP).touch()


def train_command(name: str, options: dict[str, Any]) -> list[str]:
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
    start_next(parent)
    found = [_look(folder) for folder in parent.iterdir() if (folder / JOB).exists()]
    waiting = sorted((j for j in found if j.state == "waiting"), key=lambda j: j.queued)
    running = sorted((j for j in found if j.state in ("running", "stopping")), key=lambda j: j.started or 0)
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
    """
    parent = parent or home("runs")
    current = job(name, parent=parent)
    if current.state not in ("waiting", "running", "stopping"):
        raise JobError(f"The job {name!r} is {current.state}: there is nothing to stop.")
    with _queue_lock(parent):
        asked_before = (current.folder / STOP).exists()
        (current.folder / STOP).touch()
        process = _read(current.folder / PROCESS)
        if process and not asked_before and _is_alive(current.folder):
            with suppress(ProcessLookupError):
                (os.kill if process.get("shell") else os.killpg)(process["pid"], signal.SIGTERM)
    return job(name, parent=parent)


def resume(name: str, *, parent: Path | None = None) -> Job:
    """Queue a stopped or failed job again, with the same command.

    Raises:
        JobError: It waits, runs or has finished.
    """
    current = job(name, parent=parent)
    return submit(name, current.command, title=current.title, device=current.device, parent=parent)


def remove(name: str, *, parent: Path | None = None) -> None:
    """Delete a job's folder and all that is in it.

    Raises:
        JobError: It still runs.
    """
    parent = parent or home("runs")
    current = job(name, parent=parent)
    if current.state in ("running", "stopping"):
        raise JobError(f"The job {name!r} still runs: stop it first.")
    with _queue_lock(parent):
        shutil.rmtree(current.folder)


def start_next(parent: Path) -> None:
    """Start the first waiting job of every device where none runs."""
    with _queue_lock(parent):
        found = [_look(folder) for folder in parent.iterdir() if (folder / JOB).exists()]
        busy = {j.device for j in found if j.state in ("running", "stopping")}
        for waiting in sorted((j for j in found if j.state == "waiting"), key=lambda j: j.queued):
            if waiting.device not in busy:
                busy.add(waiting.device)
                _start(waiting)


def _start(waiting: Job) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment[_UNDER_A_WATCHER] = str(waiting.folder.resolve())
    with open(waiting.folder / ALIVE, "a") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-c", _WATCHER, str(waiting.folder), str(alive.fileno()), *waiting.command],
            cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=[alive.fileno()],
        )  # fmt: skip
    _write(waiting.folder / PROCESS, {"pid": process.pid, "started": time.time()})
    _children.append(process)


_children: list[subprocess.Popen[bytes]] = []  # asked for their end, so that none stays behind as a zombie


def _look(folder: Path) -> Job:
    about = _read(folder / JOB) or {}
    process, ended = _read(folder / PROCESS), _read(folder / EXIT)
    asked = (folder / STOP).exists()
    message = ""
    if ended is not None:
        # A command that was asked to stop may have been done before it heard of it.
        done = ended["code"] == 0 and (not asked or _progress(folder) >= 1)
        state = "finished" if done else ("stopped" if asked else "failed")
        if state == "failed":
            message = failure_sentence(folder, ended["code"])
    elif process is None:
        state = "stopped" if asked else "waiting"
    elif _is_alive(folder):
        state = "stopping" if asked else "running"
    else:
        # Gone without a word. Where a stop was asked for, it was killed before it could say so.
        state = "stopped" if asked else "failed"
        message = "" if asked else failure_sentence(folder, None)
    return Job(
        name=about.get("name", folder.name),
        title=about.get("title", folder.name),
        folder=folder,
        command=tuple(about.get("command", ())),
        device=about.get("device", "cpu"),
        state=state,
        message=message,
        progress=1.0 if state == "finished" else _progress(folder),
        queued=about.get("queued", 0.0),
        started=process["started"] if process else None,
        ended=ended["ended"] if ended else None,
    )


def _with_queue(waiting: Job, running: list[Job], queue: list[Job]) -> Job:
    first = [j for j in running if j.device == waiting.device]
    first += [j for j in queue if j.device == waiting.device and j.queued < waiting.queued]
    names = " and ".join(f"“{j.title}”" for j in first[:2]) + (
        f" and {len(first) - 2} more" if first[2:] else ""
    )
    words = f"Waits behind {names}." if first else "Begins in a moment."
    return replace(waiting, behind=tuple(j.name for j in first), message=words)


def failure_sentence(folder: Path, code: int | None) -> str:
    """Why a job failed, in one sentence made of the last lines of its log."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    last = [line.strip() for line in lines if line.strip()][-1:]
    said = f" Its last words: {last[0][:300]}" if last else " It printed nothing."
    if code is None:
        return f"It ended without a word: it was killed, or the machine was switched off.{said}"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return f"It was killed by {name}, from outside or for want of memory.{said}"
    return f"It ended with code {code}.{said}"


def _progress(folder: Path) -> float:
    """Share done by its records: their `progress` where they have one, otherwise steps of a training."""
    try:
        about = (folder / FILE).stat()
    except OSError:
        return 0.0
    return _share_done_in(folder / FILE, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1000)
def _share_done_in(path: Path, mtime: int, size: int) -> float:
    return share_done(read_plain_records(path))


def share_done(history: list[PlainRecord]) -> float:
    """0…1, by the last record that tells."""
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


def _is_alive(folder: Path) -> bool:
    for child in _children[:]:
        if child.poll() is not None:
            _children.remove(child)
    try:
        with open(folder / ALIVE) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _queue_lock(parent: Path) -> Iterator[None]:
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else None
    except (OSError, ValueError):
        return None
