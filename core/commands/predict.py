"""`python -m core predict IMAGE`: what a classifier says of a picture."""

import argparse
import io
import json
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("predict", help="say what is in a picture")
    parser.add_argument("image", help="a path, or the name of a sample such as chelsea")
    parser.add_argument("--classifier", default="efficientnet_lite0", help="see `python -m core classifiers`")
    parser.add_argument("--target", help="a class by name or index, told besides the most probable ones")
    parser.add_argument("--top", type=int, default=5, help="how many classes (default: 5)")
    parser.add_argument("--json", action="store_true", help="for machines")
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

    def said(index: int) -> dict[str, Any]:
        return {
            "index": index,
            "name": card.class_names[index],
            "probability": float(shares[index]),
            "logit": float(logits[index]),
        }

    answer = {
        "image": args.image,
        "image_sha256": image.sha256,
        "classifier": args.classifier,
        "weights_sha256": card.weights_sha256,
        "top": [said(int(index)) for index in order[: args.top]],
    }
    if target is not None:
        answer["target"] = said(target) | {"rank": int(np.flatnonzero(order == target)[0]) + 1}
    if args.out:
        archive = io.BytesIO()
        about = json.dumps(answer, ensure_ascii=False)
        np.savez_compressed(archive, logits=logits, image=pixels, about=about)
        write_file(args.out, archive.getvalue())
    rows = list(answer["top"])
    if target is not None and target not in order[: args.top]:
        rows.append(answer["target"])
    if args.png:
        write_file(
            args.png, encode(prediction_picture(pixels, [(r["name"], r["probability"]) for r in rows]))
        )
    print(json.dumps(answer, ensure_ascii=False, indent=2) if args.json else _in_words(rows))
    return 0


def _in_words(rows: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{row['probability']:7.2%}  {row['name']}" + (f", at rank {row['rank']:,}" if "rank" in row else "")
        for row in rows
    )
