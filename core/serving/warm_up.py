"""What the first visitor would wait for, done before: PyTorch imported, the default network ready."""

import gc
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.disk import keep_within_limits
from core.errors import ConvoscopeError
from core.progress import Progress
from core.store import Answer

if TYPE_CHECKING:
    from core.models.classifier import Classifier

log = logging.getLogger(__name__)


def warm_up() -> threading.Thread:
    """Begin, in a thread of its own that ends with the program. Costs some seconds of one core.

    Importing PyTorch takes seconds, and so do the first pass of a network and the first look at what it is
    made of. A page of plain arithmetic needs none of it, and does not wait: this runs beside it.
    """
    thread = threading.Thread(target=_warm_up, name="warm-up", daemon=True)
    thread.start()
    return thread


def _warm_up() -> None:
    began = time.perf_counter()
    # Importing makes a million objects that stay; looking through them again and again costs a tenth of the
    # time and frees nothing.
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.enable()
    try:
        _ask(_look_once)
        _import_what_shapes_need()
        for step in STEPS[1:]:
            _ask(step)
    except ConvoscopeError as error:  # a visitor who asks for it is told so on the page
        log.warning("the default network is not ready: %s", error)
    try:
        keep_within_limits()
    except (ConvoscopeError, OSError) as error:  # the page Storage says so as well
        log.warning("the stored files were not looked through: %s", error)
    # All that was imported stays: no collection need ever look at these objects again, which took it 200 ms
    # each time, for everybody.
    gc.collect()
    gc.freeze()
    log.info("warm after %.1f s", time.perf_counter() - began)


def _import_what_shapes_need() -> None:
    """PyTorch imports its compiler when shapes are first found for a network that pads.

    That takes 5 seconds, and 15 on a busy server. Here it is done in no question's turn, so that nobody's
    prediction waits for it.
    """
    from torch import nn

    from core.network.trace import trace_layers

    trace_layers(nn.ZeroPad2d(1), (4, 4), 1, [])


def _ask(step: "Callable[[Classifier, Progress], Answer]") -> None:
    """One question to the default network. Those of visitors have their turns in between."""
    from core import store
    from core.models.pretrained import DEFAULT_NETWORK
    from core.serving import worker

    key = store.key_of(DEFAULT_NETWORK, step.__name__, (os.getpid(), time.time()))
    task = worker.submit(key, DEFAULT_NETWORK, step, session="warm-up", short=False)
    try:
        while not task.wait(1.0):
            pass
        task.answer()
    finally:
        task.leave("warm-up")


def _look_once(classifier: "Classifier", progress: Progress) -> Answer:
    """The first answer: the network is loaded, and every layer has run."""
    classifier.predict_logits(_gray(classifier), progress=progress)
    return {}


def _look_at_several(classifier: "Classifier", progress: Progress) -> Answer:
    """The first batches, for which each layer makes itself ready once more."""
    classifier.predict_logits(_gray(classifier).repeat(7, 0), progress=progress)
    return {}


def _list_maps(classifier: "Classifier", progress: Progress) -> Answer:
    """Which layers give maps: Attribution asks it before the first visitor's picture, in one go."""
    from core.network.feature_maps import feature_maps

    feature_maps(classifier)
    return {}


def _follow(classifier: "Classifier", progress: Progress) -> Answer:
    """What the network is made of, which the incremental maps need."""
    from core.occlusion.local_layers import describe

    describe(classifier.module, classifier.inputs(_gray(classifier)))
    return {}


def _hide(classifier: "Classifier", progress: Progress) -> Answer:
    """The first incremental map, of few places."""
    from core.occlusion.occlusion import occlusion_logits

    stride = min(classifier.card.preprocessing.input_size) // 4
    occlusion_logits(classifier, _gray(classifier)[0], stride=stride, progress=progress)
    return {}


STEPS = (_look_once, _look_at_several, _list_maps, _follow, _hide)


def _gray(classifier: "Classifier"):  # type: ignore[no-untyped-def]
    """(1, H, W, C) uint8."""
    import numpy as np

    preprocessing = classifier.card.preprocessing
    return np.full((1, *preprocessing.input_size, preprocessing.channels), 128, np.uint8)
