"""`python -m core explain IMAGE`: which pixels an answer rests on."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.attribution.export import ExplanationFacts

DEFAULT_METHOD = "integrated_gradients"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="show which pixels an answer rests on",
        description="Say which pixels an answer rests on. Each method has settings of its own: "
        "`explain IMAGE --method NAME --help` lists them too.",
    )
    parser.add_argument(
        "image", help="a path, a sample such as chelsea, or one of a data set: sutures/test/3"
    )
    parser.add_argument("--method", default=DEFAULT_METHOD, help=f"(default: {DEFAULT_METHOD})")
    parser.add_argument("--classifier", default="efficientnet_lite0", help="see `python -m core classifiers`")
    parser.add_argument("--target", help="a class by name or index (default: the predicted one)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="keep the values and how they were made")
    parser.add_argument("--png", type=Path, metavar="FILE.png", help="keep a picture of the map")
    parser.add_argument(
        "--view", choices=("heat", "signed", "spotlight", "raw"), default="heat",
        help="how the picture shows the map (default: heat, its magnitude smoothed)",
    )  # fmt: skip
    parser.set_defaults(run=run)
    _add_settings_when_asked(parser)


def _add_settings_when_asked(parser: argparse.ArgumentParser) -> None:
    """Let the options of the method join when this command's line is read.

    Only then is it known which method it is, and only this command has to wait for torch.
    """
    parse = parser.parse_known_args

    def with_settings(args: Any = None, namespace: Any = None) -> Any:
        from core.attribution.methods import methods
        from core.settings import add_options

        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.add_argument("--method", default=DEFAULT_METHOD)
        name = first.parse_known_args(args)[0].method
        if name in methods:  # `run` says what is wrong with another
            add_options(parser, methods[name].settings)
        return parse(args, namespace)

    parser.parse_known_args = with_settings  # type: ignore[method-assign]


def run(args: argparse.Namespace) -> int:
    from core.attribution.export import facts_of, npz_bytes
    from core.attribution.mask_shares import fitted_masks, in_words, mask_shares
    from core.attribution.methods import methods
    from core.attribution.rendering import Look, Shown, default_sigma, sheet
    from core.commands import write_file
    from core.data.image_address import open_image
    from core.data.images import encode
    from core.data.preprocessing import fit
    from core.models.catalogue import load
    from core.settings import check_settings

    method = methods[args.method]
    given = {s.name: getattr(args, s.name) for s in method.settings if hasattr(args, s.name)}
    settings = check_settings(method.settings, given)
    image = open_image(args.image)
    classifier = load(args.classifier)
    card = classifier.card
    pixels = fit(image.pixels, card.preprocessing)
    if args.target is None:
        target = int(classifier.predict_logits(pixels[None])[0].argmax())
    else:
        target = card.target_index(args.target)
    result = method(classifier, pixels, target, **settings)
    shares = mask_shares(result.values, fitted_masks(image.masks, card.preprocessing))
    facts = facts_of(result, card, args.classifier, args.image, shares)
    if args.out:
        write_file(args.out, npz_bytes(result, facts, pixels))
    if args.png:
        title = f"{method.title}: {card.class_names[target]}"
        shown = Shown(title, result.values, smooth=method.facts.get("smooth", True))
        write_file(args.png, encode(sheet(pixels, [shown], Look(args.view, default_sigma(pixels.shape[:2])))))
    print(json.dumps(facts.to_json(), ensure_ascii=False, indent=2) if args.json else _in_words(facts))
    if shares and not args.json:
        print(f"  where the map is strong: {in_words(shares)}")
    return 0


def _in_words(facts: "ExplanationFacts") -> str:
    target, settings = facts.target, facts.settings
    output = settings.get("output", "logit")
    lines = [
        f"{facts.method}: the {output} of {target.name} (class {target.index}) is {facts.score:.4f}.",
        f"  values from {facts.range[0]:.4g} to {facts.range[1]:.4g}, in all {facts.sum:.4f}",
    ]
    if facts.expected_sum is not None:
        lines.append(
            f"  should add up to {facts.expected_sum:.4f}: {facts.completeness_error_percent:.3f} % off"
        )
    shown = {**settings, **{f"found {name}": value for name, value in facts.found.items()}}
    lines.append("  " + ", ".join(f"{name} {value}" for name, value in shown.items() if value is not None))
    return "\n".join([*lines, facts.note] if facts.note else lines)
