"""Which data set shows what a classifier does, and whether another one makes sense for it."""

from core.data.catalogue import dataset_names
from core.data.dataset import ImageDataset
from core.models.card import ModelCard

PHOTOS = "photos"
SMALLEST_PHOTO = 96  # pixels of a side from which on a network in color is taken to look at photographs
MOST_ENLARGED = 4  # times; beyond that a network sees the squares of the pixels


def fitting_dataset(card: ModelCard) -> str | None:
    """The data set to show with this classifier: its own, or photographs where it was trained on such.

    It may still have to be fetched. None where no data set here fits.
    """
    if card.dataset in dataset_names():
        return card.dataset
    preprocessing = card.preprocessing
    if preprocessing.channels == 3 and min(preprocessing.input_size) >= SMALLEST_PHOTO:
        return PHOTOS
    return None


def why_unfit(card: ModelCard, dataset: ImageDataset) -> str:
    """Why images of this data set say nothing about the classifier, as a clause; "" where they do.

    A data set of which the classifier knows half of the classes or more fits, and so does the one that it was
    trained on.
    """
    if dataset.name in (card.dataset, fitting_dataset(card)):
        return ""
    theirs, ours = ({name.casefold() for name in names} for names in (dataset.class_names, card.class_names))
    if 2 * len(theirs & ours) >= len(theirs):
        return ""
    name = card.title or card.name
    size, shown = card.preprocessing.input_size, dataset.input_size
    if max(size) > MOST_ENLARGED * max(shown):
        return (
            f"{name} looks at {size[1]} × {size[0]} pixels, and the images of {dataset.title} have "
            f"{shown[1]} × {shown[0]}"
        )
    if card.preprocessing.channels == 1 and dataset.channels == 3:
        return f"{name} knows gray images only, and those of {dataset.title} are in color"
    return ""
