"""`make shipped`: the answers that pages open on, computed anew and put beside their checkpoints.

Opens the first view of each page in an empty home folder, as a first visitor would, and keeps what was
computed for it. The file of an answer is named by the hash of all that it depends on, so that after a change
of weights or settings it is not used; then run this again.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT, SMALL = "efficientnet_lite0", "fashion_mnist_cnn"
# page: (the classifier it opens with, the bytes of its largest answer that ships). What is larger is computed
# by whoever wants to see it; of Occlusion, the maps of few places ship, and it sharpens them as always.
PAGES = {
    "home": (DEFAULT, 100_000),
    "occlusion": (DEFAULT, 250_000),
    "filters": (SMALL, 1_500_000),
    "feature_visualization": (SMALL, 100_000),
    "embedding": (SMALL, 1_000_000),
}
LARGEST_IN_ALL = 3_500_000


def main(pages: list[str]) -> int:
    with tempfile.TemporaryDirectory() as home:
        os.environ["CONVOSCOPE_HOME"] = home
        sys.path.insert(0, str(ROOT))
        from streamlit.testing.v1 import AppTest

        from core import store

        cache = Path(home) / "cache"
        store.SHIPPED = Path(home)  # nothing ships for now
        if not pages:
            for old in (ROOT / "checkpoints").glob("*/answers/*.npz"):
                old.unlink()
        seen: set[Path] = set()
        total = 0
        for page in pages or PAGES:
            test = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=3600)
            test.run()
            if test.exception or test.error:
                raise SystemExit(f"The page {page} shows an error: {test.exception or test.error}")
            made = set(cache.glob("*/*.npz")) - seen
            seen |= made
            total += sum(_ship(path, page) for path in sorted(made))
        from core.serving import worker

        worker.close()
    print(f"{total // 1000:,} kB in all")
    if total > LARGEST_IN_ALL:
        raise SystemExit(f"That is more than {LARGEST_IN_ALL // 1000:,} kB: leave a page out.")
    return 0


def _ship(path: Path, page: str) -> int:
    """Put one answer beside its checkpoint; returned are its bytes."""
    from core import store

    classifier, largest = PAGES[page]
    answer = store.open_file(path, path.stem)
    if answer is None:
        raise SystemExit(f"{path.name} cannot be read.")
    if not answer:  # something was made ready, and there is nothing to keep
        return 0
    data = store.to_small_bytes(answer)
    if len(data) > largest:
        print(f"{page}: {path.stem[:12]} is left out, {len(data) // 1000:,} kB", flush=True)
        return 0
    folder = ROOT / "checkpoints" / classifier / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path.name).write_bytes(data)
    print(f"{page}: {path.stem[:12]}, {len(data) // 1000:,} kB", flush=True)
    return len(data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
