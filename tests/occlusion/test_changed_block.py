"""Blocks of a map: what a window changes lies in them, and cutting and pasting lose nothing."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.occlusion.changed_block import Block, cut, moved, outputs_of, rows_of, span, union, whole_map
from core.occlusion.local_layers import Reach


def _spans(data, size: int, n: int):
    first = torch.tensor(data.draw(st.lists(st.integers(0, size - 1), min_size=n, max_size=n)))
    more = torch.tensor(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    return first, (first + more).clamp(max=size - 1)


@given(st.integers(3, 14), st.data())
def test_an_interval_of_one_length_holds_what_each_window_changes(size, data):
    first, last = _spans(data, size, 3)
    found = span(first, last, size)
    assert (found.start >= 0).all()
    assert (found.start + found.length <= size).all()
    places = found.start[:, None] + torch.arange(found.length)
    for i in range(3):
        assert set(range(int(first[i]), int(last[i]) + 1)) <= set(places[i].tolist())
    assert torch.equal(found.changed.sum(1), last - first + 1)


@settings(max_examples=60)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(9, 14), st.data()
)
def test_what_changes_behind_a_layer_is_what_a_convolution_changes(
    kernel, stride, dilation, before, size, data
):
    out = (size + 2 * before - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        return
    first, last = _spans(data, size, 1)
    x = torch.zeros(1, 1, size)
    x[0, 0, int(first) : int(last) + 1] = 1
    weight = torch.ones(1, 1, kernel)
    changed = (
        torch.nn.functional.conv1d(x, weight, stride=stride, padding=before, dilation=dilation)[0, 0] != 0
    )
    found = outputs_of(span(first, last, size), Reach(kernel, stride, dilation, before, size, out))
    places = found.start[0] + torch.arange(found.length)
    inside = set(places[found.changed[0]].tolist())
    assert set(torch.nonzero(changed).flatten().tolist()) <= inside


@given(st.integers(4, 9), st.integers(4, 9), st.data())
def test_cut_and_whole_map_are_each_others_inverse(height, width, data):
    rows, columns = span(*_spans(data, height, 2), height), span(*_spans(data, width, 2), width)
    base = torch.randn(height, width, 3, generator=torch.Generator().manual_seed(height * width))
    block = Block(cut(base, (rows.start, columns.start), (rows.length, columns.length)), rows, columns)
    maps = whole_map(block, base)
    assert torch.equal(maps, base.permute(2, 0, 1).expand(2, -1, -1, -1))
    block.values.add_(1)
    changed = whole_map(block, base) - base.permute(2, 0, 1)
    places = rows_of(rows, columns, width)
    for i in range(2):
        marked = torch.zeros(height * width, dtype=torch.bool)
        marked[places[i].flatten()] = True
        assert torch.equal(changed[i, 0].flatten() > 0.5, marked)


def test_a_moved_block_keeps_what_it_had_and_shows_the_map_around():
    base = torch.arange(49.0).view(7, 7, 1)
    small = span(torch.tensor([2]), torch.tensor([3]), 7)
    large = span(torch.tensor([1]), torch.tensor([5]), 7)
    block = Block(torch.full((1, 2, 2, 1), -1.0), small, small)
    found = moved(block, large, large, base)
    expected = base[1:6, 1:6].clone()
    expected[1:3, 1:3] = -1
    assert torch.equal(found.values[0], expected)
    assert moved(block, small, small, base) is block


def test_a_union_holds_all_and_nothing_where_nothing_changes():
    a, b = (
        span(torch.tensor([1, 6]), torch.tensor([2, 5]), 9),
        span(torch.tensor([4, 6]), torch.tensor([5, 5]), 9),
    )
    found = union([a, b])
    assert (found.first[0], found.last[0]) == (1, 5)
    assert not found.changed[1].any()
