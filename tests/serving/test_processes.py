"""Processes by their marks, locks that a dead process drops, and the limit of open files."""

import os
import signal
import subprocess
import sys

import pytest

from core.paths import PROJECT
from core.serving import processes


def test_a_process_is_known_by_its_start_and_not_by_its_number():
    own = processes.mark_of(os.getpid())
    assert own is not None
    assert processes.is_alive(own)
    assert not processes.is_alive({**own, "born": own["born"] - 100})
    for wrong in (None, {}, {"pid": os.getpid()}, {"pid": "x", "born": 1}, {**own, "born": "x"}, [1], 5):
        assert not processes.is_alive(wrong)
    assert processes.mark_of(2**22 + 1) is None


def test_a_process_that_has_ended_is_dead_although_nobody_asked_for_its_end():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = processes.mark_of(child.pid)
    assert processes.is_alive(mark)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not processes.is_alive(mark)
    child.wait()
    child.stdin.close()


def test_a_lock_is_dropped_by_a_process_that_is_killed(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from core.serving.processes import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); input()\n"
    )
    path = tmp_path / "lock"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"held\n"
    with processes.locked(path, wait=False) as mine:
        assert not mine
    child.kill()
    child.communicate()
    with processes.locked(path, wait=False) as mine:
        assert mine


def test_the_limit_of_open_files_is_raised_from_what_macos_gives_a_terminal():
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        "import resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "from core.serving.processes import raise_descriptor_limit\n"
        "print(raise_descriptor_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    said, now = map(int, done.stdout.split())
    assert said == now
    assert now == processes.DESCRIPTORS or now == hard < processes.DESCRIPTORS
