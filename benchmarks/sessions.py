"""Fifty people at one server, clicking what is stored already: how long each of them waits.

The sessions are real ones as far as the server can tell: each is a WebSocket that speaks Streamlit's own
protocol, opens a page by its link, and every one to three seconds changes something and waits for the end of
the run. Compared are Convoscope's settings with Streamlit's default of a garbage collection after every run.
Both servers listen on the loopback only and end with the measurement.
"""

import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks import Row

PROJECT = Path(__file__).resolve().parent.parent
SESSIONS, ACTIONS, PAUSE = 50, 8, (1.0, 3.0)
LONGEST = 180.0  # seconds for everything that one session does
PHOTO = {"classifier": "efficientnet_lite0", "image": "chelsea", "occ_window": "75", "occ_stride": "24"}


@dataclass(frozen=True)
class Visit:
    """A page, and what people do there: the key of a widget, and the states it is put into by turns."""

    title: str
    page: str
    address: dict[str, str]
    key: str
    states: tuple[WidgetState, ...]


TARGETS = ("tiger cat", "tabby", "Egyptian cat", "lynx")
CELLS = [[i, (i + 1) % 10] for i in range(10)]
VISITS = (
    Visit(
        "occlusion: another target of a stored map",
        "occlusion",
        PHOTO,
        "target",
        tuple(WidgetState(string_value=name) for name in TARGETS),
    ),
    Visit(
        "occlusion: the window dragged to another place",
        "occlusion",
        PHOTO,
        "occ_scrubber",
        tuple(WidgetState(json_value=json.dumps({"at": [24 * i, 24 * i]})) for i in range(1, 5)),
    ),
    Visit(
        "confusion matrix: a click on a cell",
        "confusion_matrices",
        {"classifier": "fashion_mnist_small_cnn"},
        "cm_grid",
        tuple(WidgetState(json_value=json.dumps({"picked": cell})) for cell in CELLS),
    ),
)


@dataclass
class Session:
    """One visitor: the connection, and the widgets of the page by the end of their id."""

    socket: websockets.ClientConnection
    visit: Visit
    seen: dict[str, str] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    kept: dict[str, ForwardMsg] = field(default_factory=dict)  # as a browser keeps large messages
    received: int = 0  # bytes of the last run

    async def run(self, state: WidgetState | None = None) -> float:
        """Ask for a run, and wait for its end. Returns the seconds."""
        message = BackMsg()
        rerun = message.rerun_script
        rerun.query_string = urlencode(self.visit.address)
        rerun.page_name = self.visit.page
        rerun.cached_message_hashes.extend(self.kept)
        if state is not None:
            changed = rerun.widget_states.widgets.add()
            changed.CopyFrom(state)
            changed.id = self.seen[self.visit.key]
            rerun.fragment_id = self.fragments.get(self.visit.key, "")
        began, self.received = time.perf_counter(), 0
        await self.socket.send(message.SerializeToString())
        while True:
            data = await self.socket.recv()
            forward = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
            self.received += len(data)
            kind = forward.WhichOneof("type")
            if kind == "delta":
                self._note(forward)
                if forward.metadata.cacheable:
                    self.kept[forward.hash] = forward
            elif kind == "ref_hash":
                self._note(self.kept[forward.ref_hash])
            if kind == "script_finished" and forward.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return time.perf_counter() - began

    def _note(self, forward: ForwardMsg) -> None:
        element = forward.delta.new_element
        kind = element.WhichOneof("type")
        identity = getattr(getattr(element, kind), "id", "") if kind else ""
        if identity.endswith(f"-{self.visit.key}"):
            self.seen[self.visit.key] = identity
            self.fragments[self.visit.key] = forward.delta.fragment_id


async def visit(port: int, visit: Visit, actions: int, number: int) -> list[float]:
    """Open the page, do `actions` things there, and return what each took."""
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    chance = random.Random(number)
    async with websockets.connect(address, subprotocols=["streamlit"], max_size=None) as connection:  # type: ignore[list-item]
        session = Session(connection, visit)
        await session.run()
        while visit.key not in session.seen:  # the page is still computing and draws itself again
            await asyncio.sleep(0.5)
            await session.run()
        taken = []
        for turn in range(actions):
            await asyncio.sleep(chance.uniform(*PAUSE))
            taken.append(await session.run(visit.states[(number + turn) % len(visit.states)]))
        return taken


async def _crowd(port: int, wanted: Visit) -> list[float]:
    await asyncio.wait_for(visit(port, wanted, len(wanted.states), 0), LONGEST)  # everything is stored now
    visitors = [asyncio.wait_for(visit(port, wanted, ACTIONS, n), LONGEST) for n in range(SESSIONS)]
    return [seconds for taken in await asyncio.gather(*visitors) for seconds in taken]


@contextmanager
def server(home: str, **settings: str) -> Iterator[int]:
    """A Convoscope on a free port of the loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    environment = os.environ | {"CONVOSCOPE_HOME": home} | settings
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def measure() -> list[Row]:
    """p95 over all actions of all sessions; the words give the median too."""
    found: dict[str, list[list[float]]] = {"false": [], "true": []}
    with tempfile.TemporaryDirectory() as home:
        for collect, times in found.items():
            with server(home, STREAMLIT_RUNNER_POST_SCRIPT_GC=collect) as port:
                for wanted in VISITS:
                    times.append(asyncio.run(_crowd(port, wanted)))
    rows = []
    for wanted, ours, theirs in zip(VISITS, found["false"], found["true"], strict=True):
        words = f"medians {1000 * statistics.median(ours):.0f} and {1000 * statistics.median(theirs):.0f} ms"
        rows.append(
            Row(
                f"{SESSIONS} sessions, {wanted.title}: p95",
                "Streamlit's defaults",
                p95(ours),
                p95(theirs),
                words,
            )
        )
    return rows
