"""`python -m core index CLASSIFIER --dataset D`: what every filter answers to most."""

import argparse
import json
import sys
from typing import Any

from core.commands import checkpoint_of, open_both, show


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "index",
        help="find the images that every filter responds to most",
        description="Find the strongest images of every channel of every convolution, in one pass over a "
        "data set. If it is killed, the next run continues where it stopped. The page Filters opens the "
        "result at once.",
    )
    parser.add_argument("classifier", help="see `python -m core classifiers`; or the folder of a checkpoint")
    parser.add_argument("--dataset", help="see `python -m core datasets` (default: what it was trained on)")
    parser.add_argument("--split", default="test", help="(default: test)")
    parser.add_argument(
        "--images", type=int, help="how many images, with the classes in proportion (default: all)"
    )
    parser.add_argument("-k", type=int, default=16, help="images kept for each channel (default: 16)")
    parser.add_argument("--json", action="store_true", help="the top images of every channel, print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.data.dataset import indexed_rows
    from core.filters.index import index_split, open_index
    from core.filters.index_file import find_index, index_key, keep_index, part_path

    classifier, dataset = open_both(args.classifier, args.dataset)
    folder = checkpoint_of(args.classifier)
    split = dataset.split(args.split)
    count = len(indexed_rows(split.labels, args.images))
    key = index_key(classifier.fingerprint, split.fingerprint, count, args.k)
    answer = find_index(key, folder)
    if answer is None:
        found = index_split(
            classifier, split, dataset.number_of_classes, images=args.images, k=args.k,
            part=part_path(key, folder), progress=show,
        )  # fmt: skip
        if sys.stderr.isatty():
            print(file=sys.stderr)
        answer = keep_index(key, folder, found)
    index = open_index(answer)
    if args.json:
        layers = [
            {
                **layer,
                "top": [
                    [
                        {"row": int(r), "activation": float(v)}
                        for r, v in zip(rows, values, strict=True)
                        if r >= 0
                    ]
                    for rows, values in zip(one.top_rows, one.top_values, strict=True)
                ],
                "selectivity": one.selectivity().tolist(),
                "dead": [int(c) for c in one.dead().nonzero()[0]],
            }
            for layer, one in zip(answer["layers"], index.values(), strict=True)
        ]
        print(json.dumps({"classifier": args.classifier, "images": answer["images"], "layers": layers}))
        return 0
    print(f"{answer['images']:,} images of {dataset.title}, {args.split}")
    width = max(len(name) for name in index)
    for layer in answer["layers"]:
        one = index[layer["name"]]
        print(
            f"{layer['name']:<{width}}  {layer['channels']:>5} channels, {int(one.dead().sum()):>4} dead, "
            f"selectivity {one.selectivity().mean():.2f}, {layer['place']}"
        )
    return 0
