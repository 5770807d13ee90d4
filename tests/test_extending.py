"""The examples of docs/extending.md are complete: each file works as it stands, where it would stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"<!-- (\S+\.py) -->\n```python\n(.*?)```", TEXT, re.DOTALL))

# What shows that a member is there and works, run in a process in which its folder has one more file.
CHECKS = {
    "core/models/architectures/two_convolutions.py": """
import torch
from core.models.architectures import models
network = models["two_convolutions"](channels=3, number_of_classes=5, input_size=(8, 8), width=4)
assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
assert [s.name for s in models["two_convolutions"].settings] == ["width"]
assert models["two_convolutions"].settings[0].help == "Filters of each convolution."
""",
    "core/data/sets/stripes.py": """
from core.data.catalogue import open_dataset
dataset = open_dataset("stripes")
assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 160, "test": 40}
image = dataset.split("test").images[int((dataset.split("test").labels == 0).argmax()), ..., 0].astype(float)
assert image.mean(1).std() > 4 * image.mean(0).std()  # horizontal: rows differ, columns do not
""",
    "core/attribution/methods/squared_gradient.py": """
import numpy as np
from core.attribution.methods import methods
from core.data.catalogue import open_dataset
from core.models.catalogue import load
image = open_dataset("digits").split("test").images[0]
classifier = load("digits_cnn")
found, plain = (methods[name](classifier, image, 3).values for name in ("squared_gradient", "saliency"))
np.testing.assert_allclose(found, plain**2, rtol=1e-4, atol=1e-9)
""",
    "core/commands/count.py": """
from core.__main__ import main
assert main(["count", "digits"]) == 0
""",
}


def test_every_example_is_checked():
    assert set(EXAMPLES) == {*CHECKS, "pages/class_counts.py"}
    assert all(len(code.splitlines()) <= 35 for code in EXAMPLES.values())


@pytest.mark.parametrize("path", CHECKS)
def test_a_new_member_is_one_new_file(path, tmp_path):
    folder, _, file = path.rpartition("/")
    (tmp_path / file).write_text(EXAMPLES[path], "utf-8")
    package = folder.replace("/", ".")
    code = f"import {package} as package\npackage.__path__.append({str(tmp_path)!r})\n{CHECKS[path]}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    if path.startswith("core/commands"):
        assert done.stdout.splitlines() == ["train: 1438 images", "test: 359 images"]


def test_the_page_runs_alone(tmp_path):
    from streamlit.testing.v1 import AppTest

    script = tmp_path / "class_counts.py"
    script.write_text(EXAMPLES["pages/class_counts.py"], "utf-8")
    at = AppTest.from_file(script, default_timeout=60).run()
    assert not at.exception
    assert not at.error
    assert at.title[0].value == "Class counts"
