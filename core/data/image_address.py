"""One image by its address: a file, a sample photo, or an image of a data set such as "sutures/test/12"."""

import dataclasses
from pathlib import Path

from core.data.catalogue import open_dataset
from core.data.images import ReadImage, image_from_pixels, read_image
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import BadImage, UnknownName


def open_dataset_image(address: str) -> ReadImage:
    """The image of an address: data set, split and index, between slashes.

    Raises:
        UnknownName: There is no such data set or split.
        BadImage: It is not an address, or the index is not in the split.
    """
    parts = address.split("/")
    if len(parts) != 3:
        raise BadImage(f"{address!r} is not an image of a data set: give one as sutures/test/12.")
    dataset = open_dataset(parts[0])
    split = dataset.split(parts[1])
    if not (parts[2].isascii() and parts[2].isdecimal() and int(parts[2]) < len(split)):
        raise BadImage(
            f"There is no image {parts[2]} in {parts[0]}/{parts[1]}: choose one from 0 to {len(split) - 1}."
        )
    index = int(parts[2])
    label = dataset.class_names[int(split.labels[index])]
    image = image_from_pixels(split.images[index], f"{dataset.title}, {parts[1]} image {index}", label)
    return dataclasses.replace(image, masks={name: mask[index] for name, mask in split.masks.items()})


def open_image(path_or_sample: str) -> ReadImage:
    """A file by its path, a sample photo by its name, or an image of a data set as "sutures/test/12".

    For the command line, never for a browser's text.
    """
    path = Path(path_or_sample)
    if path.is_file():
        return read_image(path.read_bytes(), path.name)
    if path_or_sample in SAMPLES:
        return sample_image(path_or_sample)
    if path_or_sample.count("/") == 2 and path_or_sample.rpartition("/")[2].isdecimal():
        return open_dataset_image(path_or_sample)
    if path.suffix or len(path.parts) > 1:
        raise BadImage(f"There is no file {path_or_sample!r}. Give a path to an image, or a sample's name: "
                       f"{', '.join(sample_names())}.")  # fmt: skip
    raise UnknownName("sample image or file", path_or_sample, sample_names())
