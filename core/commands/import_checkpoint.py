"""`python -m core import`: weights of your own become a checkpoint that every page can open."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import say_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.data.dataset import ImageDataset
    from core.models.import_weights import Wishes
    from core.models.state_dict import WeightSet


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "import",
        help="import your own weights",
        description="Check weights (a state dict or safetensors), try them on an image and, with a data set, "
        "measure them; then keep them as a checkpoint that every page can open. What is guessed is printed "
        "on stderr.",
    )
    parser.add_argument("weights", type=Path, help="a .pth, .pt or .safetensors file; nothing in it is run")
    parser.add_argument(
        "--architecture",
        default="",
        help="such as resnet18, torchvision/resnet50, timm/resnet26 (default: by names and shapes)",
    )
    parser.add_argument(
        "--settings", default="", help='of the architecture, such as "activation=tanh; dropout=0.5"'
    )
    parser.add_argument("--which", default="", help="the set of weights, where the file holds several")
    parser.add_argument(
        "--leave-out", default="", help="words: tensors with one of them in their name are left out"
    )
    parser.add_argument(
        "--order", default="", help="names of the layers in order, if the file does not give it"
    )
    parser.add_argument(
        "--classes", default="", help="names separated by commas, in the order of the outputs"
    )
    parser.add_argument(
        "--classes-file", type=Path, help="a file with the names: one a line, or JSON (list or mapping)"
    )
    parser.add_argument(
        "--mean", default="", help="subtracted from pixels of 0 to 1, such as 0.485,0.456,0.406"
    )
    parser.add_argument("--std", default="", help="what is then divided by, such as 0.229,0.224,0.225")
    parser.add_argument("--input-size", default="", help="224 or 240x320 (default: read from the shapes)")
    parser.add_argument(
        "--resize", type=int, help="shorter side before the middle is cut out (default: squeeze)"
    )
    parser.add_argument("--image", default="chelsea", help="a file or sample to try it on (default: chelsea)")
    parser.add_argument("--dataset", help="measure the accuracy on the test images of this data set")
    parser.add_argument("--claimed", default="", help="the accuracy it should have, such as 0.91")
    parser.add_argument(
        "--images", type=int, default=2000, help="measure on at most this many images (default: 2000)"
    )
    parser.add_argument(
        "--mend", action="store_true", help="correct what is likely wrong before the checkpoint is kept"
    )
    parser.add_argument("--name", help="the name of the checkpoint (default: that of the file)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.data.catalogue import open_dataset
    from core.data.image_address import open_image
    from core.evaluation.import_trial import keep_import, try_import
    from core.models.as_typed import share
    from core.models.state_dict import read_weights

    sets = read_weights(_bytes_of(args.weights), args.weights.name)
    architecture = args.architecture or _recognized(sets)
    if args.dataset:
        say_folders(args.dataset, {})
    dataset = open_dataset(args.dataset) if args.dataset else None
    wishes = _wishes(args, sets, architecture, dataset)
    name = args.name or args.weights.stem
    trial = try_import(
        sets,
        name,
        architecture,
        wishes,
        open_image(args.image).pixels,
        dataset=dataset,
        claimed=share(args.claimed) if args.claimed else None,
        images=args.images,
    )
    preprocessing = trial.card.preprocessing
    _say(*trial.notes)
    if not (wishes.mean or wishes.std) and set(preprocessing.mean) == {0.0}:
        _say("Mean and std are not given: pixels of 0 to 1 were taken as they are (--mean, --std).")
    height, width = preprocessing.input_size
    size = f"{height} × {width} × {preprocessing.channels}"
    print(f"{trial.tensors} tensors fit {architecture}; images of {size}.")
    print(f"On {args.image}: " + ", ".join(f"{name} {p:.1%}" for name, p in trial.answer[:3]))
    if trial.measured is not None:
        print(trial.measured.verdict)
    mended = args.mend and trial.measured is not None and trial.measured.remedy is not None
    kept = keep_import(sets, name, architecture, wishes, trial, dataset=dataset, mended=mended)
    print(f"Kept as {kept.name}{', corrected' if mended else ''}.")
    return 0


def _say(*notes: str) -> None:
    for note in notes:
        print(note, file=sys.stderr)


def _bytes_of(path: Path) -> bytes:
    from core.errors import BadCheckpoint

    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read: {error.strerror}. Give the path of a file.") from None


def _recognized(sets: "Sequence[WeightSet]") -> str:
    from core.errors import SettingError
    from core.models.recognition import recognize
    from core.models.weight_fit import readings

    found = recognize(readings(sets))
    if not found:
        raise SettingError(
            "The names and shapes in the file are those of no architecture that Convoscope knows: give one "
            "with --architecture, such as resnet18, torchvision/resnet50 or timm/resnet26."
        )
    others = f" It also fits {', '.join(found[1:5])}." if len(found) > 1 else ""
    _say(f"Taken for {found[0]}, by names and shapes.{others} --architecture overrules it.")
    return found[0]


def _wishes(
    args: argparse.Namespace, sets: "Sequence[WeightSet]", architecture: str, dataset: "ImageDataset | None"
) -> "Wishes":
    from core.models.as_typed import names_in, size_in, values_in
    from core.models.import_weights import Wishes, expected_classes
    from core.settings import assignments_in

    text = args.classes
    if args.classes_file:
        text = _bytes_of(args.classes_file).decode("utf-8-sig", errors="replace")
    wishes = Wishes(
        which=args.which,
        leave_out=tuple(part for part in args.leave_out.replace(",", " ").split() if part),
        order=tuple(part for part in args.order.replace(",", " ").split() if part),
        settings=assignments_in(args.settings),
        input_size=size_in(args.input_size),
        resize=args.resize,
        mean=tuple(values_in(args.mean, "mean")),
        std=tuple(values_in(args.std, "std")),
    )
    return wishes.with_names(names_in(text, expected_classes(sets, architecture, wishes)) if text else ())
