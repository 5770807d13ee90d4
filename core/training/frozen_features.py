"""Features of a frozen network: computed once for every image, kept on disk, and read at every epoch.

When only the head learns and nothing is augmented, what goes into the head is the same in every epoch. So the
network runs once over the images, and an epoch costs what the head costs.
"""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from core.compute.device_faults import is_device_fault
from core.data.dataset import Split
from core.data.preprocessing import Preprocessing
from core.history import FeaturesRecord, Record
from core.paths import home, write_whole
from core.training.data import normalizer

IMAGES_A_BLOCK = 32
BLOCKS_BETWEEN_SAVES = 32
SECONDS_BETWEEN_LOOKS = 0.2  # while another run computes the same features
CLOSE_ENOUGH = 1e-3  # how far two passes over the same images may differ
LARGEST_HALF = 65504.0  # the largest 16-bit float


def body_and_head(module: nn.Module, head_name: str) -> tuple[nn.Module, nn.Module]:
    """The module without its head, and the head. The module itself is taken apart by this."""
    parent_name, _, attribute = head_name.rpartition(".")
    parent = module.get_submodule(parent_name)
    head = getattr(parent, attribute)
    setattr(parent, attribute, nn.Identity())
    return module, head


@torch.no_grad()
def can_be_cut(module: nn.Module, head_name: str, example: Tensor) -> bool:
    """Whether the head is the last thing the network does, so that head(body(x)) is its answer.

    Shape:
        example: (N, C, H, W) float32
    """
    module.eval()
    whole = module(example)
    body, head = body_and_head(module, head_name)
    try:
        # Not to the bit: a GPU may choose another algorithm the second time.
        room = CLOSE_ENOUGH * float(whole.abs().max())
        return torch.allclose(head(body(example)), whole, rtol=CLOSE_ENOUGH, atol=room)
    except (RuntimeError, TypeError) as error:
        if is_device_fault(error):
            raise
        return False
    finally:
        parent_name, _, attribute = head_name.rpartition(".")
        setattr(module.get_submodule(parent_name), attribute, head)


def stored_features(
    module: nn.Module,
    head_name: str,
    sources: Sequence[tuple[Split, Callable[[np.ndarray], np.ndarray]]],
    preprocessing: Preprocessing,
    device: torch.device,
    stop: Callable[[], bool],
) -> Generator[Record, None, list[np.ndarray] | None]:
    """What goes into the head for every image of some splits, computed where it is not on disk yet.

    Args:
        sources: Splits, each with the function from row numbers to (n, H, W, C) uint8.
        stop: Asked after every block; what was computed by then is kept.
    Yields:
        A "features" record every two seconds.
    Returns:
        An array of features in 16-bit floats for each split, its rows those of the split; None if stopped.
    """
    body, head = body_and_head(module, head_name)
    stores = []
    try:
        for split, pixels in sources:
            file = features_file(body, split.fingerprint, preprocessing)
            told = time.monotonic()
            for done in compute_features(body, pixels, len(split), preprocessing, file, device):
                if stop():
                    return None
                if time.monotonic() - told > 2:
                    told = time.monotonic()
                    yield FeaturesRecord(done, len(split))
            stores.append(np.load(file, mmap_mode="r"))
    finally:
        module.set_submodule(head_name, head)
    return stores


def compute_features(
    body: nn.Module,
    pixels: Callable[[np.ndarray], np.ndarray],
    n: int,
    preprocessing: Preprocessing,
    file: Path,
    device: torch.device,
) -> Iterator[int]:
    """Fill `file` with the features of rows 0…n−1 as 16-bit floats; yields how many are done.

    What was done before an interruption is not done again, and what another run is computing is waited for.

    Args:
        body: The network without its head.
        pixels: From row numbers to (n, H, W, C) uint8.
    """
    body.eval()
    lock = FileLock(file.with_suffix(".lock"))  # the system drops it when the process that holds it dies
    while not file.exists():
        try:
            with lock.acquire(timeout=0):
                if not file.exists():
                    yield from _compute(body, pixels, n, preprocessing, file, device)
        except Timeout:
            yield 0  # another run is computing the same features
            time.sleep(SECONDS_BETWEEN_LOOKS)
    yield n


def _compute(
    body: nn.Module,
    pixels: Callable[[np.ndarray], np.ndarray],
    n: int,
    preprocessing: Preprocessing,
    file: Path,
    device: torch.device,
) -> Iterator[int]:
    partial, counter = file.with_suffix(".partial"), file.with_suffix(".count")
    done = int(counter.read_text()) if counter.exists() and partial.exists() else 0
    to_inputs = normalizer(preprocessing, device)
    store: np.memmap | None = None
    while done < n:
        rows = np.arange(done, min(n, done + IMAGES_A_BLOCK))
        inputs = to_inputs(torch.from_numpy(pixels(rows)).to(device))
        with torch.no_grad():
            features = body(inputs).float().clamp(-LARGEST_HALF, LARGEST_HALF).half().cpu().numpy()
        if store is None:
            store = _open(partial, (n, *features.shape[1:]), new=done == 0)
        store[rows] = features
        done = int(rows[-1]) + 1
        if done % (BLOCKS_BETWEEN_SAVES * IMAGES_A_BLOCK) == 0:
            store.flush()
            write_whole(counter, str(done).encode())
        yield done
    if store is not None:
        store.flush()
    os.replace(partial, file)
    counter.unlink(missing_ok=True)


def _open(path: Path, shape: tuple[int, ...], *, new: bool) -> np.memmap:
    if new:
        return np.lib.format.open_memmap(path, "w+", dtype=np.float16, shape=shape)
    return np.lib.format.open_memmap(path, "r+")


def features_file(body: nn.Module, split_fingerprint: str, preprocessing: Preprocessing) -> Path:
    """Where the features of a split belong: named by everything they depend on, weights included."""
    digest = hashlib.sha256(f"1 {split_fingerprint} {preprocessing} {type(body).__name__}".encode())
    for name, value in body.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return home("cache", "features") / f"{digest.hexdigest()[:32]}.npy"
