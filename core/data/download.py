"""Fetching a published file: it arrives whole or not at all, and goes on where it broke off."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from core.errors import Unavailable

TIMEOUT = 20.0  # seconds without a byte
CHUNK_BYTES = 1 << 18
TRIES = 3


def fetch(
    what: str,
    url: str,
    path: Path,
    *,
    sha256_prefix: str = "",
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> Path:
    """Download a file to `path`.

    What was fetched in part goes on where it broke off; the file takes its name only when it is whole.

    Args:
        what: What it is, for messages.
        sha256_prefix: The first hexadecimal digits of the file's sha256, where they are published.
    Raises:
        Unavailable: It cannot be fetched; the message names the file and the folder.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        for left in reversed(range(TRIES)):
            try:
                _fetch(what, url, part, progress)
                break
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                if isinstance(error, urllib.error.HTTPError) or not left:
                    raise
                time.sleep(0.5)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unavailable(
            f"{what} are not on this machine and could not be downloaded ({reason}). "
            f"Connect to the network and try again, or fetch {url} elsewhere and put it here as {path}."
        ) from None
    if sha256_prefix:
        with open(part, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if not digest.startswith(sha256_prefix):
            part.unlink()
            raise Unavailable(
                f"{what} arrived broken from {url}: its sha256 begins with {digest[: len(sha256_prefix)]}, "
                f"not {sha256_prefix}. Try again."
            )
    os.replace(part, path)
    return path


def _fetch(what: str, url: str, part: Path, progress: Callable[[float, str], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "convoscope"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(
            request, timeout=TIMEOUT
        )  # the address is torchvision's or timm's own
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink(missing_ok=True)  # longer than the file: it was another one
        return _fetch(what, url, part, progress)
    with answer:
        if answer.status != 206:
            have = 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length
        with open(part, "ab" if have else "wb") as file:
            done = have
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                share = done / total if total else 0.0
                size = f" of {total / 2**20:.0f}" if total else ""
                progress(min(share, 1.0), f"Downloading {what}: {done / 2**20:.0f}{size} MB")
        if length and done < total:
            raise ConnectionError(f"the connection broke off after {done} of {total} bytes")
    return None
