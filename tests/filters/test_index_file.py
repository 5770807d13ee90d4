"""Filter indexes beside their checkpoint."""

import numpy as np
import pytest

from core import store
from core.filters.filter_index import FilterIndex
from core.filters.index_file import find_index, index_question, keep_index, part_path
from core.paths import PROJECT


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    store.forget_memory()
    yield
    store.forget_memory()


INDEX = FilterIndex((), 10, 3, 2, "by hand", np.arange(6).reshape(2, 3))
QUESTION = index_question("tiny", "s", 10, 3, "f")
KEY = QUESTION.key


def is_index(found):
    np.testing.assert_array_equal(found.kernels, INDEX.kernels)
    return (found.images, found.engine) == (10, "by hand")


def test_an_index_lies_beside_its_checkpoint_and_nowhere_else(tmp_path):
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    part = part_path(QUESTION, folder)
    part.parent.mkdir()
    part.write_bytes(b"half")
    assert is_index(keep_index(QUESTION, folder, INDEX))
    assert [p.name for p in (folder / "filter_index").iterdir()] == [f"{KEY}.npz"]  # the part is gone
    store.forget_memory()
    assert is_index(find_index(QUESTION, folder))
    (folder / "filter_index" / f"{KEY}.npz").unlink()
    assert find_index(index_question("tiny", "s", 10, 3, "g"), folder) is None
    store.forget_memory()
    assert find_index(QUESTION, folder) is None


@pytest.mark.parametrize("folder", [None, PROJECT / "checkpoints" / "digits_cnn"])
def test_what_ships_or_has_no_folder_is_in_the_cache(folder, tmp_path):
    assert is_index(keep_index(QUESTION, folder, INDEX))
    store.forget_memory()
    assert is_index(find_index(QUESTION, folder))
    assert list((tmp_path / "home" / "cache").glob("*/*.npz"))
    assert not (PROJECT / "checkpoints" / "digits_cnn" / "filter_index").exists()


def test_a_broken_file_counts_as_none(tmp_path):
    keep_index(QUESTION, tmp_path, INDEX)
    store.forget_memory()
    (tmp_path / "filter_index" / f"{KEY}.npz").write_bytes(b"PK broken")
    assert find_index(QUESTION, tmp_path) is None
