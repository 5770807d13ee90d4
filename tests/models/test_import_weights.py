"""Weights become checkpoints: settings guessed from shapes, mismatches explained, answers unchanged."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

from core.errors import BadCheckpoint, ConvoscopeError, SettingError, UnknownName
from core.evaluation.import_trial import first_answer
from core.models.architectures import models
from core.models.catalogue import load
from core.models.import_weights import Plan, Wishes, fill, free_folder, keep, plan_import, weight_set
from core.models.recognition import resolve
from core.models.state_dict import WeightSet, read_weights


def planned(architecture: str, tensors: Any, **wishes: Any) -> Plan:
    return plan_import([weight_set(tensors)], "mine", architecture, Wishes(**wishes))


NETWORKS: list[tuple[str, dict[str, Any], int, int, int]] = [  # settings, channels, side, classes
    ("mlp", {"widths": "20,10"}, 1, 28, 4),
    ("mlp", {"widths": ""}, 3, 32, 4),
    ("small_cnn", {"widths": "4,6,8", "hidden": 16, "batch_norm": True}, 3, 64, 5),
    ("small_cnn", {"widths": "4,6", "hidden": 16}, 1, 32, 5),
    ("wide_cnn", {"width": 1 / 64}, 3, 32, 10),
    ("wide_cnn", {"width": 1 / 64, "batch_norm": True}, 3, 64, 10),
    ("vgg", {"depth": "13", "width": 1 / 16, "batch_norm": False}, 3, 32, 3),
    ("vgg", {"depth": "16", "width": 1 / 64, "layout": "imagenet"}, 3, 224, 3),
    ("resnet18", {"width": 1 / 16, "stem": "imagenet"}, 3, 224, 3),
    ("resnet18", {"width": 1 / 16, "stem": "small"}, 1, 32, 3),
    ("speed_cnn", {"widths": "8,12,12"}, 3, 32, 10),
]


@pytest.mark.parametrize("kind", ["state dict", "safetensors"])
@pytest.mark.parametrize(("name", "chosen", "channels", "side", "classes"), NETWORKS)
@torch.no_grad()
def test_settings_classes_channels_and_size_come_from_the_shapes(
    name: str, chosen: dict[str, Any], channels: int, side: int, classes: int, kind: str
) -> None:
    torch.manual_seed(0)
    module = models[name](
        channels=channels, number_of_classes=classes, input_size=(side, side), **chosen
    ).eval()
    sets: tuple[WeightSet, ...] = (weight_set(module.state_dict()),)
    if kind == "safetensors":  # which forgets their order
        tensors = {key: value.contiguous() for key, value in reversed(module.state_dict().items())}
        sets = read_weights(save_safetensors(tensors), "weights.safetensors")
    plan = plan_import(sets, "mine", name)
    assert (plan.guess.outputs, plan.guess.channels) == (classes, channels)
    assert plan.card.preprocessing.input_size == (side, side)
    assert plan.card.class_names == tuple(f"class {i}" for i in range(classes))
    assert plan.notes == ()
    again = fill(plan)
    image = torch.randn(1, channels, side, side)
    assert torch.equal(again(image), module(image))


@pytest.mark.parametrize("name", [m.name for m in models if m.name not in ("published", "transfer")])
def test_a_single_logit_is_two_classes(name: str) -> None:
    small = {"vgg": {"width": 1 / 64}, "wide_cnn": {"width": 1 / 64}, "resnet18": {"width": 1 / 64}}
    module = models[name](
        channels=3, number_of_classes=2, input_size=(32, 32), single_logit=True, **small.get(name, {})
    )
    plan = planned(name, module.state_dict(), class_names=("bad", "good"))
    assert plan.card.settings["single_logit"] is True
    assert fill(plan)(torch.zeros(1, 3, 32, 32)).shape == (1, 1)


@torch.no_grad()
def test_torchvisions_own_weights_by_our_name_and_by_theirs() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=2).eval()
    image = torch.randn(1, 3, 64, 64)
    for architecture in ("resnet18", "torchvision/resnet18"):
        plan = planned(architecture, theirs.state_dict(), class_names=("cat", "dog"), input_size=(64, 64))
        assert torch.equal(fill(plan)(image), theirs(image))
        assert plan.notes == ()
    assert plan.card.settings["network"] == "torchvision/resnet18"


def test_other_names_in_the_same_order_are_taken_and_said() -> None:
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(8, 8), widths="5")
    renamed = {f"layers.{i}": value for i, value in enumerate(module.state_dict().values())}
    plan = planned("mlp", renamed)
    assert torch.equal(fill(plan).hidden1.weight, module.hidden1.weight)
    assert plan.notes == (
        "The names in the file are different (first 'layers.0' for 'hidden1.weight'), but number, order and "
        "shapes agree: the weights were matched by them.",
    )


def test_a_mismatch_is_explained_by_the_first_difference_the_counts_and_what_would_fit() -> None:
    module = models["vgg"](channels=3, number_of_classes=3, input_size=(32, 32), width=1 / 16)
    tensors = module.state_dict()
    with pytest.raises(
        BadCheckpoint, match=r"do not fit.*tensors are missing.*By their shapes they fit vgg"
    ) as info:
        planned("resnet18", tensors)
    assert len(str(info.value)) < 600
    missing = {k: v for k, v in tensors.items() if k != "features.4.weight"}
    with pytest.raises(
        BadCheckpoint, match=r"features.4.weight is not in the file \(0 shapes differ, 1 tensors are"
    ):
        planned("vgg", missing)


def test_broken_weights_are_refused() -> None:
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(8, 8), widths="5")
    tensors = {k: v.clone() for k, v in module.state_dict().items()}
    tensors["hidden1.weight"][0, 0] = torch.nan
    with pytest.raises(BadCheckpoint, match=r"1 of 4 tensors hold .* not numbers, first 'hidden1.weight'"):
        fill(planned("mlp", tensors))


def test_what_does_not_fit_the_last_or_first_layer_is_said() -> None:
    tensors = models["resnet18"](
        channels=3, number_of_classes=3, input_size=(32, 32), width=1 / 16
    ).state_dict()
    with pytest.raises(
        SettingError, match=r"2 class names are given \(cat, dog\), but the last layer has 3 outputs"
    ):
        planned("resnet18", tensors, class_names=("cat", "dog"))
    with pytest.raises(SettingError, match="Two classes have the same name"):
        planned("resnet18", tensors, class_names=("cat", "dog", "Dog"))
    with pytest.raises(SettingError, match=r"mean has 2 numbers, and the first layer takes 3 channels"):
        planned("resnet18", tensors, mean=(0.5, 0.5))
    assert planned("resnet18", tensors, mean=(0.5,)).card.preprocessing.mean == (0.5, 0.5, 0.5)
    with pytest.raises(UnknownName, match=r"no architecture named 'resnet81'. Did you mean 'resnet18'"):
        resolve("resnet81")
    with pytest.raises(BadCheckpoint, match="not an image classifier"):
        planned("vgg", {"a": torch.zeros(3)})
    with pytest.raises(SettingError, match="give the image size"):
        planned("mlp", {"w": torch.zeros(3, 7), "b": torch.zeros(3)})


def test_an_import_is_listed_and_answers_as_the_module_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    torch.manual_seed(0)
    module = models["resnet18"](channels=3, number_of_classes=2, input_size=(32, 32), width=1 / 16).eval()
    plan = plan_import(
        [weight_set(module.state_dict())], "My net!", "resnet18",
        Wishes(class_names=("cat", "dog"), mean=(0.5,), std=(0.25,)),
    )  # fmt: skip
    folder = free_folder("My net!")
    keep(folder, fill(plan), plan.card)
    assert free_folder("My net!").name == "My_net_2"
    classifier = load("imported/My_net")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    answer = first_answer(classifier, pixels)
    with torch.no_grad():
        inputs = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
        expected = module(inputs).softmax(1)[0]
    assert dict(answer) == pytest.approx({"cat": float(expected[0]), "dog": float(expected[1])}, abs=1e-5)
    with pytest.raises(SettingError, match="cannot be that of a folder"):
        free_folder("../..")


# --- What people bring: each row of a table of public reports, with its right value


def network(**settings: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return models["small_cnn"](
        channels=3,
        number_of_classes=3,
        input_size=(16, 16),
        widths="4,4",
        hidden=8,
        batch_norm=True,
        **settings,
    ).eval()


NETWORK = network()
STATE = NETWORK.state_dict()
OTHER = {k: v * 0.5 if v.is_floating_point() else v for k, v in STATE.items()}
COUNTED = {
    f"{path}.{counter}": torch.zeros(1, dtype=torch.float64)
    for path in ("conv1", "norm1", "hidden", "output")
    for counter in ("total_ops", "total_params")
}


def under(prefix: str, state: Any = STATE) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


BROUGHT: dict[str, tuple[Any, str]] = {
    "a tensor beside": ({"state_dict": under("module."), "best_acc1": torch.tensor(69.7)}, "'module.'"),
    "a NumPy number beside": ({"state_dict": STATE, "best_acc": np.float64(0.91)}, "under 'state_dict'"),
    "Lightning's criterion": (
        {"state_dict": under("model.") | {"criterion.weight": torch.ones(3)}, "epoch": 1},
        "Left out, since they play no part in an answer: criterion.weight",
    ),
    "Lightning's metrics": (
        {"state_dict": under("net.") | {"train_acc.tp": torch.ones(3), "loss_fn.pos_weight": torch.ones(1)}},
        "train_acc.tp, loss_fn.pos_weight (2 in all)",
    ),
    "a criterion without a prefix": (STATE | {"criterion.weight": torch.ones(3)}, "criterion.weight"),
    "AveragedModel": ({"n_averaged": torch.tensor(5)} | under("module."), "n_averaged"),
    "thop's counters": (STATE | COUNTED, "total_ops"),
    "thop's counters under a prefix": (under("module.", STATE | COUNTED), "total_ops"),
    "MoCo": (
        {"state_dict": {"queue": torch.zeros(8, 4), "queue_ptr": torch.zeros(1)}
         | under("module.encoder_k.", OTHER) | under("module.encoder_q.")},
        "'state_dict: module.encoder_q' was taken; the file also holds weights that fit under "
        "'state_dict: module.encoder_k'",
    ),
    "a backbone": (under("backbone."), "'backbone.' was taken off"),
    "compiled and wrapped": (under("_orig_mod.module.model."), "'_orig_mod.module.model.'"),
    "a state of another name": ({"weights_dict": STATE}, "under 'weights_dict'"),
    "only an average": ({"state_dict_ema": STATE}, "weights averaged over the training; there are no others"),
    "an average beside": (
        {"model_ema": {"n_averaged": torch.tensor(5)} | under("module.", OTHER), "model": STATE},
        "'model' was taken; the file also holds weights that fit under 'model_ema: module'",
    ),
    "an average in the same names": (under("ema.", OTHER) | under("model."), "fit under 'ema'"),
}  # fmt: skip


def file_of(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("value", "note"), BROUGHT.values(), ids=BROUGHT)
def test_what_stands_around_the_weights_is_looked_through_and_said(value: Any, note: str) -> None:
    plan = plan_import(read_weights(file_of(value), "w.pth"), "mine", "small_cnn")
    assert any(note in text for text in plan.notes), plan.notes
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(fill(plan)(image), NETWORK(image))


def test_the_other_set_of_weights_is_taken_where_it_is_asked_for() -> None:
    sets = read_weights(file_of({"model": STATE, "model_ema": under("module.", OTHER)}), "w.pth")
    for which in ("model_ema", "model_ema: module"):
        module = fill(plan_import(sets, "mine", "small_cnn", Wishes(which=which)))
        assert torch.equal(module.conv1.weight, OTHER["conv1.weight"])
    with pytest.raises(BadCheckpoint, match=r"no weights called 'swa' that fit.*Choose one of: model"):
        plan_import(sets, "mine", "small_cnn", Wishes(which="swa"))


@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("names", [("mean", "std"), ("mu", "sigma"), ("normalize.mean", "normalize.std")])
def test_a_normalizer_inside_is_read_into_the_preprocessing(names: tuple[str, str], scale: int) -> None:
    mean, std = torch.tensor([0.49, 0.48, 0.44]), torch.tensor([0.25, 0.24, 0.26])
    held = {names[0]: (mean * scale).view(1, 3, 1, 1), names[1]: (std * scale).view(1, 3, 1, 1)}
    plan = plan_import(read_weights(file_of(held | under("model.")), "w.pth"), "mine", "small_cnn")
    assert plan.card.preprocessing.mean == pytest.approx((0.49, 0.48, 0.44))
    assert plan.card.preprocessing.std == pytest.approx((0.25, 0.24, 0.26))
    assert any("read from the normalizer in the file" in note for note in plan.notes)


@pytest.mark.parametrize(
    "extra",
    [
        {"classifier.weight": torch.ones(10, 3), "classifier.bias": torch.ones(10)},  # a head behind the head
        {"extra.weight": torch.ones(4, 4, 3, 3)},
        {"slope.weight": torch.ones(1)},  # a PReLU
        {"gamma": torch.ones(4)},
    ],
)
def test_a_layer_too_many_is_never_left_out_in_silence(extra: dict[str, torch.Tensor]) -> None:
    first = next(iter(extra))
    for state, message in (
        (STATE | extra, "also holds|do not fit"),
        (under("model.") | extra, f"also holds {first} .*which the architecture lacks"),
        (under("model.", STATE | extra), "also holds|do not fit"),
    ):
        with pytest.raises(BadCheckpoint, match=message):
            planned("small_cnn", state)
        plan = planned("small_cnn", state, leave_out=tuple(extra))
        assert torch.equal(fill(plan).conv1.weight, STATE["conv1.weight"])


def test_layers_of_one_shape_are_never_swapped() -> None:
    torch.manual_seed(1)
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(4, 4), widths="8,8,8,8").eval()
    words = ["embed", "one", "two", "three", "output"]
    leaves = ("weight", "bias")
    values = iter(module.state_dict().values())
    renamed = {f"{word}.{leaf}": next(values) for word in words for leaf in leaves}
    image = torch.rand(2, 1, 4, 4)
    in_order = plan_import(read_weights(file_of(renamed), "w.pth"), "mine", "mlp")
    assert torch.equal(fill(in_order)(image), module(image))
    for data in (save_safetensors(renamed), file_of({k: renamed[k] for k in sorted(renamed)})):
        sets = read_weights(data, "w")
        with pytest.raises(BadCheckpoint, match="'one', 'three', 'two' have the same shapes, and neither"):
            plan_import(sets, "mine", "mlp")
        plan = plan_import(sets, "mine", "mlp", Wishes(order=tuple(words)))
        assert torch.equal(fill(plan)(image), module(image))
        with pytest.raises(BadCheckpoint, match="The order of the layers has 2 names, and the file 5 layers"):
            plan_import(sets, "mine", "mlp", Wishes(order=("embed", "one")))


def test_numbers_in_names_and_shapes_tell_the_order() -> None:
    torch.manual_seed(1)
    widths = ",".join(["8"] * 11)
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(4, 4), widths=widths).eval()
    values = iter(module.state_dict().values())
    names = ["stem", *(f"block{i}" for i in range(10)), "zz_last"]
    renamed = {f"{name}.{leaf}": next(values) for name in names for leaf in ("weight", "bias")}
    plan = plan_import(read_weights(save_safetensors(renamed), "w"), "mine", "mlp")
    image = torch.rand(2, 1, 4, 4)
    assert torch.equal(fill(plan)(image), module(image))
    assert any("shapes and the numbers in the names agree" in note for note in plan.notes)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_googlenet_and_inception_with_their_heads_and_scaling(name: str) -> None:
    theirs = torchvision.models.get_model(
        name, num_classes=5, aux_logits=True, init_weights=False, transform_input=True
    ).eval()
    plan = planned(f"torchvision/{name}", theirs.state_dict())
    assert plan.card.preprocessing.input_size == ((299, 299) if name == "inception_v3" else (224, 224))
    assert any("transform_input=true was taken" in note for note in plan.notes)
    assert all("ux" in key for key in plan.fit.left_out)
    image = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(fill(plan)(image), theirs(image), atol=1e-5, rtol=1e-4)
        theirs.transform_input = False
        off = planned(f"torchvision/{name}", theirs.state_dict(), settings={"transform_input": "false"})
        torch.testing.assert_close(fill(off)(image), theirs(image), atol=1e-5, rtol=1e-4)
    assert not any("transform_input" in note for note in off.notes)


def test_mnasnet_is_read_with_and_without_the_version_of_its_format() -> None:
    theirs = torchvision.models.mnasnet0_5(num_classes=4).eval()
    image = torch.rand(1, 3, 64, 64)
    for sets in (
        read_weights(file_of(theirs.state_dict()), "w.pth"),
        read_weights(save_safetensors(dict(theirs.state_dict())), "w"),
    ):
        with torch.no_grad():
            module = fill(plan_import(sets, "mine", "torchvision/mnasnet0_5"))
            torch.testing.assert_close(module(image), theirs(image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["torchvision/resnet18", "torchvision/vit_b_16", "timm/resnet18"])
def test_one_channel_and_one_output(architecture: str) -> None:
    card = plan_import(
        [weight_set(shapes_of(architecture, channels=1, outputs=1))], "mine", architecture
    ).card
    assert card.preprocessing.channels == 1
    assert card.number_of_classes == 2
    assert card.settings["single_logit"] is True


def test_four_channels_are_refused() -> None:
    with pytest.raises(BadCheckpoint, match="first layer takes 4 channels, and pictures have three"):
        planned("timm/resnet18", shapes_of("timm/resnet18", channels=4, outputs=2))


def shapes_of(architecture: str, *, channels: int, outputs: int) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        if architecture.startswith("timm/"):
            module = timm.create_model(architecture[5:], in_chans=channels, num_classes=outputs)
        else:
            module = torchvision.models.get_model(architecture.partition("/")[2], num_classes=outputs)
            path = "conv1" if "resnet" in architecture else "conv_proj"
            first = getattr(module, path)
            size, step = first.kernel_size, first.stride
            bias = first.bias is not None
            setattr(module, path, torch.nn.Conv2d(channels, first.out_channels, size, step, bias=bias))
    return module.state_dict()


def test_the_image_size_of_a_transformer_is_read_from_its_positions() -> None:
    with torch.device("meta"):
        module = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=3)
    assert planned("timm/vit_tiny_patch16_224", module.state_dict()).card.preprocessing.input_size == (96, 96)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["conv1.weight", "a.b.weight", "fc.weight", "fc.bias", "x", "module.x.weight", "mean",
                         "std", "norm.running_mean", "layers.10.weight", "é.weight", ".", "a..b"]),
        st.lists(st.integers(0, 5), max_size=5), min_size=1,
    ),
    st.sampled_from(["mlp", "small_cnn", "vgg", "resnet18", "speed_cnn", "wide_cnn"]),
    st.booleans(),
)  # fmt: skip
def test_any_names_and_shapes_give_a_plan_or_a_sentence(
    shapes: dict[str, list[int]], architecture: str, ordered: bool
) -> None:
    weights = WeightSet("", {k: torch.zeros(v) for k, v in shapes.items()}, ordered=ordered)
    with suppress(ConvoscopeError):
        fill(plan_import([weights], "mine", architecture))
