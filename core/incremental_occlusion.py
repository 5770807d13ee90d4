"""Occlusion from what a window changes: one forward pass of the image, then only blocks of each map.

A window changes a rectangle of the image; the first layer turns it into a slightly larger rectangle of its
map, and so on (`core.changed_block`). Everything outside is what it was without the window. So for every
layer and N windows at once

    block of z' = the layer on (block of x' with the map of x around)                     any local layer
    block of z' = block of z + W ∗ (x' − x)                                   a 3×3 convolution, being linear

where the second takes (n + 2)² multiplications for n² changed inputs instead of 9 (n + 2)²
(`core.product_convolution`). A step that is not local (the mean over all places, a linear layer, attention)
gets whole maps, and so do all behind it. Nothing is approximated: the logits differ from those of whole
forward passes by rounding, about 1e-6 of their size.

The bound: the multiplications that are left, `Plan.multiplications`, against those of a forward pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from core.changed_block import Block, cut, moved, outputs_of, paste, span, union, whole_map
from core.classifier import Classifier
from core.local_layers import LocalLayer, NetworkDescription, Reach, describe, padded
from core.occlusion import Engine, full_forwards
from core.product_convolution import ProductConvolution, number_of_points
from core.progress import Progress, no_progress

BYTES = 256 << 20  # of one batch, about; what products of weights may take beside it
PRODUCT_BYTES = 600 << 20
WORK = 20e9  # multiplications of one batch: between two looks at whether it is still wanted
MOST = 512  # windows of one batch
KINDS = 4  # sizes of blocks along an axis at most: more fit closer, fewer make larger batches
FEWEST = 32  # windows of a batch, if the kinds can help it
# A multiplication in small matrix products takes about so much longer than one in a direct convolution.
SLOWER = 1.5
WORTH = 1.2  # times fewer multiplications than whole forward passes; below, those are run


def incremental_engine(
    classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int
) -> Engine | None:
    """The engine for one image; None where whole forward passes serve as well, or better.

    That is on a GPU, which is idle on small blocks; for a network that cannot be followed or whose maps
    change everywhere at once; and wherever the answers for two windows differ from those of whole passes.

    Shape:
        image: (H, W, C) uint8
        filled: (H, W, C) uint8, what stands in the window
        corners: (P, 2) where the window is going to be
    """
    if classifier.device.type != "cpu" or classifier.module.training:
        return None
    with torch.inference_mode():
        description = describe(classifier.module, classifier.inputs(image[None]))
        if description is None:
            return None
        network = _Network(classifier, description)
        # The price of a window in the middle, where blocks are largest.
        middle = corners[len(corners) // 2 :][:1]
        lengths = [_lengths(network, torch.from_numpy(middle[:, axis]), window, axis)[0] for axis in (0, 1)]
        if Plan.of(network, *lengths).multiplications * WORTH > network.multiplications:
            return None

    def incremental(
        classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int,
        progress: Progress = no_progress,
    ) -> np.ndarray:  # fmt: skip
        return _run(network, filled, corners, window, progress)

    probe = np.concatenate([middle, corners[:1]])
    expected = full_forwards(classifier, image, filled, probe, window)
    found = _run(network, filled, probe, window, no_progress)
    if not np.isfinite(expected).all():
        return None
    close = np.allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1e-3, float(np.abs(expected).max())))
    return incremental if close else None


@dataclass(eq=False)
class _Network:
    """A described network with what its steps give for the image, and its products of weights."""

    classifier: Classifier
    description: NetworkDescription
    local: dict[fx.Node, list[fx.Node]] = field(
        default_factory=dict
    )  # step → the changing maps it is made of
    multiplications: float = 0.0
    _maps: dict[tuple[fx.Node, LocalLayer | None], Tensor] = field(default_factory=dict)
    _products: dict[fx.Node, ProductConvolution | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.description
        for node in known.module.graph.nodes:
            sources = [s for s in node.all_input_nodes if s in known.changing]
            if node.op == "placeholder" and known.outputs[node].ndim == 4:
                self.local[node] = []
            elif (node in known.layers or node in known.pointwise) and all(s in self.local for s in sources):
                self.local[node] = sources
            self.multiplications += self.full(node)

    def map(self, node: fx.Node, layer: LocalLayer | None = None) -> Tensor:
        """(H, W, C) of the image without a window, with the padding of a layer around."""
        if (node, layer) not in self._maps:
            whole = self.description.outputs[node]
            whole = padded(whole, layer) if layer is not None else whole
            self._maps[node, layer] = whole[0].permute(1, 2, 0).contiguous()
        return self._maps[node, layer]

    def full(self, node: fx.Node) -> float:
        """Multiplications of a step in a whole forward pass: of convolutions and linear layers."""
        if not isinstance(node.target, str) or node.op != "call_module":
            return 0.0
        part, output = self.description.module.get_submodule(node.target), self.description.outputs[node]
        if isinstance(part, nn.Conv2d):
            return float(part.weight[0].numel() * output[0].numel())
        return float(part.in_features * output[0].numel()) if isinstance(part, nn.Linear) else 0.0

    def product(self, node: fx.Node) -> ProductConvolution | None:
        """The products of a convolution's weights, where it is one of 3×3 and there is room for them."""
        if node not in self._products:
            part = self.description.layers[node].convolution
            held = sum(p.products.nbytes for p in self._products.values() if p is not None)
            fits = part is not None and held + 4 * part.weight.nbytes < PRODUCT_BYTES
            self._products[node] = ProductConvolution(part.weight) if part is not None and fits else None
        return self._products[node]


@dataclass(frozen=True)
class Plan:
    """What one window costs.

    Attributes:
        multiplications: As done, those in small matrix products included as they are.
        bytes: Of the largest step.
        by_products: The convolutions that are done as products.
    """

    multiplications: float
    bytes: float
    by_products: frozenset[fx.Node]

    @staticmethod
    def of(network: _Network, rows: dict[fx.Node, int], columns: dict[fx.Node, int]) -> "Plan":
        """The plan for blocks of these sizes."""
        total, most, by_products = 0.0, 0.0, set()
        for node in network.description.module.graph.nodes:
            if node not in network.local:
                total += network.full(node)
                continue
            area = rows[node] * columns[node]
            channels = network.description.outputs[node].shape[1]
            layer = network.description.layers.get(node)
            size = 3.0 * area * channels
            if layer is not None:
                source = network.local[node][0]
                inputs = network.description.outputs[source].shape[1]
                looked = layer.reach[0].inputs(rows[node]) * layer.reach[1].inputs(columns[node])
                size += 2.0 * looked * inputs
                if layer.convolution is not None:
                    cost = float(layer.convolution.weight[0].numel() * channels * area)
                    if _is_plain_3x3(layer.convolution):
                        points = 1
                        for lengths in (rows, columns):
                            points *= number_of_points(min(lengths[source], lengths[node]))
                        products = float(points * inputs * channels)
                        transforms = float(points * (16 * inputs + 36 * channels))
                        if SLOWER * (products + transforms) < cost:
                            cost = products
                            by_products.add(node)
                            size += 2.0 * points * (inputs + channels)
                    total += cost
            most = max(most, 4 * size)
        return Plan(total, most, frozenset(by_products))


def _is_plain_3x3(part: nn.Conv2d) -> bool:
    return (part.kernel_size, part.stride, part.dilation, part.groups) == ((3, 3), (1, 1), (1, 1), 1)


def _run(
    network: _Network, filled: np.ndarray, corners: np.ndarray, window: int, progress: Progress
) -> np.ndarray:
    """(P, K) float32: the logits with the window at each of the (P, 2) corners."""
    out = np.empty((len(corners), network.classifier.number_of_classes), np.float32)
    done = 0
    with torch.inference_mode():
        inside = network.classifier.inputs(filled[None])[0].permute(1, 2, 0).contiguous()  # (H, W, C)
    for plan, members in _groups(network, corners, window):
        size = int(min(BYTES / plan.bytes, WORK / plan.multiplications, MOST))
        for part in np.array_split(members, -(-len(members) // max(1, size))):
            with torch.inference_mode():
                out[part] = _batch(network, plan, inside, torch.from_numpy(corners[part]), window).numpy()
            done += len(part)
            progress(done / len(corners), "")
    return out


def _batch(network: _Network, plan: Plan, inside: Tensor, corners: Tensor, window: int) -> Tensor:
    """(N, K) logits with the window at N corners."""
    known = network.description
    steps = fx.Interpreter(known.module)
    values: dict[fx.Node, Any] = {}
    last_use = {source: node for node in known.module.graph.nodes for source in node.all_input_nodes}

    def whole(node: fx.Node) -> Any:
        value = values.get(node, known.outputs.get(node))
        return whole_map(value, network.map(node)) if isinstance(value, Block) else value

    for node in known.module.graph.nodes:
        if node.op == "output":
            return network.classifier.as_logits(whole(node.args[0]))
        if node not in known.changing:
            continue
        if node.op == "placeholder":
            spans = [
                span(corners[:, axis], corners[:, axis] + window - 1, inside.shape[axis]) for axis in (0, 1)
            ]
            found = cut(inside, (spans[0].start, spans[1].start), (window, window))
            values[node] = Block(found, spans[0], spans[1])
        elif node not in network.local:
            arguments, settings = fx.node.map_arg((node.args, node.kwargs), whole)
            values[node] = getattr(steps, node.op)(node.target, arguments, settings)
        elif node in known.layers:
            source = network.local[node][0]
            values[node] = _through(network, plan, node, source, values[source])
        else:
            values[node] = _place_by_place(network, steps, node, values)
        for source in node.all_input_nodes:
            if last_use[source] is node:
                values.pop(source, None)
    raise AssertionError("a traced network has an output")


def _through(network: _Network, plan: Plan, node: fx.Node, source: fx.Node, block: Block) -> Block:
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
        found = cut(network.map(node), starts, size)  # (N, h, w, C_out)
        padding = (layer.reach[0].before, layer.reach[1].before)
        product.add(found, block.values - unchanged, (block.rows, block.columns), (rows, columns), padding)
        return Block(found, rows, columns)
    reach_rows, reach_columns = layer.reach
    if reach_rows.place_by_place and reach_columns.place_by_place:
        return Block(_channels_last(layer.run(block.values.permute(0, 3, 1, 2))), block.rows, block.columns)
    if block.whole and rows.whole and columns.whole:
        found = layer.run(padded(block.values.permute(0, 3, 1, 2), layer))
        return Block(_channels_last(found), rows, columns)
    begin = (starts[0] * reach_rows.stride, starts[1] * reach_columns.stride)  # in the map with its padding
    around = cut(
        network.map(source, layer), begin, (reach_rows.inputs(size[0]), reach_columns.inputs(size[1]))
    )
    paste(block, around, (begin[0] - reach_rows.before, begin[1] - reach_columns.before))
    return Block(_channels_last(layer.run(around.permute(0, 3, 1, 2))), rows, columns)


def _place_by_place(network: _Network, steps: fx.Interpreter, node: fx.Node, values: dict) -> Block:
    """A block behind an activation, a batch norm, an addition."""
    blocks = [values[source] for source in network.local[node]]
    rows, columns = union([b.rows for b in blocks]), union([b.columns for b in blocks])

    def argument(source: fx.Node) -> Any:
        if source not in values:
            return network.description.outputs[source]
        return moved(values[source], rows, columns, network.map(source)).values.permute(0, 3, 1, 2)

    arguments, settings = fx.node.map_arg((node.args, node.kwargs), argument)
    found = getattr(steps, node.op)(node.target, arguments, settings)
    return Block(_channels_last(found), rows, columns)


def _channels_last(maps: Tensor) -> Tensor:
    """(N, H, W, C) from (N, C, H, W)."""
    return maps.permute(0, 2, 3, 1).contiguous()


def _groups(network: _Network, corners: np.ndarray, window: int) -> Iterator[tuple[Plan, np.ndarray]]:
    """Windows whose blocks are alike in size, with what one of them costs: so a batch has one shape.

    Behind a pool or a stride a block's size depends on where the window lies between two strides.
    """
    axes = []
    most = max(1, min(KINDS, int((len(corners) / FEWEST) ** 0.5)))
    for axis in (0, 1):
        places, where = np.unique(corners[:, axis], return_inverse=True)
        lengths = _lengths(network, torch.from_numpy(places), window, axis)
        kinds, largest = _kinds(lengths, most)
        axes.append((kinds[where], largest))
    (row_kinds, row_lengths), (column_kinds, column_lengths) = axes
    for i, rows in enumerate(row_lengths):
        for j, columns in enumerate(column_lengths):
            members = np.flatnonzero((row_kinds == i) & (column_kinds == j))
            if len(members):
                yield Plan.of(network, rows, columns), members


def _lengths(network: _Network, starts: Tensor, window: int, axis: int) -> list[dict[fx.Node, int]]:
    """For every start of a window along an axis: how many places of every map change, borders left aside."""
    ends: dict[fx.Node, tuple[Tensor, Tensor]] = {}
    for node, sources in network.local.items():
        layer = network.description.layers.get(node)
        if not sources:
            ends[node] = starts, starts + window - 1
        elif layer is not None:
            reach: Reach = layer.reach[axis]
            ends[node] = reach.touched(*ends[sources[0]])
        else:
            ends[node] = (
                torch.stack([ends[s][0] for s in sources]).amin(0),
                torch.stack([ends[s][1] for s in sources]).amax(0),
            )
    sizes = {node: network.description.outputs[node].shape[2 + axis] for node in ends}
    counts = {n: (last - first + 1).clamp(1, sizes[n]).tolist() for n, (first, last) in ends.items()}
    return [{node: counts[node][i] for node in ends} for i in range(len(starts))]


def _kinds(lengths: list[dict[fx.Node, int]], most: int) -> tuple[np.ndarray, list[dict[fx.Node, int]]]:
    """Which of at most `most` kinds each start is of, and the largest lengths of each kind."""
    different = sorted({tuple(each.values()) for each in lengths}, key=sum)
    most = min(most, len(different))
    kind_of = {each: i * most // len(different) for i, each in enumerate(different)}
    kinds = np.array([kind_of[tuple(each.values())] for each in lengths])
    nodes = list(lengths[0])
    largest = []
    for kind in range(kinds.max() + 1):
        members = [each for each in different if kind_of[each] == kind]
        largest.append(dict(zip(nodes, map(max, zip(*members, strict=True)), strict=True)))
    return kinds, largest
