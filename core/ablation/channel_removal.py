"""What a network answers with one channel of a layer off, from what it answers with none off.

Let a be the layer's output and b the same with channel c off. Through the steps that leave each channel to
itself (pooling, batch norm, dropout, an activation, a sum with a skip connection, flattening) a and b become
p(a) and p(b), which differ in channel c only: by d_c = p(a)_c − p(b)_c. The next convolution or linear layer,
z = W ∗ p(a) + bias, is linear, so that with c off it gives

    z without c  =  z − W[:, c] ∗ d_c

at 1 / C of its cost, and only what comes behind it is run again. Where that is nothing (global pooling and
one linear layer), this is a closed form. An image on which d_c is 0 keeps its answer. p(b) is computed for
all channels at once, by switching all of them off.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.ablation.channelwise import keeps_channels_apart
from core.compute.device_faults import is_device_fault
from core.network.graph import CANNOT_FOLLOW, NetworkGraph, traced
from core.network.hooks import altered

# How far it may be from the whole network, as a share of the largest logit, before it is not used.
REMOVAL_TOLERANCE = 1e-5
BLOCK_BYTES = 32 * 2**20  # bytes of the largest tensor that is computed for many channels at once
KEPT_BYTES = 256 * 2**20  # bytes of all outputs of the images that are looked at together


def _padding_around(conv: nn.Conv2d) -> list[int]:
    """What it adds left, right, above and below, in the order of `F.pad`."""
    around: list[int] = []
    for axis in (1, 0):
        whole = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
        named = {"valid": (0, 0), "same": (whole // 2, whole - whole // 2)}
        padding = conv.padding
        around += named[padding] if isinstance(padding, str) else (padding[axis], padding[axis])
    return around


@dataclass(frozen=True, eq=False)
class _Linear:
    """A convolution or linear layer behind the channel, its weights by input channel.

    Attributes:
        source: What it is given.
        weights: (C, taps, out) float32, where a tap is a place of the kernel, or of the flattened map.
    """

    node: fx.Node
    part: nn.Module
    source: fx.Node
    weights: Tensor

    def windows(self, share: Tensor) -> Tensor:
        """What each output place sees of one channel: (n, …) to (n · places, taps)."""
        if not isinstance(self.part, nn.Conv2d):
            return share.reshape(len(share), -1)
        conv = self.part
        mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        padded = F.pad(share[:, None], _padding_around(conv), mode=mode)[:, 0].contiguous()
        (kh, kw), (sh, sw), (dh, dw) = conv.kernel_size, conv.stride, conv.dilation
        n, height, width = padded.shape
        rows, columns = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
        a, b, c = padded.stride()
        view = padded.as_strided((n, rows, columns, kh, kw), (a, b * sh, c * sw, b * dh, c * dw))
        return view.reshape(n * rows * columns, kh * kw)


class ChannelRemoval:
    """A network cut at a layer, for many images and each channel.

        removal = channel_removal(module, "conv3", inputs)
        logits = removal.begin(inputs)          # none off
        for images, channels, logits in removal.each():
            ...                                  # logits[i]: of images[i], with channels[i] off

    Attributes:
        channels: Of the layer.
        base: The network's output with none off, of the images of the last `begin`.
        engine: What is computed for each channel, in words for people.
        images_at_once: How many images `begin` can be given for the memory not to grow out of hand.
    """

    def __init__(self, graph: NetworkGraph, site: fx.Node, inputs: Tensor) -> None:
        self._graph, self._site = graph, site
        known: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            known[node] = graph.run(node, known, inputs)
        maps = known[site]
        if maps.ndim != 4 or not isinstance(known[graph.output], Tensor):
            raise ValueError("not maps in and one tensor out")
        self.channels = maps.shape[1]
        behind = graph.behind(site)
        # What differs in the channel that is off only, and what is linear in that.
        self._alone: dict[fx.Node, None] = {site: None}
        linear: list[_Linear] = []
        for node in graph.nodes:
            sources = [source for source in node.all_input_nodes if source in behind]
            if node is site or not sources or any(source not in self._alone for source in sources):
                continue
            part, given = graph.part(node), known[sources[0]]
            if self._is_apart(node, part, known):
                self._alone[node] = None
                continue
            fits = isinstance(part, nn.Conv2d | nn.Linear) and node.args[0] is sources[0]
            if fits and part is not None and given.ndim == (2 if isinstance(part, nn.Linear) else 4):
                linear.append(_Linear(node, part, sources[0], self._weights(part)))
        self._linear = linear
        first = {*self._alone, *(one.node for one in linear)}
        self._rest = [node for node in graph.nodes if node in behind and node not in first]
        if graph.output.args[0] in self._alone:  # the channels are the answer
            raise ValueError("nothing is computed from the channels")
        used = {source for node in self._rest for source in node.all_input_nodes}
        self._around = [node for node in graph.nodes if node in used and node not in behind]
        self._seen = [node for node in self._alone if node in used]
        largest = [
            known[node][:1].numel() for node in behind - set(self._alone) if isinstance(known[node], Tensor)
        ]
        self._together = max(1, BLOCK_BYTES // (4 * max(largest, default=1)))
        every = sum(value[:1].numel() for value in known.values() if isinstance(value, Tensor) and value.ndim)
        self.images_at_once = max(1, min(256, KEPT_BYTES // (4 * every)))
        self._last = self._last_uses()
        self.engine = self._words()
        self.base = known[graph.output]
        self._kept: dict[fx.Node, Any] = {}
        self._shares: dict[fx.Node, Tensor] = {}
        self._without: dict[fx.Node, Tensor] = {}

    def _is_apart(self, node: fx.Node, part: nn.Module | None, known: dict[fx.Node, Any]) -> bool:
        value, n = known[node], len(known[self._site])
        if not isinstance(value, Tensor) or not keeps_channels_apart(node, part, self.channels):
            return False
        shape = tuple(value.shape)
        return shape[:2] == (n, self.channels) if len(shape) == 4 else (
            len(shape) == 2 and shape[0] == n and shape[1] % self.channels == 0
        )  # fmt: skip

    def _weights(self, part: nn.Module) -> Tensor:
        """(C, taps, out)"""
        assert isinstance(part, nn.Conv2d | nn.Linear)
        weight = part.weight.detach()
        if isinstance(part, nn.Linear):  # a channel's places follow one another
            return weight.T.reshape(self.channels, -1, part.out_features).contiguous()
        if part.groups > 1:
            size = part.out_channels // part.groups
            full = weight.new_zeros(part.out_channels, part.in_channels, *weight.shape[2:])
            for g in range(part.groups):
                inside = slice(g * weight.shape[1], (g + 1) * weight.shape[1])
                full[g * size : (g + 1) * size, inside] = weight[g * size : (g + 1) * size]
            weight = full
        return weight.permute(1, 2, 3, 0).reshape(self.channels, -1, part.out_channels).contiguous()

    def _words(self) -> str:
        if not self._linear:
            return "what comes behind the layer, run for each channel"
        names = " and ".join(str(one.node.target) for one in self._linear)
        if all(node.op == "output" for node in self._rest):
            return f"closed form: each channel's share subtracted from {names}"
        return f"each channel's share subtracted from {names}, and what comes behind it run again"

    @torch.inference_mode()
    def begin(self, inputs: Tensor, instead: Tensor | float = 0.0) -> Any:
        """Run the network, and all of it that does not differ from channel to channel.

        Args:
            instead: What a channel that is off is: broadcastable to the layer's output.
        Shape:
            inputs: (N, channels, H, W)
            returns: the network's output, with none off
        """
        graph = self._graph
        known: dict[fx.Node, Any] = {}
        uses = {node: len(node.users) for node in graph.nodes}
        wanted = {*self._alone, *self._around, *(one.node for one in self._linear), graph.output}
        for node in graph.nodes:
            known[node] = graph.run(node, known, inputs)
            for source in node.all_input_nodes:
                uses[source] -= 1
                if not uses[source] and source not in wanted and not self._is_beside(source):
                    del known[source]
        maps = known[self._site]
        without = {self._site: torch.zeros_like(maps) + instead}
        for node in self._alone:
            if node is not self._site:
                without[node] = graph.run(node, {**known, **without})
        self._n = len(maps)
        self._shares = {
            one.node: self._by_channel(known[one.source] - without[one.source]) for one in self._linear
        }
        changed = (maps != without[self._site]).flatten(2).any(2)
        self._active = changed.T.contiguous()  # (C, N)
        kept = {*self._around, *self._seen, *(one.node for one in self._linear)}
        self._kept = {node: value for node, value in known.items() if node in kept}
        self._without = {node: without[node] for node in self._seen}
        self.base = known[graph.output]
        return self.base

    def _is_beside(self, node: fx.Node) -> bool:
        """Needed once more, by a step that is run with everything off."""
        return any(user in self._alone for user in node.users)

    def _by_channel(self, value: Tensor) -> Tensor:
        """(N, C, H, W) or flattened to (C, N, …)."""
        if value.ndim == 2:
            value = value.unflatten(1, (self.channels, -1))
        return value.transpose(0, 1).contiguous()

    @torch.inference_mode()
    def each(self, channels: Sequence[int] | range | None = None) -> Iterator[tuple[Tensor, Tensor, Any]]:
        """Every image with every channel off alone, some at a time; without those it changes nothing for.

        Args:
            channels: Which; all of them if not given.
        Shape:
            yields: (P,) int64 images, (P,) int64 channels, the network's outputs for these (P, …)
        """
        active = self._active
        if channels is not None:
            active = torch.zeros_like(active)
            active[list(channels)] = self._active[list(channels)]
        channel, image = active.nonzero(as_tuple=True)
        for start in range(0, len(channel), self._together):
            part = slice(start, start + self._together)
            yield image[part], channel[part], self._answers(image[part], channel[part])

    def _answers(self, image: Tensor, channel: Tensor) -> Any:
        known: dict[fx.Node, Any] = {}
        for one in self._linear:
            known[one.node] = self._subtracted(one, image, channel)
        for node in self._around:
            value = self._kept[node]
            moves = isinstance(value, Tensor) and node in self._graph.from_input and len(value) == self._n
            known[node] = value[image] if moves else value
        for node in self._seen:
            known[node] = self._replaced(self._kept[node][image], self._without[node], image, channel)
        for node in self._rest:
            known[node] = self._step(node, known)
            for source in self._last[node]:
                del known[source]
        return known[self._graph.output]

    def _last_uses(self) -> dict[fx.Node, list[fx.Node]]:
        """Of every step of the rest, whose outputs no later one needs."""
        found: dict[fx.Node, list[fx.Node]] = {}
        seen: set[fx.Node] = set()
        for node in reversed(self._rest):
            found[node] = [source for source in node.all_input_nodes if source not in seen]
            seen.update(node.all_input_nodes)
        return found

    def _step(self, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
        part = self._graph.part(node)
        if type(part) is not nn.Conv2d or part.groups > 1 or isinstance(part.padding, str):
            return self._graph.run(node, known)
        maps = known[node.args[0]]  # type: ignore[index]
        pointwise = (*part.kernel_size, *part.stride) == (1, 1, 1, 1) and not any(part.padding)
        if not pointwise or not maps.is_contiguous(memory_format=torch.channels_last):
            return self._graph.run(node, known)
        # Many small maps are three times as fast as one large one: (n, C, H, W) as (1, C, n, H · W).
        n, c, height, width = maps.shape
        rows = maps.permute(0, 2, 3, 1).reshape(1, n, height * width, c).permute(0, 3, 1, 2)
        out = F.conv2d(rows, part.weight, part.bias).permute(0, 2, 3, 1)
        return out.reshape(n, height, width, -1).permute(0, 3, 1, 2)

    def _subtracted(self, one: _Linear, image: Tensor, channel: Tensor) -> Tensor:
        """z − W[:, c] ∗ d_c of every pair: (P, out) or (P, out, H, W), channels last in memory."""
        z, share = self._kept[one.node], self._shares[one.node]
        if one.weights.shape[1] == 1 and z.ndim == 2:
            shares = share[channel, image].reshape(-1, 1)
            return torch.addcmul(z[image], one.weights[channel, 0], shares, value=-1)
        # As (N, places, out), which is how it lies in memory.
        rows = z[:, None] if z.ndim == 2 else z.permute(0, 2, 3, 1).flatten(1, 2)
        out = torch.empty((len(image), *rows.shape[1:]), dtype=z.dtype, device=z.device)
        numbers, counts = torch.unique_consecutive(channel, return_counts=True)
        start = 0
        for c, n in zip(numbers.tolist(), counts.tolist(), strict=True):
            images = image[start : start + n]
            windows = one.windows(share[c][images])
            torch.addmm(
                rows[images].flatten(0, 1), windows, one.weights[c], alpha=-1,
                out=out[start : start + n].flatten(0, 1),
            )  # fmt: skip
            start += n
        return out[:, 0] if z.ndim == 2 else out.unflatten(1, z.shape[2:]).permute(0, 3, 1, 2)

    def _replaced(self, values: Tensor, without: Tensor, image: Tensor, channel: Tensor) -> Tensor:
        """The values of the pairs, with each one's channel as it is when switched off. May overwrite."""
        pairs = torch.arange(len(image), device=image.device)
        if values.ndim == 2:
            blocks = values.unflatten(1, (self.channels, -1))
            blocks[pairs, channel] = without.unflatten(1, (self.channels, -1))[image, channel]
            return values
        values[pairs, channel] = without[image, channel]
        return values


@torch.inference_mode()
def channel_removal(module: nn.Module, layer: str, inputs: Tensor) -> ChannelRemoval | None:
    """Cut a network at a layer; None where that is not possible or does not give the network's own answers.

    It is tried on some channels, against the network with the channel switched off.

    Args:
        layer: Whose output's channels are switched off.
        inputs: (N, C, H, W), a few images.
    """
    graph = traced(module)
    sites = graph.steps_of(layer) if graph else []
    if graph is None or len(sites) != 1:
        return None
    try:
        removal = ChannelRemoval(graph, sites[0], inputs)
        expected = module(inputs)
        for instead in (0.0, 0.5):
            if not _close(removal.begin(inputs, instead), expected):
                return None
            if not _is_right(removal, module, layer, inputs, instead):
                return None
    except CANNOT_FOLLOW as error:
        if is_device_fault(error):
            raise
        return None
    return removal


def _is_right(removal: ChannelRemoval, module: nn.Module, layer: str, inputs: Tensor, instead: float) -> bool:
    """Whether a few channels from the first to the last, all in one batch, give what they should."""
    some = sorted({round(i * (removal.channels - 1) / 5) for i in range(6)})
    expected = []
    for c in some:

        def off(output: Tensor, c: int = c) -> Tensor:
            output[:, c] = instead
            return output

        with altered(module, {layer: off}):
            expected.append(module(inputs))
    image = torch.arange(len(inputs), device=inputs.device).repeat(len(some))
    channel = torch.tensor(some, device=inputs.device).repeat_interleave(len(inputs))
    return _close(removal._answers(image, channel), torch.cat(expected))


def _close(found: Tensor, expected: Tensor) -> bool:
    apart = float((found - expected).abs().max())
    return found.shape == expected.shape and apart <= REMOVAL_TOLERANCE * max(
        1.0, float(expected.abs().max())
    )
