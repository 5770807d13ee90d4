"""What the first visitor would wait for, done before: PyTorch imported, the default network ready."""

import gc
import logging
import os
import threading
import time

from core.errors import ConvoscopeError

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
    from core import store, worker
    from core.pretrained import DEFAULT

    key = store.key_of(DEFAULT, "warm-up", (os.getpid(), time.time()))
    task = worker.submit(key, DEFAULT, _look_once)
    try:
        while not task.wait(1.0):
            pass
        task.answer()
        # All that was imported stays: no collection need ever look at these millions of objects again, which
        # took it 200 ms each time, for everybody.
        gc.collect()
        gc.freeze()
    except ConvoscopeError as error:  # whoever asks for it on a page is told there
        log.warning("the default network is not ready: %s", error)
    finally:
        task.leave()
    log.info("warm after %.1f s", time.perf_counter() - began)


def _look_once(classifier, progress):  # type: ignore[no-untyped-def]
    import numpy as np

    from core.occlusion import occlusion_logits

    preprocessing = classifier.card.preprocessing
    height, width = preprocessing.input_size
    image = np.full((height, width, preprocessing.channels), 128, np.uint8)
    occlusion_logits(classifier, image, stride=min(height, width) // 4, progress=progress)
    return {}
