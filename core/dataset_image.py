"""One image of a data set by its address, such as "sutures/test/12", with its label and its masks."""

import dataclasses

from core.data_catalogue import open_dataset
from core.errors import BadImage
from core.images import ReadImage, image_from_pixels


def open_dataset_image(address: str) -> ReadImage:
    """The image of an address: data set, split and index, between slashes.

    Raises:
        UnknownName: There is no such data set or split.
        BadImage: It is no address, or the index is not in the split.
    """
    parts = address.split("/")
    if len(parts) != 3:
        raise BadImage(f"{address!r} is no image of a data set: give one as sutures/test/12.")
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
