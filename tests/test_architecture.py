"""The house stands as it is meant to: imports point one way, every page is listed and runs alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
PAGES = sorted((ROOT / "pages").glob("*.py"))
ELEMENTS = sorted((ROOT / "pages" / "elements").rglob("*.py"))
# A file of core imports only from its own package and from those before it; "" are the files of core itself.
ORDER = (
    "", "compute", "data", "models", "network", "evaluation", "occlusion", "attribution", "filters",
    "ablation", "feature_visualization", "embedding", "serving", "runs", "training", "by_hand", "commands",
)  # fmt: skip
OPEN_SETS = ("data/sets", "models/architectures", "attribution/methods", "commands")
SHARED_ELEMENTS = ("", "figures", "pickers")  # of pages/elements, each importing only from those before it
# Where a fault would be hardest to find: each has a test file of its own name.
TESTED_BY_NAME = (
    "registry", "compute/convolution", "occlusion/toom_cook", "occlusion/changed_block",
    "occlusion/block_plan", "occlusion/local_layers", "network/graph", "embedding/nearest_neighbors",
    "training/step", "training/folder",
)  # fmt: skip


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
    assert members, f"core/{folder} holds no members"
    package = f"core.{folder.replace('/', '.')}"
    for path in (ROOT / "core" / folder).glob("*.py"):
        others = {f"{package}.{m}" for m in members - {path.stem}}
        assert not imports(path) & others, path.name


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "core").parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", CORE, ids=name)
def test_packages_of_core_import_only_from_those_before_them(path):
    if path.name == "__main__.py":  # the door of the command line stands above everything
        return
    allowed = ORDER[: ORDER.index(package_of(path)) + 1]
    later = {m for m in imports(path) if m.split(".")[0] == "core" for p in ORDER if p not in allowed
             if m.startswith(f"core.{p}.") or m == f"core.{p}"}  # fmt: skip
    assert not later, f"{name(path)} imports from a package above its own"


def test_every_package_of_core_has_its_place_and_says_what_it_is():
    packages = {p.parent.relative_to(ROOT / "core").as_posix() for p in CORE} - {"."}
    assert {p.partition("/")[0] for p in packages} == set(ORDER) - {""}
    for package in packages:
        assert ast.get_docstring(ast.parse((ROOT / "core" / package / "__init__.py").read_text("utf-8"))), (
            package
        )


def test_no_files_of_core_import_each_other_in_a_circle():
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in CORE}
    arrows = {m: (imports(p) & modules.keys()) - {m} for m, p in modules.items()}
    # "from core.a import b" reads as core.a and core.a.b: the package is meant if nothing below it is.
    arrows = {m: {x for x in to if not any(y.startswith(f"{x}.") for y in to)} for m, to in arrows.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in sorted(arrows[module]):
                visit(other, (*way, module))
            done.add(module)

    for module in sorted(modules):
        visit(module, ())


@pytest.mark.parametrize("path", ELEMENTS, ids=name)
def test_elements_import_from_the_ground_up_and_no_page_from_another(path):
    parts = path.relative_to(ROOT / "pages" / "elements").parts
    own = parts[0] if len(parts) > 1 else ""
    below = (
        SHARED_ELEMENTS[: SHARED_ELEMENTS.index(own) + 1]
        if own in SHARED_ELEMENTS
        else (*SHARED_ELEMENTS, own)
    )
    folders = {p.parent.name for p in ELEMENTS} - {"elements"}
    wrong = {
        m for m in imports(path) for f in folders - set(below) if f"{m}.".startswith(f"pages.elements.{f}.")
    }
    assert not wrong, f"{name(path)} reaches into another page's folder"


def test_folders_stay_small_enough_to_look_through():
    for root, most in (("core", 12), ("pages/elements", 30)):
        assert len([p for p in (ROOT / root).iterdir() if p.suffix in (".py", ".js", ".css")]) <= most, root
    for top in (ROOT / "core", ROOT / "pages" / "elements"):
        for folder in [p for p in top.rglob("*") if p.is_dir() and p.name != "__pycache__"]:
            files = [p for p in folder.iterdir() if p.suffix in (".py", ".js", ".css")]
            assert len(files) <= 21, name(folder)


def test_every_package_of_core_has_tests_of_its_own_name():
    for package in set(ORDER) - {""}:
        assert list((ROOT / "tests" / package).rglob("test_*.py")), f"tests/{package} holds no tests"
    for file in TESTED_BY_NAME:
        folder, _, stem = file.rpartition("/")
        assert (ROOT / "tests" / folder / f"test_{stem}.py").is_file(), (
            f"core/{file}.py has no test of its name"
        )


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


def test_scripts_and_styles_have_short_lines():
    """As `npx prettier` leaves them with .prettierrc.json; a statement a line, so that they can be read."""
    for path in [*(ROOT / "pages").rglob("*.js"), *(ROOT / "pages").rglob("*.css")]:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert len(line) <= 120, f"{name(path)}, line {number} has {len(line)} characters"


def test_every_picture_and_chart_has_words_for_who_cannot_see_it():
    drawn = {"image", "line_chart", "bar_chart", "vega_lite_chart", "altair_chart", "echarts_chart"}
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "pages").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in drawn
        and not any(keyword.arg == "alt" for keyword in node.keywords)
    ]
    assert not silent
