"""A coroutine run to its end wherever the test runs: a browser test in the same process may hold a loop."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def in_a_loop_of_its_own(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What `asyncio.run` would answer, from a thread without a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
