"""`python -m core embed`: a picture of what a layer makes of many images, as a table of points."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from core.commands import say_folders


def add_parser(subparsers: Any) -> None:
    from core.embedding.projections import PROJECTIONS
    from core.settings import add_options

    parser = subparsers.add_parser(
        "embed",
        help="draw images by what a layer makes of them: PCA, t-SNE, UMAP",
        description="Features of a layer, projected, and how far the picture can be trusted.",
    )
    parser.add_argument("checkpoint", help="a classifier's name, or a checkpoint's folder")
    parser.add_argument(
        "--dataset", default="", help="its name (default: what the classifier was trained on)"
    )
    parser.add_argument("--split", default="test", help="train, val or test (default: test)")
    parser.add_argument("--layer", default="", help="(default: the last before the head)")
    parser.add_argument("--projection", default="tsne", help=f"{', '.join(PROJECTIONS)} (default: tsne)")
    parser.add_argument("--dimensions", type=int, default=2, help="2 or 3 (default: 2)")
    parser.add_argument("--images", type=int, default=1000, help="how many images (default: 1000)")
    for projection in PROJECTIONS.values():
        add_options(parser, projection.settings)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the points as CSV")
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.data.catalogue import open_dataset
    from core.embedding.embed import embed, feature_space, features_of, last_before_head, sample_rows
    from core.embedding.projections import PROJECTIONS, projection_named
    from core.errors import SettingError
    from core.models.catalogue import load
    from core.models.checkpoint import load_checkpoint
    from core.settings import check_settings

    projection = projection_named(args.projection)
    all_settings = {s.name for p in PROJECTIONS.values() for s in p.settings}
    given = {name: getattr(args, name) for name in all_settings if hasattr(args, name)}
    settings = check_settings(projection.settings, given)
    if args.dimensions not in (2, 3):
        raise SettingError(f"--dimensions is {args.dimensions}: choose 2 or 3.")
    folder = Path(args.checkpoint)
    classifier = (
        load_checkpoint(folder) if (folder / "card.json").is_file() else load(args.checkpoint, progress=_show)
    )
    name = args.dataset or classifier.card.dataset
    if not name:
        raise SettingError(f"The card of {args.checkpoint} names no data set: give one with --dataset NAME.")
    say_folders(name, {})
    data = open_dataset(name, progress=_show)
    split = data.split(args.split)
    rows = sample_rows(split, args.images)
    part = split.take(rows)
    layer = args.layer or last_before_head(classifier)
    features, logits = features_of(classifier, part.images, layer, progress=_show)
    space = feature_space(features, layer, _show)
    picture = embed(
        space, part.labels, projection=args.projection, dimensions=args.dimensions, settings=settings,
        progress=_show,
    )  # fmt: skip
    if args.out:
        try:
            with args.out.open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(["row", "label", "predicted", "preserved", *"xyz"[: args.dimensions]])
                for i, point in enumerate(picture.points.tolist()):
                    predicted = classifier.card.class_names[int(logits[i].argmax())]
                    label = data.class_names[int(part.labels[i])]
                    kept = f"{picture.preserved[i]:.2f}"
                    table.writerow(
                        [int(rows[i]), label, predicted, kept, *(f"{value:.6g}" for value in point)]
                    )
        except OSError as error:
            raise SettingError(
                f"{args.out} cannot be written: {error.strerror}. Choose another --out."
            ) from None
    share = float(picture.preserved.mean())
    answer = {
        "checkpoint": args.checkpoint, "dataset": name, "split": args.split, "layer": layer,
        "images": len(rows), "features": features.shape[1], "projection": args.projection,
        "dimensions": args.dimensions, "settings": settings, "neighbors_kept": share,
        "silhouette": picture.silhouette, "silhouette_shown": picture.silhouette_shown,
    }  # fmt: skip
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        return 0
    print(f"{len(rows):,} images, {features.shape[1]} features each at {layer}, by {projection.title}.")
    print(f"{share:.1%} of the ten nearest neighbors are kept; by chance {min(1, 10 / (len(rows) - 1)):.1%}.")
    if picture.silhouette is not None:
        print(
            f"Silhouette: {picture.silhouette:.3f} in the features, "
            f"{picture.silhouette_shown:.3f} in the picture."
        )
    return 0


def _show(share: float, message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{share:4.0%} {message:<60}", end="" if share < 1 else "\n", file=sys.stderr, flush=True)
