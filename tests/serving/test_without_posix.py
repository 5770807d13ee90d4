"""As on Windows, as far as that can be simulated: without fcntl, killpg and renames over open files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.paths import PROJECT

SIMULATION = PROJECT / "tests" / "without_posix"
CHECKED = ("tests/serving/test_jobs.py", "tests/test_store.py", "tests/test_disk.py")
CHOSEN = "runs_to_its_end or polite or waiting_job or dead or orphan or survives or shell or store or disk"


def python(*words, home, **environment):
    environment = os.environ | {
        "PYTHONPATH": f"{SIMULATION}{os.pathsep}{PROJECT}", "CONVOSCOPE_HOME": str(home), **environment
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *words], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280
    )


def test_the_simulation_takes_away_what_it_should(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "assert not hasattr(os, 'killpg') and sys.modules['fcntl'] is None\n"
        "path = pathlib.Path(sys.argv[1], 'x'); path.write_text('a'); other = path.with_name('y')\n"
        "other.write_text('b')\n"
        "with open(path):\n"
        "    try: os.replace(other, path)\n"
        "    except PermissionError: print('refused')\n"
    )
    assert python("-c", code, str(tmp_path), home=tmp_path).stdout.strip() == "refused"


def test_jobs_the_store_and_the_disk_work_without_posix(tmp_path):
    done = python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *CHECKED, "-k", CHOSEN, home=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.parametrize("command", [["classifiers"], ["train", "--help"], ["datasets"]])
def test_commands_start_without_posix(tmp_path, command):
    done = python("-m", "core", *command, home=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout


def test_commands_import_no_job_machinery_that_they_do_not_need(tmp_path):
    code = (
        "import sys; from core.__main__ import main\n"
        "main(['classifiers'])\n"
        "unwanted = ('core.serving', 'psutil', 'filelock', 'segno')\n"
        "print(sorted(m for m in sys.modules if m.startswith(unwanted)))\n"
    )
    done = python("-c", code, home=tmp_path)
    assert done.stdout.strip().endswith("[]"), done.stdout[-500:] + done.stderr[-500:]


C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
CODE_PAGE = {"PYTHONIOENCODING": "cp1252"}


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        (["train", "--help"], C_LOCALE),
        (["occlude", "chelsea", "--stride", "112"], C_LOCALE),
        (["predict", "no such image é"], C_LOCALE),
        (["classifiers"], CODE_PAGE),
    ],
    ids=str,
)
def test_output_of_another_encoding_ends_in_no_error(tmp_path, command, environment):
    done = subprocess.run(
        [sys.executable, "-m", "core", *command], cwd=PROJECT, capture_output=True, timeout=120,
        env=os.environ | {"PYTHONUTF8": "0", "CONVOSCOPE_HOME": str(tmp_path)} | environment,
    )  # fmt: skip
    said = (done.stdout + done.stderr).decode("latin-1")
    assert "UnicodeEncodeError" not in said
    assert "Traceback" not in said, said[-2000:]


def test_only_one_file_knows_what_differs_between_systems():
    words = ("fcntl", "killpg", "pass_fds", "os.nice", "start_new_session", "msvcrt", "setrlimit")
    found = {
        path.relative_to(PROJECT).as_posix()
        for folder in ("core", "pages")
        for path in Path(PROJECT, folder).rglob("*.py")
        for word in words
        if word in path.read_text(encoding="utf-8")
    }
    assert found == {"core/serving/processes.py"}
