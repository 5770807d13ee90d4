"""A question to a classifier: what is asked, of whom, and what the answer depends on, named once."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, Generic, TypeVar

from core import store
from core.models.catalogue import fingerprint_of
from core.store import Answer
from core.stored import NotStored, from_answer, to_answer

T = TypeVar("T")
# Answers kept as objects, so that what follows from one is worked out once for everybody.
OBJECTS_KEPT, OBJECT_BYTES_KEPT = 64, 128 * 2**20


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked of a classifier. Equal questions have equal keys, and share one answer.

    Attributes:
        label: What is asked; the same words are always the same analysis.
        classifier: Its name in the catalogue.
        kind: The frozen dataclass that the answer is.
        depends_on: All that the answer depends on besides classifier and label, as JSON values.
        fingerprint: Of the classifier, where it is not the one that the catalogue has now.
    """

    label: str
    classifier: str
    kind: type[T]
    depends_on: tuple[Any, ...] = ()
    fingerprint: str | None = None

    @cached_property
    def key(self) -> str:
        """What the answer is stored under."""
        fingerprint = self.fingerprint or fingerprint_of(self.classifier) or ""
        return store.key_of(fingerprint, self.label, self.depends_on)

    def read(self, answer: Answer) -> T:
        """The answer as what it is; the same object for everybody as long as it is remembered.

        Raises:
            NotStored: It is of another form.
        """
        with _lock:
            if self.key in _objects:
                _objects.move_to_end(self.key)
                found: T = _objects[self.key][0]
                return found
        found = from_answer(self.kind, answer)
        with _lock:
            _objects[self.key] = found, sum(getattr(value, "nbytes", 0) for value in answer.values())
            while len(_objects) > OBJECTS_KEPT or (
                len(_objects) > 1 and sum(size for _, size in _objects.values()) > OBJECT_BYTES_KEPT
            ):
                _objects.popitem(last=False)
        return found

    def find(self) -> T | None:
        """The stored answer, or None. One of an earlier form counts as none."""
        answer = store.find(self.key)
        if answer is None:
            return None
        try:
            return self.read(answer)
        except NotStored:
            store.drop(self.key)
            return None

    def keep(self, found: T) -> T:
        """Store an answer; returned is what `find` will give."""
        return self.read(store.keep(self.key, to_answer(found)))


_lock = Lock()
_objects: OrderedDict[str, tuple[Any, int]] = OrderedDict()  # with the bytes of their arrays
