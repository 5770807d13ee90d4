"""Occlusion from what a window changes: one forward pass of the image, then only blocks of each map.

A window changes a rectangle of the image; the first layer turns it into a slightly larger rectangle of its
map, and so on (`core.occlusion.changed_block`). Everything outside is what it was without the window. So for
every layer and N windows at once

    block of z' = the layer on (block of x' with the map of x around)                     any local layer
    block of z' = block of z + W ∗ (x' − x)                                   a 3×3 convolution, being linear

where the second takes (n + 2)² multiplications for n² changed inputs instead of 9 (n + 2)²
(`core.occlusion.toom_cook`). A step that is not local (the mean over all places, a linear layer, attention)
gets whole maps, and so do all behind it. Linear layers at the end get the windows of many batches at once,
since to fetch their weights takes longer than to multiply by them. Nothing is approximated: the logits differ
from those of whole forward passes by rounding, some 1e-6 of their size.

The bound: the multiplications that are left (`share_of_multiplications`). Blocks are held to it by what is
not multiplied: cutting them out of maps and changing the space of products. On small maps they are often
quicker than it says, since a block stays in the processor's cache where a batch of whole maps does not.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from core.compute.packed_matrix import PackedMatrix
from core.compute.threads import side_by_side
from core.models.classifier import Classifier
from core.occlusion.block_plan import LocalNetwork, Plan, multiplications, plan_of
from core.occlusion.changed_block import (
    Block,
    cut,
    cut_rows,
    moved,
    outputs_of,
    paste,
    span,
    union,
    whole_map,
)
from core.occlusion.full_forwards import Engine, full_forwards
from core.occlusion.local_layers import describe
from core.progress import Progress, no_progress

# Of one batch, about, and of what waits for the last layers. There are as many batches as threads, and the
# weights made ready beside them.
BATCH_BYTES = 256 << 20
BATCH_MULTIPLICATIONS = 20e9  # multiplications of one batch
LARGEST_BATCH = 256  # windows of one batch: larger ones are no quicker, and can be stopped less often
MULTIPLICATIONS_PER_MOVED_NUMBER = (
    128  # multiplications per number that is moved, from which places that do not change are left out
)
SMALLEST_SAVING = 1.1  # times fewer multiplications than whole forward passes; below, those are run


@dataclass(frozen=True, eq=False)
class Blocks:
    """Occlusion from blocks, ready for one image.

    Attributes:
        saving: How many times fewer multiplications than whole passes take.
    """

    network: LocalNetwork
    saving: float

    def incremental(
        self, classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int,
        progress: Progress = no_progress,
    ) -> np.ndarray:  # fmt: skip
        """An `Engine`."""
        return _run(self.network, filled, corners, window, progress)

    def is_proven(
        self, classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int
    ) -> bool:
        """Whether the answers for two windows are those of whole passes: compared before, or now."""
        proven = self.network.description.proven
        if window not in proven:
            probe = corners[[len(corners) // 2, 0]]
            expected = full_forwards(classifier, image, filled, probe, window)
            found = _run(self.network, filled, probe, window, no_progress, plan_for=corners)
            near = 1e-4 * max(1e-3, float(np.abs(expected).max()))
            if np.isfinite(expected).all() and np.allclose(found, expected, rtol=1e-4, atol=near):
                proven.add(window)
        return window in proven


def blocks_of(classifier: Classifier, image: np.ndarray, corners: np.ndarray, window: int) -> Blocks | None:
    """What is needed to occlude one image by blocks; None where that saves no multiplications.

    That is on a GPU, which is idle on small blocks, and for a network that cannot be followed or whose maps
    change everywhere at once.

    Shape:
        image: (H, W, C) uint8
        corners: (P, 2) where the window is going to be
    """
    if classifier.device.type != "cpu" or classifier.module.training:
        return None
    with torch.inference_mode():
        description = describe(classifier.module, classifier.inputs(image[None]))
        if description is None or description.graph.output.all_input_nodes[0] not in description.changing:
            return None
        network = LocalNetwork(classifier, description)
        # The price of a window in the middle, where blocks are largest.
        middle = corners[len(corners) // 2 :][:1]
        saving = network.multiplications / max(1.0, multiplications(network, middle, window))
    return Blocks(network, saving) if saving >= SMALLEST_SAVING else None


def incremental_engine(
    classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int
) -> Engine | None:
    """The engine for one image; None where whole forward passes serve as well, or give other answers.

    Shape:
        filled: (H, W, C) uint8, what stands in the window
    """
    blocks = blocks_of(classifier, image, corners, window)
    if blocks is None or not blocks.is_proven(classifier, image, filled, corners, window):
        return None
    return blocks.incremental


@torch.inference_mode()
def share_of_multiplications(
    classifier: Classifier, image: np.ndarray, corners: np.ndarray, window: int
) -> float:
    """How many of the multiplications of whole passes are left: the bound. 1 where none can be left out."""
    description = describe(classifier.module, classifier.inputs(image[None]))
    if description is None:
        return 1.0
    network = LocalNetwork(classifier, description)
    return multiplications(network, corners, window) / (network.multiplications * len(corners))


def _run(
    network: LocalNetwork, filled: np.ndarray, corners: np.ndarray, window: int, progress: Progress,
    plan_for: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """(P, K) float32: the logits with the window at each of the (P, 2) corners.

    Args:
        plan_for: All corners that are going to be asked for, where those given are only some.
    """
    out = np.empty((len(corners), network.classifier.number_of_classes), np.float32)
    head = head_of(network)
    with torch.inference_mode():
        inside = network.classifier.inputs(filled[None])[0].permute(1, 2, 0).contiguous()  # (H, W, C)
    plan = plan_of(network, corners if plan_for is None else plan_for, window)
    batches = np.array_split(corners, _number_of_batches(plan, len(corners)))
    computed = done = 0  # windows
    waiting: list[Tensor] = []  # what the head is given
    stopped = threading.Event()

    def answer(batch: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return _batch(network, plan, head, inside, torch.from_numpy(batch), window, stopped)

    def look() -> None:
        try:
            progress(computed / len(corners), "")
        except BaseException:
            stopped.set()  # nobody wants the map any more: what is being computed is not finished either
            raise

    @torch.inference_mode()
    def finish() -> None:
        nonlocal done
        found = _logits(network, head, torch.cat(waiting))
        out[done : done + len(found)] = found.numpy()
        done += len(found)
        waiting.clear()

    for values in side_by_side(answer, batches, look):
        waiting.append(values)
        computed += len(values)
        if sum(each.nbytes for each in waiting) > BATCH_BYTES:
            finish()
    if waiting:
        finish()
    look()
    return out


@dataclass(frozen=True)
class Head:
    """The end of a network: steps that need the output of one step and nothing else that changes.

    Attributes:
        entry: The step before.
        nodes: In their order, with the network's output as the last.
    """

    entry: fx.Node
    nodes: tuple[fx.Node, ...]


def head_of(network: LocalNetwork) -> Head:
    """From the first linear layer on behind which nothing looks further back, else only the output."""
    known = network.description
    nodes, start = known.graph.nodes, len(known.graph.nodes) - 1
    for i, node in enumerate(nodes):
        linear = isinstance(known.graph.part(node), nn.Linear) and node in known.changing
        if linear and len(_given(nodes[i:], known.changing)) == 1:
            start = i
            break
    (entry,) = _given(nodes[start:], known.changing)
    return Head(entry, tuple(nodes[start:]))


def _given(nodes: Sequence[fx.Node], changing: frozenset[fx.Node]) -> set[fx.Node]:
    """What these steps are given by others, as far as it changes."""
    return {s for node in nodes for s in node.all_input_nodes if s in changing} - set(nodes)


def _logits(network: LocalNetwork, head: Head, values: Tensor) -> Tensor:
    """(N, K) from what the head is given."""
    known = network.description
    found: dict[fx.Node, Any] = {head.entry: values}
    for node in head.nodes:
        if node.op != "output" and node in known.changing:
            arguments, settings = fx.node.map_arg(
                (node.args, node.kwargs), lambda source: found.get(source, known.outputs.get(source))
            )
            found[node] = known.graph.call(node, arguments, settings)
    return network.classifier.as_logits(found[known.graph.output.all_input_nodes[0]])


def _number_of_batches(plan: Plan, windows: int) -> int:
    """As many for each thread, so that all end together."""
    threads = torch.get_num_threads()
    most = max(
        1, int(min(BATCH_BYTES / plan.bytes, BATCH_MULTIPLICATIONS / plan.multiplications, LARGEST_BATCH))
    )
    rounds = -(-windows // (threads * most))
    return min(windows, rounds * threads)


def _batch(
    network: LocalNetwork, plan: Plan, head: Head, inside: Tensor, corners: Tensor, window: int,
    stopped: threading.Event,
) -> Tensor:  # fmt: skip
    """(N, …) what the head is given with the window at N corners.

    Raises:
        InterruptedError: It was stopped between two steps.
    """
    known = network.description
    values: dict[fx.Node, Any] = {}
    last_use = {source: node for node in known.graph.nodes for source in node.all_input_nodes}

    def whole(node: fx.Node) -> Any:
        value = values.get(node, known.outputs.get(node))
        return whole_map(value, network.map(node)) if isinstance(value, Block) else value

    for node in known.graph.nodes:
        if node is head.nodes[0]:
            break
        if stopped.is_set():
            raise InterruptedError
        if node not in known.changing:
            continue
        if node is known.graph.images:
            spans = [
                span(corners[:, axis], corners[:, axis] + window - 1, inside.shape[axis]) for axis in (0, 1)
            ]
            found = cut(inside, (spans[0].start, spans[1].start), (window, window))
            values[node] = Block(found, spans[0], spans[1])
        elif node not in network.local:
            arguments, settings = fx.node.map_arg((node.args, node.kwargs), whole)
            values[node] = known.graph.call(node, arguments, settings)
        elif node in known.layers:
            source = network.local[node][0]
            values[node] = _through(network, plan, node, source, values[source])
        elif node in known.in_place and _may_be_overwritten(node, values, last_use):
            values[node] = values[node.all_input_nodes[0]]
            known.in_place[node](values[node].values)
        else:
            values[node] = _place_by_place(network, node, values)
        for source in node.all_input_nodes:
            if last_use[source] is node:
                values.pop(source, None)
    given: Tensor = whole(head.entry)
    return given


def _through(network: LocalNetwork, plan: Plan, node: fx.Node, source: fx.Node, block: Block) -> Block:
    """A block behind a layer that looks at a window of its input."""
    layer = network.description.layers[node]
    rows = outputs_of(block.rows, layer.reach[0])
    columns = outputs_of(block.columns, layer.reach[1])
    product = network.product(node) if node in plan.by_products else None
    starts, size = (rows.start, columns.start), (rows.length, columns.length)
    if product is not None:
        unchanged = cut(
            network.map(source),
            (block.rows.start, block.columns.start),
            (block.rows.length, block.columns.length),
        )
        found = cut_rows(network.map(node), starts, size)
        padding = (layer.reach[0].before, layer.reach[1].before)
        product.add(found, block.values - unchanged, (block.rows, block.columns), (rows, columns), padding)
        return Block(found[:-1].view(-1, *size, found.shape[-1]), rows, columns)
    reach_rows, reach_columns = layer.reach
    if reach_rows.place_by_place and reach_columns.place_by_place:
        matrix = network.matrix(node)
        if matrix is not None:
            return Block(_times(matrix, block, network.map(node)), block.rows, block.columns)
        return Block(_channels_last(layer.run(block.values.permute(0, 3, 1, 2))), block.rows, block.columns)
    if block.whole and rows.whole and columns.whole:
        # With the padding that it does by itself, without a copy.
        arguments, settings = fx.node.map_arg(
            (node.args, node.kwargs), lambda _: block.values.permute(0, 3, 1, 2)
        )
        found = network.description.graph.call(node, arguments, settings)
        return Block(_channels_last(found), rows, columns)
    begin = (starts[0] * reach_rows.stride, starts[1] * reach_columns.stride)  # in the map with its padding
    around = cut(
        network.map(source, layer), begin, (reach_rows.inputs(size[0]), reach_columns.inputs(size[1]))
    )
    paste(block, around, (begin[0] - reach_rows.before, begin[1] - reach_columns.before))
    return Block(_channels_last(layer.run(around.permute(0, 3, 1, 2))), rows, columns)


def _times(matrix: PackedMatrix, block: Block, base: Tensor) -> Tensor:
    """(N, n, m, K): a block behind a 1×1 convolution, of which `base` is the map without a window."""
    n, h, w, channels = block.values.shape
    values = block.values.reshape(-1, channels)
    out_channels = base.shape[-1]
    if channels * out_channels < MULTIPLICATIONS_PER_MOVED_NUMBER * (channels + out_channels):
        return matrix.times(values).view(n, h, w, out_channels)
    changed = block.changed.flatten().nonzero().flatten()
    if len(changed) > 0.9 * len(values):
        return matrix.times(values).view(n, h, w, out_channels)
    found = cut(base, (block.rows.start, block.columns.start), (h, w))
    found.view(-1, out_channels).index_copy_(0, changed, matrix.times(values.index_select(0, changed)))
    return found


def _may_be_overwritten(node: fx.Node, values: dict[fx.Node, Any], last_use: dict[fx.Node, fx.Node]) -> bool:
    """Whether a step is the last to look at the block it is given."""
    sources = node.all_input_nodes
    if len(sources) != 1 or last_use[sources[0]] is not node:
        return False
    memory = values[sources[0]].values.untyped_storage().data_ptr()  # what does nothing hands on what it got
    others = [value for source, value in values.items() if source is not sources[0]]
    return all(
        (value.values if isinstance(value, Block) else value).untyped_storage().data_ptr() != memory
        for value in others
        if isinstance(value, Block | Tensor)
    )


def _place_by_place(network: LocalNetwork, node: fx.Node, values: dict) -> Block:
    """A block behind an activation, a batch norm, an addition."""
    blocks = [values[source] for source in network.local[node]]
    rows, columns = union([b.rows for b in blocks]), union([b.columns for b in blocks])

    def argument(source: fx.Node) -> Any:
        if source not in values:
            return network.description.outputs[source]
        return moved(values[source], rows, columns, network.map(source)).values.permute(0, 3, 1, 2)

    arguments, settings = fx.node.map_arg((node.args, node.kwargs), argument)
    found = network.description.graph.call(node, arguments, settings)
    return Block(_channels_last(found), rows, columns)


def _channels_last(maps: Tensor) -> Tensor:
    """(N, H, W, C) from (N, C, H, W)."""
    return maps.permute(0, 2, 3, 1).contiguous()
