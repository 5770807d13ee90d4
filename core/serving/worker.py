"""One thread owns the models. Whoever wants something of a model asks it here.

PyTorch modules with hooks are not made for several threads: two analyses at once on one model give wrong
maps without any error. So sessions hand in questions, and one thread answers them one after the other.
Equal questions share one answer. A question nobody waits for any more ends at its next batch. While a long
question (the predictions of a whole data set) is being answered, short ones go in between its batches.
"""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from core import store
from core.errors import Abandoned, ConvoscopeError
from core.models import catalogue
from core.progress import Progress
from core.store import Answer
from core.stored import to_answer

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # a page draws itself while this thread imports PyTorch

log = logging.getLogger(__name__)

# What it returns is a dataclass that `core.stored` can take apart, or such an answer itself.
Analysis = Callable[[Classifier, Progress], Any]

# Loaded classifiers that are kept.
KEPT = 4


class Task:
    """A question on its way: wait for it, read how far it is, and leave when the answer is not wanted."""

    def __init__(self, key: str, classifier: str, analysis: Analysis, short: bool) -> None:
        self.key = key
        self.classifier = classifier
        self.analysis = analysis
        self.short = short
        self.waiting = 0  # how many want the answer; guarded by the worker's lock
        self.share = 0.0
        self.message = ""
        self.running = False
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

    def leave(self) -> None:
        """Stop waiting. With nobody left, the question is dropped."""
        with _lock:
            self.waiting -= 1

    def ahead(self) -> int:
        """How many questions will be taken before this one."""
        with _lock:
            if self.running or self not in _queue:
                return 0
            return _queue.index(self) + len(_running)

    def _finish(self, answer: Answer | None, error: Exception | None) -> None:
        self._answer, self._error = answer, error
        self._done.set()


def submit(key: str, classifier: str, analysis: Analysis, *, short: bool = True) -> Task:
    """Hand in a question; every call must be followed by one `leave()`.

    Args:
        key: What the answer is stored under; an equal key is the same question.
        classifier: Its name in the catalogue, or "" for work on what is no classifier yet.
        analysis: Gets the classifier and a progress function; called in the worker's thread.
        short: It takes seconds. Long ones let short ones go between their batches.
    """
    global _thread
    with _lock:
        # Running first, then stored, under one lock: an answer is stored before its task is forgotten.
        task = _tasks.get(key)
        if task is None:
            task = Task(key, classifier, analysis, short)
            stored = store.find(key)
            if stored is not None:
                task._finish(stored, None)
            else:
                _tasks[key] = task
                _queue.append(task)
                if _thread is None or not _thread.is_alive():
                    _thread = threading.Thread(target=_serve, name="worker", daemon=True)
                    _thread.start()
                _wake.notify()
        task.waiting += 1
        return task


def close(seconds: float = 5.0) -> None:
    """Drop all questions and end the thread: a PyTorch thread that still runs at exit can abort Python."""
    global _closing
    with _lock:
        _closing = True
        for task in _tasks.values():
            task.waiting = 0
        _wake.notify()
        thread = _thread
    if thread is not None:
        thread.join(seconds)
    with _lock:
        _closing = False


def computed() -> int:
    """How many questions were computed since the start, and not found or shared."""
    return _computed


_lock = threading.RLock()
_wake = threading.Condition(_lock)
_tasks: dict[str, Task] = {}
_queue: deque[Task] = deque()
_running: list[Task] = []
_thread: threading.Thread | None = None
_closing = False
_computed = 0
_classifiers: OrderedDict[str, tuple[str | None, Classifier]] = OrderedDict()  # the worker's own


def _serve() -> None:
    while True:
        with _lock:
            while not _queue and not _closing:
                _wake.wait()
            if _closing:
                for task in list(_tasks.values()):
                    task._finish(None, Abandoned())
                _tasks.clear()
                _queue.clear()
                return
            task = _queue.popleft()
        _run(task)


def _run(task: Task) -> None:
    global _computed
    import torch

    with _lock:
        _running.append(task)
        task.running = True
    answer: Answer | None = None
    error: Exception | None = None
    try:
        if task.waiting <= 0:
            raise Abandoned
        classifier = _classifier(task)
        progress = _progress_of(task)
        progress(0.0, "")
        # A short question may be answered in the middle of a long one, which may have switched this off.
        with torch.inference_mode(False), torch.enable_grad():
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
        _running.remove(task)
        # Whoever joined while it was being dropped still wants it: once more from the beginning.
        if isinstance(error, Abandoned) and task.waiting > 0 and not _closing:
            task.running = False
            _queue.append(task)
            _wake.notify()
            return
        del _tasks[task.key]
    task._finish(answer, error)


def _progress_of(task: Task) -> Progress:
    def progress(share: float, message: str) -> None:
        task.share, task.message = share, message
        if task.waiting <= 0:
            raise Abandoned
        if not task.short:
            while (other := _next_short()) is not None:
                _run(other)

    return progress


def _next_short() -> Task | None:
    with _lock:
        for task in _queue:
            if task.short:
                _queue.remove(task)
                return task
    return None


def _classifier(task: Task) -> Classifier:
    name = task.classifier
    if not name:
        return None  # type: ignore[return-value]  # work that belongs here and is about no classifier yet
    fingerprint = catalogue.fingerprint_of(name)
    known = _classifiers.get(name)
    if known is not None and known[0] == fingerprint:
        _classifiers.move_to_end(name)
        return known[1]
    classifier = catalogue.load(name, progress=_progress_of(task))
    _classifiers[name] = (catalogue.fingerprint_of(name), classifier)
    while len(_classifiers) > KEPT:
        _classifiers.popitem(last=False)
    return classifier
