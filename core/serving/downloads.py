"""Data sets on their way from the network: one thread for each, whose progress every visitor sees.

What was fetched of a file stays when a download is canceled or breaks off, and the next one goes on there.
"""

import logging
import threading
from dataclasses import dataclass, replace

from core import roles
from core.data.sets import datasets
from core.errors import Abandoned, ConvoscopeError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Download:
    """How far a download is.

    Attributes:
        share: Of the file that is being fetched, 0 to 1.
        running: It is on its way; otherwise it has arrived, was canceled, or failed.
        error: Why it failed, for people.
        canceled: Somebody canceled it.
    """

    share: float = 0.0
    message: str = ""
    running: bool = True
    error: str = ""
    canceled: bool = False


def begin(name: str) -> None:
    """Start to fetch a data set, or go on where it was; nothing happens while it is on its way already.

    Raises:
        UnknownName: There is no such data set.
        NotAllowed: In a class, by anyone but the teacher.
    """
    roles.visitor().require_teacher("download a data set")
    title = datasets[name].title
    with _lock:
        if name in _downloads and _downloads[name].running:
            return
        _downloads[name] = Download(message=f"Downloading {title}")
        _canceled.discard(name)
    threading.Thread(target=_fetch, args=(name,), name=f"download {name}", daemon=True).start()


def state(name: str) -> Download | None:
    """How far the download of a data set is; None where none was started since this server began."""
    with _lock:
        return _downloads.get(name)


def cancel(name: str) -> None:
    """End a download within a moment; what has arrived stays.

    Raises:
        NotAllowed: In a class, by anyone but the teacher.
    """
    roles.visitor().require_teacher("cancel a download")
    with _lock:
        _canceled.add(name)


def _fetch(name: str) -> None:
    def progress(share: float, message: str) -> None:
        with _lock:
            if name in _canceled:
                raise Abandoned
            _downloads[name] = replace(_downloads[name], share=min(1.0, max(0.0, share)), message=message)

    error = ""
    try:
        datasets[name](download=True, progress=progress)
    except Abandoned:
        pass
    except ConvoscopeError as found:
        error = str(found)
    except Exception as found:
        log.exception("the download of %s failed", name)
        error = f"The download failed ({type(found).__name__}: {found}). The server's log has the details."
    with _lock:
        _downloads[name] = replace(
            _downloads[name], running=False, error=error, canceled=name in _canceled and not error
        )


_lock = threading.Lock()
_downloads: dict[str, Download] = {}
_canceled: set[str] = set()
