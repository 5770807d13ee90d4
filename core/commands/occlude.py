"""`python -m core occlude IMAGE`: hide one part after the other and see how the answer changes."""

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.settings import JsonObject


def add_parser(subparsers: Any) -> None:
    from core.occlusion.occlusion import occlusion_logits
    from core.settings import add_options, settings_of

    parser = subparsers.add_parser("occlude", help="hide parts of an image and see the answer change")
    parser.add_argument("image", help="a path, or the name of a sample such as chelsea")
    parser.add_argument("--classifier", default="efficientnet_lite0", help="see `python -m core classifiers`")
    parser.add_argument("--target", help="a class by name or index (default: the predicted one)")
    parser.add_argument("--value", default="drop", help="what to draw: probability, logit or drop (default)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.npz", help="keep the logits, the map and the settings"
    )
    parser.add_argument("--png", type=Path, metavar="FILE.png", help="keep the map as a picture")
    add_options(parser, settings_of(occlusion_logits))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from core.commands import write_file
    from core.data.image_address import open_image
    from core.data.images import encode
    from core.data.preprocessing import fit
    from core.errors import UnknownName
    from core.models.catalogue import load
    from core.occlusion.occlusion import occlusion_logits
    from core.occlusion.occlusion_map import VALUES
    from core.occlusion.picture import remark, scale_of
    from core.settings import check_settings, settings_of

    if args.value not in VALUES:
        raise UnknownName("value", args.value, VALUES)
    declared = settings_of(occlusion_logits)
    settings = check_settings(declared, {s.name: getattr(args, s.name) for s in declared if s.name in args})
    image = open_image(args.image)
    classifier = load(args.classifier)
    names = classifier.card.class_names
    target = None if args.target is None else classifier.card.target_index(args.target)
    pixels = fit(image.pixels, classifier.card.preprocessing)
    occluded = occlusion_logits(classifier, pixels, **settings)
    target = occluded.predicted if target is None else target
    drawn = occluded.map(target, args.value)
    scale = scale_of(drawn, args.value)
    top, left, least = occluded.weakest(target)
    answer = {
        "image": args.image,
        "image_sha256": image.sha256,
        "classifier": args.classifier,
        "weights_sha256": classifier.card.weights_sha256,
        "target": {"index": target, "name": names[target], "probability": occluded.base(target)},
        "settings": settings | {"window": occluded.window, "stride": occluded.stride},
        "engine": occluded.engine,
        "places": list(occluded.logits.shape[:2]),
        "share_of_flips": occluded.share_of_flips,
        "wins": [{"name": names[c], "places": count} for c, count in occluded.win_counts()],
        "weakest": {"top": top, "left": left, "probability": least},
        "value": args.value,
        "range": [float(drawn.min()), float(drawn.max())],
        "remark": remark(drawn, args.value, occluded.base(target)),
    }
    if args.out:
        archive = io.BytesIO()
        np.savez_compressed(
            archive, logits=occluded.logits, base_logits=occluded.base_logits, tops=occluded.tops,
            lefts=occluded.lefts, map=drawn, image=pixels, about=json.dumps(answer),
        )  # fmt: skip
        write_file(args.out, archive.getvalue())
    if args.png:
        write_file(args.png, encode(scale.paint(drawn)))
    print(json.dumps(answer, ensure_ascii=False, indent=2) if args.json else _in_words(answer))
    return 0


def _in_words(answer: "JsonObject") -> str:
    target, weakest, settings = answer["target"], answer["weakest"], answer["settings"]
    others = [f"{win['name']} ({win['places']})" for win in answer["wins"][:6]]
    rows, columns = answer["places"]
    lines = [
        f"{target['name']}: {target['probability']:.2%} on the whole image.",
        f"A window of {settings['window']} pixels ({settings['fill']}) at {rows} × {columns} places:",
        f"  weakest at row {weakest['top']}, column {weakest['left']}: {weakest['probability']:.2%}",
        f"  another class wins at {answer['share_of_flips']:.1%} of the places",
        f"  wins: {', '.join(others)}",
        f"  {answer['value']} from {answer['range'][0]:.4g} to {answer['range'][1]:.4g}",
    ]
    return "\n".join([*lines, answer["remark"]] if answer["remark"] else lines)
