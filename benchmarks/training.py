"""What share of the forward-backward floor the training loop reaches, and what a usual loop reaches."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import Row, alternate
from core.data.catalogue import open_dataset
from core.data.dataset import Split
from core.history import EpochRecord, StartRecord, append_record
from core.models.checkpoint import build, load_card
from core.models.classifier import short_floats
from core.training.train import train
from core.training.training_settings import TrainingSettings

IMAGES, BATCH = 4000, 200
SETTINGS = {
    "dataset": "fashion_mnist", "architecture": "speed_cnn", "architecture_settings": "widths=32,64,64",
    "optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 5e-4, "epochs": 1, "batch_size": BATCH,
    "flip": "random", "crop": 2, "validation": 0.0, "train_images": IMAGES,
}  # fmt: skip


class Pictures(Dataset):
    """As tutorials write it: one image at a time, as a picture, through torchvision's transforms."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.change = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomCrop(28, padding=2, padding_mode="reflect"),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.286], [0.353]),
            ]
        )

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.change(self.split.images[index].copy()), int(self.split.labels[index])


def measure() -> list[Row]:
    os.environ.setdefault("CONVOSCOPE_HOME", tempfile.mkdtemp())
    splits = open_dataset("fashion_mnist").splits
    if "train" not in splits:
        return []  # only the test images are here: there is nothing to train on
    seconds: list[float] = []

    def our_epoch() -> None:
        with tempfile.TemporaryDirectory() as folder:
            began = 0.0
            for record in train(Path(folder), TrainingSettings.of(SETTINGS)):
                append_record(Path(folder) / "history.jsonl", record)
                if isinstance(record, StartRecord):
                    began = time.perf_counter()
                if isinstance(record, EpochRecord):
                    seconds.append(time.perf_counter() - began)
                    return

    with tempfile.TemporaryDirectory() as folder:
        list(train(Path(folder), TrainingSettings.of({**SETTINGS, "train_images": 400})))
        card = load_card(Path(folder))
    torch.manual_seed(0)
    module = build(card).to(memory_format=torch.channels_last).train()
    batch = torch.randn(BATCH, 28, 28, 1).permute(0, 3, 1, 2)
    labels = torch.arange(BATCH) % 10

    short = short_floats(torch.device("cpu"))

    def floor() -> None:
        for _ in range(IMAGES // BATCH):
            module.zero_grad(set_to_none=True)
            with torch.autocast("cpu", short, enabled=short is not None):  # as the training loop has it
                logits = module(batch)
            F.cross_entropy(logits.float(), labels).backward()

    usual_module = build(card).train()
    usual_optimizer = torch.optim.SGD(
        [p for p in usual_module.parameters() if p.requires_grad], lr=0.01, momentum=0.9, weight_decay=5e-4
    )
    loader = DataLoader(Pictures(splits["train"]), batch_size=BATCH, shuffle=True)

    def usual_epoch() -> None:
        losses = []
        for inputs, targets in loader:
            usual_optimizer.zero_grad()
            loss = F.cross_entropy(usual_module(inputs), targets)
            loss.backward()
            usual_optimizer.step()
            losses.append(loss.item())
        assert np.isfinite(losses).all()

    # What a run does once (opening the data, building the network, measuring) is not part of an epoch.
    rows = []
    for name, other, note in (
        (
            "forward and backward alone, one batch again and again",
            floor,
            f"the ratio is the share of the floor; both in {str(short or torch.float32)[6:]}",
        ),
        (
            "a DataLoader with torchvision's transforms, no workers",
            usual_epoch,
            "the same settings, in float32 as tutorials write it",
        ),
    ):
        seconds.clear()
        _, theirs = alternate(our_epoch, other)
        ours = float(np.median(seconds[1:]))
        rows.append(Row(f"An epoch of training, {IMAGES} images of 28 × 28", name, ours, theirs, note))
    return rows
