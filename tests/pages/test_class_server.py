"""A server for a class, through its own protocol: what a visitor may not do is refused, the teacher may."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import websockets
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks.sessions import Session, Visit, server
from core.serving import jobs, processes
from pages.elements.front_door import TEACHER_COOKIE, VISITOR_COOKIE
from tests.pages.own_loop import in_a_loop_of_its_own

EMPTY = Visit("", "storage", {}, "st_empty_weights", ())
TOKEN = "secret-of-this-test"


async def press(port: int, cookies: dict[str, str], button: Visit = EMPTY) -> None:
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with websockets.connect(
        address, subprotocols=["streamlit"], max_size=None, additional_headers=header
    ) as connection:
        session = Session(connection, button)
        await session.run()
        assert button.key in session.seen, f"{button.page} has no {button.key}"
        await session.run(WidgetState(trigger_value=True))


def test_only_the_teachers_token_empties_what_is_stored(tmp_path):
    stored = Path(tmp_path, "weights", "net.pth")
    stored.parent.mkdir()
    settings = {"CONVOSCOPE_CLASS": "1", "CONVOSCOPE_TEACHER_TOKEN": TOKEN}
    with server(str(tmp_path), **settings) as port:
        for cookies in (
            {VISITOR_COOKIE: "ann"},
            {VISITOR_COOKIE: "ann", TEACHER_COOKIE: "wrong"},
            {VISITOR_COOKIE: "ann", TEACHER_COOKIE: ""},
        ):
            stored.write_bytes(b"weights")
            in_a_loop_of_its_own(press(port, cookies))
            assert stored.exists(), cookies
        in_a_loop_of_its_own(press(port, {VISITOR_COOKIE: "eve", TEACHER_COOKIE: TOKEN}))
        assert not stored.exists()


def put_job(runs: Path, name: str, owner: str, **files: object) -> None:
    """A run of that owner's; `files` are those that say how it stands."""
    folder = runs / name
    folder.mkdir(parents=True)
    about = {
        "name": name, "command": [sys.executable, "-m", "core", "train", "--help"],
        "device": "cpu", "queued": 1.0, "owner": hashlib.sha256(owner.encode()).hexdigest()[:16],
    }  # fmt: skip
    for file, value in {"job": about, **files}.items():
        (folder / f"{file}.json").write_text(json.dumps(value))


def train_monitor(key: str, **address: str) -> Visit:
    return Visit("", "train_monitor", address, key, ())


@pytest.fixture
def busy_home(tmp_path):
    """Ann's runs: one that is computed, three that wait for it, one that failed, one that has finished."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark = processes.mark_of(child.pid)
    runs = tmp_path / "runs"
    put_job(runs, "computed", "ann", process={**mark, "started": 1.0, "shell": True})
    for i in range(3):
        put_job(runs, f"waits{i}", "ann")
    put_job(runs, "failed", "ann", process={"started": 1.0}, exit={"code": 1, "ended": 2.0})
    put_job(runs, "done", "ann", process={"started": 1.0}, exit={"code": 0, "ended": 2.0})
    yield tmp_path
    child.kill()
    child.wait()


def states(home: Path) -> dict[str, str]:
    return {job.name: job.state for job in jobs.jobs(parent=home / "runs")}


def test_through_the_protocol_nobody_touches_the_runs_of_others_but_the_teacher(busy_home):
    before = states(busy_home)
    assert before["computed"] == "running"
    buttons = {
        "stop": train_monitor("tm_stop", tm_run="waits0"),
        "stop what is computed": train_monitor("tm_stop", tm_run="computed"),
        "resume": train_monitor("tm_resume", tm_run="failed"),
        "delete": train_monitor("tm_delete", tm_run="done"),
    }
    settings = {"CONVOSCOPE_CLASS": "1", "CONVOSCOPE_TEACHER_TOKEN": TOKEN}
    with server(str(busy_home), **settings) as port:
        for cookies in ({VISITOR_COOKIE: "bob"}, {VISITOR_COOKIE: "bob", TEACHER_COOKIE: "wrong"}, {}):
            for action, button in buttons.items():
                in_a_loop_of_its_own(press(port, cookies, button))
                assert states(busy_home) == before, (action, cookies)
        # Ann has three waiting already: a fourth is refused, to her and not to others.
        new = train_monitor("tm_start", tm_part="New run")
        in_a_loop_of_its_own(press(port, {VISITOR_COOKIE: "ann"}, new))
        assert states(busy_home) == before
        in_a_loop_of_its_own(press(port, {VISITOR_COOKIE: "bob"}, new))
        assert len(states(busy_home)) == len(before) + 1
        # What she may do with her own, and the teacher with everybody's.
        in_a_loop_of_its_own(press(port, {VISITOR_COOKIE: "ann"}, buttons["stop"]))
        assert states(busy_home)["waits0"] == "stopped"
        teacher = {VISITOR_COOKIE: "eve", TEACHER_COOKIE: TOKEN}
        in_a_loop_of_its_own(press(port, teacher, buttons["resume"]))
        assert states(busy_home)["failed"] == "waiting"
        in_a_loop_of_its_own(press(port, teacher, buttons["delete"]))
        assert "done" not in states(busy_home)
