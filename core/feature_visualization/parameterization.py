"""What gradient ascent moves instead of pixels: a spectrum whose colors are decorrelated, or the pixels.

Neighboring pixels of photos are alike and so are their three colors. Steps in coordinates where nothing is
alike (the Fourier transform over space, whitening over colors) reach smooth pictures instead of noise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from core.errors import ConvoscopeError

# Shares of full brightness are moved this far off 0 and 1, where the logit has no end.
OFF_THE_ENDS = 0.02


class NoPixels(ConvoscopeError):
    """No pictures to take the colors' statistics from."""

    def __init__(self) -> None:
        super().__init__("There are no pictures to learn colors from: give at least one with two colors.")


@dataclass(frozen=True, eq=False)
class Colors:
    """How the colors of some pictures are distributed, as logits of their shares of full brightness.

    Attributes:
        mean: (C,) float64
        root: (C, C) the symmetric square root of the covariance: from independent coordinates to colors.
        whitening: (C, C) its inverse: pictures' logits less `mean`, times this, have the identity for their
            covariance.
    Source:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, doi:10.23915/distill.00007; the
        matrix is computed here from pictures, ZCA whitening of their logits.
    """

    mean: np.ndarray
    root: np.ndarray
    whitening: np.ndarray


def colors_of(pictures: Iterable[np.ndarray]) -> Colors:
    """The statistics of (H, W, C) uint8 pictures, every picture with the same weight.

    Raises:
        NoPixels: There are none, or all are of one color.
    """
    means, squares = [], []
    for picture in pictures:
        values = logits_of(picture).reshape(-1, picture.shape[-1])
        means.append(values.mean(0))
        squares.append(values.T @ values / len(values))
    if not means:
        raise NoPixels
    mean = np.mean(means, axis=0)
    covariance = np.mean(squares, axis=0) - np.outer(mean, mean)
    variances, axes = np.linalg.eigh(covariance)
    if variances[-1] < 1e-6:
        raise NoPixels
    # Gray pictures with three channels have no variance between them; a trace of it keeps the inverse finite.
    roots = np.sqrt(np.maximum(variances, 1e-4 * variances[-1]))
    return Colors(mean, (axes * roots) @ axes.T, (axes / roots) @ axes.T)


def logits_of(pixels: np.ndarray) -> np.ndarray:
    """Logits of shares of full brightness: uint8 to float64 of the same shape."""
    share = OFF_THE_ENDS + (1 - 2 * OFF_THE_ENDS) * (pixels / 255.0)
    return np.log(share / (1 - share))


class Parameters(Protocol):
    """What an optimizer moves, and the picture that it stands for."""

    moved: Tensor

    def picture(self) -> Tensor:
        """(C, H, W) float32 from 0 to 1, differentiable with respect to `moved`."""

    def settle(self) -> None:
        """After every step: bring back what left the range."""


class Fourier:
    """A real spectrum with the same importance at every frequency, whitened colors, and a sigmoid.

    The picture is sigmoid(mean + root · irfft2(scale · spectrum)). `scale` falls as 1 / frequency**decay, as
    that of photos does, and has the root mean square 1, so that a standard normal spectrum has about unit
    variance in every pixel.

    Shape:
        moved: (C, H, W // 2 + 1, 2) float32, real and imaginary parts
    """

    def __init__(
        self,
        size: tuple[int, int],
        colors: Colors,
        *,
        decay: float = 1.0,
        device: torch.device | None = None,
    ) -> None:
        self.size = size
        channels = len(colors.mean)
        self.scale = frequency_scale(size, decay).to(device)
        self.mean = torch.tensor(colors.mean, dtype=torch.float32, device=device)[:, None, None]
        self.root = torch.tensor(colors.root, dtype=torch.float32, device=device)
        self._whitening = torch.tensor(colors.whitening, dtype=torch.float32, device=device)
        self.moved = torch.zeros((channels, *self.scale.shape, 2), device=device, requires_grad=True)

    def start_from_noise(self, generator: torch.Generator, strength: float) -> None:
        """A random spectrum; `strength` is about the pixels' deviation as a share of real pictures'."""
        noise = torch.randn(self.moved.shape, generator=generator) * strength
        with torch.no_grad():
            self.moved.copy_(noise)

    def start_from_picture(self, pixels: np.ndarray) -> None:
        """The spectrum of an (H, W, C) uint8 picture; its darkest and lightest parts lose a little."""
        logits = torch.from_numpy(logits_of(pixels)).float().permute(2, 0, 1).to(self.moved.device)
        white = torch.einsum("ij,jhw->ihw", self._whitening, logits - self.mean)
        spectrum = torch.fft.rfft2(white, norm="ortho") / self.scale
        with torch.no_grad():
            self.moved.copy_(torch.view_as_real(spectrum))

    def white(self) -> Tensor:
        """(C, H, W) the pixels in independent coordinates, before colors and sigmoid."""
        return torch.fft.irfft2(torch.view_as_complex(self.moved) * self.scale, s=self.size, norm="ortho")

    def picture(self) -> Tensor:
        return torch.sigmoid(self.mean + torch.einsum("ij,jhw->ihw", self.root, self.white()))

    def settle(self) -> None:
        pass


class Pixels:
    """The pixels themselves, as they go into the network: in units of its normalization.

    Shape:
        moved: (C, H, W) float32
    """

    def __init__(
        self, size: tuple[int, int], mean: Iterable[float], std: Iterable[float],
        device: torch.device | None = None,
    ) -> None:  # fmt: skip
        self.mean = torch.tensor(list(mean), device=device)[:, None, None]
        self.std = torch.tensor(list(std), device=device)[:, None, None]
        self.moved = torch.zeros((len(self.mean), *size), device=device, requires_grad=True)

    def start_from_noise(self, generator: torch.Generator, strength: float) -> None:
        """Independent pixels around middle gray, uniform and `strength` of the whole range wide."""
        share = 0.5 + strength * (torch.rand(self.moved.shape, generator=generator) - 0.5)
        self._set(share)

    def start_from_picture(self, pixels: np.ndarray) -> None:
        """An (H, W, C) uint8 picture."""
        self._set(torch.from_numpy(pixels / 255.0).float().permute(2, 0, 1))

    def _set(self, share: Tensor) -> None:
        with torch.no_grad():
            self.moved.copy_((share.to(self.moved.device) - self.mean) / self.std)

    def picture(self) -> Tensor:
        return self.mean + self.std * self.moved

    def settle(self) -> None:
        with torch.no_grad():
            self._set(self.picture().clamp(0, 1))


def frequency_scale(size: tuple[int, int], decay: float) -> Tensor:
    """How strongly each frequency counts, with the root mean square 1 over the whole spectrum.

    The constant and the lowest frequency count alike: 1 / max(frequency, 1 / longer side)**decay.

    Shape:
        returns: (H, W // 2 + 1) float32
    """
    height, width = size
    rows = np.fft.fftfreq(height)[:, None]
    whole = np.maximum(np.hypot(rows, np.fft.fftfreq(width)[None]), 1 / max(size)) ** -decay
    scale = whole[:, : width // 2 + 1] / np.sqrt((whole**2).mean())
    return torch.from_numpy(scale).float()
