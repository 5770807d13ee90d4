"""`python -m core datasets`: what can be trained on, and what is in it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from core.commands import say_folders, say_reading


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "datasets",
        help="list the data sets, or look into one",
        description="Without a name: all data sets. With one: its splits, classes, mean and std, and the "
        "files that could not be read; it is fetched or read into the data folder first if need be. What "
        "folders were taken for is printed on the error output; the settings splits, spelling and names "
        "overrule a guess.",
    )
    parser.add_argument("name", nargs="?", help="a data set, as the list names it, or image_folder")
    parser.add_argument(
        "--settings",
        default="",
        help='of the data set, such as "download=true" or "folder=photos; size=64"; with --add, '
        'what its folders are, such as "splits=training_set=train, test_set=test"',
    )
    parser.add_argument("--add", type=Path, metavar="ZIP", help="keep a zip of class folders as a data set")
    parser.add_argument("--duplicates", action="store_true", help="compare test and training images too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.data.catalogue import catalogue, open_dataset
    from core.settings import assignments_in

    settings = assignments_in(args.settings)
    if args.add:
        dataset = _added(args.add, settings)
    elif args.name:
        say_folders(args.name, settings)
        dataset = open_dataset(args.name, progress=_show, **settings)
    else:
        entries = catalogue()
        width = max(len(entry.name) for entry in entries)
        for entry in entries:
            about = entry.title if entry.path else entry.summary
            print(f"{entry.name:<{width}}  {about}".rstrip())
        print('Your own: --add photos.zip, or image_folder --settings "folder=photos".')
        return 0
    _describe(dataset)
    if args.duplicates:
        _describe_duplicates(dataset)
    return 0


def _added(path: Path, said: dict[str, str]) -> Any:
    from core.data.catalogue import add_upload
    from core.data.folder_index import find_images, look_into
    from core.data.folder_reading import READING_SETTINGS
    from core.errors import BadDataset, SettingError, one_of

    strange = [name for name in said if name not in READING_SETTINGS]
    if strange:
        raise SettingError(
            f"{strange[0]} is not kept with a zip: give it where the data set is used. With --add: "
            f"{one_of(READING_SETTINGS)}"
        )
    files = find_images(path, names=said.get("names", "guess"))
    how = {name: value for name, value in said.items() if name != "names"}
    say_reading(look_into(files, **how))
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadDataset(f"{path} cannot be read: {error.strerror}. Give the path of a zip.") from None
    with file:
        name, dataset = add_upload(file, path.name, said, progress=_show)
    print(f"\nkept as {name}", file=sys.stderr)
    return dataset


def _describe(dataset: Any) -> None:
    height, width = dataset.input_size
    colors = "gray" if dataset.channels == 1 else "RGB"
    print(f"{dataset.title}: {dataset.number_of_classes} classes, {width} × {height} pixels, {colors}")
    for name, split in dataset.splits.items():
        mean, std = ([f"{value:.4f}" for value in values] for values in split.mean_std)
        counts = split.counts(dataset.number_of_classes)
        print(f"  {name:<8} {len(split):>7,} images, {counts.min():,} to {counts.max():,} a class, "
              f"mean {', '.join(mean)}, std {', '.join(std)}")  # fmt: skip
    print(f"  classes  {', '.join(dataset.class_names)}")
    print(f"  source   {dataset.source}; license: {dataset.license or 'not stated'}")
    print(f"  sha256   {dataset.fingerprint}")
    if dataset.note:
        print(f"  {dataset.note}")
    for skipped in dataset.skipped[:20]:
        print(f"  left out: {skipped.path}: {skipped.reason}")
    if len(dataset.skipped) > 20:
        print(f"  left out: {len(dataset.skipped) - 20:,} more")


def _describe_duplicates(dataset: Any) -> None:
    from core.data.duplicates import nearest_images

    found = nearest_images(dataset.split("test"), dataset.split("train"))
    print(f"  {int(found.exact.sum()):,} test images are training images too")
    for similarity in (0.99, 0.97, 0.95):
        print(f"  {len(found.at_least(similarity)):,} are alike by {similarity} or more")


def _show(share: float, message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{share:4.0%} {message}", end="" if share < 1 else "\n", file=sys.stderr, flush=True)
