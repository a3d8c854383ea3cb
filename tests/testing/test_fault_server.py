"""The host for tests: its words for faults, its books, https, and that it leaves nothing behind."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable

import anyio
import pytest
import trustme

from llmsdk import AsyncClient, Client, LLMError
from llmsdk.errors import (
    Disconnected,
    InvalidBody,
    Overloaded,
    RateLimited,
    Redirected,
    StreamInterrupted,
    Unauthorized,
)
from llmsdk.testing import Fault, FaultServer, faults
from llmsdk.types import Usage

ONCE = {"retry": {"attempts": 1}}
QUICK = {"retry": {"base": 0.001}}


def ask(host: FaultServer, *, stream: bool = False) -> str:
    with Client("openai:any", config=host.config(**ONCE)) as client:
        if not stream:
            return client.chat("Hello there").text
        with client.chat("Hello there", stream=True) as events:
            return "".join(event.text for event in events)


def test_it_answers_plain_and_streamed_and_keeps_books() -> None:
    with FaultServer("All is well.") as host:
        assert ask(host) == ask(host, stream=True) == "All is well."
        assert host.usage == Usage(12, 6)
        assert host.prompt_bytes == sum(len(request.body) for request in host.requests) > 50


def test_a_reply_may_depend_on_the_request() -> None:
    with FaultServer(lambda request: request.json["messages"][-1]["content"].upper()) as host:
        assert ask(host) == "HELLO THERE"


FAULTS: dict[str, tuple[Fault, type[LLMError]]] = {
    "reset": (faults.reset(), Disconnected),
    "reset after": (faults.reset(after=700), StreamInterrupted),
    "close": (faults.close(), Disconnected),
    "close after": (faults.close(after=1), Disconnected),
    "cut": (faults.cut(400), StreamInterrupted),
    "garbage": (faults.garbage(), InvalidBody),
    "status": (faults.status(503), Overloaded),
    "retry after": (faults.status(429, retry_after=3), RateLimited),
    "redirect": (faults.redirect("http://elsewhere.example/"), Redirected),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_holds_for_one_request(name: str) -> None:
    fault, kind = FAULTS[name]
    with FaultServer() as host:
        host.inject(fault)
        with pytest.raises(kind):
            ask(host, stream=True)
        assert ask(host) == host.reply
        assert len(host.requests) == 2


def test_faults_queue_up_and_may_hold_for_several() -> None:
    with FaultServer("Yes.") as host, Client("openai:any", config=host.config(**QUICK)) as client:
        host.inject(faults.status(503) * 2)
        result = client.chat("Hello")
        assert [row.error for row in result.attempts] == ["Overloaded", "Overloaded", None]


def test_books_have_what_was_lost_and_not_what_was_refused() -> None:
    with FaultServer("one two three") as host:
        for fault in (faults.status(500), faults.reset(), faults.cut(400)):
            host.inject(fault)
            with pytest.raises(LLMError):
                ask(host, stream=True)
        refused, lost, cut = host.requests
        assert [row.request for row in host.served] == [lost, cut]
        assert [row.output_tokens for row in host.served] == [3, 1]
        assert refused.sent > 0


def test_a_wrong_key_is_refused() -> None:
    with FaultServer() as host:
        config = {"providers": {"openai": {"base_url": host.url, "api_key": "sk-another"}}}
        with Client("openai:any", config=config) as client, pytest.raises(Unauthorized):
            client.chat("x")


@pytest.mark.anyio
async def test_https_and_leaving_a_stream(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> None:
    authority, path = trustme.CA(), tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultServer("word " * 50, tls=context) as host:
        config = host.config()
        config["providers"]["openai"]["ca_bundle"] = str(path)
        host.inject(faults.drip(0.01, size=50))
        async with AsyncClient("openai:any", config=config) as client:
            async with client.chat("Hello", stream=True) as stream:
                async for event in stream:
                    if event.text.strip():
                        break
            # Waited for elsewhere, since asyncio lets go of a socket at its loop's next turn.
            left = await anyio.to_thread.run_sync(host.wait, lambda: host.open_connections == 0)
            assert left, "the connection of a stream that was left"
    assert host.requests[0].aborted
    assert host.served[0].output_tokens < 50


def test_it_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with FaultServer() as host:
        host.inject(faults.hang())
        config = host.config(retry={"attempts": 1}, timeouts={"total": 0.05})
        with Client("openai:any", config=config) as client, pytest.raises(LLMError):
            client.chat("x")
    assert threading.active_count() == before


@pytest.mark.parametrize("broken", [lambda request: 1 / 0])
def test_a_fault_of_its_own_is_told(broken: Callable[..., str]) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"), FaultServer(broken) as host:
        with Client("openai:any", config=host.config(**ONCE)) as client, pytest.raises(Disconnected):
            client.chat("x")
