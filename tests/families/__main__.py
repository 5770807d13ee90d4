"""Ask everything of one network of every family, and write docs/networks.md from what is found.

    python -m tests.families                       # what is not known yet, then the page
    python -m tests.families timm/resnet10t        # these anew

What is found is kept in the folder "networks" of Convoscope's own, a file for each network, so that a run
that was interrupted goes on.
"""

import dataclasses
import json
import sys
import time
import warnings
from pathlib import Path

import torch

from core.paths import PROJECT, home
from tests.families.analyses import IMAGES, ask_everything
from tests.families.networks import NETWORKS, lively_classifier, pictures
from tests.families.page import page


def main(names: list[str]) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    for network in names or NETWORKS:
        file = _file(network)
        if names or not file.exists():
            began = time.perf_counter()
            file.write_text(json.dumps(_row(network), indent=1, ensure_ascii=False), encoding="utf-8")
            print(f"{network}: {time.perf_counter() - began:.0f} s", flush=True)
    known = [json.loads(_file(n).read_text(encoding="utf-8")) for n in NETWORKS if _file(n).exists()]
    not_asked = [n for n in NETWORKS if not _file(n).exists()]
    (PROJECT / "docs" / "networks.md").write_text(page(known, not_asked), encoding="utf-8")


def _row(network: str) -> dict[str, object]:
    """What became of every analysis, as JSON."""
    try:
        classifier = lively_classifier(network)
    except Exception as error:  # noqa: BLE001 -- one network must not end the run
        return {"network": network, "failed": f"{type(error).__name__}: {error}"[:300]}
    side = classifier.card.preprocessing.input_size[0]
    row = {
        "network": network,
        "side": side,
        "parameters": sum(p.numel() for p in classifier.module.parameters()),
    }
    try:
        results = ask_everything(classifier, pictures(side, IMAGES))
    except Exception as error:  # noqa: BLE001
        return {**row, "failed": f"{type(error).__name__}: {error}"[:300]}
    return {**row, "results": [dataclasses.asdict(result) for result in results]}


def _file(network: str) -> Path:
    return home("networks") / f"{network.replace('/', '.')}.json"


if __name__ == "__main__":
    main(sys.argv[1:])
