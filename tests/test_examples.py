"""Every method, network and data set has an example in its docstring that runs."""

import doctest
import inspect

import pytest

from core.attribution.methods import methods
from core.data.sets import datasets
from core.errors import Unavailable
from core.models.architectures import models
from core.registry import Member

MEMBERS = [member for registry in (methods, models, datasets) for member in registry]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_the_example_runs(member: Member) -> None:
    names = dict(vars(inspect.getmodule(member.function)))
    found = doctest.DocTestFinder(recurse=False).find(member.function, member.name, globs=names)
    assert found, f"{member.name} has no docstring."
    assert found[0].examples, f"The docstring of {member.name} has no example: add a section `Example:`."
    try:
        doctest.DebugRunner().run(found[0])
    except doctest.UnexpectedException as failure:
        if isinstance(failure.exc_info[1], Unavailable):
            pytest.skip(str(failure.exc_info[1]))
        raise failure.exc_info[1] from None
    except doctest.DocTestFailure as failure:
        pytest.fail(f"{failure.example.source}gave {failure.got}and not {failure.example.want}")
