"""What a page opens on comes with Convoscope: nothing is computed for a first view in an empty home."""

import pytest
from streamlit.testing.v1 import AppTest

from core import store
from core.paths import PROJECT
from core.serving import worker


@pytest.mark.skipif(store.computed_on() != "cpu float32", reason="what ships was computed on a CPU")
@pytest.mark.parametrize("name", ["home", "filters", "feature_visualization", "embedding"])
def test_the_first_view_is_there_at_once(name, tmp_path, monkeypatch):
    """If this fails after a change of weights, settings or labels: `make shipped`."""
    asked = []

    def submit(key, classifier, analysis, *, label, **how):
        asked.append(label)
        return answer(key, classifier, analysis, label=label, **how)

    answer = worker.submit
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(worker, "submit", submit)
    store.forget_memory()
    test = AppTest.from_file(str(PROJECT / "pages" / f"{name}.py"), default_timeout=120).run()
    worker.close()
    assert not test.exception
    assert not test.error
    assert not asked, "run `make shipped`"


def test_all_that_ships_beside_the_checkpoints_is_small():
    folder = PROJECT / "checkpoints"
    files = [*folder.glob("*/answers/*.npz"), *folder.glob("*/predictions.npz")]
    assert sum(path.stat().st_size for path in files) < 5_000_000
