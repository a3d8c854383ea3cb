"""Every fault of the table on real sockets: both clients, plain and streamed, on asyncio and trio.

Where each row of the matrix (1 to 66) is held to: ``pytest tests/matrix tests/io -k F046`` runs those of row 46.

    table   fault_table.py         3 5-8 12-19 21-40 42-54 56 57
    more    test_matrix_more.py    1 20 24 27 32 46 53 60 64 65
    calls   test_matrix_calls.py   1 2 4 9-11 41 55 58-63 66
    io      tests/io               4 7        below the calls: connections that break, and what nobody asked for
    soak    test_soak.py           53         and the books of many calls
"""

from __future__ import annotations

import itertools
import logging
import pickle
import re
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fault_table import ROWS, Out, Row

from llmsdk import AsyncClient, Client, LLMError
from llmsdk.testing import FaultServer
from llmsdk.testing.host import KEY

HERE = Path(__file__).parent
FACES = ("sync", "asyncio", "trio")
ASKED = "Hello you"
NUMBERS = itertools.count()
SAID_NO = (25, 49)
"""Rows where the host says no inside a reply with status 200: the server cannot know that nothing was run."""
CASES = [
    pytest.param(row, face, streamed, id=f"{row.id}-{face}-{'stream' if streamed else 'plain'}")
    for row in ROWS
    for streamed, out in ((False, row.plain), (True, row.stream))
    if out is not None
    for face in FACES
]


@pytest.fixture(scope="module")
def running() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def host(running: FaultServer) -> FaultServer:
    """A host with an account of its own for each test: what a host refuses slows its account down."""
    running.clear()
    running.key = f"{KEY}-{next(NUMBERS)}"
    return running


class Came:
    """What came of a call, and of the next one on the same client."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: LLMError | None = None
        self.text = ""
        self.next = ""
        self.ledger: Any = None
        self.seen = 0
        """Requests that the host saw for the call."""


def call(face: str, host: FaultServer, row: Row, streamed: bool) -> Came:
    """Ask once with the fault and once without, on one client."""
    came, options = Came(), {"max_tokens": 20, **dict(row.options)}
    timeouts = {"total": 20.0, "idle": 20.0, "first_token": 20.0, **dict(row.timeouts)}
    config = host.config(retry={"base": 0.001, "cap": 0.002}, timeouts=timeouts)
    host.inject(*row.faults)
    if face == "sync":
        with Client("openai:any", config=config) as client:
            came.ledger = client.ledger
            try:
                if streamed:
                    with client.chat(ASKED, stream=True, **options) as stream:
                        for event in stream:
                            came.text += event.text
                    came.result = stream.result
                else:
                    came.result = client.chat(ASKED, **options)
            except LLMError as error:
                came.error = error
            came.seen = len(host.requests)
            time.sleep(0.01)  # what the host sends unasked has come by then
            came.next = client.chat(ASKED).text
        return came

    async def main() -> None:
        async with AsyncClient("openai:any", config=config) as client:
            came.ledger = client.ledger
            try:
                if streamed:
                    async with client.chat(ASKED, stream=True, **options) as stream:
                        async for event in stream:
                            came.text += event.text
                    came.result = stream.result
                else:
                    came.result = await client.chat(ASKED, **options)
            except LLMError as error:
                came.error = error
            came.seen = len(host.requests)
            await anyio.sleep(0.01)
            came.next = (await client.chat(ASKED)).text

    anyio.run(main, backend=face)
    return came


@pytest.mark.parametrize(("row", "face", "streamed"), CASES)
def test_fault(row: Row, face: str, streamed: bool, host: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    out = row.stream if streamed else row.plain
    assert out is not None
    came = call(face, host, row, streamed)
    if out.raises is None:
        assert came.error is None, came.error
        assert (came.result.text, came.result.finish_reason) == (out.text, out.finish)
        assert not streamed or came.text == out.text
        warned = "\n".join(came.result.warnings)
        assert re.search(out.warns, warned) if out.warns else not warned, warned
        came.result.text.encode()
    else:
        raised(came, out)
    booked(came, out, host, row.number)
    assert came.next == host.reply, "the next call on the same client"
    if out.kept is not None:
        last, following = host.requests[-2:]
        assert (last.connection == following.connection) is out.kept, "the connection is kept where it can be"
    assert host.wait(lambda: host.open_connections == 0), "a connection was left open"
    assert KEY not in caplog.text


def raised(came: Came, out: Out) -> None:
    """The very class, its words, what had come, and nothing that must not show."""
    error = came.error
    assert error is not None, f"no error, but {came.result!r}"
    assert type(error) is out.raises, repr(error)
    assert re.search(out.says, str(error), re.DOTALL), str(error)
    assert len(str(error)) <= 4100
    assert len(error.message) <= 2000
    if hasattr(error, "partial"):
        assert error.partial == out.text == came.text
    assert leaks(error) == []


def booked(came: Came, out: Out, host: FaultServer, number: int) -> None:
    """A row for each request that the host saw, each settled, and the sums true against the host's own books."""
    settled = out.settled.split()
    told = came.error.attempts if came.error is not None else came.result.attempts
    assert [row.settled for row in told] == settled
    assert came.seen == len(settled), "requests that the host saw"
    assert came.ledger.open == ()
    assert [row.settled for row in came.ledger.rows] == [*settled, "exact"]
    ran = {id(served.request): served for served in host.served}
    for row, request in zip(came.ledger.rows, host.requests, strict=True):
        served = ran.get(id(request))
        if row.settled == "none":
            assert served is None or number in SAID_NO, "what was run is not booked as nothing"
        elif row.settled == "upper_bound" and served is not None:
            assert row.usage.input_tokens >= served.input_tokens
            assert row.usage.output_tokens is None or row.usage.output_tokens >= served.output_tokens


def leaks(error: BaseException) -> list[str]:
    """Where a key shows in an error and all that hangs on to it."""
    places = {
        "str": str(error),
        "repr": repr(error),
        "args": repr(error.args),
        "vars": repr(vars(error)),
        "locals": repr([*locals_of(error)]),
        "pickle": pickle.dumps(error).decode("latin-1"),
        "attempts": repr(getattr(error, "attempts", "")),
    }
    return [place for place, text in places.items() if KEY in text]


def locals_of(error: BaseException | None) -> Iterator[dict[str, str]]:
    """What a reporter of errors would show of our frames: the locals of each, as ``repr`` has them."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "llmsdk" in frame.f_globals.get("__name__", ""):
                yield {name: repr(value) for name, value in frame.f_locals.items()}
        error = error.__cause__ or error.__context__


def test_every_row_has_a_test_with_its_number() -> None:
    numbers = {row.number for row in ROWS}
    for folder in (HERE, HERE.parent / "io"):
        for file in folder.glob("test_*.py"):
            numbers.update(int(found) for found in re.findall(r"def test_F(\d{3})_", file.read_text("utf-8")))
    assert numbers >= {*range(1, 67)}
