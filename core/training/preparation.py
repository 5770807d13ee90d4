"""What a run trains on and what it will become: its images, and the card of its checkpoint."""

import dataclasses
from typing import Any

from core.data.catalogue import open_for_training
from core.data.preprocessing import Preprocessing
from core.models.architectures import models
from core.models.batch_norm_folding import check_foldable
from core.models.card import ModelCard
from core.registry import Member
from core.settings import Settings, assignments_in, check_settings
from core.training.data import TrainingData, prepare
from core.training.folder import versions
from core.training.training_settings import TrainingSettings


def data_and_card(name: str, settings: TrainingSettings) -> tuple[TrainingData, ModelCard]:
    """The images of a run, and the card of its network before it is trained.

    Raises:
        SettingError: A setting of the network or of the data set is not allowed.
        BadDataset: The data set cannot be trained on.
    """
    member, network = network_of(settings)
    opened = open_for_training(settings.dataset, **dict[str, Any](assignments_in(settings.dataset_settings)))
    side = settings.input_size
    data = prepare(
        opened,
        input_size=(side, side) if side else None,
        channels=None,
        validation=settings.validation,
        train_images=settings.train_images,
        seed=settings.seed,
        preprocessing=_pretrained_preprocessing(member, network, side),
    )
    card = ModelCard(
        name=name,
        architecture=settings.architecture,
        settings=network,
        class_names=opened.class_names,
        preprocessing=data.preprocessing,
        title=f"{member.title} on {opened.title}",
        dataset=opened.name,
        dataset_fingerprint=data.fingerprint,
        command=settings.command(name),
        seed=settings.seed,
        versions=versions(),
        license=opened.license,
    )
    return data, card


def network_of(settings: TrainingSettings) -> tuple[Member, Settings]:
    """The network of a run, with all of its own settings.

    Raises:
        UnknownName: There is no such network.
        SettingError: A setting of it is not allowed, or batch norm is to be folded where there is none.
    """
    member = models[settings.architecture]
    network = check_settings(member.settings, assignments_in(settings.architecture_settings))
    if settings.fold_batch_norm:
        check_foldable(settings.architecture, network)
    return member, network


def _pretrained_preprocessing(member: Member, network: Settings, side: int | None) -> Preprocessing | None:
    """A pretrained network's own mean, std and size; None for a network that begins with nothing."""
    if "mean_std_from" not in member.facts:
        return None
    from core.models.pretrained import pretrained_card

    own = pretrained_card(str(network[member.facts["mean_std_from"]])).preprocessing
    return dataclasses.replace(own, input_size=(side, side) if side else own.input_size, resize=None)
