"""Sutures: drawn pictures of a practice pad, with the truth about every pixel."""

import hashlib
import math
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.lib.format import open_memmap

from core.data.dataset import ImageDataset, Split
from core.data.sets import datasets
from core.errors import SettingError
from core.paths import home
from core.progress import Progress, no_progress
from core.settings import Range

CLASS_NAMES = ("uneven", "even")
MASKS = ("grid", "wound", "stitches")
MAXIMUM_BYTES = 2 * 2**30
_VERSION = 1  # of the drawing: pictures on disk from another one are not used
_FINE = 4  # shapes are drawn this much larger, then averaged down to smooth edges
_VISIBLE = 0.3  # share of a pixel that a shape must cover to count in its mask
# Spacing of the grid's lines as a share of the picture's side: the two do not overlap.
_SPACINGS = {"wide": (0.125, 0.145), "narrow": (0.080, 0.095)}


@datasets.register("sutures", title="Sutures", order=40)
def sutures(
    *,
    images: Annotated[int, Range(40, 20_000, 20)] = 4000,
    size: Annotated[int, Range(32, 256, 16), "pixels"] = 64,
    grid_leak: Annotated[float, Range(0, 1, 0.05)] = 0.0,
    unevenness: Annotated[float, Range(0.1, 1, 0.05)] = 1.0,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    progress: Progress = no_progress,
) -> ImageDataset:
    """Drawn stitches on a practice pad: are they even? Masks show where grid, wound and stitches are.

    Even stitches have equal gaps, lengths and angles. The grid printed on the pad is narrow or wide; at a
    leak of 0 that means nothing, at 1 it says the label as well as the stitches do. The split "swapped" is
    the test set with the other grid under the same stitches: a network that looked at the grid fails there.

    Args:
        images: The number of images to train on; a quarter as many are for the test. Half are even.
        size: The side of the square images.
        grid_leak: The share of the images whose grid follows the label (narrow means even); the grid of the
            others is drawn at random.
        unevenness: How far uneven stitches stray: at 1 everyone sees it, at 0.3 one has to measure.
        seed: The seed of the drawings.
    Raises:
        SettingError: So many so large pictures would fill the disk.
    Shape:
        masks: "grid", "wound", "stitches", each (N, size, size) bool: what is visible there, without overlap
    Example:
        >>> found = sutures(images=40, size=32)
        >>> found.splits["train"].images.shape, found.class_names
        ((40, 32, 32, 3), ('uneven', 'even'))
    """
    length = (images + 2 * (images // 4)) * size * size * (3 + len(MASKS))
    if length > MAXIMUM_BYTES:
        raise SettingError(
            f"{images} images of {size} × {size} pixels with their masks take {length / 2**30:.1f} GB; up to "
            f"{MAXIMUM_BYTES // 2**30} GB are drawn. Choose fewer or smaller ones."
        )
    key = f"{_VERSION} {images} {size} {grid_leak!r} {unevenness!r} {seed}"
    folder = home("data", "drawn") / f"sutures-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        _draw_all(folder, images, size, grid_leak, unevenness, seed, progress)
    return ImageDataset(
        name="sutures",
        title="Sutures",
        class_names=CLASS_NAMES,
        splits={name: _load(folder / name) for name in ("train", "test", "swapped")},
        source="drawn by Convoscope",
        license="MIT",
        note="The split “swapped” shows the test set's stitches on the other kind of grid.",
        single_logit=True,
    )


# From places along and across the wound to points of the picture, (…, 2) x, y of 0…1.
Placed = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Stitch:
    """One stitch: its place along the wound (−1…1), half its length (picture's sides), its lean (radians)."""

    place: float
    reach: float
    angle: float


def draw_suture(
    label: int, grid: str, size: int, rng: np.random.Generator, unevenness: float = 1.0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One picture and its masks. With equal state of `rng`, two grids differ in the grid alone.

    Shape:
        returns: (size, size, 3) uint8; {"grid", "wound", "stitches"}: (size, size) bool
    """
    pad_rng, grid_rng = rng.spawn(2)
    turn = rng.normal(0, math.radians(7)) + (math.pi if rng.random() < 0.5 else 0)
    middle = np.array([0.5, 0.5]) + rng.uniform(-0.03, 0.03, 2)
    half, bend = rng.uniform(0.30, 0.36), rng.uniform(-0.03, 0.03)
    stitches = _stitches(label, rng, unevenness)

    def at(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Points given along the wound (−1…1) and across it (sides of the picture), as (…, 2) x, y."""
        x, y = np.asarray(along) * half, np.asarray(across) + bend * (1 - np.asarray(along) ** 2)
        return middle + np.stack(
            [x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], -1
        )

    picture, inside = _pad(size, turn, middle, pad_rng)
    lines = _grid(size, grid, turn + pad_rng.normal(0, math.radians(2)), grid_rng) * inside
    cut, lips = _wound(size, at, stitches, rng)
    thread, shadow, holes = _thread(size, at, stitches, half, rng)

    ink = np.array([[70, 78, 110], [60, 60, 70], [96, 70, 60]][rng.integers(3)], np.float32)
    picture = _over(picture, lines, ink, 0.62)
    picture = _over(picture, lips, picture.mean((0, 1)) * [0.98, 0.62, 0.58], 0.55)
    picture = _over(picture, cut, np.array([112, 18, 24], np.float32) * rng.uniform(0.8, 1.2), 0.92)
    picture = _over(picture, shadow, np.array([30, 16, 14], np.float32), 0.30)
    picture = _over(picture, holes, np.array([70, 24, 22], np.float32), 0.75)
    color = np.array([[28, 34, 92], [22, 22, 26], [66, 24, 92], [18, 70, 66]][rng.integers(4)], np.float32)
    picture = _over(picture, thread, color, 0.96)
    picture += rng.normal(0, 3.0, (size, size, 1)) + rng.normal(0, 1.2, (size, size, 3))

    stitched = thread > _VISIBLE
    wounded = (np.maximum(cut, lips) > _VISIBLE) & ~stitched
    ruled = (lines > _VISIBLE) & ~stitched & ~wounded
    masks = {"grid": ruled, "wound": wounded, "stitches": stitched}
    return picture.round().clip(0, 255).astype(np.uint8), masks


def _stitches(label: int, rng: np.random.Generator, unevenness: float) -> list[Stitch]:
    """Equal gaps, lengths and angles but for a steady hand's error; or not."""
    count = int(rng.integers(5, 8))
    gap, reach, angle = 1.7 / (count - 1), rng.uniform(0.085, 0.115), rng.normal(0, math.radians(6))
    steady = np.array([0.03, 0.03, math.radians(1.5)])
    unsteady = steady if label else np.maximum(steady, unevenness * np.array([0.28, 0.24, math.radians(13)]))

    def errors(spread: float) -> np.ndarray:
        values = np.clip(rng.normal(0, 1, count), -1.8, 1.8)
        return values * spread / max(0.6, float(values.std()))  # no picture is uneven in name only

    places = np.linspace(-0.85, 0.85, count) + errors(unsteady[0]) * gap
    places = np.clip(np.sort(places), -0.97, 0.97)
    reaches = reach * (1 + errors(unsteady[1]))
    angles = angle + errors(unsteady[2])
    return [Stitch(*map(float, values)) for values in zip(places, reaches, angles, strict=True)]


def _pad(
    size: int, turn: float, middle: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A skin-colored pad on a cloth, lit from one side: (size, size, 3); and where it is: (size, size)."""
    cloth = np.array([[46, 92, 98], [52, 84, 70], [64, 76, 100]][rng.integers(3)], np.float32)
    skin = np.array([[232, 190, 160], [214, 164, 130], [238, 204, 182], [186, 134, 102]][rng.integers(4)])
    skin = (skin * rng.uniform(0.92, 1.05)).astype(np.float32)
    corners = cv2.boxPoints(
        (
            tuple(((middle - 0.5) * 0.5 + 0.5).tolist()),
            rng.uniform(0.90, 0.98, 2).tolist(),
            math.degrees(turn),
        )
    )
    inside = _smooth(_polygon(corners, size), size)
    inside = cv2.GaussianBlur(inside, (0, 0), size / 160)
    mottle = sum(
        cv2.resize(rng.normal(0, 1, (n, n)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        * strength
        for n, strength in ((3, 4.0), (9, 2.2), (24, 1.4))
    )
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    towards = rng.uniform(0, 2 * math.pi)
    light = 1 + rng.uniform(0.06, 0.16) * (x * math.cos(towards) + y * math.sin(towards)) * 2
    light *= 1 - 0.35 * np.clip(np.hypot(x, y) - 0.35, 0, None)
    colors = cloth + inside[..., None] * (skin - cloth) + np.asarray(mottle)[..., None]
    return colors * light[..., None], inside


def _grid(size: int, kind: str, turn: float, rng: np.random.Generator) -> np.ndarray:
    """Printed lines in both directions: (size, size), the share of each pixel that is ink."""
    spacing = rng.uniform(*_SPACINGS[kind])
    offsets = rng.uniform(0, 1, 2)
    width = max(1, round(0.0105 * size * _FINE))
    canvas = np.zeros((size * _FINE, size * _FINE), np.uint8)
    steps = np.arange(-math.ceil(1 / spacing), math.ceil(1 / spacing) + 1)
    for direction, offset in zip((turn, turn + math.pi / 2), offsets, strict=True):
        along = np.array([math.cos(direction), math.sin(direction)])
        normal = np.array([-along[1], along[0]])
        for step in steps:
            start = 0.5 + normal * (step + offset) * spacing
            ends = np.stack([start - along, start + along]) * size * _FINE
            cv2.line(canvas, _point(ends[0]), _point(ends[1]), 255, width)
    return _smooth(canvas, size)


def _wound(
    size: int, at: Placed, stitches: list[Stitch], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The cut, gaping between the stitches that hold it, and its swollen lips: two (size, size) shares."""
    along = np.linspace(-1, 1, 60)
    taper = np.sqrt(np.clip(1 - along**2, 0, 1))
    held = np.min([np.abs(along - stitch.place) for stitch in stitches], axis=0)
    width = rng.uniform(0.009, 0.014) + 0.055 * np.clip(held, 0, 0.35)
    shapes = []
    for extra, ragged in ((0.0, 0.0015), (rng.uniform(0.012, 0.018), 0.002)):
        upper = (width + extra) * taper + rng.normal(0, ragged, 60)
        lower = (width + extra) * taper + rng.normal(0, ragged, 60)
        outline = np.concatenate([at(along, -upper), at(along[::-1], lower[::-1])])
        shapes.append(_smooth(_polygon(outline, size), size))
    return shapes[0], shapes[1]


def _thread(
    size: int, at: Placed, stitches: list[Stitch], half: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Threads with knots and tails, their shadow, and the holes of the needle: three (size, size) shares."""
    side = size * _FINE
    thread, holes = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    width = max(2, round(rng.uniform(0.019, 0.024) * side))
    knots = rng.choice([-1.0, 1.0])
    for stitch in stitches:
        lean = math.tan(stitch.angle) * stitch.reach / half
        ends = at(
            np.array([stitch.place - lean, stitch.place + lean]), np.array([-stitch.reach, stitch.reach])
        )
        cv2.line(thread, _point(ends[0] * side), _point(ends[1] * side), 255, width)
        for end in ends:
            cv2.circle(holes, _point(end * side), round(0.9 * width), 255, -1)
        knot = ends[0] + (ends[1] - ends[0]) * (0.5 + 0.34 * knots)
        cv2.circle(thread, _point(knot * side), round(0.95 * width), 255, -1)
        for turn in rng.uniform(-0.5, 0.5, 2) + np.array([0.35, 0.65]) * math.pi:
            outwards = (ends[1] - ends[0]) * knots
            outwards = outwards / np.hypot(*outwards)
            spin = np.array([[math.sin(turn), -math.cos(turn)], [math.cos(turn), math.sin(turn)]])
            tail = knot + spin @ outwards * rng.uniform(0.035, 0.055)
            cv2.line(thread, _point(knot * side), _point(tail * side), 255, max(1, width // 2))
    shadow = np.zeros_like(thread)
    right, down = round(0.010 * side), round(0.014 * side)
    shadow[down:, right:] = thread[:-down, :-right]
    blurred = cv2.GaussianBlur(_smooth(shadow, size), (0, 0), size / 90)
    return _smooth(thread, size), blurred, _smooth(holes, size)


def _polygon(points: np.ndarray, size: int) -> np.ndarray:
    canvas = np.zeros((size * _FINE, size * _FINE), np.uint8)
    cv2.fillPoly(canvas, [np.round(np.asarray(points) * size * _FINE).astype(np.int32)], 255)
    return canvas


def _point(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _smooth(canvas: np.ndarray, size: int) -> np.ndarray:
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _over(picture: np.ndarray, share: np.ndarray, color: np.ndarray, opacity: float) -> np.ndarray:
    cover = share[..., None] * opacity
    return picture * (1 - cover) + color * cover


def _draw_all(
    folder: Path, images: int, size: int, leak: float, unevenness: float, seed: int, progress: Progress
) -> None:
    making = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    counts = {"train": images, "test": max(10, images // 4), "swapped": max(10, images // 4)}
    done = 0
    try:
        for name, count in counts.items():
            part = making / name
            part.mkdir(parents=True)
            labels = np.arange(count, dtype=np.int64) % 2
            pixels = open_memmap(part / "images.npy", "w+", np.uint8, (count, size, size, 3))
            masks = {m: open_memmap(part / f"{m}.npy", "w+", bool, (count, size, size)) for m in MASKS}
            for i, label in enumerate(labels):
                # "swapped" draws what "test" drew, on the other grid.
                rng = np.random.default_rng([seed, name == "train", i])
                follows, lot = rng.random() < leak, rng.integers(2)
                narrow = (label if follows else lot) ^ (name == "swapped")
                pixels[i], drawn = draw_suture(
                    int(label), "narrow" if narrow else "wide", size, rng, unevenness
                )
                for mask in MASKS:
                    masks[mask][i] = drawn[mask]
                done += 1
                if done % 50 == 0:
                    progress(done / sum(counts.values()), f"Drawing picture {done:,}")
            np.save(part / "labels.npy", labels)
            for array in (pixels, *masks.values()):
                array.flush()
        try:
            making.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, with the same pictures
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _load(folder: Path) -> Split:
    return Split(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "labels.npy"),
        masks={mask: np.load(folder / f"{mask}.npy", mmap_mode="r") for mask in MASKS},
    )
