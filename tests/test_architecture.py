"""The house stands as it is meant to: imports point one way, every page is listed and runs alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
PAGES = sorted((ROOT / "pages").glob("*.py"))
ELEMENTS = sorted((ROOT / "pages" / "elements").glob("*.py"))
OPEN_SETS = ("data", "models", "attribution")


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=name)
def test_core_knows_neither_streamlit_nor_pages(path):
    assert not {m for m in imports(path) if m.split(".")[0] in ("streamlit", "pages", "app", "tests")}


@pytest.mark.parametrize("path", ELEMENTS, ids=name)
def test_elements_do_not_import_pages(path):
    pages = {f"pages.{page.stem}" for page in PAGES}
    assert not imports(path) & (pages | {"app"})


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_pages_import_no_other_page_and_never_the_worker(path):
    others = {f"pages.{page.stem}" for page in PAGES}
    assert not imports(path) & (others | {"app", "core.serving.worker"})


@pytest.mark.parametrize("folder", OPEN_SETS)
def test_members_of_an_open_set_never_import_each_other(folder):
    members = {p.stem for p in (ROOT / "core" / folder).glob("*.py")} - {"__init__"}
    for path in (ROOT / "core" / folder).glob("*.py"):
        others = {f"core.{folder}.{m}" for m in members - {path.stem}}
        assert not imports(path) & others, path.name


def test_only_one_file_registers_hooks():
    words = (
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_hook",
    )
    found = {name(p) for p in CORE for word in words if f".{word}(" in p.read_text(encoding="utf-8")}
    assert found <= {"core/network/hooks.py"}


def test_every_page_is_in_the_table_of_pages():
    table = (ROOT / "app.py").read_text(encoding="utf-8")
    for path in PAGES:
        assert f'"pages/{path.name}"' in table, f"{path.name} is missing in app.py"


def test_file_names_say_what_is_in_them():
    forbidden = {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "misc",
        "base",
        "manager",
        "service",
        "tools",
    }
    for path in [*CORE, *PAGES, *ELEMENTS]:
        assert not set(path.stem.split("_")) & forbidden, name(path)
