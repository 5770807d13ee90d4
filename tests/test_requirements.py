"""What the code imports is listed, what is listed is used, and the installed package finds itself."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = {"core", "pages", "app", "convoscope", "tests", "benchmarks", "docs", "make_pictures", "set_of_tests"}
# Used without an import: by name on the command line, or behind another package.
NOT_IMPORTED = {
    "captum": "the oracle of the tests and benchmarks, and the ground of the evidence pages",
    "pytest-timeout": "pytest's plugin",
    "pytest-xdist": "pytest's plugin",
    "ruff": "run by make",
    "mypy": "run by make",
}


def listed(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(Requirement(line).name) for line in lines if line and line[0] not in "#-"}


def imported(*folders: str) -> dict[str, set[str]]:
    """Distribution -> files of ours that import one of its modules."""
    owners = packages_distributions()
    found: dict[str, set[str]] = {}
    for folder in folders:
        place = ROOT / folder
        for path in [place] if place.is_file() else place.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for top in {name.split(".")[0] for name in names} - OURS - set(sys.stdlib_module_names):
                    for owner in owners.get(top, [top]):
                        found.setdefault(canonicalize_name(owner), set()).add(str(path.relative_to(ROOT)))
    return found


# These come with a package that is listed, and are part of what it promises.
COMES_WITH = {"starlette": "streamlit", "protobuf": "tensorboard", "tqdm": "umap-learn"}


@pytest.mark.parametrize(
    ("folders", "lists"),
    [
        (("core", "pages", "app.py", "convoscope"), ("requirements.txt",)),
        (("tests", "benchmarks", "docs"), ("requirements.txt", "requirements-test.txt")),
    ],
)
def test_what_is_imported_is_listed(folders, lists):
    allowed = set().union(*map(listed, lists))
    missing = {
        name: files
        for name, files in imported(*folders).items()
        if name not in allowed and COMES_WITH.get(name) not in allowed
    }
    assert not missing


@pytest.mark.parametrize("name", sorted(COMES_WITH))
def test_what_comes_with_a_package_really_does(name):
    needed = requires(COMES_WITH[name]) or []
    assert name in {canonicalize_name(re.split(r"[^\w.-]", line)[0]) for line in needed}


def test_what_is_listed_is_used():
    used = set(imported("core", "pages", "app.py", "convoscope"))
    assert not listed("requirements.txt") - used - set(NOT_IMPORTED)
    used |= set(imported("tests", "benchmarks", "docs"))
    assert not listed("requirements-test.txt") - used - set(NOT_IMPORTED)


def test_the_package_is_the_command_line_too(tmp_path):
    """From any folder, as an installed `convoscope` runs: `core` is found, and errors name the program."""
    run = [sys.executable, str(ROOT / "convoscope" / "__main__.py")]
    seen = subprocess.run([*run, "datasets"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "digits" in seen.stdout
    wrong = subprocess.run([*run, "nothing"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "convoscope: error" in wrong.stderr


def test_what_the_app_needs_is_in_the_wheel():
    """Each folder that the code reads beside itself is put into the package."""
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    inside = wheel["force-include"]
    assert {"app.py", "core", "pages", ".streamlit"} <= inside.keys()
    read = set()
    for path in (ROOT / "core").rglob("*.py"):
        read |= set(re.findall(r'PROJECT / "([\w.]+)"', path.read_text(encoding="utf-8")))
    assert read - {".convoscope"} <= inside.keys()
    assert all(into == f"convoscope/{what}" and (ROOT / what).exists() for what, into in inside.items())
