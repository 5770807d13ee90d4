"""What the picture and the table of a network are made of."""

import torchvision

from core.models.architectures import models
from core.network.summary import summarize
from pages.elements.import_checkpoint.model_diagram import model_table, picture_data


def test_one_box_for_the_image_and_one_for_every_change_of_shape() -> None:
    module = models["wide_cnn"](channels=3, number_of_classes=10, input_size=(32, 32), width=1 / 64)
    boxes = picture_data(summarize(module, (32, 32)))
    assert [box["shape"] for box in boxes] == [
        [3, 32, 32], [4, 28, 28], [4, 14, 14], [16, 12, 12], [16, 6, 6], [32, 4, 4], [32, 2, 2], [32, 1, 1],
        [32], [16], [4], [10],
    ]  # fmt: skip
    assert [box["kind"] for box in boxes[:4]] == ["image", "convolution", "pool", "convolution"]
    assert boxes[-1]["kind"] == "linear"
    assert boxes[1]["lines"] == ["conv1 (Conv2d)", "activation1 (ReLU)"]
    assert boxes[1]["sees"] == "5 × 5"


def test_a_deep_network_has_few_boxes_and_a_long_table() -> None:
    summary = summarize(torchvision.models.densenet121(), (64, 64))
    assert 6 <= len(picture_data(summary)) <= 12
    table = model_table(summary)
    assert len(table) == len(summary.layers) > 300
    assert table["Parameters"].sum() == summary.parameters
    assert "Frozen" not in table


def test_frozen_parameters_have_a_column_where_some_learn() -> None:
    module = torchvision.models.resnet18()
    module.layer1.requires_grad_(False)
    table = model_table(summarize(module, (64, 64)))
    assert table["Frozen"].sum() == sum(p.numel() for p in module.layer1.parameters())
    assert table["Trainable"].sum() + table["Frozen"].sum() == sum(p.numel() for p in module.parameters())
