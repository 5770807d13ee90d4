"""`python -m core predict IMAGE`: what a classifier says of a picture."""

import argparse
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PredictedClass:
    """A class as the network judges the image."""

    index: int
    name: str
    probability: float
    logit: float


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("predict", help="say what is in an image")
    parser.add_argument("image", help="a path, or the name of a sample such as chelsea")
    parser.add_argument("--classifier", default="efficientnet_lite0", help="see `python -m core classifiers`")
    parser.add_argument("--target", help="a class by name or index, told besides the most probable ones")
    parser.add_argument("--top", type=int, default=5, help="how many classes (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.npz", help="keep the logits and what the network saw"
    )
    parser.add_argument("--png", type=Path, metavar="FILE.png", help="keep the answer as a picture")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from core.commands import write_file
    from core.data.image_address import open_image
    from core.data.images import encode
    from core.data.preprocessing import fit
    from core.errors import SettingError
    from core.evaluation.prediction_picture import prediction_picture
    from core.evaluation.probabilities import probabilities
    from core.models.catalogue import load

    if args.top < 1:
        raise SettingError(f"--top is {args.top}: choose a whole number from 1 on.")
    image = open_image(args.image)
    classifier = load(args.classifier)
    card = classifier.card
    target = None if args.target is None else card.target_index(args.target)
    pixels = fit(image.pixels, card.preprocessing)
    logits = classifier.predict_logits(pixels[None])[0]
    shares = probabilities(logits.astype(np.float64))
    order = np.argsort(-shares, kind="stable")

    def said(index: int) -> PredictedClass:
        return PredictedClass(index, card.class_names[index], float(shares[index]), float(logits[index]))

    rows = [said(int(index)) for index in order[: args.top]]
    answer = {
        "image": args.image,
        "image_sha256": image.sha256,
        "classifier": args.classifier,
        "weights_sha256": card.weights_sha256,
        "top": [asdict(row) for row in rows],
    }
    if target is not None:
        rank = int(np.flatnonzero(order == target)[0]) + 1
        answer["target"] = {**asdict(said(target)), "rank": rank}
    if args.out:
        archive = io.BytesIO()
        about = json.dumps(answer, ensure_ascii=False)
        np.savez_compressed(archive, logits=logits, image=pixels, about=about)
        write_file(args.out, archive.getvalue())
    wanted = None if target is None or target in order[: args.top] else said(target)
    if args.png:
        shown = [*rows, *([wanted] if wanted is not None else [])]
        write_file(
            args.png, encode(prediction_picture(pixels, [(row.name, row.probability) for row in shown]))
        )
    if args.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return 0
    for row in rows:
        print(f"{row.probability:7.2%}  {row.name}")
    if wanted is not None:
        print(f"{wanted.probability:7.2%}  {wanted.name}, at rank {rank:,}")
    return 0
