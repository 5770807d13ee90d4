"""An open set: members by name, found where they lie, in a stable order, and never two of one name."""

import sys
import textwrap
from typing import Annotated

import pytest

from core.errors import UnknownName
from core.registry import Registry
from core.settings import Range


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two members and a face that holds the registry, as the project's own sets are laid out."""
    folder = tmp_path / "set_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from core.registry import Registry\nmembers = Registry('thing', __name__)\nloads = []\n"
    )
    for name, order in (("beta", "order=1"), ("alpha", "order=2"), ("gamma", "")):
        (folder / f"{name}.py").write_text(
            textwrap.dedent(f'''
            from set_of_tests import loads, members
            loads.append("{name}")
            @members.register("{name}", title="The {name}", {order})
            def {name}(*, size: int = 3):
                """Makes {name}.

                More words.
                """
                return "{name}", size
        ''')
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    import set_of_tests

    yield set_of_tests
    for module in [m for m in sys.modules if m.partition(".")[0] == "set_of_tests"]:
        del sys.modules[module]


def test_naming_a_set_loads_nothing_and_looking_at_it_loads_all_once(package):
    assert package.loads == []
    assert package.members.names() == ["beta", "alpha", "gamma"]  # by order, 100 where none is given
    assert len(package.members) == 3
    assert sorted(package.loads) == ["alpha", "beta", "gamma"]


def test_a_member_is_its_function_with_title_summary_and_settings(package):
    member = package.members["alpha"]
    assert member(size=5) == ("alpha", 5)
    assert (member.name, member.title, member.summary) == ("alpha", "The alpha", "Makes alpha.")
    assert "alpha" in package.members
    assert "delta" not in package.members


def test_an_unknown_name_lists_the_nearest(package):
    with pytest.raises(UnknownName, match=r"thing.*alpa.*alpha"):
        package.members["alpa"]


def test_two_of_one_name_are_refused_with_both_places(package):
    with pytest.raises(
        ValueError, match=r"Two things are named 'beta'.*set_of_tests\.beta\.beta.*Rename one"
    ):
        package.members["beta"] and package.members.register("beta")(lambda: None)


def test_settings_come_from_the_signature():
    registry = Registry("thing", "core.data.sets")

    @registry.register("one", speed="fast")
    def one(classifier, *, steps: Annotated[int, Range(1, 9)] = 4, progress=None):
        """One.

        Args:
            steps: How many.
        """

    member = registry._members["one"]
    assert [(s.name, s.default, s.help) for s in member.settings] == [("steps", 4, "How many.")]
    assert member.facts == {"speed": "fast"}
