"""Pixels in, logits out: normalization, one-logit networks, batches that shrink when memory runs out."""

import numpy as np
import pytest
import torch
from torch import nn

from core.compute.batch_size import BatchSize
from core.data.preprocessing import Preprocessing, normalize
from core.errors import BadCheckpoint, BadImage, OutOfMemory
from core.evaluation.probabilities import probabilities
from core.models.card import ModelCard
from core.models.classifier import Classifier

RGB = Preprocessing((6, 8), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


class Head(nn.Module):
    """A linear layer over all pixels that records the batches it saw, and fails above a limit."""

    def __init__(self, outputs: int, limit: int = 1 << 30):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6 * 8 * 3, outputs)
        self.limit, self.seen = limit, []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return self.linear(x.flatten(1))


def classifier(outputs=4, classes=4, **options) -> Classifier:
    names = tuple(f"c{i}" for i in range(classes))
    return Classifier(Head(outputs, **options), ModelCard("toy", "none", names, RGB), torch.device("cpu"))


def images(n=1):
    return np.random.default_rng(0).integers(0, 256, (n, 6, 8, 3), np.uint8)


def test_inputs_are_what_normalize_says():
    toy = classifier()
    np.testing.assert_allclose(toy.inputs(images(3)).numpy(), normalize(images(3), RGB), atol=1e-6)


def test_inputs_of_a_wrong_shape_are_named():
    with pytest.raises(BadImage, match=r"shape \(2, 6, 8, 1\); toy takes \(N, 6, 8, 3\)"):
        classifier().inputs(images(2)[..., :1])


def test_batches_do_not_change_the_answer():
    toy = classifier()
    together = toy.logits(toy.inputs(images(300))).detach().numpy()
    shares = []
    answers = toy.predict_logits(images(300), progress=lambda share, message: shares.append(share))
    np.testing.assert_allclose(answers, together, atol=1e-5)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    made = toy.predict_logits(lambda start, stop: images(300)[start:stop], n=300)
    np.testing.assert_allclose(made, together, atol=1e-5)


def test_one_logit_is_two_classes():
    toy = classifier(outputs=1, classes=2)
    z = toy.module(toy.inputs(images(5))).detach().numpy()[:, 0]
    shares = probabilities(toy.predict_logits(images(5)))
    np.testing.assert_allclose(shares[:, 1], 1 / (1 + np.exp(-z)), atol=1e-6)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)


def test_a_card_with_other_classes_than_outputs_is_named():
    with pytest.raises(BadCheckpoint, match=r"answers with the shape \(1, 4\), but its card names 7"):
        classifier(outputs=4, classes=7).predict_logits(images())


def test_batches_are_halved_when_memory_runs_out_and_it_is_said(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # else they are also divided among the threads
    toy, free = classifier(limit=3), classifier()
    notes = []
    toy._size = BatchSize({64: 1e-6})  # so that the first batch is large
    answers = toy.predict_logits(images(40), progress=lambda share, message: notes.append(message))
    np.testing.assert_allclose(answers, free.predict_logits(images(40)), atol=1e-5)
    assert toy.module.seen[0] == 40
    assert max(toy.module.seen[4:]) <= 3
    assert "memory ran out" in notes[0]


def test_when_not_even_one_fits_it_is_an_error_and_others_pass_through():
    with pytest.raises(OutOfMemory, match="Even one image"):
        classifier(limit=0).predict_logits(images())

    def broken(start, stop):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        classifier().in_batches(3, broken)


def test_probabilities_of_huge_logits():
    np.testing.assert_array_equal(probabilities(np.array([1e30, 0.0, -1e30])), [1, 0, 0])
