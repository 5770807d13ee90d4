"""Take away what Windows does not have, before anything else is imported; for Python processes below a test.

It has no `fcntl`, no process groups and no niceness, and it refuses to put a file in the
place of one that somebody has open or mapped. That is simulated for this process's own files.
"""

import os
import sys
from pathlib import Path

for _module in ("fcntl", "grp", "pwd"):  # psutil itself wants `resource` on Linux
    sys.modules[_module] = None  # type: ignore[assignment]
for _name in ("killpg", "nice", "getpgid", "setsid", "fork"):
    if hasattr(os, _name):
        delattr(os, _name)
_replace, _rename = os.replace, os.rename


def _is_open(path: object) -> bool:
    wanted = os.path.realpath(os.fspath(path))  # type: ignore[call-overload]
    if not os.path.exists(wanted):
        return False
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.path.samefile(os.readlink(f"/proc/self/fd/{number}"), wanted):
                return True
        except OSError:
            continue
    return any(
        line.rstrip().endswith(" " + wanted) for line in Path("/proc/self/maps").read_text().split("\n")
    )


def _refusing(function):  # type: ignore[no-untyped-def]
    def move(source, target, **options):  # type: ignore[no-untyped-def]
        if _is_open(target) or _is_open(source):
            raise PermissionError(13, "The file is in use by another process", os.fspath(target))
        return function(source, target, **options)

    return move


if os.path.isdir("/proc/self/fd"):
    os.replace, os.rename = _refusing(_replace), _refusing(_rename)
