"""An explanation to take away: its values with all that is needed to redo it, and the script that does."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.attribution.mask_shares import MaskShare
from core.attribution.result import Attribution
from core.models.card import ModelCard
from core.settings import JsonObject, Settings


@dataclass(frozen=True)
class Target:
    """The class that is explained."""

    index: int
    name: str


@dataclass(frozen=True)
class ExplanationFacts:
    """What an explanation is of and how it was made; the fields of `Attribution` mean what they mean there.

    Attributes:
        classifier: Its name in the catalogue.
        image: A sample's name, or the name of the picture.
        shape: Of the values.
        range: Their least and their greatest.
        expected_sum: What they should add up to; None where nothing is promised.
        masks: How the strongest places lie to the masks that the image has.
    """

    classifier: str
    weights_sha256: str
    image: str
    target: Target
    method: str
    settings: Settings
    found: Settings
    score: float
    signed: bool
    shape: tuple[int, ...]
    range: tuple[float, float]
    sum: float
    expected_sum: float | None
    convergence_delta: float | None
    completeness_error_percent: float | None
    note: str
    masks: tuple[MaskShare, ...] = ()

    def to_json(self) -> JsonObject:
        """What `json.dumps` takes; `masks` only where there are any."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name != "masks" or value}


def facts_of(
    result: Attribution, card: ModelCard, classifier: str, image: str, masks: Sequence[MaskShare] = ()
) -> ExplanationFacts:
    """What an explanation is of and how it was made.

    Args:
        classifier: Its name in the catalogue.
        image: A sample's name, or the name of the picture.
    """
    values = result.values
    return ExplanationFacts(
        classifier=classifier,
        weights_sha256=card.weights_sha256,
        image=image,
        target=Target(result.target, card.class_names[result.target]),
        method=result.method,
        settings=result.settings,
        found=result.found,
        score=result.score,
        signed=result.signed,
        shape=values.shape,
        range=(float(values.min()), float(values.max())),
        sum=float(values.sum(dtype=np.float64)),
        expected_sum=result.expected,
        convergence_delta=result.convergence_delta,
        completeness_error_percent=result.completeness_error,
        note=result.note,
        masks=tuple(masks),
    )


def npz_bytes(result: Attribution, facts: ExplanationFacts, pixels: np.ndarray) -> bytes:
    """A NumPy archive of `values`, `image` (what the network saw) and `about` (JSON: all the rest)."""
    archive = io.BytesIO()
    about = json.dumps(facts.to_json(), ensure_ascii=False)
    np.savez_compressed(archive, values=result.values, image=pixels, about=about)
    return archive.getvalue()


def script_text(facts: ExplanationFacts, npz_name: str, *, sample: bool) -> str:
    """A Python script that makes the explanation again.

    Args:
        npz_name: The file it is compared with, and takes the picture from where that is not a sample.
        sample: Whether `facts.image` is the name of a sample photo.
    """
    settings = "".join(f"    {name}={value!r},\n" for name, value in facts.settings.items())
    if sample:
        read = f"image = fit(open_image({facts.image!r}).pixels, classifier.card.preprocessing)"
        imports = "from core.data.preprocessing import fit\nfrom core.data.image_address import open_image\n"
    else:
        read = 'image = kept["image"]  # what the network saw'
        imports = ""
    title = f"{facts.method} of class {facts.target.index} for an image".replace('"""', "")
    return (
        f'"""Makes an explanation again: {title}.\n\n'
        f'Run it in Convoscope\'s folder, with {npz_name} beside it.\n"""\n\n'
        "import numpy as np\n\n"
        "from core.attribution.methods import methods\n"
        "from core.models.catalogue import load\n"
        f"{imports}\n"
        f"kept = np.load({npz_name!r})\n"
        f"classifier = load({facts.classifier!r})\n"
        f"{read}\n"
        f"result = methods[{facts.method!r}](\n"
        f"    classifier,\n    image,\n    {facts.target.index},  # {facts.target.name!r}\n"
        f"{settings})\n"
        'print("score", result.score, "completeness error in percent", result.completeness_error)\n'
        'difference = np.abs(result.values - kept["values"]).max()\n'
        'print("largest difference from the file", difference, "of", np.abs(kept["values"]).max())\n'
    )
