"""Figures of maps, made in the pass that makes the maps.

Behind a convolution, batch norm, the rectifier, and the code that looks at the maps each go through all of
memory, and the first two into new memory, which costs the most. Where a convolution's output is read by no
other step, all three are one pass over it, in place: v becomes min(max(γ/√(σ² + ε) · (v − μ) + β, low), high)
while the figures of v are added up. On maps of 16 MB that takes 1.4 ms where the three take 6.3 and more.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from core.compute.torch_internals import has_hooks
from core.filters.map_statistics import Figures, figures_of, passed
from core.network.graph import NetworkGraph, traced
from core.network.hooks import observed, replaced
from core.network.in_place_steps import scale_and_shift

Reader = Callable[[Figures], None]

ONE_PASS = "one pass over each map for normalization, activation, and figures"
AFTER_THE_LAYERS = "reading the finished maps"
# Why a site's figures are taken from its finished map, and how many sites have that reason.
CANNOT_BE_FOLLOWED = "the network's code cannot be followed in advance"
NOT_A_PLAIN_CHAIN = (
    "the map is not made by a convolution with nothing but batch norm and a ReLU behind it, or it is read by "
    "several layers"
)
NO_COMPILED_LOOP = "the maps are on a GPU or not channels last, or Numba is missing"
LAYERS_DIFFER = "the layers compute something other than their classes do"

FUSED_TOLERANCE = 1e-4  # of the largest value: what the one pass and the layers may be apart


class PassingFigures:
    """Hand the figures of some layers' maps to the readers, whenever the network runs.

    Args:
        readers: `{layer: function of the figures}`.
    """

    def __init__(self, module: nn.Module, readers: Mapping[str, Reader]) -> None:
        self._module = module
        chains = _chains(module)
        self._why_not = CANNOT_BE_FOLLOWED if chains is None else NOT_A_PLAIN_CHAIN
        chains = chains or {}
        self._instead: dict[str, Callable[[Tensor], Tensor]] = {}
        self._passes: list[_OnePass] = []
        for site in chains.keys() & readers.keys():
            first, *skipped = chains[site].names
            self._passes.append(_OnePass(chains[site], readers[site]))
            self._instead[first] = self._passes[-1]
            self._instead |= dict.fromkeys(skipped, _as_it_is)
        self._others = {site: _reading(reader) for site, reader in readers.items() if site not in chains}

    @contextmanager
    def read(self) -> Iterator[None]:
        """For runs without gradients, of the weights that the network had at the beginning.

        Raises:
            UnknownName: There is no such layer.
            NoTensor: Its output is not one tensor.
        """
        with observed(self._module, self._others), replaced(self._module, self._instead):
            yield

    def engine(self) -> str:
        """How the figures were taken in the runs so far, in words for people."""
        reasons = [self._why_not] * len(self._others)
        reasons += [one.why_not for one in self._passes if one.why_not]
        total = len(self._passes) + len(self._others)
        if not reasons:
            return ONE_PASS
        why = "; ".join(f"{reason} ({reasons.count(reason)})" for reason in dict.fromkeys(reasons))
        if len(reasons) == total:
            return f"{AFTER_THE_LAYERS}, because {why}"
        fused = total - len(reasons)
        return f"{ONE_PASS} at {fused} of {total} layers; elsewhere by {AFTER_THE_LAYERS}, because {why}"


@dataclass(frozen=True)
class _Chain:
    """Layers right behind a convolution up to the site: a batch norm, a rectifier, or both."""

    names: tuple[str, ...]
    forwards: tuple[Callable[[Tensor], Tensor], ...]
    norm: nn.BatchNorm2d | None
    low: float
    high: float

    def by_layers(self, maps: Tensor) -> Tensor:
        for forward in self.forwards:
            maps = forward(maps)
        return maps


class _OnePass:
    """What the first layer of a chain does instead.

    Attributes:
        why_not: Why the last run went through the layers one after the other; "" where it did not.
    """

    def __init__(self, chain: _Chain, reader: Reader) -> None:
        self._chain, self._reader = chain, reader
        self.why_not = ""
        self._factors = None if chain.norm is None else scale_and_shift(chain.norm)
        self._agrees: bool | None = None

    def __call__(self, maps: Tensor) -> Tensor:
        if self._agrees is None:
            self._agrees = self._try(maps[:1].clone())
        figures = self._pass(maps) if self._agrees else None
        if figures is None:
            self.why_not = self.why_not or NO_COMPILED_LOOP
            maps = self._chain.by_layers(maps)
            figures = figures_of(maps)
        self._reader(figures)
        return maps

    def _pass(self, maps: Tensor) -> Figures | None:
        return passed(maps, self._factors, self._chain.low, self._chain.high)

    def _try(self, maps: Tensor) -> bool:
        """Whether it is what the layers do, which may be of anybody's making."""
        expected = self._chain.by_layers(maps.clone())
        if self._pass(maps) is None:
            self.why_not = NO_COMPILED_LOOP
            return False
        largest = float(expected.abs().amax()) if expected.numel() else 0.0
        tolerance = FUSED_TOLERANCE * max(1.0, largest)
        agrees = maps.shape == expected.shape and torch.allclose(
            maps, expected, rtol=0, atol=tolerance, equal_nan=True
        )
        self.why_not = "" if agrees else LAYERS_DIFFER
        return agrees


def _as_it_is(maps: Tensor) -> Tensor:
    return maps


def _reading(reader: Reader) -> Callable[[Tensor], None]:
    return lambda maps: reader(figures_of(maps))


def _chains(module: nn.Module) -> dict[str, _Chain] | None:
    """By the site. Every layer of a chain runs once, and nobody but the next reads what it gives.

    Returns:
        None where the network's code cannot be followed.
    """
    graph = traced(module, as_one=(nn.BatchNorm2d,))
    if graph is None:
        return None
    runs = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    found = {}
    for node in graph.nodes:
        if not isinstance(graph.part(node), nn.Conv2d):
            continue
        names: list[str] = []
        norm: nn.BatchNorm2d | None = None
        low, high = -torch.inf, torch.inf
        while (behind := _only_reader(graph, node)) is not None and runs.count(str(behind.target)) == 1:
            part, name = module.get_submodule(str(behind.target)), str(behind.target)
            site = name
            bounds: tuple[float, float] | None
            if isinstance(part, nn.BatchNorm2d) and not names and part.running_mean is not None:
                norm, bounds = part, (low, high)
                inside = getattr(part, "act", None)  # timm's norms have their activation
                if inside is not None and not isinstance(inside, nn.Identity):
                    site, bounds = f"{name}.act", _bounds(inside)
            else:
                bounds = _bounds(part)
            if bounds is None or part.training or has_hooks(part):
                break
            low, high = bounds
            names.append(name)
            forwards = tuple(module.get_submodule(one).forward for one in names)
            found[site] = _Chain(tuple(names), forwards, norm, low, high)
            if low > -torch.inf:
                break
            node = behind
    return found


def _only_reader(graph: NetworkGraph, node: fx.Node) -> fx.Node | None:
    """The layer that gets a step's output, and nothing else, where nobody else does."""
    behind = next(iter(node.users), None)
    if len(node.users) != 1 or behind is None or graph.part(behind) is None:
        return None
    return behind if behind.args == (node,) and not behind.kwargs else None


def _bounds(part: nn.Module) -> tuple[float, float] | None:
    if type(part) is nn.ReLU:
        return 0.0, torch.inf
    return (0.0, 6.0) if type(part) is nn.ReLU6 else None
