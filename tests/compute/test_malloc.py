"""Freed memory stays with the process, so that the system fills it with zeros once."""

import subprocess
import sys

import pytest

from core.compute.malloc import keep_freed_memory

ROUNDS, SIZE = 20, 2**26
PROGRAM = f"""
import ctypes, resource, sys
from core.compute.malloc import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(7)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t({SIZE})))
    ctypes.memset(block, 1, {SIZE})
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode == 7:
        pytest.skip("the C library of this system has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_block_that_comes_again_is_fetched_once():
    assert faults("keep") < 3 * faults("leave") / ROUNDS


def test_elsewhere_nothing_changes(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
