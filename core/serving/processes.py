"""Processes and locks, alike on Linux, macOS and Windows: all that differs between them is in this file."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, TypedDict

import psutil
from filelock import FileLock, Timeout

WINDOWS = os.name == "nt"
HAS_GROUPS = hasattr(os, "killpg")
NICENESS = 15
SAME_START = 1.0  # seconds by which the start of one process may seem to differ
DESCRIPTORS = 8192  # wanted at least, where the system allows so many


class Mark(TypedDict):
    """What a process is known by, also after its number was given to another.

    Attributes:
        born: When it started, in seconds: on Linux since the machine did.
    """

    pid: int
    born: float


def mark_of(pid: int) -> Mark | None:
    """The mark of a process; None where there is none."""
    try:
        return {"pid": pid, "born": _born(psutil.Process(pid))}
    except psutil.Error:
        return None


def is_alive(mark: object) -> bool:
    """Whether the process of that mark still runs."""
    if not isinstance(mark, dict) or not isinstance(mark.get("pid"), int) or "born" not in mark:
        return False
    try:
        process = psutil.Process(mark["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(_born(process) - float(mark["born"])) <= SAME_START
    except (psutil.Error, ValueError, TypeError):
        return False


def _born(process: psutil.Process) -> float:
    # Linux counts from its own start, and a clock that is set moves both figures alike.
    since = psutil.boot_time() if sys.platform == "linux" else 0.0
    return float(process.create_time()) - since


def start_apart(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, hears no Ctrl-C of this terminal, and has no window."""
    flags = ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW") if WINDOWS else ()
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        list(command), cwd=folder, env=environment, stdin=nothing, stdout=nothing, stderr=nothing,
        start_new_session=not WINDOWS, creationflags=sum(getattr(subprocess, flag) for flag in flags),
    )  # fmt: skip


def start_child(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process of this one's group that writes to a log."""
    return subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def ask_to_stop(pid: int, *, group: bool) -> None:
    """Ask a process politely to end. Windows has no such signal: there the file `stop` is all it hears of.

    Args:
        group: Its children too; it was started by `start_apart`.
    """
    with suppress(OSError, psutil.Error):
        if group and HAS_GROUPS:
            os.killpg(pid, signal.SIGTERM)
        elif not WINDOWS:
            os.kill(pid, signal.SIGTERM)


def end(mark: Mark) -> None:
    """End a process and its children at once."""
    with suppress(psutil.Error):
        process = psutil.Process(mark["pid"])
        for one in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                one.kill()


def on_stop(note: Callable[[int], None]) -> None:
    """Call `note` with the number of each signal that asks this process to end."""

    def heard(number: int, frame: FrameType | None) -> None:
        note(number)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), heard)


def be_nice() -> None:
    """Let everything else on this machine go first."""
    with suppress(psutil.Error, OSError):
        process = psutil.Process()
        if WINDOWS:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        elif process.nice() < NICENESS:
            process.nice(NICENESS)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock in that file; the system drops it when this process dies.

    Args:
        wait: Until it is free. Otherwise the body gets False where it is not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(path), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def name_of_signal(number: int) -> str:
    """SIGKILL for 9; the number where it has no name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def raise_descriptor_limit() -> int | None:
    """Allow this process as many open files as it may have, up to 8,192; returned is what it has now.

    macOS gives a terminal 256. A session takes three, and Streamlit keeps those of 128 closed ones.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        return soft
    return wanted
