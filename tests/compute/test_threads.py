"""Work side by side: in order, one thread each, and nothing left behind."""

import threading
import time

import pytest
import torch

from core.compute.threads import side_by_side


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items(threads):
    def late(item):
        time.sleep(0.002 * (7 - item))
        return item * item

    assert list(side_by_side(late, range(7))) == [0, 1, 4, 9, 16, 25, 36]


def test_each_is_computed_by_one_thread_and_others_keep_theirs(threads):
    assert set(side_by_side(lambda _: torch.get_num_threads(), range(6))) == {1}
    assert torch.get_num_threads() == threads
    found = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [threads]


def test_as_many_run_at_once_as_there_are_threads(threads):
    together = threading.Barrier(threads)
    list(side_by_side(lambda _: together.wait(20), range(threads)))


def test_a_failure_is_raised_and_what_runs_is_waited_for(threads):
    running = []

    def fail(item):
        running.append(item)
        try:
            time.sleep(0.01)
            if item == 1:
                raise ValueError("one")
            return item
        finally:
            running.remove(item)

    with pytest.raises(ValueError, match="one"):
        list(side_by_side(fail, range(50)))
    assert running == []


def test_who_stops_reading_leaves_nothing_running(threads):
    begun = []
    results = side_by_side(lambda item: begun.append(item) or time.sleep(0.01), range(100))
    next(results)
    results.close()
    count = len(begun)
    time.sleep(0.05)
    assert len(begun) == count < 100
