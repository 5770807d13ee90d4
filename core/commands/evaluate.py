"""`python -m core evaluate`: measure how good a classifier is on a split, and what it confuses."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from core.commands import say_folders


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure how good a classifier is on a split, and what it confuses",
        description="Accuracy with its interval, F1, calibration, the matrix and what stands out in it.",
    )
    parser.add_argument(
        "checkpoint", help="a classifier's name, such as fashion_mnist_cnn, or a checkpoint's folder"
    )
    parser.add_argument(
        "--dataset", default="", help="its name (default: what the classifier was trained on)"
    )
    parser.add_argument(
        "--folder", type=Path, help="a folder of images in class folders, with --dataset image_folder"
    )
    parser.add_argument(
        "--settings", help='settings of the data set, such as "grid_leak=0.95" (default: as in training)'
    )
    parser.add_argument("--split", default="test", help="train, val or test (default: test)")
    parser.add_argument("--matrix", type=Path, metavar="FILE", help="write the confusion matrix as CSV too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.data.catalogue import open_dataset
    from core.errors import SettingError, Unavailable
    from core.evaluation.checkpoint_check import dataset_settings_of
    from core.evaluation.matrix_file import write_matrix
    from core.evaluation.prediction import match_classes, predict_split, predictions_of
    from core.evaluation.report import evaluate
    from core.evaluation.stored_predictions import stored_predictions
    from core.models.catalogue import checkpoint_folder, load
    from core.models.checkpoint import load_checkpoint
    from core.settings import assignments_in

    def show(share: float, message: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{share:4.0%} {message:<50}", end="" if share < 1 else "\n", file=sys.stderr, flush=True)

    folder = Path(args.checkpoint)
    classifier = (
        load_checkpoint(folder) if (folder / "card.json").is_file() else load(args.checkpoint, progress=show)
    )
    name = args.dataset or classifier.card.dataset
    if not name:
        raise SettingError(f"The card of {args.checkpoint} names no data set: give one with --dataset NAME.")
    settings: dict[str, Any] = {}
    own = checkpoint_folder(args.checkpoint) or folder
    if args.settings is not None:
        settings = dict(assignments_in(args.settings))
    elif name == classifier.card.dataset and own.is_dir():
        settings = dataset_settings_of(own)
    settings |= {"folder": str(args.folder)} if args.folder else {}
    say_folders(name, settings)
    try:
        dataset = open_dataset(name, progress=show, **settings)
        split = dataset.split(args.split)
    except Unavailable:
        stored = stored_predictions(args.checkpoint, name)
        if stored is None or stored.split != args.split or args.settings or args.folder:
            raise
        predictions = stored.predictions
        print(
            f"The images of {name} are not on this machine: these are the predictions that come with "
            f"{args.checkpoint}.", file=sys.stderr,
        )  # fmt: skip
    else:
        match_classes(dataset.class_names, classifier.card.class_names)  # before the long part
        logits = predict_split(classifier, split, show)
        predictions = predictions_of(logits, split, dataset.class_names, classifier.card.class_names)
    report = evaluate(predictions)
    if args.matrix:
        args.matrix.write_text(write_matrix(report.matrix, predictions.class_names), encoding="utf-8")
    if args.json:
        about = {"checkpoint": args.checkpoint, "dataset": name, "split": args.split}
        print(json.dumps({**about, **report.to_json()}, indent=2, ensure_ascii=False))
        return 0
    print("\n".join(finding.text for finding in report.findings))
    print(
        f"F1: {report.macro['f1']:.4f} macro, {report.weighted['f1']:.4f} weighted. "
        + " ".join(f"Top {k}: {value:.2%}." for k, value in report.top_k.items() if k > 1)
    )
    print(f"Expected calibration error: {report.calibration_error:.4f}.")
    if predictions.note:
        print(predictions.note)
    return 0
