"""The three steps from a file of weights to a checkpoint: the file, what it is, does it work."""

import hashlib
from collections.abc import Sequence
from typing import Any

import streamlit as st
from torch import Tensor

from core import roles
from core.data.catalogue import catalogue, open_dataset
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import Unavailable
from core.evaluation.import_trial import Trial, try_import
from core.models.architectures import models
from core.models.import_weights import (
    architecture_names,
    guess,
    make_card,
    names_in,
    resolve,
    share,
    size_in,
    values_in,
)
from core.models.state_dict import read_state_dict
from core.network.summary import short, summarize
from core.settings import assignments_in
from pages.elements.import_checkpoint.model_diagram import model_diagram
from pages.elements.page import errors_shown

SCALES: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "Mean 0.5, std 0.5 (−1 to 1)": ((0.5,), (0.5,)),
    "Pixels of 0 to 1": ((0.0,), (1.0,)),
    "Pixels of 0 to 255": ((0.0,), (1 / 255,)),
    "Other numbers": ((), ()),
}


@st.cache_resource(max_entries=3, show_spinner="Reading the weights …")
def _read(digest: str, _data: bytes, name: str) -> tuple[dict[str, Tensor], list[str]]:
    return read_state_dict(_data, name)


@st.fragment
def import_form() -> None:
    """Draw the steps as far as they have come."""
    with errors_shown():
        st.subheader("1 · The weights", anchor=False)
        file = st.file_uploader(
            "A state dict (.pth, .pt) or safetensors. Only tensors are read; nothing in the file is run.",
            type=["pth", "pt", "bin", "ckpt", "safetensors"],
            key="import_file",
        )
        if file is None:
            st.info(
                "In PyTorch, save them with `torch.save(model.state_dict(), 'weights.pth')`, and choose that "
                "file."
            )
            return
        roles.visitor().require_teacher("import a checkpoint")
        data = file.getvalue()
        tensors, notes = _read(hashlib.sha256(data).hexdigest(), data, file.name)
        count = sum(tensor.numel() for tensor in tensors.values())
        first = next(iter(tensors))
        st.success(
            f"{len(tensors)} tensors, {short(count)} numbers; the first is `{first}`, "
            f"{' × '.join(map(str, tensors[first].shape)) or 'a single number'}. {' '.join(notes)}",
            icon=":material/check:",
        )
        st.subheader("2 · What they are", anchor=False)
        plan = _questions(file.name, tensors)
        if plan is None:
            return
        st.subheader("3 · Do they work?", anchor=False)
        _third_step(tensors, plan)


def _questions(file_name: str, tensors: dict[str, Tensor]) -> dict[str, Any] | None:
    """What weights do not say about themselves."""
    left, right = st.columns(2)
    with left:
        architecture = st.selectbox(
            "Architecture",
            architecture_names(),
            index=None,
            placeholder="Choose, or type torchvision/resnet50, timm/resnet26 …",
            accept_new_options=True,
            key="import_architecture",
        )
    if architecture is None:
        st.info("Choose the architecture the weights were trained with.")
        return None
    member, _ = resolve(architecture)
    found = guess(member, tensors)
    known = "; ".join(f"{k}={v}" for k, v in found.settings.items())
    free = [s for s in models[member].settings if s.name not in found.settings and s.name != "network"]
    with right:
        name = st.text_input("Name", file_name.rpartition(".")[0] or file_name, key="import_name")
    left, right = st.columns(2)
    with left:
        settings = st.text_input(
            "Settings that shapes do not tell",
            placeholder="; ".join(f"{s.name}={s.default}" for s in free) or "none",
            help="name=value, separated by semicolons. " + " ".join(f"**{s.name}**: {s.help}" for s in free),
            key="import_settings",
            disabled=not free,
        )
        if known:
            st.caption(f"Read from the shapes: {known}".replace("_", "\\_"))
    with right:
        size = st.text_input(
            "Image size",
            f"{found.input_size[0]}",
            help="224, or 240x320 (height × width)",
            key=f"import_size_{member}",
        )
    left, right = st.columns(2)
    with left:
        dataset = st.selectbox(
            "Measure on a data set",
            [entry.name for entry in catalogue()],
            index=None,
            placeholder="none",
            format_func=lambda key: next((e.title for e in catalogue() if e.name == key), key),
            key="import_dataset",
        )
        claimed = st.text_input(
            "Accuracy it should have",
            placeholder="such as 91 %",
            key="import_claimed",
            disabled=dataset is None,
        )
    with right:
        expected = 2 if found.outputs == 1 else found.outputs
        classes = st.text_area(
            f"Names of the {expected} classes, in the order of the outputs",
            placeholder="cat, dog, …" if dataset is None else "as in the data set",
            key="import_classes",
            height=104,
        )
    left, right = st.columns(2)
    with left:
        scale = st.selectbox(
            "How were pixels scaled in training?",
            SCALES,
            key="import_scale",
            index=0 if found.channels == 3 else 2,
        )
        mean, std = SCALES[scale]
        if scale == "Other numbers":
            mean = values_in(st.text_input("Mean, of pixels of 0 to 1", "0.5", key="import_mean"), "mean")
            std = values_in(st.text_input("Std", "0.5", key="import_std"), "std")
        elif len(mean) > found.channels:
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    with right:
        sample = st.selectbox(
            "Try it on", sample_names(), format_func=lambda key: SAMPLES[key][0], key="import_sample"
        )
    return {
        "name": name, "architecture": architecture, "settings": settings, "size": size, "dataset": dataset,
        "claimed": claimed if dataset else "", "classes": classes, "mean": tuple(mean), "std": tuple(std),
        "sample": sample,
    }  # fmt: skip


def _third_step(tensors: dict[str, Tensor], plan: dict[str, Any]) -> None:
    if st.button("Try them", type="primary", icon=":material/play_arrow:", key="import_try"):
        st.session_state.pop("import_trial", None)
        st.session_state["import_trial"] = (plan, _try(tensors, plan))
    held = st.session_state.get("import_trial")
    if held is None:
        return
    tried, trial = held
    if tried != plan:
        st.caption("Something above has changed since: try them again.")
        return
    _result(trial)


def _try(tensors: dict[str, Tensor], plan: dict[str, Any]) -> Trial:
    with st.status("Building the network …", expanded=False) as status:
        dataset = open_dataset(plan["dataset"]) if plan["dataset"] else None
        if dataset is not None and not ({"test", "val"} & set(dataset.splits)):
            raise Unavailable(
                f"{dataset.title} has no test images here: choose another data set. {dataset.note}"
            )
        card = make_card(
            plan["name"],
            plan["architecture"],
            tensors,
            class_names=names_in(plan["classes"]) or (dataset.class_names if dataset else ()),
            settings=assignments_in(plan["settings"]),
            input_size=size_in(plan["size"]),
            mean=plan["mean"],
            std=plan["std"],
        )
        trial = try_import(
            tensors,
            card,
            sample_image(plan["sample"]).pixels,
            dataset=dataset,
            claimed=share(plan["claimed"]) if plan["claimed"].strip() else None,
            images=1000,
            progress=lambda done, words: status.update(label=f"{words} … {done:.0%}"),
        )
        status.update(label="Tried", state="complete")
    return trial


def _result(trial: Trial) -> None:
    for note in trial.notes:
        st.caption(note)
    left, right = st.columns([1, 2])
    with left:
        st.caption("Its answer to the picture")
        for name, value in trial.answer:
            st.progress(value, f"{name}: {value:.1%}".replace("_", "\\_"))
    with right:
        check = trial.check
        if check is None:
            st.info(
                "It runs. With a data set, its accuracy would be measured and compared with what was claimed."
            )
        elif check.fits:
            st.success(check.verdict, icon=":material/check:")
        else:
            st.warning(check.verdict, icon=":material/warning:")
        cause = check.cause if check else None
        with st.container(horizontal=True):
            mend = cause is not None and st.button(
                "Keep it, put right", type="primary", icon=":material/build:", key="import_mend"
            )
            as_it_is = st.button(
                "Keep it" if cause is None else "Keep it as it is", icon=":material/save:", key="import_keep",
                type="primary" if cause is None else "secondary",
            )  # fmt: skip
        if mend or as_it_is:
            kept = trial.keep(mended=mend)
            st.success(
                f"Kept as **imported/{kept.card.name}**: choose it wherever a classifier is chosen."
                + (" What was likely wrong was put right." if mend else ""),
                icon=":material/save:",
            )
    preprocessing = trial.classifier.card.preprocessing
    summary = summarize(trial.classifier.module, preprocessing.input_size, preprocessing.channels)
    model_diagram(summary, key="import")
