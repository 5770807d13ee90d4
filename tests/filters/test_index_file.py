"""Filter indexes beside their checkpoint."""

import numpy as np
import pytest

from core import store
from core.filters.index_file import find_index, index_key, keep_index, part_path
from core.paths import PROJECT


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    store.forget_memory()
    yield
    store.forget_memory()


ANSWER = {"layers": [{"name": "conv1"}], "0/top_rows": np.arange(6).reshape(2, 3)}
KEY = index_key("f", "s", 10, 3)


def is_answer(found):
    np.testing.assert_array_equal(found["0/top_rows"], ANSWER["0/top_rows"])
    return found["layers"] == ANSWER["layers"]


def test_an_index_lies_beside_its_checkpoint_and_nowhere_else(tmp_path):
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    part = part_path(KEY, folder)
    part.parent.mkdir()
    part.write_bytes(b"half")
    assert is_answer(keep_index(KEY, folder, ANSWER))
    assert [p.name for p in (folder / "filter_index").iterdir()] == [f"{KEY}.npz"]  # the part is gone
    store.forget_memory()
    assert is_answer(find_index(KEY, folder))
    (folder / "filter_index" / f"{KEY}.npz").unlink()
    assert find_index(index_key("g", "s", 10, 3), folder) is None
    store.forget_memory()
    assert find_index(KEY, folder) is None


@pytest.mark.parametrize("folder", [None, PROJECT / "checkpoints" / "digits_cnn"])
def test_what_ships_or_has_no_folder_is_in_the_cache(folder, tmp_path):
    assert is_answer(keep_index(KEY, folder, ANSWER))
    store.forget_memory()
    assert is_answer(find_index(KEY, folder))
    assert list((tmp_path / "home" / "cache").glob("*/*.npz"))
    assert not (PROJECT / "checkpoints" / "digits_cnn" / "filter_index").exists()


def test_a_broken_file_counts_as_none(tmp_path):
    keep_index(KEY, tmp_path, ANSWER)
    store.forget_memory()
    (tmp_path / "filter_index" / f"{KEY}.npz").write_bytes(b"PK broken")
    assert find_index(KEY, tmp_path) is None
