"""Whose turn it is among the questions of many sessions: a rule without threads, which `worker` applies.

1. What takes one pass of the network or so goes first, between the batches of everything else.
2. Then the sessions have their turns, one after the other; a session that begins to ask joins at the end.
   A turn is at most SHORT_TURN seconds of a question that takes seconds, LONG_TURN of one that takes longer.
   What is not finished by then goes on when its session's turn comes again.
3. A question of several sessions has its turn when the first of them does, and counts as a turn of each.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

QUICK_SECONDS = 0.1  # seconds: what took less the last times goes first
STILL_QUICK = 2.0  # seconds: what goes on for longer is not quick, even if it was said to be
SHORT_TURN = 5.0
LONG_TURN = 0.5


class Waiting(Protocol):
    """What has to be known of a question to give it a turn."""

    classifier: str
    label: str
    short: bool
    quick: bool
    sessions: Counter[str]
    share: float
    seconds: float  # of computing, until its last turn ended
    in_turn: float  # those of the turn that others interrupted
    stamp: int  # grows with each arrival and each turn
    begun: bool
    loading: bool


W = TypeVar("W", bound=Waiting)


class Turns:
    """The order of turns, and how long questions took. Its caller holds a lock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._stamps: dict[str, int] = {}  # of the sessions in the line
        self._took: dict[tuple[str, str], float] = {}  # by label and classifier
        self._since = 0.0

    def joined(self, task: Waiting, session: str, line: Sequence[Waiting]) -> None:
        """A session has asked. One that has no other question in the line is the last of the sessions now."""
        if not task.stamp:
            task.stamp = next(self._numbers)
        if not any(session in other.sessions for other in line if other is not task):
            self._stamps[session] = next(self._numbers)
        here = {name for other in line for name in other.sessions}
        for name in [name for name in self._stamps if name not in here]:
            del self._stamps[name]

    def order(self, line: Sequence[W]) -> list[W]:
        """The questions in the order of their turns."""
        asked: Counter[str] = Counter()
        places: dict[int, tuple[int, int, int, int]] = {}
        for task in sorted(line, key=lambda task: task.stamp):
            mine = [(asked[session], self._stamps.get(session, 0)) for session in task.sessions]
            asked.update(task.sessions.keys())
            kind = 0 if not task.sessions else 1 if self.is_quick(task, line) else 2
            places[id(task)] = (kind, *min(mine, default=(0, 0)), task.stamp)
        return sorted(line, key=lambda task: places[id(task)])

    def next(self, line: Sequence[W], begun_at_once: int) -> W | None:
        """The question whose turn is next. A classifier that one of them loads is not loaded by another."""
        loading = {task.classifier for task in line if task.loading}
        full = sum(task.begun for task in line) >= begun_at_once
        for task in self.order(line):
            if task.begun or (task.classifier not in loading and (not full or self.is_quick(task, line))):
                return task
        return None

    def is_quick(self, task: Waiting, line: Sequence[Waiting]) -> bool:
        """It goes before others; so does the loading of a classifier that a quick question waits for."""
        if task.loading and not task.quick:
            wanted = [other for other in line if other.classifier == task.classifier and not other.begun]
            return any(self.is_quick(other, line) for other in wanted)
        known = self._took.get((task.label, task.classifier))
        return (task.quick or (known is not None and known < QUICK_SECONDS)) and task.seconds < STILL_QUICK

    def begins(self, task: Waiting) -> None:
        """A turn begins."""
        self._since = self._now()

    def restarts(self, task: Waiting) -> None:
        """What it did so far, such as loading its classifier, does not count."""
        self._since = self._now()
        task.seconds = task.in_turn = 0.0

    def is_over(self, task: W, line: Sequence[W], begun_at_once: int) -> bool:
        """Whether the question that has the turn must let another have it now."""
        if len(line) < 2:
            return False
        other = self.next([other for other in line if other is not task], begun_at_once)
        if other is None:
            return False
        now = self._now() - self._since
        quick = self.is_quick(task, line) and task.seconds + now < STILL_QUICK
        if not other.sessions:
            return True  # it only has to end
        if self.is_quick(other, line):
            return not quick
        return not quick and task.in_turn + now >= (SHORT_TURN if task.short else LONG_TURN)

    def ends(self, task: Waiting, *, finished: bool) -> None:
        """A turn has ended; one that a quick question interrupted goes on right afterwards."""
        now = self._now() - self._since
        task.seconds += now
        task.in_turn += now
        if finished or task.in_turn >= (SHORT_TURN if task.short else LONG_TURN):
            task.in_turn, task.stamp = 0.0, next(self._numbers)
            if not self.is_quick(task, ()):
                for session in task.sessions:
                    self._stamps[session] = next(self._numbers)

    def took(self, task: Waiting) -> None:
        """Remember how long a question took, now that it is answered."""
        if task.label:
            key = (task.label, task.classifier)
            self._took[key] = (self._took.get(key, task.seconds) + task.seconds) / 2

    def seconds_of_turn(self, task: Waiting) -> float:
        """About how long the next turn of a question takes."""
        longest = SHORT_TURN if task.short else LONG_TURN
        if task.share > 0.05 and task.seconds:
            return min(longest, task.seconds * (1 - task.share) / task.share)
        known = self._took.get((task.label, task.classifier))
        return min(longest, known) if known is not None else (QUICK_SECONDS if task.quick else longest)
