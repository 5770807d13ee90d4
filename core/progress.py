"""How slow work tells how far it is."""

from collections.abc import Callable

# Called with the share done (0…1) and a few words on what is going on. It may raise `core.errors.Abandoned`,
# and the worker may answer another question inside it: so it is never called while a hook is set.
Progress = Callable[[float, str], None]


def no_progress(share: float, message: str) -> None:
    """For a caller that does not care how far the work is."""
