"""What a folder of files from other programs is taken for: `python -m tests.brought FOLDER`.

For every file one line: its kind, what it was taken for, and the figure that shows it. What was guessed, left
out or noted stands below it, indented. It is a tool to look with, and no part of the test suite.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.errors import ConvoscopeError

_IMAGES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".avif",
           ".heic", ".heif", ".jp2"}  # fmt: skip
_CHECKPOINTS = {".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar"}
_KINDS_OF_FOLDERS = {
    "histories": "history", "matrices": "matrix", "images": "picture", "zips": "data set",
    "checkpoints": "checkpoint",
}  # fmt: skip

Line = tuple[str, list[str]]  # what it was taken for with its figure, and what else is to be known


def history(path: Path) -> Line:
    from core.runs.foreign.reading import read_history
    from core.runs.foreign.records import plain_histories
    from core.runs.run_list import Run, judge

    reading = read_history(path.name, path.read_bytes())
    if reading.problem:
        return f"a problem: {reading.problem}", []
    said = []
    for name, records in plain_histories(reading).items():
        epochs = [record for record in records if record["kind"] == "epoch"]
        steps = sum(record["kind"] == "step" for record in records)
        first, last = (
            ", ".join(f"{key} {value:.4g}" for key, value in record.items() if key not in ("kind", "step"))
            for record in (epochs[0] if epochs else {}, epochs[-1] if epochs else {})
        )
        verdict = judge(Run(name, records=tuple(records)).history())
        about = f" | {verdict.sentence}" if verdict else " | no verdict"
        said.append(f"{name}: {len(epochs)} epochs, {steps} steps; first: {first}; last: {last}{about}")
    return " || ".join(said), reading.sentences()


def matrix(path: Path) -> Line:
    from core.evaluation.matrix_file import read_matrix_file

    found = read_matrix_file(path.read_bytes(), path.name)
    right, total = int(found.matrix.trace()), int(found.matrix.sum())
    return (
        f"{len(found.class_names)} classes ({', '.join(found.class_names)}), {right:,} of {total:,} right "
        f"({right / max(1, total):.2%}), rows {found.matrix.tolist()}",
        [f"Read as {found.taken_for}", *found.notes, *(f"open: {field}" for field in found.open)],
    )


def picture(path: Path) -> Line:
    from core.data.images import read_image

    image = read_image(path.read_bytes(), path.name)
    height, width = image.pixels.shape[:2]
    parts = {
        "top left": image.pixels[: height // 2, : width // 2],
        "top right": image.pixels[: height // 2, width // 2 :],
        "bottom left": image.pixels[height // 2 :, : width // 2],
        "bottom right": image.pixels[height // 2 :, width // 2 :],
    }
    means = [
        f"{where} {part.mean(axis=(0, 1)).round().astype(int).tolist()}" for where, part in parts.items()
    ]
    mean = image.pixels.mean(axis=(0, 1)).round(1).tolist()
    return f"{width} × {height}, mean {mean}; {', '.join(means)}", [
        f"{step.name}: {step.text}" for step in image.steps
    ]


def dataset(path: Path) -> Line:
    from core.data.catalogue import folder_reading, open_dataset

    reading = folder_reading("image_folder", folder=str(path))
    assert reading is not None
    notes = reading.sentences()
    data = open_dataset("image_folder", folder=str(path))
    k = data.number_of_classes
    counts = {
        name: dict(zip(data.class_names, split.counts(k).tolist(), strict=True))
        for name, split in data.splits.items()
    }
    notes += [data.note] if data.note else []
    notes += [f"left out: {each.path}: {each.reason}" for each in data.skipped[:6]]
    return f"{k} classes, {counts}, {data.input_size[1]} × {data.input_size[0]}", notes


def checkpoint(path: Path) -> Line:
    import numpy as np

    from core.evaluation.import_trial import try_import
    from core.models.import_weights import Wishes
    from core.models.recognition import recognize
    from core.models.state_dict import read_weights
    from core.models.weight_fit import readings

    sets = read_weights(path.read_bytes(), path.name)
    found = recognize(readings(sets))
    if not found:
        return f"weights of no architecture that is recognized ({len(sets[0].tensors)} tensors)", []
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    trial = try_import(sets, path.stem, found[0], Wishes(), image)
    height, width = trial.card.preprocessing.input_size
    answer = ", ".join(f"{name} {share:.4f}" for name, share in trial.answer)
    return (
        f"{found[0]} {trial.card.settings}, {trial.card.number_of_classes} classes, {width} × {height}, "
        f"{trial.tensors} tensors; answer: {answer}",
        [*trial.notes, *(f"also fits {name}" for name in found[1:4])],
    )


READERS: dict[str, Callable[[Path], Line]] = {
    "history": history, "matrix": matrix, "picture": picture, "data set": dataset, "checkpoint": checkpoint,
}  # fmt: skip


def kinds_of(path: Path) -> list[str]:
    """What a file may be, the likeliest first: by its folder's name, else by its own."""
    if path.parent.name in _KINDS_OF_FOLDERS:
        return [_KINDS_OF_FOLDERS[path.parent.name]]
    suffix = path.suffix.lower()
    for kind, suffixes in (("picture", _IMAGES), ("checkpoint", _CHECKPOINTS), ("data set", {".zip"})):
        if suffix in suffixes:
            return [kind]
    return ["history", "matrix"]


def look(path: Path) -> Line:
    """The line of a file; a reader that fails otherwise than by a sentence stands out as CRASH."""
    refused = ""
    for kind in kinds_of(path):
        try:
            said, notes = READERS[kind](path)
        except ConvoscopeError as error:
            refused = refused or f"{kind}: refused: {error}"
        except Exception as error:  # noqa: BLE001 - to be seen in the list
            return f"{kind}: CRASH: {type(error).__name__}: {error}", []
        else:
            return f"{kind}: {said}", notes
    return refused, []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as home:
        os.environ["CONVOSCOPE_HOME"] = home
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            said, notes = look(path)
            print(f"{path.relative_to(folder)}: {said}")
            for note in notes:
                print(f"      {note}")


if __name__ == "__main__":
    main()
