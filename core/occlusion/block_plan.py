"""What windows cost in blocks."""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, fx, nn

from core.compute.packed_matrix import PackedMatrix
from core.compute.torch_internals import version_of
from core.models.classifier import Classifier
from core.network.fused_graph import ByPlace
from core.occlusion.local_layers import LocalLayer, NetworkDescription, Reach, padded
from core.occlusion.toom_cook import ProductConvolution, largest_piece, number_of_points

PRODUCT_BYTES = 600 << 20  # that the products of all weights may take
WEIGHTS_WORTH_PACKING = 1 << 12  # weights of a 1×1 convolution from which they are made ready
# A multiplication in a product, with its changes of space, takes about so much longer than in a convolution.
COST_OF_A_PRODUCT = 1.5
# To make the products of one weight ready takes as long as about so many multiplications.
PRICE_OF_PRODUCTS = 1000


@dataclass(eq=False)
class LocalNetwork:
    """A described network with what its steps give for the image, and its products of weights."""

    classifier: Classifier
    description: NetworkDescription
    local: dict[fx.Node, list[fx.Node]] = field(
        default_factory=dict
    )  # step → the changing maps it is made of
    multiplications: float = 0.0
    _maps: dict[tuple[fx.Node, LocalLayer | None], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.description
        for node in known.graph.nodes:
            sources = [s for s in node.all_input_nodes if s in known.changing]
            if node is known.graph.images:
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
        part, output = self.description.graph.part(node), self.description.outputs[node]
        if isinstance(part, nn.Conv2d):
            return float(part.weight[0].numel() * output[0].numel())
        if isinstance(part, ByPlace):
            return float(part.multiplications * output[0, 0].numel())
        return float(part.in_features * output[0].numel()) if isinstance(part, nn.Linear) else 0.0

    def product(self, node: fx.Node) -> ProductConvolution | None:
        """The products of a 3×3 convolution's weights, where there is room for them."""
        part = self._weights_of(node)
        with _lock:
            held = sum(kept.nbytes for _, kept in _kept.values())
            largest = self.largest_piece(node)
            if part not in _kept and held + (largest + 2) ** 2 / 9 * part.weight.nbytes > PRODUCT_BYTES:
                return None
            return _keep(part, lambda: ProductConvolution(part.weight, largest))

    def is_worth_products(self, node: fx.Node, saved: float) -> bool:
        """Whether so many multiplications less pay for making the products ready, or they are ready."""
        part = self._weights_of(node)
        return part in _kept or saved > PRICE_OF_PRODUCTS * part.weight.numel()

    def largest_piece(self, node: fx.Node) -> int:
        """Of a 3×3 convolution by products: on a small map fewer products serve."""
        reach = self.description.layers[node].reach
        return max(largest_piece(axis.size_in, axis.size_out) for axis in reach)

    def matrix(self, node: fx.Node) -> PackedMatrix | None:
        """The weights of a convolution of 1×1, where it is one between many channels."""
        part = self.description.layers[node].convolution
        if (
            part is None
            or part.groups > 1
            or part.kernel_size != (1, 1)
            or part.weight.numel() < WEIGHTS_WORTH_PACKING
        ):
            return None
        part = self._weights_of(node)
        return _keep(part, lambda: PackedMatrix(part.weight[:, :, 0, 0], part.bias))

    def _weights_of(self, node: fx.Node) -> nn.Conv2d:
        global _kept_for
        with _lock:
            if _kept_for is None or _kept_for() is not self.description.graph:
                _kept.clear()  # what is kept is as large as a network, or four times that
                _kept_for = weakref.ref(self.description.graph)
        part = self.description.layers[node].convolution
        assert part is not None
        return part


# Weights made ready, of the network that was asked last: coarse maps and fine ones follow each other.
_kept: WeakKeyDictionary[nn.Conv2d, tuple[Any, Any]] = WeakKeyDictionary()
_kept_for: weakref.ref | None = None
_lock = threading.RLock()


def _keep(part: nn.Conv2d, make: Callable[[], Any]) -> Any:
    tensors = [tensor for tensor in (part.weight, part.bias) if tensor is not None]
    state = [(tensor.data_ptr(), version_of(tensor)) for tensor in tensors]
    with _lock:  # batches run side by side: who comes second waits for what the first makes
        known = _kept.get(part)
        if known is None or known[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                known = _kept[part] = (state, make())
    return known[1]


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
    def of(
        network: LocalNetwork,
        rows: dict[fx.Node, int],
        columns: dict[fx.Node, int],
        windows: int | None = None,
    ) -> "Plan":
        """The plan for blocks of these sizes.

        Args:
            windows: How many there are going to be: for a few, products of weights are not made ready. None
                for more than enough.
        """
        total, most, by_products = 0.0, 0.0, set()
        for node in network.description.graph.nodes:
            if node not in network.local:
                total += network.full(node)
                continue
            area = rows[node] * columns[node]
            channels = network.description.outputs[node].shape[1]
            layer = network.description.layers.get(node)
            size = 3.0 * area * channels
            if layer is not None:
                inputs = network.description.outputs[network.local[node][0]].shape[1]
                looked = layer.reach[0].inputs(rows[node]) * layer.reach[1].inputs(columns[node])
                size += 2.0 * looked * inputs
                if layer.convolution is not None:
                    direct = float(layer.convolution.weight[0].numel() * channels * area)
                    products = _by_products(network, node, rows, columns, direct, windows)
                    total += direct if products is None else products.multiplications
                    if products is not None:
                        by_products.add(node)
                        size += products.numbers
            elif isinstance(part := network.description.graph.part(node), ByPlace):
                total += part.multiplications * area
            most = max(most, 4 * size)
        return Plan(total, most, frozenset(by_products))


@dataclass(frozen=True)
class _Products:
    """A convolution as products of matrices: multiplications, and numbers that are held beside its blocks."""

    multiplications: float
    numbers: float


def _by_products(
    network: LocalNetwork, node: fx.Node, rows: dict[fx.Node, int], columns: dict[fx.Node, int],
    direct: float, windows: int | None,
) -> _Products | None:  # fmt: skip
    """What a convolution costs as products; None where it is quicker directly, with `direct` multiplications.

    Args:
        windows: As in `Plan.of`.
    """
    convolution = network.description.layers[node].convolution
    if convolution is None or not _is_plain_3x3(convolution):
        return None
    source = network.local[node][0]
    inputs, channels = (network.description.outputs[of].shape[1] for of in (source, node))
    points, largest = 1, network.largest_piece(node)
    for lengths in (rows, columns):
        points *= number_of_points(min(lengths[source], lengths[node]), largest)
    products = float(points * inputs * channels)
    transforms = float(points * (16 * inputs + 36 * channels))
    saved = direct - COST_OF_A_PRODUCT * (products + transforms)
    if saved <= 0 or (windows is not None and not network.is_worth_products(node, windows * saved)):
        return None
    return _Products(products, 2.0 * points * (inputs + channels))


def _is_plain_3x3(part: nn.Conv2d) -> bool:
    return (part.kernel_size, part.stride, part.dilation, part.groups) == ((3, 3), (1, 1), (1, 1), 1)


def plan_of(network: LocalNetwork, corners: np.ndarray, window: int) -> Plan:
    """One for all windows, with the largest block of every map: batches of one shape, and few of them.

    Behind a pool or a stride the size of a block depends on where the window lies between two strides. To
    keep such windows apart was tried: two or three times slower, since matrix products are quick where they
    are large, and what a window does not change is left out of most of them as it is.
    """
    rows, columns = (
        {node: max(each[node] for each in lengths) for node in lengths[0]}
        for lengths in (_lengths(network, corners, window, axis)[0] for axis in (0, 1))
    )
    return Plan.of(network, rows, columns, len(corners))


def multiplications(network: LocalNetwork, corners: np.ndarray, window: int) -> float:
    """Of all windows, each with no more than it changes, borders left aside."""
    (rows, row_of), (columns, column_of) = (_lengths(network, corners, window, axis) for axis in (0, 1))
    pairs, counts = np.unique(np.stack([row_of, column_of]), axis=1, return_counts=True)
    return sum(
        Plan.of(network, rows[i], columns[j]).multiplications * count
        for i, j, count in zip(*pairs.tolist(), counts.tolist(), strict=True)
    )


def _lengths(
    network: LocalNetwork, corners: np.ndarray, window: int, axis: int
) -> tuple[list[dict[fx.Node, int]], np.ndarray]:
    """The different lengths of blocks along an axis, and (P,) which of them a window has."""
    places, where = np.unique(corners[:, axis], return_inverse=True)
    found = block_lengths(network, torch.from_numpy(places), window, axis)
    different, kinds = np.unique([list(each.values()) for each in found], axis=0, return_inverse=True)
    return [dict(zip(found[0], each, strict=True)) for each in different.tolist()], kinds.reshape(-1)[where]


def block_lengths(network: LocalNetwork, starts: Tensor, window: int, axis: int) -> list[dict[fx.Node, int]]:
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
