"""The perceptron of `core.training.numpy_mlp` once more, with PyTorch's layers, autograd and optimizer."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.history import EpochRecord
from core.models.activation_functions import activation_function
from core.training.epoch_sums import EpochSums
from core.training.numpy_mlp import NumpyMLP
from core.training.optimizers import gradient_norm


def train_epochs(
    network: NumpyMLP,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray] | None,
    *,
    rates: Sequence[float],
    batch_size: int,
    seed: int,
) -> Iterator[EpochRecord]:
    """As in `core.training.numpy_mlp`: the same first weights, the same batches, another's arithmetic.

    The weights share their memory with the network's arrays, which therefore are always those of the moment.
    """
    inputs, labels = (torch.from_numpy(np.ascontiguousarray(values)) for values in train)
    weights = [nn.Parameter(torch.from_numpy(w)) for w in network.weights]
    biases = [nn.Parameter(torch.from_numpy(b)) for b in network.biases]
    activation = activation_function(network.activation)

    def logits_of(x: Tensor) -> Tensor:
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = activation(F.linear(x, weight, bias))
        return F.linear(x, weights[-1], biases[-1])

    optimizer = torch.optim.SGD([*weights, *biases], lr=rates[0])
    rng = np.random.default_rng(seed)
    steps = 0
    for epoch, rate in enumerate(rates, start=1):
        optimizer.param_groups[0]["lr"] = rate
        began = time.perf_counter()
        sums = EpochSums()
        order = rng.permutation(len(labels))
        for start in range(0, len(labels), batch_size):
            rows = torch.from_numpy(order[start : start + batch_size])
            logits = logits_of(inputs[rows])
            loss = F.cross_entropy(logits, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            value, norm = float(loss.detach()), float(gradient_norm([*weights, *biases]))
            sums.add(value, int((logits.argmax(1) == labels[rows]).sum()), len(rows), norm)
            optimizer.step()
            steps += 1
            if not np.isfinite(value):
                break
        sums.seconds = time.perf_counter() - began
        record = sums.record(epoch, steps, rate)
        if validation is not None and np.isfinite(sums.loss):
            with torch.no_grad():
                held_out = torch.from_numpy(np.ascontiguousarray(validation[1]))
                logits = logits_of(torch.from_numpy(np.ascontiguousarray(validation[0])))
                accuracy = float((logits.argmax(1) == held_out).float().mean())
                loss = F.cross_entropy(logits, held_out)
            record = replace(record, validation_loss=float(loss), validation_accuracy=accuracy)
        yield replace(record, seconds=time.perf_counter() - began)
        if not np.isfinite(sums.loss):
            return
