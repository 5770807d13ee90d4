"""Open sets: a folder of members, each of which adds itself with one decorator.

    methods = Registry("attribution method", __name__)     # core/attribution/methods/__init__.py

    @methods.register("saliency", title="Vanilla backprop")  # core/attribution/methods/saliency.py
    def saliency(...): ...

A new member is one new file: the files of the folder are imported when the set is first looked at,
so that naming a set costs nothing and no list of members has to be kept.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from core.errors import UnknownName
from core.settings import Setting, settings_of


@dataclass(frozen=True)
class Member:
    """One entry of a registry: a function with its name, title, settings and facts about it."""

    name: str
    title: str
    function: Callable[..., Any]
    settings: tuple[Setting, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class Registry:
    """Members by name; they stand in the order of their fact `order` (100 where none), then by name."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._members: dict[str, Member] = {}
        self._loaded = False

    def register(
        self, name: str, *, title: str | None = None, **facts: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add the decorated function under `name`.

        Raises:
            ValueError: The name is taken: two members of one name would hide each other.
        """

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._members:
                taken = self._members[name].function
                raise ValueError(
                    f"Two {self.kind}s are named {name!r}: {taken.__module__}.{taken.__qualname__} "
                    f"and {function.__module__}.{function.__qualname__}. Rename one."
                )
            self._members[name] = Member(name, title or name, function, settings_of(function), dict(facts))
            return function

        return add

    def __getitem__(self, name: str) -> Member:
        """The member of that name.

        Raises:
            UnknownName: There is none; the message lists the nearest names.
        """
        self._load()
        if name not in self._members:
            raise UnknownName(self.kind, name, self.names())
        return self._members[name]

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._members

    def __iter__(self) -> Iterator[Member]:
        self._load()
        return iter(sorted(self._members.values(), key=lambda m: (m.facts.get("order", 100), m.name)))

    def __len__(self) -> int:
        self._load()
        return len(self._members)

    def names(self) -> list[str]:
        return [member.name for member in self]

    def _load(self) -> None:
        if not self._loaded:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._loaded = True
