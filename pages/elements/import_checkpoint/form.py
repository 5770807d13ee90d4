"""The three steps from a file of weights to a checkpoint: the file, what it is, does it work."""

import hashlib
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import streamlit as st

from core import roles
from core.data.catalogue import catalogue, open_dataset
from core.data.dataset import ImageDataset
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import ConvoscopeError, SettingError, Unavailable
from core.evaluation.import_trial import Kept, Measured, Trial, keep_import, try_import
from core.models.architectures import models
from core.models.as_typed import names_in, share, size_in, values_in
from core.models.import_weights import Plan, Wishes, plan_import
from core.models.question import Question
from core.models.recognition import Guess, architecture_names, recognize, resolve
from core.models.state_dict import WeightSet, read_weights, shapes_only
from core.models.weight_fit import readings
from core.network.summary import short
from core.paths import home
from core.progress import Progress
from core.settings import assignments_in
from pages.elements.as_text import as_code, as_written, plain
from pages.elements.ask import asked
from pages.elements.figures.what_next import what_next
from pages.elements.import_checkpoint.model_diagram import model_diagram
from pages.elements.page import errors_shown
from pages.elements.visitor import read_once

FROM_THE_FILE, OTHER_NUMBERS = "The normalizer in the file", "Other numbers"
SCALES: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "Mean 0.5, std 0.5 (−1 to 1)": ((0.5,), (0.5,)),
    "Pixels of 0 to 1": ((0.0,), (1.0,)),
    "Pixels of 0 to 255": ((0.0,), (1 / 255,)),
    OTHER_NUMBERS: ((), ()),
}
MEASURED_IMAGES = 1000
MAXIMUM_NAMES_BYTES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class _File:
    """A file of weights as the session keeps it: names and shapes, and the architectures they fit.

    Attributes:
        bytes_on_disk: What was uploaded, in a file without a name that is gone with the session.
    """

    name: str
    digest: str
    bytes_on_disk: IO[bytes]
    sets: tuple[WeightSet, ...]
    fitting: tuple[str, ...]

    def read(self) -> tuple[WeightSet, ...]:
        """All of its tensors, read again: their numbers are not kept in memory."""
        with _reading:
            self.bytes_on_disk.seek(0)
            data = self.bytes_on_disk.read()
        return read_weights(data, self.name)


_reading = threading.Lock()


@dataclass(frozen=True)
class _Request:
    """What is to be tried, as the form says it."""

    name: str
    architecture: str
    wishes: Wishes
    dataset: str | None
    claimed: str
    sample: str

    def key(self) -> tuple[Any, ...]:
        """What the answer depends on besides the file, as JSON values."""
        return (asdict(self),)


def import_form() -> None:
    """Draw the steps as far as they have come."""
    with errors_shown():
        st.subheader("1 · The weights", anchor=False)
        upload = st.file_uploader(
            "A state dict (.pth, .pt) or safetensors. Only tensors are read; nothing in the file is run.",
            key="import_file",
        )
        if upload is None:
            st.session_state.pop("import_outline", None)
            st.info(
                "In PyTorch, save them with `torch.save(model.state_dict(), 'weights.pth')`, and choose that "
                "file."
            )
            return
        roles.visitor().require_teacher("import a checkpoint")
        file = read_once(upload, _outlined, "import_outline")
        _show_file(file)
        st.subheader("2 · What they are", anchor=False)
        request = _questions(file)
        if request is None:
            return
        st.subheader("3 · Do they work?", anchor=False)
        _third_step(file, request)


def _outlined(data: bytes, name: str) -> _File:
    """The file's names and shapes; its numbers are read again when they are tried."""
    with st.spinner("Reading the weights …"):
        sets = shapes_only(read_weights(data, name))
        on_disk = tempfile.TemporaryFile(dir=home())  # noqa: SIM115 - open for as long as the session wants it
        on_disk.write(data)
        digest = hashlib.sha256(data).hexdigest()
        file = _File(name, digest, on_disk, sets, tuple(recognize(readings(sets))))
    st.session_state["import_architecture"] = file.fitting[0] if file.fitting else None
    st.session_state.pop("import_tried", None)
    return file


def _show_file(file: _File) -> None:
    main = file.sets[0]
    count = sum(tensor.numel() for tensor in main.tensors.values())
    first = next(iter(main.tensors))
    others = [as_code(weights.place) for weights in file.sets[1:]]
    also = f" The file also holds weights under {', '.join(others)}." if others else ""
    st.success(
        f"{len(main.tensors)} tensors, {short(count)} numbers; the first is {as_code(first[:80])}, "
        f"{' × '.join(map(str, main.tensors[first].shape)) or 'a single number'}. "
        f"{as_written(' '.join(main.notes))}{also}",
        icon=":material/check:",
    )


def _questions(file: _File) -> _Request | None:
    """What weights do not say about themselves, filled in with what they are taken for."""
    left, right = st.columns(2)
    with left:
        architecture = st.selectbox(
            "Architecture",
            list(dict.fromkeys([*file.fitting, *architecture_names()])),
            placeholder="Choose, or type torchvision/resnet50, timm/resnet26 …",
            accept_new_options=True,
            key="import_architecture",
        )
        if architecture in file.fitting:
            others = [name for name in file.fitting if name != architecture][:4]
            st.caption(
                "Fits by names and shapes." + (f" So would {plain(', '.join(others))}." if others else "")
            )
    if architecture is None:
        st.info("Choose the architecture the weights were trained with.")
        return None
    with right:
        name = st.text_input("Name", file.name.rpartition(".")[0] or file.name, key="import_name")
    wishes = _which_tensors(file)
    plan = _planned(file, name, architecture, wishes)
    left, right = st.columns(2)
    with left:
        dataset, claimed = _dataset_fields()
    with right:
        classes = _class_names(plan, dataset is not None)
    left, right = st.columns(2)
    with left:
        mean, std = _scale_fields(plan)
    with right:
        sample = st.selectbox(
            "Try it on", sample_names(), format_func=lambda key: SAMPLES[key][0], key="import_sample"
        )
    size = plan.card.preprocessing.input_size
    settings = assignments_in(st.session_state.get("import_settings") or "")
    wishes = replace(wishes, class_names=classes, settings=settings, input_size=size, mean=mean, std=std)
    return _Request(name, architecture, wishes, dataset, claimed if dataset else "", sample)


def _which_tensors(file: _File) -> Wishes:
    """Which of several sets of weights, and what to do where names and shapes leave it open."""
    which = ""
    places = [weights.place for weights in file.sets]
    if len(places) > 1:
        which = st.selectbox("Which weights?", places, key="import_which") or ""
    with st.expander("Names that do not fit", icon=":material/rule:"):
        leave_out = st.text_input(
            "Leave out tensors with one of these words in their name",
            placeholder="such as criterion, projector",
            key="import_leave_out",
        )
        order = st.text_input(
            "Order of the layers, if the file does not give it",
            placeholder="such as embed, one, two, three, output",
            key="import_order",
        )
    return Wishes(which, _words(leave_out), _words(order))


def _words(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)


def _planned(file: _File, name: str, architecture: str, wishes: Wishes) -> Plan:
    """What the weights are taken for, with fields for what shapes do not tell; they stay where it fails."""
    size_key = f"import_size_{architecture}"
    member, _ = resolve(architecture)
    guess = None
    try:
        settings = assignments_in(st.session_state.get("import_settings") or "")
        size = size_in(st.session_state.get(size_key) or "")
        plan = plan_import(file.sets, name, architecture, replace(wishes, settings=settings, input_size=size))
        guess = plan.guess
    finally:
        left, right = st.columns(2)
        with left:
            _settings_field(member, guess)
        with right:
            height, width = guess.input_size if guess else (0, 0)
            usual = "" if not guess else f"{height}" if height == width else f"{height}x{width}"
            st.text_input("Image size", usual, help="224, or 240x320 (height × width)", key=size_key)
    for note in plan.notes:
        if note not in plan.reading.weights.notes:
            st.caption(as_written(note))
    return plan


def _settings_field(member: str, guess: Guess | None) -> None:
    told = {} if guess is None else {k: v for k, v in guess.settings.items() if k not in guess.assumed}
    assumed = {} if guess is None else guess.settings
    free = [s for s in models[member].settings if s.name not in told and s.name != "network"]
    st.text_input(
        "Extra settings",
        placeholder="; ".join(f"{s.name}={assumed.get(s.name, s.default)}" for s in free) or "none",
        help="name=value, separated by semicolons. " + " ".join(f"**{s.name}**: {s.help}" for s in free),
        key="import_settings",
        disabled=not free,
    )
    if told:
        known = "; ".join(f"{k}={v}" for k, v in told.items())
        st.caption(f"Read from the shapes: {known}".replace("_", "\\_"))


def _dataset_fields() -> tuple[str | None, str]:
    known = {entry.name: entry.title for entry in catalogue()}
    dataset = st.selectbox(
        "Measure on a data set",
        list(known),
        index=None,
        placeholder="none",
        format_func=lambda key: known.get(key, key),
        key="import_dataset",
    )
    claimed = st.text_input(
        "Accuracy it should have", placeholder="such as 91 %", key="import_claimed", disabled=dataset is None
    )
    return dataset, claimed


def _class_names(plan: Plan, from_dataset: bool) -> tuple[str, ...]:
    expected = plan.card.number_of_classes
    typed = st.text_area(
        f"Names of the {expected} classes, in the order of the outputs",
        placeholder="as in the data set" if from_dataset else "cat, dog, … or one a line",
        key="import_classes",
        height=104,
    )
    upload = st.file_uploader(
        "or a file with the names: one a line, or JSON",
        key="import_classes_file",
    )
    text = read_once(upload, _as_text, "import_classes_read") if upload else typed
    names = tuple(names_in(text, expected)) if text.strip() else ()
    if upload and names:
        st.caption(f"{len(names)} names, from {plain(names[0][:60])} to {plain(names[-1][:60])}")
    return names


def _as_text(data: bytes, name: str) -> str:
    if len(data) > MAXIMUM_NAMES_BYTES:
        raise SettingError(
            f"{name!r} has {len(data) / 2**20:.1f} MB; a list of class names of up to "
            f"{MAXIMUM_NAMES_BYTES // 2**20} MB is read."
        )
    return data.decode("utf-8-sig", errors="replace")


def _scale_fields(plan: Plan) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std, on pixels of 0 to 1."""
    channels = plan.card.preprocessing.channels
    options = [*([FROM_THE_FILE] if plan.fit.mean else []), *SCALES]
    usual = 0 if plan.fit.mean or channels == 3 else 2
    scale = st.selectbox(
        "How were pixels scaled in training?", options, key=f"import_scale_{channels}", index=usual
    )
    if scale == FROM_THE_FILE:
        return plan.fit.mean, plan.fit.std
    if scale == OTHER_NUMBERS:
        mean = values_in(st.text_input("Mean, of pixels of 0 to 1", "0.5", key="import_mean"), "mean")
        std = values_in(st.text_input("Std", "0.5", key="import_std"), "std")
        return tuple(mean), tuple(std)
    chosen = SCALES[scale]
    if len(chosen[0]) > channels:
        return (sum(chosen[0]) / len(chosen[0]),), (sum(chosen[1]) / len(chosen[1]),)
    return tuple(chosen[0]), tuple(chosen[1])


def _third_step(file: _File, request: _Request) -> None:
    if st.button("Test", type="primary", icon=":material/play_arrow:", key="import_try"):
        st.session_state["import_tried"] = request
    tried = st.session_state.get("import_tried")
    if tried is None:
        return
    if tried != request:
        st.caption("Something above has changed since then: try them again.")
        return
    try:
        trial = _try(file, request)
    except ConvoscopeError:
        st.session_state.pop("import_tried", None)
        raise
    _result(file, request, trial)


def _try(file: _File, request: _Request) -> Trial:
    """Ask the thread that owns the models; what was tried before is found again."""
    dataset = _dataset(request)

    def analysis(classifier: None, progress: Progress) -> Trial:
        return try_import(
            file.read(),
            request.name,
            request.architecture,
            request.wishes,
            sample_image(request.sample).pixels,
            dataset=dataset,
            claimed=share(request.claimed) if request.claimed.strip() else None,
            images=MEASURED_IMAGES,
            progress=progress,
        )

    question = Question("import trial", "", Trial, request.key(), file.digest)
    return asked(question, analysis, short=dataset is None, message="Trying the weights")


def _dataset(request: _Request) -> ImageDataset | None:
    dataset = open_dataset(request.dataset) if request.dataset else None
    if dataset is not None and not ({"test", "val"} & set(dataset.splits)):
        raise Unavailable(f"{dataset.title} has no test images here: choose another data set. {dataset.note}")
    return dataset


def _result(file: _File, request: _Request, trial: Trial) -> None:
    for note in trial.notes:
        st.caption(as_written(note))
    left, right = st.columns([1, 2])
    with left:
        st.caption("Its answer to the image")
        for name, value in trial.answer:
            st.progress(value, f"{plain(name)}: {value:.1%}")
    with right:
        _verdict(trial.measured)
        remedy = trial.measured.remedy if trial.measured else None
        with st.container(horizontal=True):
            mend = remedy is not None and st.button(
                "Keep the corrected version", type="primary", icon=":material/build:", key="import_mend"
            )
            as_it_is = st.button(
                "Save as it is" if remedy else "Save",
                icon=":material/save:",
                key="import_keep",
                type="secondary" if remedy else "primary",
            )
        if mend or as_it_is:
            kept = _keep(file, request, trial, mend)
            st.success(
                f"Kept as **{plain(kept.name)}**: choose it wherever a classifier is chosen."
                + (" What was likely wrong was corrected." if mend else ""),
                icon=":material/save:",
            )
            what_next(
                "confusion_matrices", "occlusion", "filters",
                words=("See its mistakes", "Hide parts of an image", "Look at its filters"),
                classifier=kept.name,
            )  # fmt: skip
    model_diagram(trial.summary, key="import")


def _verdict(measured: Measured | None) -> None:
    """Green only for what is better than guessing and as good as was claimed."""
    if measured is None:
        st.info(
            "It runs. With a data set, its accuracy would be measured and compared with what was claimed."
        )
    elif measured.fits and measured.better_than_guessing:
        st.success(measured.verdict, icon=":material/check:")
    else:
        st.warning(measured.verdict, icon=":material/warning:")


def _keep(file: _File, request: _Request, trial: Trial, mended: bool) -> Kept:
    dataset = _dataset(request)
    kept_before = st.session_state.get("import_kept", 0)
    st.session_state["import_kept"] = kept_before + 1

    def analysis(classifier: None, progress: Progress) -> Kept:
        return keep_import(
            file.read(), request.name, request.architecture, request.wishes, trial,
            dataset=dataset, mended=mended,
        )  # fmt: skip

    # Each press writes a folder of its own, so that no earlier answer stands for it.
    press = hashlib.sha256(f"{id(st.session_state)} {kept_before} {mended}".encode()).hexdigest()
    question = Question("import kept", "", Kept, (press, *request.key()), file.digest)
    return asked(question, analysis, message="Writing the checkpoint")
