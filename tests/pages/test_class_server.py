"""A server for a class, through its own protocol: what a visitor may not do is refused, the teacher may."""

import asyncio
from pathlib import Path

import websockets
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks.sessions import Session, Visit, server
from pages.elements.front_door import TEACHER_COOKIE, VISITOR_COOKIE

EMPTY = Visit("", "storage", {}, "st_empty_weights", ())


async def press_empty(port: int, cookies: dict[str, str]) -> None:
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with websockets.connect(
        address, subprotocols=["streamlit"], max_size=None, additional_headers=header
    ) as connection:
        session = Session(connection, EMPTY)
        await session.run()
        await session.run(WidgetState(trigger_value=True))


def test_only_the_teachers_token_empties_what_is_stored(tmp_path):
    stored = Path(tmp_path, "weights", "net.pth")
    stored.parent.mkdir()
    settings = {"CONVOSCOPE_CLASS": "1", "CONVOSCOPE_TEACHER_TOKEN": "secret-of-this-test"}
    with server(str(tmp_path), **settings) as port:
        for cookies in (
            {VISITOR_COOKIE: "ann"},
            {VISITOR_COOKIE: "ann", TEACHER_COOKIE: "wrong"},
            {VISITOR_COOKIE: "ann", TEACHER_COOKIE: ""},
        ):
            stored.write_bytes(b"weights")
            asyncio.run(press_empty(port, cookies))
            assert stored.exists(), cookies
        asyncio.run(press_empty(port, {VISITOR_COOKIE: "eve", TEACHER_COOKIE: "secret-of-this-test"}))
        assert not stored.exists()
