"""`python -m core visualize CLASSIFIER`: a picture of what a channel, a neuron or a class looks for."""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "visualize",
        aliases=["dream"],  # its name until 2026
        help="make an image of what a channel or a class looks for",
        description="Change noise, or an image, step by step until a channel, a neuron or a class answers "
        "most. Settings that are left open are found by the size of the picture.",
    )
    parser.add_argument("classifier", help="see `python -m core classifiers`; or the folder of a checkpoint")
    parser.add_argument("--layer", help="a name in named_modules() such as conv2, or its number, as they run")
    parser.add_argument("--channel", type=int, help="of the layer (default: 0)")
    parser.add_argument("--place", metavar="ROW,COLUMN", help="one neuron of the channel, such as 3,4")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="a class by name or index")
    parser.add_argument(
        "--report", action="store_true",
        help="layer 24 (or the last before), filter 1, 40 steps on the pixels; other options change that",
    )  # fmt: skip
    parser.add_argument(
        "--start", metavar="IMAGE", help="a path or a sample such as chelsea (default: noise)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE.png", help="keep the picture")
    parser.add_argument("--webp", type=Path, metavar="FILE.webp", help="keep the steps as an animation")
    parser.add_argument("--gif", type=Path, metavar="FILE.gif", help="keep the steps as an animation")
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="keep all frames and the settings")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_settings_when_asked(parser)
    parser.set_defaults(run=run)


def _add_settings_when_asked(parser: argparse.ArgumentParser) -> None:
    """Let the settings join when this command's line is read: only this command has to wait for torch."""
    parse = parser.parse_known_args

    def with_settings(args: Any = None, namespace: Any = None) -> Any:
        from core.feature_visualization.visualize import visualize
        from core.settings import add_options, settings_of

        add_options(parser, settings_of(visualize))
        return parse(args, namespace)

    parser.parse_known_args = with_settings  # type: ignore[method-assign]


def run(args: argparse.Namespace) -> int:
    from core.commands import show, write_file
    from core.data.image_address import open_image
    from core.data.images import encode, enlarge
    from core.data.preprocessing import fit
    from core.feature_visualization.export import animation, facts_of, npz_bytes
    from core.feature_visualization.presets import REPORT_SETTINGS
    from core.feature_visualization.real_images import best_answers, compare, real_images, title_of
    from core.feature_visualization.visualize import visualize
    from core.settings import check_settings, settings_of

    classifier = _open(args.classifier)
    card = classifier.card
    unit = _unit(args, classifier)
    declared = settings_of(visualize)
    given = {s.name: getattr(args, s.name) for s in declared if s.name in args}
    settings = check_settings(declared, (REPORT_SETTINGS if args.report else {}) | given)
    start = None if args.start is None else fit(open_image(args.start).pixels, card.preprocessing)
    made = visualize(classifier, unit, start=start, progress=show, **settings)
    first, last = made.frames[0], made.frames[-1]
    answers = best_answers(classifier, unit.layer, real_images(card))
    best = compare(unit, last.objective, last.activation, answers)
    answer = facts_of(made, args.classifier, card.class_names)
    answer |= {"start": args.start or "noise", "best_real": asdict(best)}
    if args.png:
        write_file(args.png, encode(enlarge(made.frames[-1].pixels, 224)))
    if args.webp:
        write_file(args.webp, animation(made.frames, "webp"))
    if args.gif:
        write_file(args.gif, animation(made.frames, "gif"))
    if args.out:
        write_file(args.out, npz_bytes(made, answer))
    if args.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return 0
    print(
        f"\n{answer['unit']}: {first.objective:.4g} at the start, "
        f"{last.objective:.4g} after {last.step} steps"
    )
    print(f"  {best.times} ({best.best:.4g}, {title_of(best.best_image)})")
    if made.note:
        print(made.note)
    return 0


def _open(name: str) -> Any:
    from core.models.catalogue import load
    from core.models.checkpoint import load_checkpoint

    folder = Path(name)
    return load_checkpoint(folder) if (folder / "card.json").is_file() else load(name)


def _unit(args: argparse.Namespace, classifier: Any) -> Any:
    from core.errors import SettingError
    from core.feature_visualization.presets import REPORT_CHANNEL, report_unit
    from core.network.feature_maps import layer_shapes
    from core.network.unit import Unit, check_unit

    if args.class_name is not None:
        if args.layer or args.channel is not None or args.place:
            raise SettingError(
                "A class and a layer were both given: choose --class, or --layer and --channel."
            )
        return Unit(None, classifier.card.target_index(args.class_name))
    shapes = layer_shapes(classifier)
    channel = args.channel if args.channel is not None else (REPORT_CHANNEL if args.report else 0)
    if args.layer is None:
        if not args.report:
            raise SettingError(
                f"Nothing was chosen: give --class NAME, or --layer with one of {', '.join(shapes)}."
            )
        return report_unit(shapes, channel=channel)
    place = None
    if args.place:
        match = re.fullmatch(r"(\d{1,5}),(\d{1,5})", args.place)
        if match is None:
            raise SettingError(f"--place is {args.place!r}: write a row and a column like 3,4.")
        place = (int(match[1]), int(match[2]))
    layer = args.layer
    if layer.isdecimal() and layer not in shapes:
        layer = report_unit(shapes, int(layer), channel).layer
    return check_unit(classifier, Unit(layer, channel, place), shapes)
