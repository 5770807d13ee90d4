"""Fifty people at one server: how long each of them waits, and what the server holds when they have left.

Some click what is stored already. Others ask for attributions of fifty different images at once, over which
the worker's turns decide, while newcomers open Home with an image of their own and others walk through pages
that need no network: a newcomer's first prediction is compared with the time that it takes alone.

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

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks import Row

PROJECT = Path(__file__).resolve().parent.parent
SESSIONS, ACTIONS, PAUSE = 50, 8, (1.0, 3.0)
LONGEST_SESSION = 180.0  # seconds for everything that one session does
NEWCOMERS, BETWEEN_NEWCOMERS = 10, 3.0  # seconds
SECONDS_TO_SETTLE = 8.0  # after the last visitor has left
MIXED_PAGES = ("data", "losses", "conv_arithmetic", "train_monitor")
MB = 2**20
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
    await asyncio.wait_for(
        visit(port, wanted, len(wanted.states), 0), LONGEST_SESSION
    )  # everything is stored now
    visitors = [asyncio.wait_for(visit(port, wanted, ACTIONS, n), LONGEST_SESSION) for n in range(SESSIONS)]
    return [seconds for taken in await asyncio.gather(*visitors) for seconds in taken]


def _looks(page: str, number: int) -> Visit:
    """A page with an image that no other visitor has."""
    address = {"classifier": "efficientnet_lite0", "image": f"fashion_mnist/test/{number}"}
    return Visit(f"{page}, image {number}", page, address, "", ())


async def _opened(port: int, wanted: Visit, stay: float = 0.0) -> float:
    """Open a page and wait for the end of its run, in which all its questions are answered."""
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with websockets.connect(address, subprotocols=["streamlit"], max_size=None) as connection:  # type: ignore[list-item]
        seconds = await Session(connection, wanted).run()
        await asyncio.sleep(stay)
        return seconds


@dataclass(frozen=True)
class Mixed:
    """What was measured while a crowd asked for attributions.

    Attributes:
        alone: Seconds of a newcomer's first prediction with nobody else there.
        beside: The same beside the crowd.
        pages: Seconds of a full run of pages without a network, beside the crowd.
    """

    alone: list[float]
    beside: list[float]
    pages: list[float]


async def _mixed_crowd(port: int) -> Mixed:
    await _opened(port, _looks("home", 0))  # the network is loaded
    alone = [await _opened(port, _looks("home", 1 + i)) for i in range(NEWCOMERS)]
    crowd = [asyncio.create_task(_opened(port, _looks("attribution", 100 + i))) for i in range(SESSIONS)]
    await asyncio.sleep(BETWEEN_NEWCOMERS)
    beside, pages = [], []
    for i in range(NEWCOMERS):
        page = Visit("", MIXED_PAGES[i % len(MIXED_PAGES)], {}, "", ())
        taken = await asyncio.gather(_opened(port, _looks("home", 1000 + i)), _opened(port, page))
        beside.append(taken[0])
        pages.append(taken[1])
        await asyncio.sleep(BETWEEN_NEWCOMERS)
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    return Mixed(alone, beside, pages)


def measure_turns() -> list[Row]:
    """A newcomer among people who wait for attributions, and the server's memory after all have left."""
    with tempfile.TemporaryDirectory() as home, server(home) as port:
        own = psutil.Process(_process_at(port))
        found = asyncio.run(_mixed_crowd(port))
        busy = own.memory_info().rss / MB
        time.sleep(SECONDS_TO_SETTLE)
        asyncio.run(_opened(port, _looks("home", 0)))  # lets Streamlit see that the others are gone
        after, again = own.memory_info().rss / MB, asyncio.run(_mixed_crowd(port))
        time.sleep(SECONDS_TO_SETTLE)
        left = own.memory_info().rss / MB
    medians = [1000 * statistics.median(seconds) for seconds in (found.beside, found.alone)]
    memory = f"{busy:.0f} MB while busy, {after:.0f} after all had left, {left:.0f} after a second crowd"
    title = f"a newcomer's first prediction beside {SESSIONS} attributions: p95"
    words = f"medians {medians[0]:.0f} and {medians[1]:.0f} ms; again {1000 * p95(again.beside):.0f} ms"
    return [
        Row(title, "alone", p95(found.beside), p95(found.alone), words),
        Row("a page without a network beside them: p95", "half a second", p95(found.pages), 0.5, memory),
    ]


def _process_at(port: int) -> int:
    """The process that listens at a port of this machine."""
    for child in psutil.Process().children(recursive=True):
        if any(c.laddr and c.laddr.port == port for c in child.net_connections(kind="tcp")):
            return child.pid
    raise RuntimeError(f"nobody listens at port {port}")


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
    return rows + measure_turns()
