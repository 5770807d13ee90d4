"""A classifier: a module with its card. Pixels in, logits and probabilities out, on the device there is."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from core.compute.batch_size import BatchSize
from core.compute.convolution import fast_convolutions, nothing_measured
from core.compute.memory_layout import best_layout
from core.compute.precision import full_float32
from core.compute.threads import side_by_side
from core.errors import BadCheckpoint, BadImage, OutOfMemory
from core.models.card import ModelCard
from core.progress import Progress, no_progress

log = logging.getLogger(__name__)

FEWEST_IMAGES_PER_THREAD = 8
# So many times the passes that a call costs by itself make it worth to call once for each thread.
PASSES_FOR_THE_PRICE_OF_A_CALL = 10

# For so many images nothing is measured first: somebody waits for the answer about one, or for a first map.
MOST_UNMEASURED_IMAGES = 16


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def short_floats(device: torch.device) -> torch.dtype | None:
    """The 16-bit floats that the device multiplies faster than 32-bit ones; None where there are none."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        if able.get("avx512_bf16") or able.get("amx_bf16"):
            return torch.bfloat16
    return None


@dataclass(eq=False)
class Classifier:
    """A module in evaluation mode on its device, and the card that says what goes in and comes out.

    A network with a single logit z is a two-class classifier with the logits (−z/2, z/2): their softmax is
    (1 − sigmoid(z), sigmoid(z)), and both classes can be explained.

    Attributes:
        fingerprint: A hash of weights and card; what is computed with it is stored under it.
        layout: The order of maps in memory; where it is not given, channels last if the network can do with
            that.
    """

    module: nn.Module
    card: ModelCard
    device: torch.device = field(default_factory=best_device)
    fingerprint: str = ""
    layout: torch.memory_format | None = None

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        if self.device.type != "cpu":
            full_float32()
        # Faster on CPUs (depthwise convolutions most) and on GPUs with tensor cores.
        self.module.to(device=self.device).to(memory_format=torch.channels_last)
        preprocessing = self.card.preprocessing
        # Moved once: every copy to a GPU keeps it waiting.
        self._mean_and_std = torch.tensor((preprocessing.mean, preprocessing.std), device=self.device)
        if self.layout is None:
            fast_convolutions(self.module)
            example = torch.zeros(1, preprocessing.channels, *preprocessing.input_size, device=self.device)
            self.layout = best_layout(self.module, example)
        self.module.to(memory_format=self.layout)
        self._size = BatchSize()
        self._memory_limit = 1 << 30

    @property
    def number_of_classes(self) -> int:
        return self.card.number_of_classes

    def inputs(self, images: np.ndarray | Tensor) -> Tensor:
        """Normalized input of the module.

        Shape:
            images: (N, H, W, C) uint8, as `core.data.preprocessing.fit` makes them, or floats of 0…255
            returns: (N, C, H, W) float32 on the device, channels last in memory where the network can do
                with that

        Raises:
            BadImage: The images are not of the card's size.
        """
        preprocessing = self.card.preprocessing
        expected = (*preprocessing.input_size, preprocessing.channels)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise BadImage(
                f"The images have the shape {tuple(images.shape)}; {self.card.name} takes "
                f"(N, {', '.join(map(str, expected))}): cut them with core.data.preprocessing.fit first."
            )
        if isinstance(images, np.ndarray) and not images.flags.writeable:
            images = images.copy()  # stored answers and memory maps; PyTorch wants to own what it reads
        pixels = torch.as_tensor(images).to(self.device)
        # As `core.data.preprocessing.normalized`, but whole rows of W·C values at a time, in place: a loop
        # over three channels takes as long as a layer.
        n, height, width, channels = pixels.shape
        mean, std = self._mean_and_std.repeat(1, width)
        rows = pixels.reshape(n, height, width * channels).to(torch.float32)
        rows = (rows / 255).sub_(mean).div_(std)
        # (N, C, H, W), whose memory is already channels last
        return (
            rows.view(n, height, width, channels)
            .permute(0, 3, 1, 2)
            .contiguous(memory_format=self.layout or torch.channels_last)
        )

    def logits(self, inputs: Tensor) -> Tensor:
        """The module's answer to normalized input, differentiable.

        Shape:
            inputs: (N, C, H, W) float32
            returns: (N, K) float32, K the number of classes
        """
        return self.as_logits(self.module(inputs))

    def as_logits(self, output: Tensor) -> Tensor:
        """(N, K) logits from the module's own output: (N, K), or (N, 1) or (N,) of a single logit."""
        output = output.float()
        if output.ndim == 1 or output.shape[1] == 1:
            half = output.reshape(-1, 1) / 2
            output = torch.cat([-half, half], dim=1)
        if output.ndim != 2 or output.shape[1] != self.number_of_classes:
            raise BadCheckpoint(
                f"{self.card.name} answers with the shape {tuple(output.shape)}, but its card names "
                f"{self.number_of_classes} classes: give the card one class name for each output."
            )
        return output

    def predict_logits(
        self,
        images: np.ndarray | Callable[[int, int], np.ndarray],
        *,
        n: int | None = None,
        progress: Progress = no_progress,
    ) -> np.ndarray:
        """Logits of many images, batch by batch.

        Args:
            images: (N, H, W, C) uint8, or a function of (start, stop) that makes that part of them, with `n`;
                several parts may be asked for at the same time.
            n: How many images there are, where `images` is a function.
            progress: Called after every batch.
        Shape:
            returns: (N, K) float32
        Raises:
            OutOfMemory: Not even one image fits.
        """
        make = images if callable(images) else lambda start, stop: images[start:stop]
        total = n if n is not None else len(images)  # type: ignore[arg-type]
        out = np.empty((total, self.number_of_classes), np.float32)

        @torch.inference_mode()
        def some(part: tuple[int, int]) -> None:
            out[slice(*part)] = self.logits(self.inputs(make(*part))).cpu().numpy()

        def answer(start: int, stop: int) -> None:
            threads = torch.get_num_threads()
            # So few that all threads should work at the same layer, or somebody waits for the first of them,
            # or each thread would pay a high price for calling the layers.
            if (
                total <= MOST_UNMEASURED_IMAGES
                or stop - start < FEWEST_IMAGES_PER_THREAD * threads
                or stop - start < PASSES_FOR_THE_PRICE_OF_A_CALL * self._size.price_of_a_call()
                or self.device.type != "cpu"
            ):
                some((start, stop))
                return
            edges = [start + (stop - start) * i // threads for i in range(threads + 1)]
            deque(side_by_side(some, pairwise(edges)), maxlen=0)

        with nothing_measured() if total <= MOST_UNMEASURED_IMAGES else nullcontext():
            self.in_batches(total, answer, progress)
        return out

    def in_batches(
        self,
        n: int,
        work: Callable[[int, int], None],
        progress: Progress = no_progress,
        *,
        cost: float = 1.0,
        largest: int | None = None,
        fewest: int = 1,
    ) -> None:
        """Do `work(start, stop)` for 0…n in batches of a tenth of a second or less, whichever are fastest.

        When the memory of the device runs out, the batch is halved and done again, and `progress` says so.

        Args:
            work: May be called again for the same part.
            cost: How many forward passes one item costs.
            largest: No batch is larger than this.
            fewest: No batch is smaller than this, as long as the memory suffices.
        Raises:
            OutOfMemory: A batch of one does not fit.
        """
        start, note = 0, ""
        while start < n:
            size = self._batch_size(cost, largest, fewest)
            stop = min(n, start + size)
            began = time.perf_counter()
            try:
                work(start, stop)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if stop - start == 1:
                    raise OutOfMemory(
                        f"Even one image at a time does not fit in the memory of {self.device} with "
                        f"{self.card.name}: choose a smaller network or image size, or another device."
                    ) from None
                self._memory_limit = (stop - start) // 2
                note = f"memory ran out at {stop - start} images a batch; going on with {self._memory_limit}"
                log.warning("%s: %s", self.card.name, note)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            self._size.took((stop - start) * cost, time.perf_counter() - began)
            start = stop
            progress(start / n, note)

    def _batch_size(self, cost: float, largest: int | None, fewest: int) -> int:
        height, width = self.card.preprocessing.input_size
        limit = max(1, min(1024, 64 * 224 * 224 // (height * width)))
        if self.device.type == "cpu":
            limit = min(limit, math.ceil(self._size.passes(limit) / cost))
        else:
            limit = int(limit / cost)
        limit = max(limit, fewest)
        return max(1, min(limit, self._memory_limit, largest or limit))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, whichever it is, had no more memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()  # the CPU's allocator and MPS raise a plain RuntimeError
    return "out of memory" in words or "can't allocate memory" in words or "not enough memory" in words
