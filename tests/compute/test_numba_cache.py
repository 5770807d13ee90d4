"""Compiled loops: kept where it is allowed, and no hindrance where not."""

import importlib.util
import os
from pathlib import Path

import pytest

from core.compute.numba_cache import compiled

SOURCE = """
from core.compute.numba_cache import compiled

@compiled("i8(i8)")
def doubled(number):
    return 2 * number
"""


def load(folder: Path):
    spec = importlib.util.spec_from_file_location("somewhere", folder / "somewhere.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("where", ["beside", "home", "nowhere"])
def test_machine_code_is_kept_beside_the_file_or_in_convoscopes_cache(tmp_path, monkeypatch, where):
    code, home = tmp_path / "code", tmp_path / "home"
    code.mkdir(), home.mkdir()
    (code / "somewhere.py").write_text(SOURCE)
    monkeypatch.setenv("CONVOSCOPE_HOME", str(home))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    allowed = os.access
    if where != "beside":
        monkeypatch.setattr(
            os, "access", lambda path, mode: code not in [path, *path.parents] and allowed(path, mode)
        )
    if where == "nowhere":
        (home / "cache").write_text("a file where the folder should be")
    assert load(code).doubled(21) == 42
    kept = {place: bool(list(folder.rglob("*.nbi"))) for place, folder in (("beside", code), ("home", home))}
    assert kept == {"beside": where == "beside", "home": where == "home"}


def test_what_numba_cannot_compile_is_as_if_it_were_missing():
    with pytest.raises(ImportError, match="Numba cannot compile odd"):

        @compiled("i8(i8)")
        def odd(number):
            return {number}.nothing_like_that
