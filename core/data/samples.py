"""The photos that come with scikit-image: something to look at before anyone uploads anything."""

from functools import lru_cache
from pathlib import Path

from core.data.images import ReadImage, read_image
from core.errors import UnknownName

SAMPLES: dict[str, tuple[str, str]] = {
    # name: (title, file in skimage/data)
    "chelsea": ("Cat", "chelsea.png"),
    "coffee": ("Cup of coffee", "coffee.png"),
    "astronaut": ("Astronaut", "astronaut.png"),
    "rocket": ("Rocket", "rocket.jpg"),
    "motorcycle": ("Motorcycle", "motorcycle_left.png"),
    "camera": ("Photographer", "camera.png"),
    "coins": ("Coins", "coins.png"),
    "hubble": ("Galaxies", "hubble_deep_field.jpg"),
    "retina": ("Retina", "retina.jpg"),
    "ihc": ("Tissue", "ihc.png"),
    "page": ("Page of a book", "page.png"),
    "clock": ("Blurred clock", "clock_motion.png"),
}


def sample_names() -> list[str]:
    """The sample photos of scikit-image that are installed with it."""
    return [name for name, (_, file) in SAMPLES.items() if (_sample_folder() / file).exists()]


def sample_image(name: str) -> ReadImage:
    """A sample photo by name.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in SAMPLES or not (_sample_folder() / SAMPLES[name][1]).exists():
        raise UnknownName("sample image", name, sample_names())
    return _read(name)


@lru_cache(maxsize=len(SAMPLES))  # some 30 MB, and every run of every page asks for its image
def _read(name: str) -> ReadImage:
    return read_image((_sample_folder() / SAMPLES[name][1]).read_bytes(), name)


def _sample_folder() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data"
