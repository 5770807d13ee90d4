"""One thread at a time touches the models. A session that wants something of a model asks for it here.

PyTorch modules with hooks are not made for several threads: two analyses at once on one model give wrong
maps without any error. So sessions hand in questions. Each question is computed in a thread of its own, but
only the thread that has the turn computes; the others wait where they last reported their progress, which is
never inside a hook. Equal questions share one answer. A question that nobody waits for ends at its next
batch.

Who has the next turn (`core.serving.turns` decides): first predictions and all that takes under a tenth of a
second, between the batches of every other analysis; then the sessions by turns.
"""

import logging
import queue
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from core import roles, store
from core.errors import Abandoned, ConvoscopeError
from core.models import catalogue
from core.progress import Progress
from core.serving.turns import Turns
from core.store import Answer
from core.stored import to_answer

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # a page draws itself while the worker's thread imports PyTorch

log = logging.getLogger(__name__)

# What it returns is a dataclass that `core.stored` can take apart, or such an answer itself.
Analysis = Callable[[Classifier, Progress], Any]

CLASSIFIERS_KEPT = 4
BEGUN_AT_ONCE = 8  # questions that are begun and not finished: each holds what it has found so far


@dataclass(frozen=True)
class Place:
    """Where a question stands in the line.

    Attributes:
        ahead: How many questions have their turn before this one, each counted once.
        labels: What they are, in their order, as far as they have said, each kind once.
        seconds: About how long until its turn.
    """

    ahead: int
    labels: tuple[str, ...]
    seconds: float


class Task:
    """A question on its way: wait for it, read how far it is, and leave when the answer is not wanted."""

    def __init__(
        self, key: str, classifier: str, analysis: Analysis, label: str, short: bool, quick: bool
    ) -> None:
        self.key = key
        self.classifier = classifier
        self.analysis = analysis
        self.label = label
        self.short = short
        self.quick = quick
        self.asker = roles.visitor()  # what it may do, the analysis may
        self.sessions: Counter[str] = Counter()  # who waits, and how often; guarded by the worker's lock
        self.share = 0.0
        self.message = ""
        self.seconds = 0.0  # of computing, until its last turn ended
        self.in_turn = 0.0  # those of a turn that was interrupted
        self.stamp = 0
        self.begun = False
        self.loading = False
        self._turn = threading.Event()
        self._done = threading.Event()
        self._answer: Answer | None = None
        self._error: Exception | None = None

    def wait(self, seconds: float) -> bool:
        """True as soon as there is an answer or an error, False when the time is over before."""
        return self._done.wait(seconds)

    def answer(self) -> Answer:
        """The answer, once `wait` was true.

        Raises:
            ConvoscopeError: What the analysis raised.
        """
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return dict(self._answer)

    def leave(self, session: str = "") -> None:
        """Stop waiting. With nobody left, the question is dropped.

        Args:
            session: The one that was given to `submit`.
        """
        with _lock:
            self.sessions[session] -= 1
            if self.sessions[session] <= 0:
                del self.sessions[session]
            if not self.sessions and not self.begun and self in _line:
                _forget(self, Abandoned())

    @property
    def wanted(self) -> bool:
        return bool(self.sessions)

    @property
    def running(self) -> bool:
        """It has been begun; it may be another question's turn at this moment."""
        return self.begun

    def place(self, *, age: float = 0.0) -> Place:
        """Who has a turn before this question is begun, and about how long that takes.

        Args:
            age: Seconds since others asked for their places, up to which yours may be from then: fifty who
                wait and look need the line to be put in order once.
        """
        global _places
        with _lock:
            if self.begun or self not in _line:
                return Place(0, (), 0.0)
            if time.monotonic() - _places[0] > age or id(self) not in _places[1]:
                _places = (time.monotonic(), _all_places())
            return _places[1][id(self)]

    def ahead(self) -> int:
        """How many questions have a turn before this one."""
        return self.place().ahead

    def _finish(self, answer: Answer | None, error: Exception | None) -> None:
        self._answer, self._error = answer, error
        self._done.set()


def submit(
    key: str,
    classifier: str,
    analysis: Analysis,
    *,
    session: str = "",
    label: str = "",
    short: bool = True,
    quick: bool = False,
) -> Task:
    """Hand in a question; every call must be followed by one `leave(session)`.

    Args:
        key: What the answer is stored under; an equal key is the same question.
        classifier: Its name in the catalogue, or "" for work on something that is not a classifier yet.
        analysis: Gets the classifier and a progress function; called in a thread of the worker's.
        session: Who asks: turns go from session to session.
        label: What is asked, in words; how long it took is remembered under it.
        short: It takes seconds. Longer ones give up their turn after a short time, and go on later.
        quick: It takes one pass of the network or so, and goes before everything else.
    """
    with _lock:
        # Waiting first, then stored, under one lock: an answer is stored before its task is forgotten.
        task = _tasks.get(key)
        if task is None:
            task = Task(key, classifier, analysis, label, short, quick)
            stored = store.find(key)
            if stored is not None:
                task._finish(stored, None)
            else:
                _tasks[key] = task
                _line.append(task)
        task.sessions[session] += 1
        if key in _tasks:
            _turns.joined(task, session, _line)
            _give_turn()
        return task


def close(seconds: float = 5.0) -> None:
    """Drop all questions and end the threads: a PyTorch thread that still runs at exit can abort Python."""
    global _closing
    with _lock:
        _closing = True
        for task in [*_line]:  # some leave it
            task.sessions.clear()
            if not task.begun:
                _forget(task, Abandoned())
        _give_turn()
        threads = list(_threads)
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(thread.is_alive() for thread in threads):
        with _lock:  # each thread that has nothing to do any more
            while _free:
                _free.pop().put(None)
        time.sleep(0.005)
    with _lock:
        _closing = False


def computed() -> int:
    """How many questions were computed since the start, and not found or shared."""
    return _computed


_lock = threading.RLock()
_tasks: dict[str, Task] = {}
_line: list[Task] = []  # all that are not answered yet, the one that has the turn among them
_turns = Turns()
_has_turn: Task | None = None
Desk = queue.SimpleQueue[Task | None]  # where a thread gets its questions; None ends it
_threads: list[threading.Thread] = []
_free: list[Desk] = []  # of threads without a question; the one that worked last is taken first
_closing = False
_computed = 0
_classifiers: OrderedDict[str, tuple[str | None, Classifier]] = OrderedDict()  # touched in one's turn only


_places: tuple[float, dict[int, Place]] = (0.0, {})  # when they were found, and those of all who wait


def _all_places() -> dict[int, Place]:
    """The places of all questions in the line, each by its `id`. Under the lock."""
    found: dict[int, Place] = {}
    order = _turns.order(_line)
    if _has_turn is not None and _has_turn in order:
        order.remove(_has_turn)
        order.insert(0, _has_turn)
    labels: tuple[str, ...] = ()
    seconds = 0.0
    for ahead, task in enumerate(order):
        found[id(task)] = Place(ahead, labels, seconds)
        seconds += _turns.seconds_of_turn(task)
        if task.label and task.label not in labels:
            labels = (*labels, task.label)
    return found


def _give_turn() -> None:
    """Where nobody has the turn: give it to the next question. Under the lock."""
    global _has_turn
    task = _turns.next(_line, BEGUN_AT_ONCE) if _has_turn is None else None
    if task is None:
        return
    _has_turn = task
    _turns.begins(task)
    if task.begun:
        task._turn.set()
        return
    task.begun = True
    if _free:
        _free.pop().put(task)
        return
    desk = Desk()
    desk.put(task)
    thread = threading.Thread(target=_serve, args=(desk,), name="worker", daemon=True)
    _threads.append(thread)
    thread.start()


def _serve(desk: Desk) -> None:
    """A thread of the worker's: computes one question after the other, each in its turn."""
    while (task := desk.get()) is not None:
        _run(task, desk)
    with _lock:
        _threads.remove(threading.current_thread())


def _run(task: Task, desk: Desk) -> None:
    """Compute a question, whose turn it is. Afterwards it is the next one's."""
    global _computed, _has_turn
    import torch

    answer: Answer | None = None
    error: Exception | None = None
    try:
        if not task.wanted:
            raise Abandoned
        progress = _progress_of(task)
        classifier = _classifier(task, progress)
        progress(0.0, "")
        with torch.inference_mode(False), torch.enable_grad(), roles.acting_for(task.asker):
            found = task.analysis(classifier, progress)
            answer = store.keep(task.key, to_answer(found) if is_dataclass(found) else found)
        _computed += 1
    except Abandoned as caught:
        error = caught
    except Exception as caught:
        if not isinstance(caught, ConvoscopeError):
            log.exception("a question failed")
        error = caught
    with _lock:
        _turns.ends(task, finished=True)
        if error is None:
            _turns.took(task)
        _has_turn = None
        _free.append(desk)
        # Another session that joined while it was being dropped still wants it: once more from the beginning.
        if isinstance(error, Abandoned) and task.wanted and not _closing:
            task.begun, task.loading, task.seconds = False, False, 0.0
        else:
            _forget(task, error, answer)
        _give_turn()


def _forget(task: Task, error: Exception | None, answer: Answer | None = None) -> None:
    _line.remove(task)
    del _tasks[task.key]
    task._finish(answer, error)


def _progress_of(task: Task) -> Progress:
    """What an analysis calls between its batches: here it ends, or lets others have their turn."""
    from core.compute.threads import held
    from core.network.hooks import hooks_left

    def progress(share: float, message: str) -> None:
        global _has_turn
        task.share, task.message = share, message
        if not task.wanted:
            raise Abandoned
        with _lock:
            over = _turns.is_over(task, _line, BEGUN_AT_ONCE)
        if not over or hooks_left():  # with a hook set, the network is not one that others may use
            return
        with held():
            with _lock:
                _turns.ends(task, finished=False)
                task._turn.clear()
                _has_turn = None
                _give_turn()
            task._turn.wait()
        if not task.wanted:
            raise Abandoned

    return progress


def _classifier(task: Task, progress: Progress) -> Classifier:
    name = task.classifier
    if not name:
        return None  # type: ignore[return-value]  # work that belongs here and is about no classifier yet
    fingerprint = catalogue.fingerprint_of(name)
    known = _classifiers.get(name)
    if known is not None and known[0] == fingerprint:
        _classifiers.move_to_end(name)
        return known[1]
    task.loading = True  # others who want the same classifier wait for it
    try:
        classifier = catalogue.load(name, progress=progress)
    finally:
        task.loading = False
    _classifiers[name] = (catalogue.fingerprint_of(name), classifier)
    while len(_classifiers) > CLASSIFIERS_KEPT:
        _classifiers.popitem(last=False)
    _turns.restarts(task)  # loading does not count
    return classifier
