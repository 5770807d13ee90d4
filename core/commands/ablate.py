"""`python -m core ablate CLASSIFIER --channels conv1:100,200`: what a network loses with some filters off."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from core.commands import open_both, show

if TYPE_CHECKING:
    from core.data.dataset import ImageDataset
    from core.settings import JsonObject


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "ablate",
        help="switch filters off and count what changes",
        description="Switch channels off after their activation and count what changes: accuracy, classes, "
        "images that flip. With --random, the same number of random channels of the same layers. With "
        "--each, every channel of a layer alone, the costliest first.",
    )
    parser.add_argument("classifier", help="see `python -m core classifiers`; or the folder of a checkpoint")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--channels", nargs="+", metavar="LAYER:NUMBERS", help="such as conv1:100,200 conv2:0-15"
    )
    what.add_argument("--each", metavar="LAYER", help="such as conv3: each of its channels, one at a time")
    parser.add_argument("--dataset", help="see `python -m core datasets` (default: what it was trained on)")
    parser.add_argument("--split", default="test", help="(default: test)")
    parser.add_argument(
        "--images", type=int, help="how many images, with the classes in proportion (default: all)"
    )
    parser.add_argument("--how", default="zero", help="zero (default), mean, or resample from other images")
    parser.add_argument("--random", type=int, default=0, metavar="TIMES", help="compare with random channels")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.each and args.random:
        from core.errors import SettingError

        raise SettingError("--random compares a set of channels: leave it out with --each.")
    if args.each:
        return _each(args)
    import numpy as np

    from core.ablation.channel_ranges import parse_channels
    from core.ablation.effect import Effect, rank_among
    from core.ablation.switch_off import ENGINE, ablated_logits, checked, judged_rows, random_accuracies
    from core.data.fitting import fitted
    from core.filters.channel_layers import layers_of

    channels = parse_channels(args.channels)
    classifier, dataset = open_both(args.classifier, args.dataset)
    checked(layers_of(classifier), channels)
    split = dataset.split(args.split)
    names = classifier.card.class_names
    rows, labels, note = judged_rows(split, dataset.class_names, names, args.images)
    pixels = fitted(split.images, classifier.card.preprocessing, show)
    before = ablated_logits(classifier, pixels, rows, {}, progress=show)
    after = ablated_logits(classifier, pixels, rows, channels, how=args.how, progress=show)
    effect = Effect(labels, before.argmax(1), after.argmax(1), len(names), ENGINE)
    (was, now), intervals = effect.accuracy, effect.intervals
    answer: JsonObject = {
        **_asked(args, dataset, rows),
        "channels": channels,
        "engine": effect.engine,
        "accuracy": {"before": was, "after": now},
        "interval": {"before": intervals[0], "after": intervals[1]},
        "lost": rows[effect.lost].tolist(),
        "gained": rows[effect.gained].tolist(),
        "difference": effect.difference.tolist(),
    }
    if args.random:
        others = random_accuracies(
            classifier, pixels, rows, labels, channels, repeats=args.random, how=args.how, progress=show
        )
        answer["random"] = {"accuracies": others.tolist(), "p": rank_among(now, others)}
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if args.json:
        print(json.dumps(answer))
        return 0
    if note:
        print(note)
    print(
        f"{len(rows):,} images of {dataset.title}, {args.split}; "
        f"{sum(map(len, channels.values()))} channels off\n({effect.engine})"
    )
    for words, share, (low, high) in (("before", was, intervals[0]), ("after", now, intervals[1])):
        print(f"accuracy {words:<6} {share:7.2%}  (95% interval {low:.2%} to {high:.2%})")
    print(f"{len(effect.lost)} images no longer right, {len(effect.gained)} now right")
    for start, stop, flipped in effect.flips()[:5]:
        print(f"{len(flipped):>5}  {names[start]} → {names[stop]}")
    if args.random:
        others = np.array(answer["random"]["accuracies"])
        print(
            f"random channels: {others.mean():.2%} on average, {others.min():.2%} to {others.max():.2%} in "
            f"{args.random} draws; as costly or more with p = {answer['random']['p']:.3f}"
        )
    return 0


def _each(args: argparse.Namespace) -> int:
    from core.ablation.atlas import ablation_atlas
    from core.ablation.switch_off import judged_rows
    from core.data.fitting import fitted

    classifier, dataset = open_both(args.classifier, args.dataset)
    split = dataset.split(args.split)
    names = classifier.card.class_names
    rows, labels, note = judged_rows(split, dataset.class_names, names, args.images)
    pixels = fitted(split.images, classifier.card.preprocessing, show)
    atlas = ablation_atlas(classifier, pixels, rows, labels, args.each, how=args.how, progress=show)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    order, (low, high) = atlas.ranked(), atlas.interval
    by_class = atlas.right - atlas.whole
    if args.json:
        channels = [
            {
                "channel": int(c),
                "change": float(atlas.change[c]),
                "interval": [float(low[c]), float(high[c])],
                "lost": int(atlas.lost[c]),
                "gained": int(atlas.gained[c]),
                "loss": float(atlas.loss[c]),
                "by_class": by_class[c].tolist(),
            }
            for c in order
        ]
        whole = float(atlas.whole.sum() / atlas.images)
        asked = {**_asked(args, dataset, rows), "layer": args.each, "engine": atlas.engine}
        print(json.dumps({**asked, "accuracy": whole, "channels": channels}))
        return 0
    if note:
        print(note)
    print(
        f"{len(rows):,} images of {dataset.title}, {args.split}; each of {len(order):,} channels of "
        f"{args.each} off alone\naccuracy with none off {atlas.whole.sum() / atlas.images:.2%}\n"
        f"({atlas.engine})"
    )
    for c in order[:20].tolist():
        worst = int(by_class[c].argmin())
        most = f", most of them {names[worst]} ({by_class[c, worst]:+d})" if by_class[c, worst] < 0 else ""
        print(
            f"channel {c:>5}  {atlas.change[c]:+7.2%}  (95% interval {low[c]:+.2%} to {high[c]:+.2%})  "
            f"loss {atlas.loss[c]:+.4f}  {atlas.lost[c]} lost, {atlas.gained[c]} gained{most}"
        )
    return 0


def _asked(args: argparse.Namespace, dataset: "ImageDataset", rows: Any) -> "JsonObject":
    return {
        "classifier": args.classifier,
        "dataset": dataset.name,
        "split": args.split,
        "images": len(rows),
        "how": args.how,
    }
