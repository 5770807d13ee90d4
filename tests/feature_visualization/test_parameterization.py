"""The spectrum and the colors that gradient ascent moves, against NumPy's transforms."""

import numpy as np
import pytest
import torch

from core.feature_visualization.parameterization import (
    Colors,
    Fourier,
    NoPixels,
    Pixels,
    colors_of,
    frequency_scale,
    logits_of,
)


def pictures(channels: int = 3, n: int = 4) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(channels, channels)) + np.eye(channels)
    return [
        np.clip(128 + 40 * generator.normal(size=(9, 11, channels)) @ mixing, 0, 255).astype(np.uint8)
        for _ in range(n)
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_whitening_makes_the_covariance_the_identity(channels: int) -> None:
    colors = colors_of(pictures(channels))
    values = np.concatenate([logits_of(p).reshape(-1, channels) for p in pictures(channels)])
    white = (values - colors.mean) @ colors.whitening.T
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(channels), atol=1e-9)
    np.testing.assert_allclose(colors.root @ colors.root, np.cov(values.T, bias=True), rtol=1e-9)


def test_gray_pictures_with_three_channels_have_a_finite_inverse() -> None:
    colors = colors_of([np.repeat(p, 3, axis=2) for p in pictures(1)])
    assert np.isfinite(colors.whitening).all()
    np.testing.assert_allclose(colors.root @ colors.whitening, np.eye(3), atol=1e-9)


def test_pictures_of_one_color_are_refused() -> None:
    for none in ([], [np.full((4, 4, 3), 7, np.uint8)]):
        with pytest.raises(NoPixels, match="give at least one with two colors"):
            colors_of(none)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (28, 28)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_the_picture_is_the_inverse_transform_of_the_scaled_spectrum(
    size: tuple[int, int], decay: float
) -> None:
    colors = colors_of(pictures())
    fourier = Fourier(size, colors, decay=decay)
    fourier.start_from_noise(torch.Generator().manual_seed(1), 0.7)
    spectrum = fourier.moved.detach().double().numpy()
    spectrum = spectrum[..., 0] + 1j * spectrum[..., 1]
    scaled = spectrum * frequency_scale(size, decay).double().numpy()
    white = np.fft.irfft2(scaled, s=size, norm="ortho")
    logits = colors.mean[:, None, None] + np.einsum("ij,jhw->ihw", colors.root, white)
    np.testing.assert_allclose(fourier.picture().detach().numpy(), 1 / (1 + np.exp(-logits)), atol=2e-6)


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_the_gradient_of_the_spectrum_is_the_slope(size: tuple[int, int]) -> None:
    fourier = Fourier(size, colors_of(pictures()), decay=1.0)
    for name in ("scale", "mean", "root"):
        setattr(fourier, name, getattr(fourier, name).double())
    start = torch.randn(fourier.moved.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def picture(moved: torch.Tensor) -> torch.Tensor:
        fourier.moved = moved
        return fourier.picture()

    assert torch.autograd.gradcheck(picture, (start.requires_grad_(),))


def test_scale_falls_as_a_power_of_the_frequency_and_has_unit_power() -> None:
    scale = frequency_scale((16, 16), 1.5).numpy()
    np.testing.assert_allclose(scale[0, 2] / scale[0, 4], 2**1.5, rtol=1e-5)
    assert scale[0, 0] == scale[0, 1]  # the constant counts as the lowest frequency
    whole = np.concatenate([scale, scale[:, 1:8]], axis=1)  # the mirrored half
    np.testing.assert_allclose((whole**2).mean(), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["fourier", "pixels"])
@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_a_picture_goes_in_and_comes_out_again(kind: str, size: tuple[int, int]) -> None:
    given = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    parameters: Fourier | Pixels
    if kind == "fourier":
        parameters = Fourier(size, colors_of(pictures()))
    else:
        parameters = Pixels(size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.2))
    parameters.start_from_picture(given)
    found = 255 * parameters.picture().detach().permute(1, 2, 0).numpy()
    # The Fourier picture has the ends moved in by 2 %, since a sigmoid never gets there.
    expected = 255 * (0.02 + 0.96 * given / 255) if kind == "fourier" else given
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_pixels_are_brought_back_into_range() -> None:
    pixels = Pixels((2, 2), (0.5,), (0.25,))
    with torch.no_grad():
        pixels.moved.fill_(9.0)
    pixels.settle()
    np.testing.assert_allclose(pixels.picture().detach().numpy(), 1.0)


def test_colors_are_a_value_of_their_own() -> None:
    identity = Colors(np.zeros(1), np.eye(1), np.eye(1))
    np.testing.assert_allclose(Fourier((4, 4), identity).picture().detach().numpy(), 0.5)
