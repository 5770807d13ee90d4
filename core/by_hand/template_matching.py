"""Convolution as similarity: how like a patch is every place of a photo? And the kernels everybody knows."""

from dataclasses import dataclass

import numpy as np

from core.by_hand.conv_arithmetic import forward
from core.by_hand.conv_layer import Layer
from core.errors import ConvoscopeError, UnknownName


class BadTemplate(ConvoscopeError):
    """A template that cannot be matched: larger than the photo, or empty."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A known kernel with its title and what it shows."""

    name: str
    title: str
    values: np.ndarray
    note: str


def gray(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as (H, W) float64 of 0…1: 0.299 R + 0.587 G + 0.114 B."""
    return pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255


def match(image: np.ndarray, template: np.ndarray, *, normalized: bool = True) -> np.ndarray:
    """Similarity of the template to every place of the image where it fits.

    Raw, it is the convolution with the template as the kernel, Σ image · template: any bright place wins.
    Normalized, both have their mean taken off and are divided by their length, so that 1 is the same up to
    brightness and contrast, −1 its negative; where either is constant it is 0.

    Shape:
        image: (H, W)
        template: (h, w)
        returns: (H − h + 1, W − w + 1)
    Raises:
        BadTemplate: The template is larger than the image.
    Source:
        Lewis 1995, "Fast Normalized Cross-Correlation".
    """
    if template.size == 0 or template.shape[0] > image.shape[0] or template.shape[1] > image.shape[1]:
        raise BadTemplate(
            f"The template has {template.shape[0]} × {template.shape[1]} pixels, the image "
            f"{image.shape[0]} × "
            f"{image.shape[1]}: choose a patch of at least one pixel that fits into it."
        )
    if not normalized:
        return _correlate(image, template)
    image = image - image.mean()  # the result does not depend on it, and the sums lose fewer digits
    centered = template - template.mean()
    ones = np.ones_like(template)
    sums, squares = _correlate(image, ones), _correlate(image**2, ones)
    spread = np.maximum(squares - sums**2 / template.size, 0) * (centered**2).sum()
    found = _correlate(image, centered)
    flat = spread <= 1e-12 * template.size**2
    return np.where(flat, 0.0, np.clip(found / np.sqrt(np.where(flat, 1, spread)), -1, 1))


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The image under a kernel, as large as it was, its edge repeated outwards.

    Shape:
        image: (H, W)
        kernel: (k, k)
        returns: (H, W)
    """
    size = (kernel.shape[0], kernel.shape[1])
    layer = Layer(kernel_size=size, padding="same", padding_mode="replicate")
    return forward(layer, image[None], kernel[None, None])[0]


def gabor(
    angle: float = 45.0, wavelength: float = 6.0, side: int = 11, sigma: float = 2.5, phase: float = 0.0
) -> np.ndarray:
    """A wave under a bell: what the first layer of almost every trained network has.

    Args:
        angle: Direction in which the wave changes, in degrees, 0 being to the right.
        wavelength: Pixels from crest to crest.
        sigma: Width of the bell in pixels.
        phase: In degrees; 0 has a crest in the middle, 90 an edge.
    Shape:
        returns: (side, side), with the sum 0
    Source:
        Gabor 1946, "Theory of Communication"; Daugman 1985 in two dimensions.
    """
    half = (side - 1) / 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    turned = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    bell = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    wave = bell * np.cos(2 * np.pi * turned / wavelength + np.radians(phase))
    return wave - bell * wave.sum() / bell.sum()


def gaussian(side: int = 5, sigma: float = 1.0) -> np.ndarray:
    """A bell with the sum 1.

    Shape:
        returns: (side, side)
    """
    half = (side - 1) / 2
    row = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    return np.outer(row, row) / row.sum() ** 2


def kernels() -> list[Kernel]:
    """The known kernels, in the order of the list on the page."""
    sobel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    return [
        Kernel("sobel_x", "Sobel: vertical edges", sobel, "Right minus left: 0 on even areas."),
        Kernel("sobel_y", "Sobel: horizontal edges", sobel.T.copy(), "Below minus above."),
        Kernel(
            "edge",
            "Edges all around (Laplace)",
            np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
            "The middle against its eight neighbors; the sum is 0, so even areas vanish.",
        ),
        Kernel("box", "Blur: mean of 5 × 5", np.full((5, 5), 1 / 25), "Every neighbor counts the same."),
        Kernel("gaussian", "Blur: Gaussian", gaussian(7, 1.5), "Near neighbors count more; no corners show."),
        Kernel(
            "sharpen",
            "Sharpen",
            np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
            "The picture plus its edges; the sum is 1, so the brightness stays.",
        ),
        Kernel(
            "emboss", "Emboss", np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]]), "Light from one corner."
        ),
        Kernel("gabor", "Gabor, 45°", gabor(), "Stripes of one direction and width, as first layers learn."),
        Kernel("gabor_edge", "Gabor, 0°, edge", gabor(0, 8, phase=90), "The same wave, a quarter shifted."),
        Kernel(
            "identity",
            "Nothing at all",
            np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]),
            "A good place to start.",
        ),
    ]


def kernel(name: str) -> Kernel:
    """The known kernel of that name.

    Raises:
        UnknownName: There is none.
    """
    found = {k.name: k for k in kernels()}
    if name not in found:
        raise UnknownName("kernel", name, found)
    return found[name]


def _correlate(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Σ image · template wherever it fits, through the Fourier transform."""
    shape = image.shape
    product = np.fft.rfft2(image) * np.conj(np.fft.rfft2(template, shape))
    whole = np.fft.irfft2(product, shape)
    return whole[: shape[0] - template.shape[0] + 1, : shape[1] - template.shape[1] + 1]
