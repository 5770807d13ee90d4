"""Batches side by side: as many at once as PyTorch uses threads, each computed by one thread alone.

PyTorch's own way is to share every layer of one batch among its threads, which then wait for each other at
the end of every layer. Threads that have a batch each wait for nobody, find what they wrote in the cache of
their own core, and what is computed beside the network (figures of its maps) is shared among them as well.
And a batch is always computed in the same way, however many threads there are.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS_BETWEEN_CHECKS = 0.1  # seconds
_lock = threading.Lock()
_here = threading.local()  # `here.holds`: one function for each call of `side_by_side` that is under way here
_pools: dict[int, ThreadPoolExecutor] = {}


def side_by_side(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    meanwhile: Callable[[], object] = lambda: None,
    *,
    at_once: int | None = None,
) -> Iterator[Result]:
    """What `function` answers to each item, in the order of the items, computed with one thread each.

    What the caller does between two results is done beside the computing of the next. What holds for one
    thread only (`torch.inference_mode`, autocast) does not hold in there: `function` has to see to it.

    Args:
        at_once: How many threads; as many as PyTorch uses if not given. A GPU does one batch after the other:
            for it, 1.
        meanwhile: Called in the caller's thread before every result, and ten times a second while it is
            waited for if there is a thread to spare.
    Raises:
        Whatever `function` or `meanwhile` raises; what has not begun by then is left undone, what has is
        waited for.
    """
    threads = torch.get_num_threads() if at_once is None else at_once
    if threads == 1:
        for item in items:
            result = function(item)
            meanwhile()
            yield result
        return
    pool, items = _pool(threads), list(items)
    futures: list[Future[Result]] = [pool.submit(function, item) for item in items]

    def hold() -> Callable[[], None]:
        held = [number for number, future in enumerate(futures) if future.cancel()]
        wait(futures)

        def go_on() -> None:
            for number in held:
                futures[number] = pool.submit(function, items[number])

        return go_on

    holds: list[Callable[[], Callable[[], None]]] = _here.__dict__.setdefault("holds", [])
    holds.append(hold)
    try:
        for number in range(len(items)):
            meanwhile()
            while wait([futures[number]], SECONDS_BETWEEN_CHECKS).not_done:
                meanwhile()
            yield futures[number].result()
    finally:
        holds.remove(hold)
        for future in futures:
            future.cancel()
        wait(futures)


@contextmanager
def held() -> Iterator[None]:
    """Compute nothing of what this thread has begun side by side, so that another may use the same network.

    What is being computed is waited for; what has not begun begins afterwards.
    """
    go_on = [hold() for hold in getattr(_here, "holds", [])]
    try:
        yield
    finally:
        for one in go_on:
            one()


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
