"""`python -m core ship`: what comes with the shipped checkpoints, made anew."""

import argparse
from typing import Any

FIRST_LOOK = "fashion_mnist_cnn"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "ship",
        help="make again what comes with the shipped checkpoints",
        description="Write the predictions of the test images beside each shipped checkpoint of CIFAR-10 and "
        f"{FIRST_LOOK}. For people who change Convoscope; `make shipped` does all of it.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these checkpoints (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.models.catalogue import card_of, entries

    shipped = [entry.name for entry in entries() if entry.kind == "shipped"]
    wanted = args.names or [
        name for name in shipped if name == FIRST_LOOK or card_of(name).dataset == "cifar10"
    ]
    for name in wanted:
        _ship_predictions(name)
    return 0


def _ship_predictions(name: str) -> None:
    from core.commands import open_both, show
    from core.errors import Unavailable
    from core.evaluation.prediction import predict_split
    from core.evaluation.stored_predictions import keep_predictions

    try:
        classifier, dataset = open_both(name, None)
        split = dataset.split("test")
    except Unavailable as error:
        print(f"{name}: no predictions: {error}")
        return
    path = keep_predictions(name, dataset, "test", predict_split(classifier, split, show))
    print(f"{name}: predictions of {len(split):,} images, {path.stat().st_size // 1000} kB", flush=True)
