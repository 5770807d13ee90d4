"""The process that looks after a job: `python -m core.serving.watcher FOLDER COMMAND...`.

It runs the command, waits, notes the exit code and starts the next job. It lives on when the server is
restarted. A signal goes to the whole group, so the watcher only has to survive it; it passes on what came
before there was a command to hear it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from core.serving import processes
from core.serving.job import CHILD, EXIT, JOB, LOG, STOP, read_json, write_json
from core.serving.jobs import start_next

LOOK_EVERY = 0.5  # seconds
SECONDS_TO_END = (
    60.0  # seconds that a command has to end by itself where it can only look for the file `stop`
)
NOT_STARTED = 127


def watch(folder: Path, command: list[str]) -> int:
    """Run the command to its end. Returned is its exit code, which is in the folder then."""
    asked: list[int] = []
    processes.on_stop(asked.append)
    processes.be_nice()
    code = -int(signal.SIGTERM)
    if not (folder / STOP).exists():
        with open(folder / LOG, "ab") as log:
            try:
                child = processes.start_child(command, log)
            except OSError as error:
                log.write(str(error).encode())
                code = NOT_STARTED
            else:
                mark = processes.mark_of(child.pid)
                if mark is not None:
                    _note(folder / CHILD, mark)
                if asked:
                    processes.ask_to_stop(child.pid, group=False)
                code = _wait(child, folder, asked)
    _note(folder / EXIT, {"code": code, "ended": time.time()})
    return code


def _wait(child: "subprocess.Popen[bytes]", folder: Path, asked: list[int]) -> int:
    """Wait for the command, and see to it that it ends once it should."""
    about = read_json(folder / JOB)
    longest = about.get("longest") if isinstance(about, dict) else None
    if not isinstance(longest, int | float) and processes.HAS_GROUPS:
        return child.wait()  # it hears all signals itself
    began, told_at = time.monotonic(), None
    while True:
        try:
            return child.wait(LOOK_EVERY)
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if isinstance(longest, int | float) and now - began > longest:
            (folder / STOP).touch()
        if told_at is None and (asked or (folder / STOP).exists()):
            told_at = now
            processes.ask_to_stop(child.pid, group=False)
        if processes.WINDOWS and told_at is not None and now - told_at > SECONDS_TO_END:
            child.kill()


def _note(path: Path, value: Mapping[str, object]) -> None:
    """Write a file, also on a disk that is full for a while: an exit code must not be lost."""
    for _ in range(20):
        try:
            write_json(path, value)
            return
        except OSError:
            time.sleep(LOOK_EVERY)
    try:  # a short file needs no new block where one of that name lies already
        path.write_text(json.dumps(value), encoding="utf-8")
    except OSError:
        return


if __name__ == "__main__":
    place = Path(sys.argv[1])
    watch(place, sys.argv[2:])
    start_next(place.parent)
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do, and no thread to wait for
