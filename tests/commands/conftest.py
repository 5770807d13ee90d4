"""What the tests of several commands ask: a network that is small enough to be asked again and again."""

import pytest
import torch

from core.data.preprocessing import Preprocessing
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import save_checkpoint


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The checkpoint imported/tiny, in a home of its own."""
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    torch.manual_seed(0)
    settings = {"widths": "4,8", "hidden": 8}
    module = models["small_cnn"](channels=1, number_of_classes=3, input_size=(20, 20), **settings)
    preprocessing = Preprocessing((20, 20), (0.5,), (0.25,), 1)
    card = ModelCard("tiny", "small_cnn", ("cat", "dog", "owl"), preprocessing, settings=settings)
    save_checkpoint(tmp_path / "imported" / "tiny", module, card)
