"""Batches side by side: as many at once as PyTorch uses threads, each computed by one thread alone.

PyTorch's own way is to share every layer of one batch among its threads, which then wait for each other at
the end of every layer. Threads that have a batch each wait for nobody, find what they wrote in the cache of
their own core, and what is computed beside the network (figures of its maps) is shared among them as well.
And a batch is always computed in the same way, however many threads there are.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

OFTEN = 0.1  # seconds
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def side_by_side(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Result]:
    """What `function` answers to each item, in the order of the items, computed with one thread each.

    What the caller does between two results is done beside the computing of the next. What holds for one
    thread only (`torch.inference_mode`, autocast) does not hold in there: `function` has to see to it.

    Args:
        meanwhile: Called in the caller's thread before every result, and ten times a second while it is
            waited for if there is a thread to spare.
    Raises:
        Whatever `function` or `meanwhile` raises; what has not begun by then is left undone, what has is
        waited for.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        for item in items:
            result = function(item)
            meanwhile()
            yield result
        return
    pool = _pool(threads)
    futures: list[Future[Result]] = [pool.submit(function, item) for item in items]
    try:
        for future in futures:
            meanwhile()
            while wait([future], OFTEN).not_done:
                meanwhile()
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _pool(threads: int) -> ThreadPoolExecutor:
    """So many threads, of which each lets PyTorch use itself only."""
    with _lock:
        if threads not in _pools:
            pool = ThreadPoolExecutor(threads, "batch")
            ready = threading.Barrier(threads + 1)

            def begin() -> None:
                # A thread takes over the number of all others at its first question; its own must come later.
                torch.get_num_threads()
                torch.set_num_threads(1)
                ready.wait()

            for _ in range(threads):
                pool.submit(begin)
            ready.wait()
            torch.set_num_threads(threads)  # what threads that begin from now on take over
            _pools[threads] = pool
        return _pools[threads]
