"""`python -m core import`: weights of your own become a checkpoint that every page can open."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "import",
        help="bring weights of your own",
        description="Check weights (a state dict or safetensors), try them on an image and, with a data set, "
        "measure them; then keep them as a checkpoint that every page can open.",
    )
    parser.add_argument("weights", type=Path, help="a .pth, .pt or .safetensors file; nothing in it is run")
    parser.add_argument(
        "--architecture", required=True, help="such as resnet18, torchvision/resnet50, timm/resnet26"
    )
    parser.add_argument(
        "--settings", default="", help='of the architecture, such as "activation=tanh; dropout=0.5"'
    )
    parser.add_argument(
        "--classes", default="", help="names separated by commas, in the order of the outputs"
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
    parser.add_argument("--images", type=int, default=2000, help="measure on at most so many (default: 2000)")
    parser.add_argument(
        "--mend", action="store_true", help="put right what is likely wrong before it is kept"
    )
    parser.add_argument("--name", help="of the checkpoint (default: the file's)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.data.catalogue import open_dataset
    from core.data.image_address import open_image
    from core.errors import BadCheckpoint
    from core.evaluation.import_trial import try_import
    from core.models.import_weights import make_card, names_in, share, size_in, values_in
    from core.models.state_dict import read_state_dict
    from core.settings import assignments_in

    try:
        data = args.weights.read_bytes()
    except OSError as error:
        raise BadCheckpoint(
            f"{args.weights} cannot be read: {error.strerror}. Give the path of a file."
        ) from None
    tensors, notes = read_state_dict(data, args.weights.name)
    dataset = open_dataset(args.dataset) if args.dataset else None
    names = names_in(args.classes) or (dataset.class_names if dataset else ())
    card = make_card(
        args.name or args.weights.stem,
        args.architecture,
        tensors,
        class_names=names,
        settings=assignments_in(args.settings),
        input_size=size_in(args.input_size),
        resize=args.resize,
        mean=values_in(args.mean, "mean"),
        std=values_in(args.std, "std"),
    )
    trial = try_import(
        tensors,
        card,
        open_image(args.image).pixels,
        dataset=dataset,
        claimed=share(args.claimed) if args.claimed else None,
        images=args.images,
    )
    for note in [*notes, *trial.notes]:
        print(note)
    height, width = card.preprocessing.input_size
    size = f"{height} × {width} × {card.preprocessing.channels}"
    print(f"{len(tensors)} tensors fit {args.architecture}; images of {size}.")
    print(f"On {args.image}: " + ", ".join(f"{name} {p:.1%}" for name, p in trial.answer[:3]))
    if trial.check is not None:
        print(trial.check.verdict)
    mended = args.mend and trial.check is not None and trial.check.cause is not None
    kept = trial.keep(mended=mended)
    print(f"Kept as imported/{kept.card.name}{', put right' if mended else ''}.")
    return 0
