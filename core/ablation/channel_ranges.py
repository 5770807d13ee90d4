"""Channels as people write them: "conv1:100,200" and "conv2:0-15"."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.errors import SettingError

# Which channels, by the name of their convolution.
Channels = Mapping[str, Sequence[int] | np.ndarray]


def parse_channels(words: Sequence[str]) -> dict[str, list[int]]:
    """Channels as they are typed: "conv1:100,200" gives {"conv1": [100, 200]}; 0-15 is a range.

    Raises:
        SettingError: A word has no colon, or something other than numbers after it.
    """
    found: dict[str, list[int]] = {}
    for word in words:
        name, colon, numbers = word.strip().rpartition(":")
        if not colon or not name:
            raise SettingError(
                f"{word!r} does not name any channels: write LAYER:NUMBERS, such as conv1:100,200 or "
                "conv2:0-15."
            )
        for part in filter(None, numbers.split(",")):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()) or len(first + last) > 10:
                raise SettingError(
                    f"{part!r} in {word!r} is not a channel: write a number such as 7, or a range such as "
                    "0-15."
                )
            if dash and int(last) - int(first) > 100_000:
                raise SettingError(f"{part!r} in {word!r} is more channels than any layer has.")
            found.setdefault(name, []).extend(range(int(first), int(last or first) + 1))
    return {name: sorted(set(channels)) for name, channels in found.items()}


def write_channels(channels: Channels) -> list[str]:
    """The opposite of `parse_channels`, with ranges where three or more stand in a row."""
    words = []
    for name, numbers in channels.items():
        runs: list[list[int]] = []
        for number in sorted(set(numbers)):
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        parts = []
        for first, last in runs:
            parts += [f"{first}-{last}"] if last - first > 1 else [str(n) for n in range(first, last + 1)]
        if parts:
            words.append(f"{name}:{','.join(parts)}")
    return words
