"""`python -m core ablate CLASSIFIER --channels conv1:100,200`: what a network loses with some filters off."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.classifier import Classifier
    from core.image_dataset import ImageDataset


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "ablate",
        help="switch filters off and count what changes",
        description="Switch channels off after their activation and count what changes: accuracy, classes, "
        "images that flip. With --random, the same number of random channels of the same layers.",
    )
    parser.add_argument("classifier", help="see `python -m core classifiers`; or the folder of a checkpoint")
    parser.add_argument(
        "--channels",
        nargs="+",
        required=True,
        metavar="LAYER:NUMBERS",
        help="such as conv1:100,200 conv2:0-15",
    )
    parser.add_argument("--dataset", help="see `python -m core datasets` (default: what it was trained on)")
    parser.add_argument("--split", default="test", help="(default: test)")
    parser.add_argument("--images", type=int, help="how many, every class with its share (default: all)")
    parser.add_argument("--how", default="zero", help="zero (default), mean, or resample from other images")
    parser.add_argument("--random", type=int, default=0, metavar="TIMES", help="compare with random channels")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from core import ablation
    from core.commands.index import show
    from core.training_data import fitted

    channels = ablation.parse_channels(args.channels)
    classifier, dataset = open_both(args.classifier, args.dataset)
    ablation.checked(ablation.layers_of(classifier), channels)
    split = dataset.split(args.split)
    names = classifier.card.class_names
    rows, labels, note = ablation.judged_rows(split, dataset.class_names, names, args.images)
    pixels = fitted(split.images, classifier.card.preprocessing, show)
    before = ablation.ablated_logits(classifier, pixels, rows, {}, progress=show)
    after = ablation.ablated_logits(classifier, pixels, rows, channels, how=args.how, progress=show)
    effect = ablation.Effect(labels, before.argmax(1), after.argmax(1), len(names))
    (was, now), intervals = effect.accuracy, effect.intervals
    answer: dict[str, Any] = {
        "classifier": args.classifier,
        "dataset": dataset.name,
        "split": args.split,
        "images": len(rows),
        "how": args.how,
        "channels": channels,
        "accuracy": {"before": was, "after": now},
        "interval": {"before": intervals[0], "after": intervals[1]},
        "lost": rows[effect.lost].tolist(),
        "gained": rows[effect.gained].tolist(),
        "difference": effect.difference.tolist(),
    }
    if args.random:
        others = ablation.random_accuracies(
            classifier, pixels, rows, labels, channels, repeats=args.random, how=args.how, progress=show
        )
        answer["random"] = {
            "accuracies": others.tolist(),
            "p": ablation.rank_among(now, others),
        }
    print(file=sys.stderr, end="\n" if sys.stderr.isatty() else "")
    if args.json:
        print(json.dumps(answer))
        return 0
    if note:
        print(note)
    print(
        f"{len(rows):,} images of {dataset.title}, {args.split}; "
        f"{sum(map(len, channels.values()))} channels off"
    )
    for words, share, (low, high) in (("before", was, intervals[0]), ("after", now, intervals[1])):
        print(f"accuracy {words:<6} {share:7.2%}  (95 % interval {low:.2%} to {high:.2%})")
    print(f"{len(effect.lost)} right ones lost, {len(effect.gained)} wrong ones gained")
    for start, stop, flipped in effect.flips()[:5]:
        print(f"{len(flipped):>5}  {names[start]} → {names[stop]}")
    if args.random:
        others = np.array(answer["random"]["accuracies"])
        print(
            f"random channels: {others.mean():.2%} on average, {others.min():.2%} to {others.max():.2%} in "
            f"{args.random} draws; as costly or more with p = {answer['random']['p']:.3f}"
        )
    return 0


def open_both(name: str, dataset: str | None) -> "tuple[Classifier, ImageDataset]":
    """A classifier by name or folder, and a data set by name, else the one it was trained on.

    Raises:
        SettingError: No data set was named, and the classifier's card names none.
    """
    from core.catalogue import load
    from core.checkpoint import load_checkpoint
    from core.data_catalogue import open_dataset
    from core.errors import SettingError

    folder = Path(name)
    classifier = load_checkpoint(folder) if (folder / "card.json").is_file() else load(name)
    chosen = dataset or classifier.card.dataset
    if not chosen:
        raise SettingError(f"{name} does not say what it was trained on: name a data set with --dataset.")
    return classifier, open_dataset(chosen)
