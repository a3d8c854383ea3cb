"""Rows of the matrix that a host's one wrong reply does not make: connections, limits, leaving, cancelling, size."""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from fault_table import DONE, END, FIGURES, KEY, completion, delta, event

from llmsdk import AsyncClient, Client
from llmsdk.errors import (
    ConnectFailed,
    DeadlineExceeded,
    Disconnected,
    InvalidToolArguments,
    LLMError,
    ServerFault,
    TimedOut,
)
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO
from llmsdk.testing import Fault, FaultServer, faults
from llmsdk_providers.openai import OpenAI

ASKED = "Hello you"
FACES = pytest.mark.parametrize("face", ["sync", "asyncio", "trio"])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
ONCE: dict[str, Any] = {"retry": {"attempts": 1}, "circuit": {"failures": 0}}
WORDS = delta("The sun is up")


@pytest.fixture
def host() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server
        assert server.wait(lambda: server.open_connections == 0), "a connection was left open"


def run(face: str, config: dict[str, Any], scenario: Callable[[Any], Awaitable[Any]], model: str = "openai:any") -> Any:
    """Run ``async def scenario(client)`` on a client of a face. On the sync one it never suspends."""
    if face == "sync":
        with Client(model, config=config) as client:
            return drive(scenario(client))

    async def main() -> Any:
        async with AsyncClient(model, config=config) as client:
            return await scenario(client)

    return anyio.run(main, backend=face)


async def ask(client: Any, streamed: bool = False, text: str = ASKED, **options: Any) -> Any:
    """The result of a call, streamed or not."""
    if not streamed:
        result = client.chat(text, **options)
        return result if isinstance(client, Client) else await result
    if isinstance(client, Client):
        with client.chat(text, stream=True, **options) as stream:
            list(stream)
    else:
        async with client.chat(text, stream=True, **options) as stream:
            async for _ in stream:
                pass
    return stream.result


async def failed(client: Any, streamed: bool = False, text: str = ASKED, **options: Any) -> LLMError:
    with pytest.raises(LLMError) as caught:
        await ask(client, streamed, text, **options)
    assert client.ledger.open == ()
    return caught.value


async def comes(client: Any, host: FaultServer, condition: Callable[[], bool]) -> bool:
    """Whether it comes to that. A loop turns meanwhile: only then does it close what was left."""
    if isinstance(client, Client):
        return host.wait(condition)
    return await anyio.to_thread.run_sync(lambda: host.wait(condition))


def settled(told: Any) -> list[str]:
    return [row.settled for row in told.attempts]


# --- connections ----------------------------------------------------------------------------------------------------


@FACES
@STREAMED
def test_F001_a_name_that_is_none(face: str, streamed: bool) -> None:
    config = {"providers": {"openai": {"base_url": "https://nowhere.invalid/v1", "api_key": KEY}}, **ONCE}
    error = run(face, config, lambda client: failed(client, streamed))
    assert type(error) is ConnectFailed
    assert "nowhere.invalid" in error.message
    assert settled(error) == ["none"]


@FACES
@STREAMED
def test_F002_a_connection_that_is_never_made(face: str, streamed: bool) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # its queue is full
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        config = {
            "providers": {"openai": {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": KEY}},
            "timeouts": {"connect": 0.1},
            "retry": {"attempts": 2, "base": 0.001},
        }
        error = run(face, config, lambda client: failed(client, streamed))
    assert (type(error), error.phase) == (TimedOut, "connect")
    assert f"could not connect to 127.0.0.1:{port}" in error.message
    assert settled(error) == ["none", "none"]


@FACES
@STREAMED
def test_F004_a_host_that_hangs_up_under_a_request_on_a_used_connection(
    face: str, streamed: bool, host: FaultServer
) -> None:
    """It ran, so it is not sent again unless that is allowed; what a host closed before is not seen at all."""

    async def scenario(client: Any) -> None:
        await ask(client)
        host.inject(faults.close())
        error = await failed(client, streamed)
        assert (type(error), settled(error)) == (Disconnected, ["upper_bound"])
        assert len(host.requests) == 2
        await ask(client)
        host.inject(faults.close())
        result = await ask(client, streamed, retry_unknown=True)
        assert settled(result) == ["upper_bound", "exact"]
        assert len(host.requests) == 5
        host.inject(Fault(end="close"))
        assert settled(await ask(client)) == ["exact"]
        assert await comes(client, host, lambda: host.open_connections == 0)
        assert settled(await ask(client, streamed)) == ["exact"]
        assert (len(host.requests), len(host.served)) == (7, 7)

    run(face, host.config(retry={"base": 0.001}), scenario)


@FACES
@STREAMED
def test_F009_no_connection_is_free(face: str, streamed: bool, host: FaultServer) -> None:
    config = host.config(**ONCE)
    config["providers"]["openai"]["max_connections"] = 1
    host.inject(stalled())

    async def scenario(client: Any) -> None:
        stream = await begun(client)
        with pytest.raises(DeadlineExceeded) as caught:
            await ask(client, streamed, deadline=0.1)
        assert caught.value.phase == "pool"
        assert re.match(r"All 1 connections .* were in use, the longest for [\d.]+ s: raise", caught.value.hint)
        assert settled(caught.value) == ["none"]
        with pytest.raises(TimedOut, match="no free connection within the total timeout") as timed:
            await ask(client, streamed, timeout=0.1)
        assert (timed.value.phase, timed.value.sent, settled(timed.value)) == ("pool", False, ["none"])
        await left(stream)
        assert settled(await ask(client, streamed)) == ["exact"]
        assert len(host.requests) == 2

    run(face, config, scenario)


def stalled() -> Fault:
    """The beginning of a stream, and then nothing."""
    return Fault(body=[WORDS], end="hang", headers=faults.EVENT_STREAM)


async def begun(client: Any) -> Any:
    """A stream of which the first piece has come."""
    stream = client.chat(ASKED, stream=True)
    piece = next(stream) if isinstance(client, Client) else await anext(stream)
    assert piece.text == "The sun is up"
    return stream


async def left(stream: Any) -> None:
    if hasattr(stream, "aclose"):
        await stream.aclose()
    else:
        stream.close()


@FACES
@STREAMED
def test_F010_a_proxy_that_asks_who_one_is(face: str, streamed: bool, host: FaultServer) -> None:
    config = host.config(retry={"base": 0.001})
    config["providers"]["openai"]["proxy"] = f"http://me:s3cret-of-the-proxy@127.0.0.1:{host.port}"
    config["providers"]["openai"]["base_url"] = "http://127.0.0.1:9/v1"
    host.inject(Fault(status=407, body=b"<html>who are you?</html>"))
    error = run(face, config, lambda client: failed(client, streamed))
    assert type(error) is ConnectFailed
    assert f"the proxy http://127.0.0.1:{host.port} does not connect" in error.message
    assert "user and password" in error.hint
    assert "s3cret" not in repr(error) + str(error)
    assert (settled(error), len(host.requests)) == (["none"], 1)


@FACES
@STREAMED
def test_F010_a_proxy_that_is_down(face: str, streamed: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    table = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": KEY, "proxy": f"http://me:s3cret@127.0.0.1:{port}"}
    config = {"providers": {"openai": table}, "retry": {"base": 0.001}}
    error = run(face, config, lambda client: failed(client, streamed))
    assert type(error) is ConnectFailed
    assert f"could not connect to the proxy http://127.0.0.1:{port}" in error.message
    assert "s3cret" not in repr(error) + str(error)
    assert settled(error) == ["none"] * 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_F011_one_client_on_one_loop_after_the_other(backend: str, host: FaultServer) -> None:
    client = AsyncClient("openai:any", config=host.config(**ONCE))

    async def main(last: bool) -> None:
        assert settled(await ask(client)) == settled(await ask(client, True)) == ["exact"]
        if last:
            await client.aclose()

    for last in (False, True):
        anyio.run(main, last, backend=backend)
    assert host.connections == 2
    assert client.ledger.usage.output_tokens == host.usage.output_tokens


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@STREAMED
def test_F011_a_fork_has_connections_of_its_own(streamed: bool, host: FaultServer) -> None:
    with Client("openai:any", config=host.config(**ONCE)) as client:
        drive(ask(client))
        if (child := os.fork()) == 0:
            signal.alarm(10)
            status = 1
            with suppress(BaseException):
                status = int(settled(drive(ask(client, streamed))) != ["exact"])
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert settled(drive(ask(client, streamed))) == ["exact"]
        assert [request.connection for request in host.requests] == [1, 2, 1]


# --- what a reply holds ---------------------------------------------------------------------------------------------


@FACES
@STREAMED
@pytest.mark.parametrize("arguments", ['{"city": "Par', "Paris", "[1]"])
def test_F041_arguments_that_are_no_object_are_kept_as_they_came(
    face: str, streamed: bool, arguments: str, host: FaultServer
) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    if streamed:
        pieces = [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]
        host.inject(faults.says([event({"choices": pieces}), delta(finish="tool_calls"), FIGURES, DONE]))
    else:
        host.inject(faults.says(completion(None, finish="tool_calls", tool_calls=[call])))
    result = run(face, host.config(**ONCE), lambda client: ask(client, streamed))
    assert (result.finish_reason, settled(result)) == ("tool_call", ["exact"])
    (called,) = result.tool_calls
    assert called.arguments_json == arguments
    with pytest.raises(InvalidToolArguments, match="weather"):
        _ = called.arguments


@FACES
def test_F055_a_slow_reader_makes_the_host_wait(face: str, host: FaultServer) -> None:
    """Of 64 MB only what sockets hold has come while nobody reads, and then all of it."""
    piece, many = event({"choices": [{"index": 0, "delta": {"content": "x" * 65_000}}]}), 1000
    whole = Fault(body=[WORDS, *[piece] * many, END, FIGURES, DONE], headers=faults.EVENT_STREAM)
    host.inject(whole)

    async def scenario(client: Any) -> None:
        stream = await begun(client)
        sent = -1
        while sent != host.requests[0].sent:  # until no more goes out
            sent = host.requests[0].sent
            await (anyio.sleep(0.1) if not isinstance(client, Client) else slept(0.1))
        assert sent < 32 * 2**20
        if isinstance(client, Client):
            size = sum(len(piece.text) for piece in stream)
        else:
            size = sum([len(piece.text) async for piece in stream])
        assert size == 65_000 * many
        assert settled(stream.result) == ["exact"]

    run(face, host.config(**ONCE), scenario)


async def slept(seconds: float) -> None:
    threading.Event().wait(seconds)


# --- time -----------------------------------------------------------------------------------------------------------


@FACES
@STREAMED
def test_F058_no_wait_that_the_deadline_would_cut(face: str, streamed: bool, host: FaultServer) -> None:
    host.inject(faults.status(500))
    config = host.config(retry={"base": 1e6, "cap": 1e6})
    error = run(face, config, lambda client: failed(client, streamed, deadline=30))
    assert type(error) is ServerFault
    assert "The next attempt would start in" in error.hint
    assert "the deadline leaves" in error.hint
    assert (settled(error), len(host.requests)) == (["none"], 1)


@FACES
@STREAMED
def test_F059_a_deadline_while_a_model_here_reads_its_prompt(
    face: str, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmsdk_providers.local.native import Native

    go, forward = threading.Event(), Native.forward

    def waits(self: Any, pieces: Any) -> Any:
        assert go.wait(10)
        return forward(self, pieces)

    async def scenario(client: Any) -> None:
        before = (await ask(client, streamed)).text
        monkeypatch.setattr(Native, "forward", waits)
        error = await failed(client, streamed, deadline=0.1)
        assert type(error) is DeadlineExceeded
        assert settled(error)[0] in ("upper_bound", "estimated")
        go.set()
        assert (await ask(client, streamed)).text == before

    run(face, {}, scenario, model="local:pocket")


# --- leaving --------------------------------------------------------------------------------------------------------

PHASES: dict[str, tuple[Any, str]] = {
    "place": (stalled(), "none"),
    "headers": (faults.hang(), "upper_bound"),
    "body": (faults.hang(after=10), "upper_bound"),
    "back-off": (faults.status(500), "none"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("phase", PHASES)
@STREAMED
async def test_F060_cancelled_in_a_certain_phase(
    phase: str, streamed: bool, anyio_backend: str, host: FaultServer
) -> None:
    fault, expected = PHASES[phase]
    config = host.config(retry={"base": 1e6, "cap": 1e6})
    config["providers"]["openai"]["max_connections"] = 1
    host.inject(fault)
    async with AsyncClient("openai:any", config=config) as client:
        holder = await begun(client) if phase == "place" else None
        rows = len(client.ledger.open)
        cancelled = False
        async with anyio.create_task_group() as group:

            async def call() -> None:
                nonlocal cancelled
                try:
                    await ask(client, streamed)
                except anyio.get_cancelled_exc_class():
                    cancelled = True
                    raise

            group.start_soon(call)
            assert await comes(client, host, lambda: len(host.requests) == 1)
            await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        assert cancelled
        assert len(client.ledger.open) == rows
        assert client.ledger.rows[-1].settled == expected
        if holder is not None:
            await holder.aclose()
        assert settled(await ask(client, streamed)) == ["exact"]
        assert await comes(client, host, lambda: host.open_connections == 1)


@FACES
@pytest.mark.parametrize("way", ["break", "dropped"])
def test_F061_a_stream_that_is_left_is_hung_up_on(face: str, way: str, host: FaultServer) -> None:
    host.inject(stalled())

    async def scenario(client: Any) -> None:
        if way == "dropped":
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                await begun(client)
                gc.collect()
            assert any(item.category is ResourceWarning for item in caught)
        elif isinstance(client, Client):
            for _ in client.chat(ASKED, stream=True):
                break
        else:
            async for _ in client.chat(ASKED, stream=True):
                break
        assert await comes(client, host, lambda: host.requests[0].aborted)
        assert client.ledger.open == ()
        assert [row.settled for row in client.ledger.rows] == ["estimated"]
        assert settled(await ask(client, True)) == ["exact"]

    run(face, host.config(**ONCE), scenario)


@pytest.mark.anyio
async def test_F062_512_cancelled_at_random_moments(anyio_backend: str, tmp_path: Path, host: FaultServer) -> None:
    """Over 10 connections, with a ledger in a file: all rows are settled there, and the pool is whole."""
    host.always = Fault(delay=0.002, piece=300, pause=0.001)
    config = host.config(ledger={"path": str(tmp_path / "ledger.db")})
    config["providers"]["openai"]["max_connections"] = 10
    chance = random.Random(62)  # noqa: S311 - the same moments in every run
    async with AsyncClient("openai:any", config=config) as client:

        async def one(streamed: bool, after: float) -> None:
            with anyio.move_on_after(after):
                await ask(client, streamed)

        for _ in range(8):
            async with anyio.create_task_group() as group:
                for number in range(64):
                    group.start_soon(one, bool(number % 2), chance.random() * 0.03)
        host.always = Fault()
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask, client)
        assert client.ledger.open == ()
        rows = client.ledger.rows
    assert len(rows) >= 10
    assert all(row.settled for row in rows)
    with Client("openai:any", config=config) as other:
        assert other.ledger.open == ()
    assert await comes(client, host, lambda: host.open_connections == 0)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(("fault", "expected"), [(faults.hang(), "upper_bound"), (stalled(), "estimated")])
@STREAMED
def test_F063_control_c(fault: Fault, expected: str, streamed: bool, host: FaultServer) -> None:
    if expected == "estimated" and not streamed:
        fault, expected = faults.hang(after=10), "upper_bound"
    host.inject(fault)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        host.wait(lambda: len(host.requests) == 1)
        threading.Event().wait(0.1)
        signal.pthread_kill(main, signal.SIGINT)

    with Client("openai:any", config=host.config(**ONCE)) as client:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            drive(ask(client, streamed))
        thread.join()
        assert client.ledger.open == ()
        assert [row.settled for row in client.ledger.rows] == [expected]
        assert host.wait(lambda: host.requests[0].aborted)
        assert settled(drive(ask(client, streamed))) == ["exact"]


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@STREAMED
async def test_F066_what_came_while_the_loop_stood_still_is_read_and_did_not_run_out_of_time(
    streamed: bool, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clocks jump while the loop is held; by then the host has sent all, which takes several reads."""
    jumped, clocks = 0.0, (time.monotonic, time.perf_counter)
    monkeypatch.setattr(time, "monotonic", lambda: clocks[0]() + jumped)
    monkeypatch.setattr(time, "perf_counter", lambda: clocks[1]() + jumped)  # trio's
    monkeypatch.setattr(LoopIO, "now", staticmethod(lambda: clocks[0]() + jumped))
    words, texts = 1500 if streamed else 60_000, []
    with FaultServer("word " * words) as host:
        host.always = Fault(delay=0.05)
        async with AsyncClient("openai:any", config=host.config(**ONCE)) as client:

            async def call() -> None:
                texts.append((await ask(client, streamed, timeout=60)).text)

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                assert await comes(client, host, lambda: bool(host.requests))
                assert host.wait(lambda: host.requests[0].sent > 250_000)
                jumped = 1000.0
            assert texts == ["word " * words]
            host.always = faults.hang()
            with pytest.raises(TimedOut):
                await ask(client, streamed, timeout=0.1)


@pytest.mark.anyio
async def test_F066_a_large_body_is_read_off_the_loop(
    anyio_backend: str, host: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, decode = [], OpenAI.decode

    def told(self: Any, *given: Any) -> Any:
        where.append(threading.current_thread() is threading.main_thread())
        return decode(self, *given)

    monkeypatch.setattr(OpenAI, "decode", told)
    host.inject(faults.says(completion("x" * 32_000_000)))
    async with AsyncClient("openai:any", config=host.config(**ONCE)) as client:
        assert len((await ask(client)).text) == 32_000_000
        await ask(client)
        assert len((await ask(client, text="a word " * 1_500_000)).text) < 100
    assert where == [False, True, True]
