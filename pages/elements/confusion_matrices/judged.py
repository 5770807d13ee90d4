"""A classifier judged on a split: its predictions, asked for once, and the images behind every cell."""

import csv
import io
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from core.data.catalogue import catalogue_entry
from core.data.dataset import ImageDataset, Split
from core.data.images import encode
from core.evaluation.confusion import confusion_matrix
from core.evaluation.prediction import Predictions, SplitLogits, match_classes, predict_split, predictions_of
from core.evaluation.stored_predictions import stored_predictions
from core.models import catalogue
from core.models.question import Question
from pages.elements.address import AddressMemory, new_address, remember
from pages.elements.as_text import plain
from pages.elements.ask import asked
from pages.elements.pickers.download_card import download_card
from pages.elements.pickers.image_wall import image_wall

CELL = "cm_cell"
OTHERS = "x"  # in the address: any other class
MOST_IN_ZIP = 2000


@dataclass(frozen=True, eq=False)
class Judged:
    """What the parts of the page are drawn from.

    Attributes:
        split: None where its images are not on this machine, and the predictions come with the classifier.
        classes: Indices of the classifier's classes that occur, as labels or as predictions; others are left
            out of `matrix` and `names`, or ImageNet's thousand would hide the ten that matter.
    """

    classifier: str
    dataset: str
    split_name: str
    split: Split | None
    predictions: Predictions
    classes: np.ndarray
    matrix: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.predictions.class_names[i] for i in self.classes.tolist())

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return f"{self.classifier.replace('/', '_')}_{self.dataset}_{self.split_name}"

    def positions(self, cell: tuple[int, int]) -> np.ndarray:
        """The images of a cell of `matrix`, the most confident first; −1 is any class but the other one."""
        true, predicted = (int(self.classes[i]) if i >= 0 else None for i in cell)
        return self.predictions.where(true=true, predicted=predicted, wrong=min(cell) < 0)


def judged(classifier: str, dataset: ImageDataset, split_name: str) -> Judged:
    """Ask for the predictions of a split, with a bar the first time. For the body of a page, not a fragment.

    Raises:
        BadDataset: The data set's classes are not the classifier's.
    """
    split = dataset.split(split_name)
    stored = stored_predictions(classifier, dataset.name)
    if stored is not None and stored.images == split.fingerprint:
        return judged_predictions(classifier, dataset.name, split_name, split, stored.predictions)
    card = catalogue.card_of(classifier)
    matching, _ = match_classes(dataset.class_names, card.class_names)  # before anything is computed
    rows = np.flatnonzero(matching[split.labels] >= 0)
    whole = not 0 < len(rows) < len(split)
    part = split if whole else split.take(rows)  # images of classes that it does not know would be left out
    of = (split.fingerprint,) if whole else (split.fingerprint, matching.tolist())
    found = asked(
        Question("predictions of a split", classifier, SplitLogits, of),
        lambda classifier, progress: SplitLogits(predict_split(classifier, part, progress)),
        short=False,
        message=f"Predicting {len(part):,} images",
    )
    predictions = predictions_of(found.logits, part, dataset.class_names, card.class_names)
    if not whole:
        predictions = replace(predictions, rows=rows[predictions.rows])
    return judged_predictions(classifier, dataset.name, split_name, split, predictions)


def judged_without_images(classifier: str, dataset: str) -> Judged | None:
    """The predictions that come with a classifier; None where none do for this data set."""
    stored = stored_predictions(classifier, dataset)
    if stored is None:
        return None
    return judged_predictions(classifier, dataset, stored.split, None, stored.predictions)


def judged_predictions(
    classifier: str, dataset: str, split_name: str, split: Split | None, predictions: Predictions
) -> Judged:
    """The matrix of the classes that occur."""
    matrix = confusion_matrix(predictions.labels, predictions.predicted, predictions.number_of_classes)
    classes = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    if len(classes) * 2 > predictions.number_of_classes:
        classes = np.arange(predictions.number_of_classes)
    return Judged(
        classifier, dataset, split_name, split, predictions, classes, matrix[np.ix_(classes, classes)]
    )


def cell_of_address(number_of_classes: int) -> tuple[int, int] | None:
    """The cell that the address names as `cm_cell=6-0`, or None."""
    memory = _memory()
    new_address(memory, [CELL])
    parts = (memory.address or {}).get(CELL, "").split("-")
    if len(parts) != 2:
        return None
    cell = []
    for part in parts:
        if part != OTHERS and not (part.isascii() and part.isdecimal() and int(part) < number_of_classes):
            return None
        cell.append(-1 if part == OTHERS else int(part))
    return (cell[0], cell[1]) if max(cell) >= 0 else None


def set_cell(true: int, predicted: int) -> None:
    """Put a cell into the address; for callbacks."""
    text = "-".join(OTHERS if i < 0 else str(i) for i in (true, predicted))
    remember(_memory(), [CELL], {CELL: text})


def forget_cell() -> None:
    """Take the cell out of the address; for callbacks."""
    remember(_memory(), [CELL], {})


def _memory() -> AddressMemory:
    memory: AddressMemory = st.session_state.setdefault("cm_cell_in_address", AddressMemory({}))
    return memory


def cell_words(names: tuple[str, ...], cell: tuple[int, int]) -> str:
    """What a cell is, in words."""
    true, predicted = (plain(names[i]) if i >= 0 else "" for i in cell)
    if not true:
        return f"Other classes taken for “{predicted}”"
    if not predicted:
        return f"“{true}” taken for other classes"
    return f"“{true}” recognized correctly" if true == predicted else f"“{true}” taken for “{predicted}”"


def cell_images(judged: Judged, cell: tuple[int, int] | None, *, key: str) -> None:
    """The images of a cell, the most confident first, and what can be done with them."""
    if cell is None:
        st.info(
            "Click a cell of the matrix to see its images, or a class's name to see all its errors.",
            icon=":material/touch_app:",
        )
        return
    positions = judged.positions(cell)
    st.markdown(
        f"**{cell_words(judged.names, cell)}: {len(positions):,} image{'s' * (len(positions) != 1)}**"
    )
    if not len(positions):
        st.caption("No image is in this cell.")
        return
    wall(
        judged,
        positions,
        key=f"{key}_wall",
        zip_name=f"{judged.stem}_{_cell_in_file(judged.names, cell)}.zip",
        beside=True,
    )


def wall(
    judged: Judged, positions: np.ndarray, *, key: str, zip_name: str = "", beside: bool = False
) -> None:
    """Images with their probabilities, and a button that saves them."""
    if judged.split is None:
        title = plain(catalogue_entry(judged.dataset).title)
        what = f"The images of **{title}** are not on this machine: the predictions come with the network."
        download_card(judged.dataset, key=key, what=what)
        return
    image_wall(
        judged.predictions,
        positions,
        judged.split,
        dataset=judged.dataset,
        split_name=judged.split_name,
        key=key,
        beside=beside,
    )
    st.caption("The most confident come first. Click an image to make it the chosen image of every page.")
    if zip_name:
        st.download_button(
            "Images as zip",
            lambda: zip_of(judged, positions),
            zip_name,
            "application/zip",
            icon=":material/folder_zip:",
            key=f"{key}_zip",
            on_click="ignore",
        )


def zip_of(judged: Judged, positions: np.ndarray) -> bytes:
    """PNG files named by rank, row in the split, label, prediction and confidence; at most 2,000."""
    assert judged.split is not None, "offered where the images are"
    predictions, out = judged.predictions, io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for rank, position in enumerate(positions[:MOST_IN_ZIP].tolist(), 1):
            row = int(predictions.rows[position])
            label, said = (
                _file_word(predictions.class_names[int(of[position])])
                for of in (predictions.labels, predictions.predicted)
            )
            confidence = 100 * predictions.confidence[position]
            archive.writestr(
                f"{rank:04d}_{row}_{label}_as_{said}_{confidence:.1f}.png", encode(judged.split.images[row])
            )
    return out.getvalue()


def predictions_csv(judged: Judged) -> str:
    """One line an image: where it is, its label, what it was taken for and all probabilities."""
    predictions, out = judged.predictions, io.StringIO()
    files = judged.split.files if judged.split else None
    writer = csv.writer(out, lineterminator="\n")
    names = predictions.class_names
    writer.writerow(["index", "file", "true", "predicted", "confidence", *(f"p({name})" for name in names)])
    for position, row in enumerate(predictions.rows.tolist()):
        label, said = int(predictions.labels[position]), int(predictions.predicted[position])
        writer.writerow([
            row, files[row] if files else "", names[label], names[said],
            f"{predictions.confidence[position]:.6f}",
            *(f"{p:.6g}" for p in predictions.probabilities[position]),
        ])  # fmt: skip
    return out.getvalue()


def _cell_in_file(names: tuple[str, ...], cell: tuple[int, int]) -> str:
    return "_as_".join(_file_word(names[i]) if i >= 0 else "others" for i in cell)


def _file_word(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)[:40]
