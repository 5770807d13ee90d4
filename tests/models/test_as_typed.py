"""Class names, numbers, sizes and accuracies as people write them."""

import json

import pytest

from core.errors import SettingError
from core.models.as_typed import names_in, share, size_in, values_in


def test_accuracies_numbers_and_sizes_are_understood_or_refused() -> None:
    assert share("0.91") == share("91") == share("91 %") == share("91,0%") == pytest.approx(0.91)
    assert values_in("0.5 0.25,0.1", "mean") == [0.5, 0.25, 0.1]
    assert (size_in("224"), size_in("240 x 320"), size_in(" ")) == ((224, 224), (240, 320), None)
    for wrong in ("0", "very good", "-3", "120", "nan"):
        with pytest.raises(SettingError, match=r"claimed accuracy is .* write it like 0.91"):
            share(wrong)
    with pytest.raises(SettingError, match="mean is 'half'"):
        values_in("half", "mean")
    for wrong in ("0", "a", "1x2x3", "99999"):
        with pytest.raises(SettingError, match="write it like 224 or 240x320"):
            size_in(wrong)


IMAGENET = ["tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark"]
WRITTEN = {
    "one a line": "\n".join(IMAGENET),
    "with Windows's line ends": "\r\n".join(IMAGENET) + "\r\n",
    "numbered": "\n".join(f"{i}: {name}" for i, name in enumerate(IMAGENET)),
    "with synsets": "\n".join(f"n0144076{i} {name}" for i, name in enumerate(IMAGENET)),
    "quoted": ", ".join(f'"{name}"' for name in IMAGENET),
    "with semicolons": "; ".join(IMAGENET),
    "a JSON list": json.dumps(IMAGENET),
    "a JSON mapping by number": json.dumps({str(i): name for i, name in enumerate(IMAGENET)}),
    "ImageNet's class index": json.dumps(
        {str(i): [f"n0{i}", n] for i, n in reversed([*enumerate(IMAGENET)])}
    ),
    "ImageFolder's class_to_idx": json.dumps({name: i for i, name in enumerate(IMAGENET)}),
    "a model's config": json.dumps({"id2label": {str(i): name for i, name in enumerate(IMAGENET)}}),
    "a Python mapping": str(dict(enumerate(IMAGENET))),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_names_with_commas_stay_whole(text: str) -> None:
    assert names_in(text, 3) == IMAGENET


def test_plain_names() -> None:
    assert names_in("cat, dog, bird", 3) == names_in("cat,\ndog,\nbird\n", 3) == ["cat", "dog", "bird"]
    assert names_in("cat, dog,\nbird\n", 3) == names_in("cat dog bird", 3) == ["cat", "dog", "bird"]
    assert names_in("cat, dog") == ["cat", "dog"]
    assert names_in("0\n1\n2", 3) == ["0", "1", "2"]


@pytest.mark.parametrize("text", ['{"a": "b"}', "[1, 2]", "{", "[" * 100_000, "{}", '{"0": 1, "1": "a"}'])
def test_json_without_names_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="neither a list of names nor a mapping"):
        names_in(text)
