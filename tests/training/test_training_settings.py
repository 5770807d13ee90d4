"""The settings of a training: one declaration, checked wherever they come from."""

import argparse
import dataclasses
import shlex

import pytest

from core.errors import SettingError
from core.settings import add_options, settings_of
from core.training.from_scratch_settings import FromScratchSettings
from core.training.optimizers import make_optimizer, rate_factor
from core.training.training_settings import OPTIMIZERS, SCHEDULES, TrainingSettings

BOTH = (TrainingSettings, FromScratchSettings)
OTHERS = {
    TrainingSettings: {
        "epochs": 3, "half": True, "train_images": 50, "architecture_settings": "widths=4,8; dropout=0.5",
    },
    FromScratchSettings: {"epochs": 3, "pixels": "standardised", "train_images": 50, "widths": "8,4"},
}  # fmt: skip


@pytest.mark.parametrize("kind", BOTH)
def test_every_field_is_a_setting_with_a_sentence_of_its_own(kind):
    declared = settings_of(kind)
    assert [s.name for s in declared] == [f.name for f in dataclasses.fields(kind)]
    for setting in declared:
        assert setting.help[0].isupper(), setting.name
        assert setting.help.endswith((".", "never.", "off.", "ignore it.")), setting.name


@pytest.mark.parametrize("kind", BOTH)
def test_none_exists_with_a_value_that_is_not_allowed(kind):
    with pytest.raises(SettingError, match="epochs is 0: choose a whole number from 1 to 1000"):
        kind(epochs=0)
    with pytest.raises(SettingError, match="seed is -1"):
        dataclasses.replace(kind(), seed=-1)
    with pytest.raises(SettingError, match="no setting 'epoch'"):
        kind.of({"epoch": 3})
    assert kind.of({"epochs": "3", "train_images": ""}) == kind(epochs=3)


@pytest.mark.parametrize("kind", BOTH)
def test_the_command_of_settings_gives_the_same_settings(kind):
    settings = kind.of(OTHERS[kind])
    words = shlex.split(settings.command("a name"))
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    add_options(parser, settings_of(kind))
    given = vars(parser.parse_args(words[4:]))
    assert given.pop("name") == "a name"
    assert set(given) == set(OTHERS[kind])
    assert kind.of(given) == settings


def test_settings_of_another_spelling_are_known():
    assert TrainingSettings.of({"colour": "0.5"}).color == 0.5


def test_every_choice_is_one_that_is_there():
    import torch

    for name in OPTIMIZERS:
        make_optimizer(torch.nn.Linear(2, 2), name, learning_rate=0.1, momentum=0.9, weight_decay=0.0)
    assert len({rate_factor(name, 0.75) for name in SCHEDULES}) == len(SCHEDULES)


def test_what_learns_in_which_epoch():
    settings = TrainingSettings(trainable="head", unfreeze_at=3)
    assert [settings.trainable_in(epoch) for epoch in (1, 2, 3, 4)] == ["head", "head"] + ["everything"] * 2
    assert not settings.learns_in_part
    assert TrainingSettings(trainable="head").learns_in_part
