"""Every analysis of one network of every family: nothing crashes, is wrong or leaves the network changed."""

import pytest

from tests.families.analyses import ANALYSES, IMAGES, ask_everything
from tests.families.networks import LEFT_OUT, NETWORKS, families, family_of, lively_classifier, pictures
from tests.families.page import page

# Some that are built in their own ways, and quick; the others in `make test-all`.
QUICK = {
    "torchvision/squeezenet1_1", "timm/lcnet_035",
}  # fmt: skip


@pytest.mark.parametrize(
    "network", [name if name in QUICK else pytest.param(name, marks=pytest.mark.all) for name in NETWORKS]
)
def test_every_analysis_of_a_family(network: str) -> None:
    classifier = lively_classifier(network)
    side = classifier.card.preprocessing.input_size[0]
    results = ask_everything(classifier, pictures(side, IMAGES))
    assert [result.analysis for result in results] == list(ANALYSES)
    wrong = {r.analysis: r.found.words for r in results if r.outcome not in ("done", "not offered")}
    assert not wrong, wrong
    assert all(result.found.words for result in results if result.outcome == "not offered")


def test_every_family_of_the_libraries_is_looked_at() -> None:
    looked_at = {family_of(network) for network in NETWORKS}
    assert not looked_at & LEFT_OUT.keys()
    missing = families() - looked_at - LEFT_OUT.keys()
    assert not missing, f"add a network of {sorted(missing)} to tests/families/networks.py"


def test_the_page_says_which_engine_answered_and_why_not() -> None:
    def result(
        analysis: str, outcome: str, way: str = "", words: str = "", cost: float | None = None
    ) -> dict:
        return {"analysis": analysis, "outcome": outcome, "found": {"way": way, "words": words, "cost": cost}}

    rows = [
        {
            "network": "timm/a", "side": 64, "parameters": 1_500_000, "results": [
                result("occlusion", "done", "general", "too little to save", 0.5),
                result("filter index", "not offered", words="timm/a has no convolution"),
                result("saliency", "done", cost=3.0),
            ],
        },
        {"network": "timm/b", "failed": "RuntimeError: too small"},
    ]  # fmt: skip
    text = page(rows)
    assert "| timm/a | 64 | 1.5 | general 0.5× |" in text
    assert "- **occlusion**: too little to save (timm/a)" in text
    assert "- **filter index**: the network has no convolution (timm/a)" in text
    assert "- timm/b: RuntimeError: too small" in text
