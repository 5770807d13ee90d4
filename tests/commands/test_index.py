"""`python -m core index`, killed in the middle: the next one goes on and finds the same."""

import subprocess
import sys
import time

import numpy as np
import torch

from core import store
from core.__main__ import main
from core.data.catalogue import open_dataset
from core.data.preprocessing import Preprocessing
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import save_checkpoint
from core.paths import PROJECT

# Saves after every batch, and gives the test time to kill it.
SLOWLY = """
import sys, time
import core.filters.index as index
from core.__main__ import main
index.SECONDS_BETWEEN_SAVES, index.MOST_BATCH_BYTES = 0.0, 1 << 21
add = index.LayerSums.add
index.LayerSums.add = lambda *a: (time.sleep(float(sys.argv[1])), add(*a))
sys.exit(main(sys.argv[2:]))
"""


def checkpoint(folder):
    torch.manual_seed(0)
    module = models["small_cnn"](channels=1, number_of_classes=10, input_size=(28, 28), widths="4,6")
    names = open_dataset("fashion_mnist").class_names
    card = ModelCard(
        "tiny", "small_cnn", names, Preprocessing((28, 28), (0.3,), (0.35,), 1), settings={"widths": "4,6"},
        dataset="fashion_mnist",
    )  # fmt: skip
    save_checkpoint(folder, module, card)
    return folder


def killed_in_the_middle(folder):
    command = [sys.executable, "-c", SLOWLY, "0.3", "index", str(folder), "--images", "1000"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(2000):
            if process.poll() is not None or list(folder.glob("filter_index/*.part")):
                break
            time.sleep(0.05)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    (part,) = folder.glob("filter_index/*.part")
    with np.load(part) as file:
        assert 0 < file["done"][0] < 1000
    return part


def test_a_killed_index_goes_on_from_its_last_part(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("core.filters.index.MOST_BATCH_BYTES", 1 << 21)
    store.forget_memory()
    killed, whole = checkpoint(tmp_path / "killed" / "tiny"), checkpoint(tmp_path / "whole" / "tiny")
    part = killed_in_the_middle(killed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the process that was killed
    answers = []
    try:
        for folder in (killed, whole):
            store.forget_memory()
            assert main(["index", str(folder), "--images", "1000"]) == 0
            (file,) = folder.glob("filter_index/*.npz")
            answers.append(store.open_file(file, str(folder)))
    finally:
        torch.set_num_threads(threads)
        store.forget_memory()
    assert "1,000 images of Fashion-MNIST" in capsys.readouterr().out
    assert not part.exists()
    found, expected = answers
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
