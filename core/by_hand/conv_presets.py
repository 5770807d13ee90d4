"""Exercises to begin with: those of the CS577 course, with the right answers, and what each setting does."""

from dataclasses import dataclass

import numpy as np

from core.by_hand.conv_exercise import Exercise
from core.by_hand.conv_layer import Layer, Pair
from core.errors import UnknownName


@dataclass(frozen=True)
class Preset:
    """An exercise with its question, and the answer in words; `wrong` is a wrong answer and its reason."""

    name: str
    title: str
    question: str
    answer: str
    exercise: Exercise
    wrong: str = ""


@dataclass(frozen=True)
class SizePreset:
    """A question about sizes only: the layer, the input's (rows, columns) and the right rows."""

    name: str
    title: str
    layer: Layer
    size: Pair
    rows: int
    note: str = ""


def presets() -> list[Preset]:
    """The exercises by hand, in the order of the list on the page."""
    rgb = np.stack([np.ones((4, 4)), np.full((4, 4), 2.0), np.repeat(np.arange(1.0, 5)[:, None], 4, 1)])
    ones = np.ones((1, 3, 3, 3))
    box = Layer(in_channels=3)
    edges = np.array([[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]], [[[-1, -2, -1], [0, 0, 0], [1, 2, 1]]]], float)
    corner = np.pad(np.full((1, 3, 3), 9.0), ((0, 0), (3, 0), (3, 0)))
    counting = np.arange(1.0, 26).reshape(1, 5, 5)
    return [
        Preset(
            "valid",
            "CS577: three channels, no padding",
            "R is all 1, G all 2, B has rows 1, 2, 3, 4; the kernel is all 1. What comes out?",
            "[[45, 45], [54, 54]]: 9 from R and 18 from G everywhere; B adds 3·(1 + 2 + 3) = 18 above and "
            "3·(2 + 3 + 4) = 27 below.",
            Exercise(box, rgb, ones),
        ),
        Preset(
            "padding",
            "CS577: the same with padding 1",
            "One ring of zeros around each channel. How large is the output now, and what is in its corners?",
            "[[18, 27, 27, 18], [30, 45, 45, 30], [36, 54, 54, 36], [26, 39, 39, 26]]: as large as the "
            "input; "
            "a corner sees 4 cells of each channel, an edge 6.",
            Exercise(Layer(in_channels=3, padding=(1, 1)), rgb, ones),
        ),
        Preset(
            "dilation",
            "CS577: padding 1 and dilation 2",
            "The kernel reads every second row and column. What comes out?",
            "[[24, 24], [20, 20]]: each window meets 4 cells of each channel, R 4 and G 8. B gives "
            "2·(2 + 4) = 12 above and 2·(1 + 3) = 8 below.",
            Exercise(Layer(in_channels=3, padding=(1, 1), dilation=(2, 2)), rgb, ones),
            "The report wrote 18 and 26. Its B sums are wrong: after R 4 and G 8 they leave 6 and 14 for "
            "B, but "
            "the window reads two cells of each row it meets, rows 2 and 4 above (12) and rows 1 and 3 "
            "below (8).",
        ),
        Preset(
            "stride",
            "A stride that leaves out a row",
            "Stride 2 on 6 × 6: which row and column does no window read?",
            "⌊(6 − 3)/2⌋ + 1 = 2 rows: the windows end at row 5, and the last row and column are left over.",
            Exercise(Layer(stride=(2, 2)), np.arange(1.0, 37).reshape(1, 6, 6), np.ones((1, 1, 3, 3))),
        ),
        Preset(
            "sobel",
            "Two filters: Sobel's edges",
            "One filter for vertical edges, one for horizontal ones, over the corner of a bright square.",
            "The first answers where columns change, the second where rows do; both are 0 where nothing "
            "changes.",
            Exercise(Layer(out_channels=2), corner, edges),
        ),
        Preset(
            "pointwise",
            "1 × 1: mixing channels",
            "A 1 × 1 kernel sees one place in all channels. What does (0.5, 0.25, 0.25) make of them?",
            "A weighted mean of R, G and B at each place, here 1.25, 1.5, 1.75 and 2 down the rows; "
            "the size never changes.",
            Exercise(
                Layer(in_channels=3, kernel_size=(1, 1)), rgb, np.array([0.5, 0.25, 0.25]).reshape(1, 3, 1, 1)
            ),
        ),
        Preset(
            "depthwise",
            "Groups: one filter a channel",
            "groups = 3: each filter sees its own channel only. How many weights are left of 81?",
            "3 · 3 · 3 = 27, since each of the three filters has one channel of 3 × 3 and not three.",
            Exercise(
                Layer(in_channels=3, out_channels=3, groups=3, padding=(1, 1)),
                rgb,
                np.array([np.ones((3, 3)), [[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[-1] * 3, [0] * 3, [1] * 3]])[
                    :, None
                ],
            ),
        ),
        Preset(
            "reflect",
            "Padding that mirrors",
            "reflect mirrors the inside at the edge, without repeating the edge. What stands in the corner?",
            "7: one step in from the edge, down and across. replicate would repeat the 1, circular would "
            "wrap around to 25.",
            Exercise(Layer(padding=(1, 1), padding_mode="reflect"), counting, np.ones((1, 1, 3, 3)) / 9),
        ),
        Preset(
            "transpose",
            "Transposed: every cell stamps the kernel",
            "Stride 2: each input cell stamps the kernel, times its value, two cells further. How large "
            "is it?",
            "(3 − 1)·2 + 3 = 7 rows; where stamps overlap, they add up, which makes the checkerboard seen "
            "in generated images.",
            Exercise(
                Layer("conv_transpose", stride=(2, 2)),
                np.arange(1.0, 10).reshape(1, 3, 3),
                np.ones((1, 1, 3, 3)),
            ),
        ),
        Preset(
            "max_pool",
            "Max pooling, ceil mode",
            "2 × 2 with stride 2 on 5 × 5: what becomes of the last row?",
            "With ceil_mode the last windows stand over the edge: 3 × 3 comes out. Without it, 2 × 2: "
            "the last row and column are dropped.",
            Exercise(Layer("max_pool", kernel_size=(2, 2), stride=(2, 2), ceil_mode=True), counting),
        ),
        Preset(
            "avg_pool",
            "Average pooling, and what it divides by",
            "3 × 3, stride 2, padding 1: is the corner (1 + 2 + 6 + 7) / 9 or / 4?",
            "16/9 = 1.7778 while count_include_pad is on, PyTorch's default; 4 when it is off.",
            Exercise(Layer("avg_pool", stride=(2, 2), padding=(1, 1)), counting),
        ),
    ]


def preset(name: str) -> Preset:
    """The exercise of that name.

    Raises:
        UnknownName: There is none.
    """
    found = {p.name: p for p in presets()}
    if name not in found:
        raise UnknownName("exercise", name, found)
    return found[name]


def size_presets() -> list[SizePreset]:
    """The questions about sizes of the CS577 course."""
    layer = Layer(in_channels=32, out_channels=16, bias=True)
    padded = Layer(in_channels=32, out_channels=16, padding=(1, 1), bias=True)
    size = (128, 128)
    return [
        SizePreset("cs577", "CS577: 128 × 128 × 32, sixteen 3 × 3", layer, size, 126),
        SizePreset(
            "cs577_padding",
            "CS577: the same with zero padding 1",
            padded,
            size,
            128,
            "The report answered 126, which is the size without padding: (128 + 2·1 − 3)/1 + 1 = 128.",
        ),
        SizePreset(
            "cs577_stride",
            "CS577: stride 2",
            Layer(in_channels=32, out_channels=16, stride=(2, 2), bias=True),
            size,
            63,
        ),
        SizePreset(
            "cs577_both",
            "CS577: stride 2 and padding 1",
            Layer(in_channels=32, out_channels=16, stride=(2, 2), padding=(1, 1), bias=True),
            size,
            64,
        ),
    ]
