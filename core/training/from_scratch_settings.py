"""The settings of a training from scratch: the command line, the history and the card are made from them."""

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from core.settings import (
    Choice,
    Range,
    SettingValue,
    Text,
    check_fields,
    check_settings,
    numbers_in,
    settings_of,
)
from core.training.numpy_mlp import ACTIVATIONS, INITIALIZATIONS

IMPLEMENTATIONS = ("numpy", "scikit-learn", "pytorch")
FROM_ZERO_TO_ONE, STANDARDIZED = "0 to 1", "standardised"  # as checkpoints that ship spell them


@dataclass(frozen=True, kw_only=True)
class FromScratchSettings:
    """How a perceptron is trained by mini-batch gradient descent. None exists with a value not allowed.

    Attributes:
        implementation: What computes: NumPy by hand, scikit-learn's MLPClassifier, or PyTorch's autograd.
        dataset: The name of a data set.
        widths: The number of neurons of each hidden layer, separated by commas.
        activation: The activation between the layers. With "linear" the whole network is one linear map,
            however deep.
        learning_rate: What the gradient is multiplied by at every step, in the first epoch.
        schedule: How the rate falls from epoch to epoch, to nearly nothing in the last.
        batch_size: The number of images in a step.
        epochs: How often every training image is seen.
        initialization: How NumPy and PyTorch draw the first weights; scikit-learn has its own way.
        pixels: What the network gets: values from 0 to 1, or brought to mean 0 and deviation 1.
        validation: The share of the training images that is held out to choose the best epoch.
        train_images: Train on this many images only, drawn with the classes in proportion.
        seed: The seed of weights and order.
    """

    implementation: Annotated[str, Choice(*IMPLEMENTATIONS)] = "numpy"
    dataset: Annotated[str, Text(r"\S.*", "fashion_mnist")] = "fashion_mnist"
    widths: Annotated[str, Text(r"|[1-9]\d*(,[1-9]\d*)*", "256,128")] = "256,128"
    activation: Annotated[str, Choice(*ACTIVATIONS)] = "relu"
    learning_rate: Annotated[float, Range(1e-6, 10, logarithmic=True)] = 0.1
    schedule: Annotated[str, Choice("constant", "linear", "cosine")] = "constant"
    batch_size: Annotated[int, Range(1, 4096)] = 64
    epochs: Annotated[int, Range(1, 1000)] = 30
    initialization: Annotated[str, Choice(*INITIALIZATIONS)] = "xavier"
    pixels: Annotated[str, Choice(FROM_ZERO_TO_ONE, STANDARDIZED)] = FROM_ZERO_TO_ONE
    validation: Annotated[float, Range(0, 0.5)] = 0.1
    train_images: Annotated[int | None, Range(2, 10_000_000)] = None
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "FromScratchSettings":
        """Settings from names and values, which may be text as on a command line; the others are defaults.

        Raises:
            SettingError: A value is not allowed, or there is no setting of that name.
        """
        return cls(**check_settings(settings_of(cls), values))

    @property
    def rates(self) -> list[float]:
        """The learning rate of every epoch."""
        from core.training.optimizers import rate_factor

        return [
            self.learning_rate * rate_factor(self.schedule, epoch / self.epochs)
            for epoch in range(self.epochs)
        ]

    @property
    def hidden_widths(self) -> list[int]:
        return numbers_in(self.widths)

    def as_values(self) -> dict[str, SettingValue]:
        """All settings by name, as a history has them; the architecture is that of the checkpoint."""
        return {**dataclasses.asdict(self), "architecture": "mlp"}

    def command(self, name: str, *, three_ways: bool = False) -> str:
        """The shell command of a run: its name, and every setting that is not the default."""
        words = ["python", "-m", "core", "from-scratch", "--name", name]
        for setting in settings_of(type(self)):
            value = getattr(self, setting.name)
            if value != setting.default:
                words += [f"--{setting.name.replace('_', '-')}", str(value)]
        return shlex.join([*words, "--three-ways"] if three_ways else words)
