"""`python -m core predict IMAGE`: what a classifier says of a picture."""

import argparse
import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("predict", help="say what is in a picture")
    parser.add_argument("image", help="a path, or the name of a sample such as chelsea")
    parser.add_argument("--classifier", default="efficientnet_lite0", help="see `python -m core classifiers`")
    parser.add_argument("--top", type=int, default=5, help="how many classes (default: 5)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from core.catalogue import load
    from core.errors import SettingError
    from core.preprocessing import fit
    from core.probabilities import probabilities
    from core.samples import open_image

    if args.top < 1:
        raise SettingError(f"--top is {args.top}: choose a whole number from 1 on.")
    image = open_image(args.image)
    classifier = load(args.classifier)
    pixels = fit(image.pixels, classifier.card.preprocessing)
    logits = classifier.predict_logits(pixels[None])[0]
    shares = probabilities(logits.astype(np.float64))
    best = np.argsort(-shares)[: args.top]
    names = classifier.card.class_names
    if args.json:
        answer = {
            "image": args.image,
            "image_sha256": image.sha256,
            "classifier": args.classifier,
            "top": [
                {
                    "index": int(i),
                    "name": names[i],
                    "probability": float(shares[i]),
                    "logit": float(logits[i]),
                }
                for i in best
            ],
        }
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        for i in best:
            print(f"{shares[i]:7.2%}  {names[i]}")
    return 0
