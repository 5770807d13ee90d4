"""Loops that Numba compiles to machine code, and runs without holding up other threads."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

log = logging.getLogger(__name__)


def compiled(signature: str = "", *, inline: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for these types, at once; the machine code is kept for the next start.

    It is kept beside the Python file, as Python keeps its own, or in Convoscope's cache where that folder
    cannot be written; where neither can, the function is compiled again at every start, which takes seconds.

    Args:
        inline: It is part of the functions that call it, and has no types of its own.

    Raises:
        ImportError: There is no Numba, or it cannot compile this; whoever imports a module of such functions
            has another way.
    """
    import numba
    from numba import njit
    from numba.core.errors import NumbaError

    def compile_(function: Callable[..., Any]) -> Any:
        compiled = partial(njit, nogil=True, error_model="numpy", fastmath={"contract"})
        if inline:
            return compiled(inline="always")(function)
        config: Any = numba.config
        before = config.CACHE_DIR
        try:
            config.CACHE_DIR = before or _folder(function)
            return compiled(signature, cache=True)(function)
        except (OSError, RuntimeError) as error:
            log.info("what Numba compiles is not kept: %s", error)
            return compiled(signature)(function)
        except NumbaError as error:
            raise ImportError(f"Numba cannot compile {function.__name__}: {error}") from error
        finally:
            config.CACHE_DIR = before

    return compile_


def _folder(function: Callable[..., Any]) -> str:
    """Where machine code is kept: empty for the place beside the Python file, if it can be written."""
    import os
    from pathlib import Path

    from core.paths import home

    beside = Path(function.__code__.co_filename).parent
    cache = beside / "__pycache__"
    if os.access(cache if cache.is_dir() else beside, os.W_OK):
        return ""
    return str(home("cache", "compiled"))
