"""The end of a run: its best weights are stored and measured on the test images, and judged."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from core.data.dataset import Split
from core.evaluation.accuracy import measure
from core.history import EndRecord, EpochRecord
from core.models.batch_norm_folding import folded
from core.models.checkpoint import load_checkpoint, save_checkpoint
from core.models.classifier import Classifier
from core.paths import write_whole
from core.runs.verdict import verdict
from core.settings import JsonObject
from core.training.folder import LAST, machine
from core.training.run_parts import RunParts

ALL_DONE, NOT_FINITE = "all epochs done", "not finite"


def store_results(
    run: RunParts, past: Sequence[EpochRecord], best: EpochRecord | None, *, broken: bool
) -> EndRecord:
    """Write the last weights, measure the best ones, and judge the run.

    Args:
        past: All epochs.
        best: The epoch of the best weights; None where none was finite.
        broken: The loss is no longer a finite number.
    """
    settings = run.settings
    metrics: JsonObject = {}
    if best is not None:
        run.weights.finish()
        if settings.fold_batch_norm:
            _fold(run.folder, run.where, half=settings.half)
        classifier = load_checkpoint(run.folder, run.where)
        metrics = measured(classifier, run.data.test, past, best, flips=settings.test_flips)
        card = dataclasses.replace(classifier.card, metrics=metrics)
        save_checkpoint(run.folder, classifier.module, card, half=settings.half)
    last = folded(run.module, run.card)[0] if settings.fold_batch_norm else run.module
    write_whole(run.folder / LAST, _tensors(last))
    return end_record(past, best, metrics, broken, settings.epochs, settings.learning_rate)


def end_record(
    past: Sequence[EpochRecord], best: EpochRecord | None, metrics: JsonObject, broken: bool,
    planned_epochs: int, learning_rate: float,
) -> EndRecord:  # fmt: skip
    """The last record of a run."""
    words = verdict(past, planned_epochs=planned_epochs, learning_rate=learning_rate)
    return EndRecord(
        NOT_FINITE if broken else ALL_DONE, words.sentence, best.epoch if best is not None else None, metrics
    )


def measured(
    classifier: Classifier, test: Split | None, past: Sequence[EpochRecord], best: EpochRecord, *,
    flips: bool = False,
) -> JsonObject:  # fmt: skip
    """The metrics of a card: what the best weights reach, and what it took to get there."""
    metrics: JsonObject = {}
    if test is not None:
        metrics["test"] = measure(classifier, test).to_json()
        if flips:
            metrics["test_flips_averaged"] = measure(classifier, test, flips=True).to_json()
    if best.validation_accuracy is not None:
        metrics["validation"] = {"accuracy": best.validation_accuracy, "loss": best.validation_loss}
    metrics["training"] = {
        "epochs": len(past),
        "best_epoch": best.epoch,
        "seconds": round(sum(record.seconds or 0.0 for record in past), 1),
        "machine": machine(),
        "parameters": sum(p.numel() for p in classifier.module.parameters()),
    }
    return metrics


def _fold(folder: Path, where: torch.device, *, half: bool) -> None:
    """Store the best weights without batch norm; a run that was killed just after has them so already."""
    classifier = load_checkpoint(folder, where)
    if classifier.card.settings["batch_norm"]:
        module, card = folded(classifier.module, classifier.card)
        save_checkpoint(folder, module, card, half=half)


def _tensors(module: nn.Module) -> bytes:
    from safetensors.torch import save

    held = module.state_dict().items()
    return save({name: v.detach().cpu().clone(memory_format=torch.contiguous_format) for name, v in held})
