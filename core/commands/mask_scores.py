"""`python -m core mask-scores`: does an explanation point at what matters, where masks tell the truth?"""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from core.commands import say_folders

DEFAULT_METHODS = ("integrated_gradients", "grad_cam")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "mask-scores",
        help="measure how much of the maps falls on the stitches and how much on the grid",
        description="Explain some test images of a data set with masks, and add up how much of each map "
        "falls on what, beside the share of the area, which is what a map that knows nothing would give it.",
    )
    parser.add_argument("classifier", help="such as sutures_grid; see `python -m core classifiers`")
    parser.add_argument(
        "--method", action="append", help=f"may be repeated (default: {', '.join(DEFAULT_METHODS)})"
    )
    parser.add_argument("--dataset", default="sutures", help="(default: sutures)")
    parser.add_argument(
        "--settings", help='settings of the data set, such as "grid_leak=0.95" (default: as in training)'
    )
    parser.add_argument("--split", default="test", help="(default: test)")
    parser.add_argument("--images", type=int, default=40, help="how many images (default: 40)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.attribution.mask_shares import score_method
    from core.attribution.methods import methods
    from core.data.catalogue import open_dataset
    from core.errors import SettingError
    from core.evaluation.checkpoint_check import dataset_settings_of
    from core.models.catalogue import checkpoint_folder, load
    from core.settings import assignments_in, check_settings

    if args.images < 1:
        raise SettingError(f"--images is {args.images}: choose a whole number from 1 on.")
    classifier = load(args.classifier)
    settings: dict[str, Any] = {}
    folder = checkpoint_folder(args.classifier)
    if args.settings is not None:
        settings = dict(assignments_in(args.settings))
    elif folder is not None and classifier.card.dataset == args.dataset:
        settings = dataset_settings_of(folder)
    say_folders(args.dataset, settings)
    split = open_dataset(args.dataset, progress=_show, **settings).split(args.split)
    if not split.masks:
        raise SettingError(f"The data set {args.dataset} has no masks: choose one that has, such as sutures.")
    found = {}
    for name in args.method or DEFAULT_METHODS:
        method = methods[name]
        options = check_settings(method.settings, {})
        found[name] = score_method(method, classifier, split, options, images=args.images, progress=_show)
    if args.json:
        print(json.dumps({name: [asdict(each) for each in s] for name, s in found.items()}, indent=2))
        return 0
    for name, shares in found.items():
        print(f"{methods[name].title}:")
        for each in shares:
            ends = f" ({each.interval[0]:.0%} to {each.interval[1]:.0%})" if each.interval else ""
            print(
                f"  {each.mask:<10} {each.share:>4.0%}{ends} of the map on {each.area:>3.0%} of the area: "
                f"× {each.times:.1f}"
            )
        if not shares:
            print("  every map is blank")
    return 0


def _show(share: float, message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{share:4.0%} {message}", end="", file=sys.stderr, flush=True)
