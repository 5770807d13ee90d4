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
    from core.filters.index import index_split
    from core.filters.index_file import find_index, index_question, keep_index, part_path

    classifier, dataset = open_both(args.classifier, args.dataset)
    folder = checkpoint_of(args.classifier)
    split = dataset.split(args.split)
    count = len(indexed_rows(split.labels, args.images))
    question = index_question(args.classifier, split.fingerprint, count, args.k, classifier.fingerprint)
    index = find_index(question, folder)
    if index is None:
        found = index_split(
            classifier, split, dataset.number_of_classes, images=args.images, k=args.k,
            part=part_path(question, folder), progress=show,
        )  # fmt: skip
        if sys.stderr.isatty():
            print(file=sys.stderr)
        index = keep_index(question, folder, found)
    if args.json:
        layers = [
            {
                **one.layer.facts(),
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
            for one in index.layers
        ]
        answer = {"classifier": args.classifier, "images": index.images, "engine": index.engine}
        print(json.dumps({**answer, "layers": layers}))
        return 0
    print(f"{index.images:,} images of {dataset.title}, {args.split}\n({index.engine})")
    width = max(map(len, index.names))
    for one in index.layers:
        print(
            f"{one.name:<{width}}  {one.layer.channels:>5} channels, {int(one.dead().sum()):>4} dead, "
            f"selectivity {one.selectivity().mean():.2f}, {one.layer.place}"
        )
    return 0
