"""What Convoscope keeps on the disk: how much, within which limits, and what a disk that refuses says.

Each area is a folder in Convoscope's own. What can be made again is deleted when its area is full, the least
recently used first. What cannot (runs, imported checkpoints, uploads) is refused with a sentence that says
how much is missing.
"""

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConvoscopeError, SettingError, Unavailable, UnknownName
from core.paths import home, home_folder

MB = 2**20
JUST_USED = 15 * 60  # seconds: what was used within these is not deleted to make room
_ELSEWHERE = "or set CONVOSCOPE_HOME to a folder on another disk"


class NoRoom(ConvoscopeError):
    """A disk that is full, or a limit of Convoscope's own that is reached."""


@dataclass(frozen=True)
class Area:
    """A folder with a limit.

    Attributes:
        folder: Below Convoscope's own.
        title: What it holds, in words.
        share: Of the disk's room (what is free and what the area holds) that it may take by default.
        most_mb: Its limit on a disk of any size.
        again: Its entries can be made or fetched again.
        depth: How many folders down an entry is: 1 for a file or folder in the area itself.
    """

    folder: str
    title: str
    share: float
    most_mb: int
    again: bool
    depth: int = 1

    @property
    def variable(self) -> str:
        """The environment variable that sets its limit, in MB."""
        return f"CONVOSCOPE_{self.folder.rpartition('/')[2].upper()}_MB"


AREAS = (
    Area("cache", "Answers computed before", 0.1, 2048, again=True, depth=2),
    Area("data/indexed", "Uploaded data sets, ready to be read", 0.2, 20_480, again=True),
    Area("data/uploads", "Uploaded data sets, as uploaded", 0.2, 20_480, again=False),
    Area("weights", "Downloaded weights", 0.2, 20_480, again=True),
    Area("imported", "Imported checkpoints", 0.1, 10_240, again=False),
    Area("runs", "Trainings and other long jobs", 0.2, 20_480, again=False),
)


@dataclass(frozen=True)
class Entry:
    """One file or folder of an area.

    Attributes:
        used: When it was last used, in seconds since 1970.
    """

    name: str
    path: Path
    bytes: int
    used: float


def area_named(folder: str) -> Area:
    """
    Raises:
        UnknownName: There is no such area.
    """
    for area in AREAS:
        if area.folder == folder:
            return area
    raise UnknownName("area", folder, [area.folder for area in AREAS])


def entries(area: Area) -> list[Entry]:
    """All that an area holds, the largest first. What vanishes meanwhile is left out."""
    found = []
    for path in home(area.folder).glob("/".join("*" * area.depth)):
        if path.name.startswith("."):
            continue
        files = list(_files(path))
        used = max((max(file.st_mtime, file.st_atime) for file in files), default=0.0)
        found.append(Entry(path.name, path, sum(file.st_size for file in files), used))
    return sorted(found, key=lambda entry: -entry.bytes)


def size_of(area: Area) -> int:
    """Bytes that an area takes."""
    return sum(entry.bytes for entry in entries(area))


def limit_of(area: Area) -> int:
    """Bytes that an area may take: what its variable says, else a share of the disk.

    Raises:
        SettingError: The variable is not a number of megabytes.
    """
    given = os.environ.get(area.variable)
    if given:
        if not given.isdigit():
            raise SettingError(f"{area.variable} is {given!r}: give a whole number of megabytes.")
        return int(given) * MB
    return min(area.most_mb * MB, round(area.share * (free_bytes(home(area.folder)) + size_of(area))))


def require_room(folder: str, needed: int, what: str) -> None:
    """Before something is kept in an area: see to it that it fits.

    Args:
        folder: Of the area.
        needed: Bytes.
        what: That is to be kept there, such as "The data set".
    Raises:
        NoRoom: It would pass the area's limit, or the disk has less room.
    """
    area = area_named(folder)
    place = home(area.folder)
    if area.again:
        make_room(area, needed)
    allowed = limit_of(area) - size_of(area)
    if needed > allowed:
        raise NoRoom(
            f"{what} needs {_mb(needed)} in {place}, which may still take {_mb(max(0, allowed))}: "
            f"{_mb(needed - allowed)} are missing. Delete something on the page Storage, or raise the limit "
            f"with {area.variable}."
        )
    free = free_bytes(place)
    if needed > free:
        raise NoRoom(
            f"{what} needs {_mb(needed)} in {place}, where {_mb(free)} are free: {_mb(needed - free)} are "
            f"missing. Make room on the page Storage, {_ELSEWHERE}."
        )


def make_room(area: Area, needed: int = 0) -> int:
    """Delete the least recently used entries of an area that can be made again, until `needed` bytes fit.

    Returns:
        The bytes that were freed.
    """
    if not area.again:
        return 0
    found = sorted(entries(area), key=lambda entry: entry.used)
    over, freed = sum(entry.bytes for entry in found) + needed - limit_of(area), 0
    for entry in found:
        if freed >= over:
            break
        if entry.used < time.time() - JUST_USED:
            delete(entry)
            freed += entry.bytes
    return freed


def note_use(path: Path) -> None:
    """Let an entry count as used now, also on a disk that does not note when a file is read."""
    with suppress(OSError):
        os.utime(path)


def keep_within_limits() -> None:
    """Delete what is over the limits and can be made again; when the server starts, and nothing is in use."""
    for area in AREAS:
        make_room(area)


def delete(entry: Entry) -> None:
    """Delete one entry. That it is gone already is as good."""
    if entry.path.is_dir() and not entry.path.is_symlink():
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        entry.path.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """What the disk with that folder has free."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def sentence_of(error: OSError) -> ConvoscopeError | None:
    """What the disk refused, as an error that names the folder and says what to do; None for other errors."""
    place = _folder_of(error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return NoRoom(
            f"The disk with {place} is full ({_mb(free_bytes(place))} are free): make room on the page "
            f"Storage, {_ELSEWHERE}."
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return Unavailable(
            f"{place} cannot be written or read ({os.strerror(error.errno)}): change its permissions, or "
            f"set CONVOSCOPE_HOME to a folder that can be written."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and os.environ.get("CONVOSCOPE_HOME"):
        return SettingError(
            f"CONVOSCOPE_HOME is {os.environ['CONVOSCOPE_HOME']!r}, where no folder can be made "
            f"({os.strerror(error.errno)}): name a folder."
        )
    if error.errno == errno.ENAMETOOLONG:
        name = os.path.basename(str(error.filename or ""))
        return SettingError(
            f"The name {name[:20] + '…'!r} has {len(name):,} characters, more than a file name may have: "
            f"use a shorter one."
        )
    return None


def _folder_of(error: OSError) -> Path:
    """The folder that an error is about, or Convoscope's own where it does not say."""
    if isinstance(error.filename, str) and error.filename and error.errno != errno.ENAMETOOLONG:
        place = Path(error.filename)
        while not place.is_dir() and place != place.parent:
            place = place.parent
        return place
    return home_folder()


def _files(path: Path) -> Iterator[os.stat_result]:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    for one in inside:
        try:
            about = one.lstat()
        except OSError:
            continue
        if not stat.S_ISDIR(about.st_mode):
            yield about


def _mb(count: int) -> str:
    return f"{count / MB:,.1f} MB" if count < 100 * MB else f"{count / MB:,.0f} MB"
