"""The settings of a training: the form, the command line, settings.json and the card are made from them."""

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from core.settings import Choice, Range, SettingValue, Text, check_fields, check_settings, settings_of

if TYPE_CHECKING:  # a form is drawn before PyTorch is needed
    from core.training.augmentation import Augmentation

OPTIMIZERS = ("sgd", "adam", "adamw", "muon")
SCHEDULES = ("constant", "linear", "cosine", "one_cycle")
FLIPS = ("none", "random", "alternating")
PARTS = ("everything", "head", "last block")
MAY_CHANGE = {"device"}  # what a run that is resumed may set otherwise


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained. None of these exists with a value that is not allowed.

    Attributes:
        dataset: The name of a data set; image_folder for your own, with "folder=photos" in its settings.
        dataset_settings: Settings of the data set as name=value, separated by semicolons.
        architecture: The name of a network.
        architecture_settings: Settings of the network as name=value, separated by semicolons.
        input_size: The side that images are resized to; without it they keep their own size.
        epochs: How often every training image is seen.
        batch_size: The number of images in a step.
        optimizer: How gradients become steps.
        learning_rate: The largest rate of the schedule.
        schedule: How the rate changes over the run; one_cycle rises for the first 30 % and falls as a cosine.
        momentum: The momentum of sgd and muon; the other optimizers ignore it.
        weight_decay: How strongly weights are pulled toward zero.
        label_smoothing: The share of the target that is spread over all classes.
        clip_gradient: The longest gradient allowed; longer ones are shortened to it. 0 switches it off.
        lookahead: Pull the weights back to their slow average every five steps.
        flip: Mirror images left to right; alternating shows each side every other epoch.
        crop: Shift images by up to this many pixels.
        color: Change brightness, contrast and saturation by factors of 1 ± this.
        rand_augment: The magnitude of two random operations on each image; 0 switches them off.
        cutout: The side of a square that is covered in each image; 0 switches it off.
        trainable: What part of the network learns: everything, its head only, or its last block and head.
        unfreeze_at: The epoch from which everything learns; 0 means never.
        validation: The share of the training images that is held out to choose the best epoch.
        train_images: Train on this many images only, drawn with the classes in proportion.
        seed: The seed of weights, order, dropout and augmentation.
        fold_batch_norm: Fold what batch norm has learned into the convolutions at the end, and leave it out.
        half: Keep the weights as 16-bit floats, and measure them as such.
        test_flips: Also measure the mean of an image's answer and its mirror image's.
        precision: The floats of convolutions and products: auto takes 16 bits where the device has units
            for them.
        device: Where to compute; auto takes a GPU if there is one.
    """

    dataset: Annotated[str, Text(r"\S.*", "fashion_mnist")] = "fashion_mnist"
    dataset_settings: Annotated[str, Text(example="seed=1; grid=0.5")] = ""
    architecture: Annotated[str, Text(r"\w+", "small_cnn")] = "small_cnn"
    architecture_settings: Annotated[str, Text(example="widths=64,128; dropout=0.5")] = ""
    input_size: Annotated[int | None, Range(8, 512), "pixels"] = None
    epochs: Annotated[int, Range(1, 1000)] = 10
    batch_size: Annotated[int, Range(2, 4096)] = 128
    optimizer: Annotated[str, Choice(*OPTIMIZERS)] = "adam"
    learning_rate: Annotated[float, Range(1e-6, 10, logarithmic=True)] = 0.001
    schedule: Annotated[str, Choice(*SCHEDULES)] = "constant"
    momentum: Annotated[float, Range(0, 0.999)] = 0.9
    weight_decay: Annotated[float, Range(0, 1)] = 0.0
    label_smoothing: Annotated[float, Range(0, 0.9)] = 0.0
    clip_gradient: Annotated[float, Range(0, 1000)] = 0.0
    lookahead: bool = False
    flip: Annotated[str, Choice(*FLIPS)] = "none"
    crop: Annotated[int, Range(0, 64), "pixels"] = 0
    color: Annotated[float, Range(0, 1)] = 0.0
    rand_augment: Annotated[int, Range(0, 10)] = 0
    cutout: Annotated[int, Range(0, 256), "pixels"] = 0
    trainable: Annotated[str, Choice(*PARTS)] = "everything"
    unfreeze_at: Annotated[int, Range(0, 1000), "epoch"] = 0
    validation: Annotated[float, Range(0, 0.5)] = 0.1
    train_images: Annotated[int | None, Range(2, 10_000_000)] = None
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    fold_batch_norm: bool = False
    half: bool = False
    test_flips: bool = False
    precision: Annotated[str, Choice("auto", "float32")] = "auto"
    device: Annotated[str, Choice("auto", "cpu", "cuda", "mps")] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TrainingSettings":
        """Settings from names and values, which may be text as on a command line; the others are defaults.

        Raises:
            SettingError: A value is not allowed, or there is no setting of that name.
        """
        return cls(**check_settings(settings_of(cls), values))

    def as_values(self) -> dict[str, SettingValue]:
        """All settings by name, as JSON has them."""
        return dataclasses.asdict(self)

    @property
    def augmentation(self) -> "Augmentation":
        from core.training.augmentation import Augmentation

        return Augmentation(self.flip, self.crop, self.color, self.rand_augment, self.cutout)

    @property
    def learns_in_part(self) -> bool:
        """Whether a part of the network never learns in this run."""
        return self.trainable != "everything" and not self.unfreeze_at

    def trainable_in(self, epoch: int) -> str:
        """What part of the network learns in an epoch."""
        return "everything" if 0 < self.unfreeze_at <= epoch else self.trainable

    def command(self, name: str) -> str:
        """The shell command of a run: its name, and every setting that is not the default."""
        words = ["python", "-m", "core", "train", "--name", name]
        for setting in settings_of(type(self)):
            value = getattr(self, setting.name)
            if value != setting.default and setting.name not in MAY_CHANGE:
                written = str(value).lower() if isinstance(value, bool) else str(value)
                words += [f"--{setting.name.replace('_', '-')}", written]
        return shlex.join(words)
