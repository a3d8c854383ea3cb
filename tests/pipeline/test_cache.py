"""Replies that are given again: when, with what row, and what is never kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.config import load
from llmsdk.core import Core
from llmsdk.errors import ConfigError, Disconnected, InputError, InvalidRequest, LLMError, StreamInterrupted
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.results import Completion
from llmsdk.tasks import complete
from llmsdk.trust import trust
from llmsdk.types import Usage

USED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def body(text: str = "ok", finish: str = "stop") -> bytes:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return json.dumps({"id": "1", "model": "m-1", "choices": choices, "usage": USED}).encode()


def core(**more: Any) -> Core:
    settings = {"base_url": "https://api.example/v1", "api_key": "sk-canary"}
    return Core.build("openai:m", {"providers": {"openai": settings}, **more}, None, {})


def counting(finish: str = "stop") -> FakeIO:
    io = FakeIO()
    io.handler = lambda request: (200, {}, body(f"reply {len(io.requests)}", finish))
    return io


def ask(core: Core, io: FakeIO, text: str = "x", **options: Any) -> Completion:
    return drive(core.run("complete", complete.check(text), {"cache": True, **options}, io))


# --- hits -------------------------------------------------------------------------------------------------------


def test_the_same_question_is_asked_once() -> None:
    io, client = counting(), core()
    first, second = ask(client, io), ask(client, io)
    assert [first.text, second.text, len(io.requests)] == ["reply 1", "reply 1", 1]
    assert (second.model, second.finish_reason) == ("m-1", "stop")
    assert ask(client, io, "y").text == "reply 2"
    assert ask(client, io, temperature=0.5).text == "reply 3"
    assert ask(client, io, cache=False).text == "reply 4"
    assert ask(client, io).text == "reply 1"


def test_a_hit_has_a_row_that_used_nothing() -> None:
    io, client = counting(), core()
    made, found = ask(client, io, tags=["t"]), ask(client, io, tags=["t"])
    (row,) = found.attempts
    assert (row.cached, row.settled, row.usage, row.tags) == (True, "exact", Usage(0, 0, source="local"), ("t",))
    assert row.saved == made.usage == Usage(7, 3)
    assert (found.usage.total_tokens, found.cost, made.cost) == (0, Decimal(0), None)
    assert [item.cached for item in client.shared.ledger.rows] == [False, True]
    assert client.shared.ledger.usage.total_tokens == 10
    assert client.shared.ledger.open == ()
    assert Completion.from_json(found.to_json()).attempts == found.attempts


def test_a_hit_waits_for_no_limit_and_needs_no_budget() -> None:
    io, client = counting(), core(limits={"openai": {"rpm": 1}})
    ask(client, io)
    assert ask(client, io, deadline=1).text == "reply 1"
    assert io.slept == []


def test_it_is_off_unless_asked_for() -> None:
    io, client = counting(), core()
    assert [ask(client, io, cache=False).text for _ in range(2)] == ["reply 1", "reply 2"]
    assert client.shared._replies is None


# --- what is kept, and how long -----------------------------------------------------------------------------------


def test_a_reply_is_good_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1e9
    monkeypatch.setattr("llmsdk.cache.cache.time.time", lambda: now)
    io, client = counting(), core()
    ask(client, io)
    now += 3599
    assert ask(client, io, cache={"ttl": 3600}).text == "reply 1"
    now += 2
    assert ask(client, io, cache={"ttl": 3600}).text == "reply 2"
    now += 86_399
    assert ask(client, io).text == "reply 2"
    now += 10**7
    assert ask(client, io, cache={"ttl": None}).text == "reply 2"
    assert ask(client, io).text == "reply 3"


def test_replies_that_are_drawn_can_be_left_out() -> None:
    io, client = counting(), core(cache={"sampled": False})
    for options in ({}, {"temperature": 1.0}):
        assert ask(client, io, **options).text != ask(client, io, **options).text
    for options in ({"temperature": 0}, {"temperature": 1.0, "seed": 1}):
        assert ask(client, io, **options).text == ask(client, io, **options).text
    assert ask(client, io, cache={"sampled": True}).text == ask(client, io, cache={"sampled": True}).text


def test_namespaces_are_worlds_of_their_own() -> None:
    io, client = counting(), core()
    texts = [ask(client, io, cache={"namespace": tenant}).text for tenant in ("a", "b", "a")]
    assert texts == ["reply 1", "reply 2", "reply 1"]


@pytest.mark.parametrize("finish", ["content_filter", "unheard of"])
def test_a_reply_that_was_held_back_is_not_kept(finish: str) -> None:
    io, client = counting(finish), core()
    assert [ask(client, io).text for _ in range(2)] == ["reply 1", "reply 2"]


@pytest.mark.parametrize("broken", [(400, b"{}"), (200, b"{"), (200, b'{"error": {"message": "no"}}')])
def test_a_failure_is_not_kept(broken: tuple[int, bytes]) -> None:
    answers = [(broken[0], {}, broken[1]), (200, {}, body())]
    io, client = FakeIO(lambda request: answers.pop(0)), core()
    with pytest.raises(LLMError):
        ask(client, io, retry=1)
    assert ask(client, io).text == "ok"


def test_only_the_attempt_that_came_through_is_kept() -> None:
    answers = [(503, {}, b"{}"), (200, {}, body())]
    io, client = FakeIO(lambda request: answers.pop(0)), core()
    assert len(ask(client, io, retry={"base": 0.0}).attempts) == 2
    assert [row.cached for row in ask(client, io).attempts] == [True]


# --- streams, on a socket -----------------------------------------------------------------------------------------


@pytest.fixture
def client(openai_server: OpenAIServer) -> Iterator[Client]:
    with Client("openai:test-model", base_url=openai_server.url, api_key=KEY, cache=True) as made:
        yield made


def test_a_stream_is_given_again_as_a_stream_and_as_a_whole(client: Client, openai_server: OpenAIServer) -> None:
    with client.chat("Hello!", stream=True) as stream:
        text = "".join(event.text for event in stream)
    assert not stream.result.attempts[0].cached
    with client.chat("Hello!", stream=True) as again:
        assert "".join(event.text for event in again) == text
    whole = client.chat("Hello!")
    assert again.result.attempts[0].cached
    assert whole.attempts[0].cached
    assert (again.result.message, whole.message) == (stream.result.message, stream.result.message)
    assert whole.attempts[0].saved == stream.result.usage
    assert len(openai_server.requests) == 1


def test_a_stream_that_was_left_or_cut_is_not_kept(client: Client, openai_server: OpenAIServer) -> None:
    with client.chat("Hello!", stream=True) as stream:
        next(stream)
    openai_server.script(cut=300, end="close")
    with pytest.raises((StreamInterrupted, Disconnected)), client.chat("Hello!", stream=True) as stream:
        list(stream)
    assert not client.chat("Hello!").attempts[0].cached
    assert client.chat("Hello!").attempts[0].cached


def test_other_operations_are_given_again_by_all_that_they_take(client: Client, openai_server: OpenAIServer) -> None:
    first = client.embed(["a", "b"], model="openai:test-embed")
    again = client.embed(["a", "b"], model="openai:test-embed")
    joined = client.embed(["a\nb"], model="openai:test-embed")
    assert again.vectors == first.vectors
    assert [r.attempts[0].cached for r in (first, again, joined)] == [False, True, False]
    assert not any(client.models() and row.cached for row in client.ledger.rows[-1:])


@pytest.mark.anyio
async def test_a_file_serves_the_other_client_too(openai_server: OpenAIServer, tmp_path: Path) -> None:
    config = {"cache": {"on": True, "path": str(tmp_path / "replies.db")}}
    with Client("openai:test-model", base_url=openai_server.url, api_key=KEY, config=config) as sync:
        text = sync.chat("Hello!").text
    async with AsyncClient("openai:test-model", base_url=openai_server.url, api_key=KEY, config=config) as client:
        found = await client.chat("Hello!")
        assert (found.text, found.attempts[0].cached) == (text, True)
        async with client.chat("Hello!", stream=True) as stream:
            assert "".join([event.text async for event in stream]) == text
    other = AsyncClient("openai:test-model", base_url=openai_server.url, api_key=KEY, config={"cache": {"on": True}})
    async with other:
        assert not (await other.chat("Hello!")).attempts[0].cached


def test_a_damaged_entry_is_asked_anew(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "replies.db"
    io, client = counting(), core(cache={"path": str(path)})
    with closing(client.shared):
        ask(client, io)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE entries SET entry = substr(entry, 1, length(entry) - 1) || 'x'")
        connection.close()
        assert [ask(client, io).text for _ in range(2)] == ["reply 2", "reply 2"]


def test_no_key_and_no_header_gets_into_the_file(tmp_path: Path) -> None:
    io, client = counting(), core(cache={"path": str(tmp_path / "replies.db")})
    with closing(client.shared):
        ask(client, io, extra={"headers": {"x-secret": "canary-header"}})
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"reply 1" in content
    assert b"canary" not in content


# --- options and configuration ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ("yes", "neither a bool nor a mapping"),
        ({"tll": 5}, "'tll' is not known"),
        ({"ttl": 0}, "out of range"),
        ({"sampled": 1}, "is no bool"),
        ({"namespace": 5}, "must be a str"),
    ],
)
def test_a_wrong_option_is_named(cache: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ask(core(), counting(), cache=cache)
    assert "cache" in (caught.value.argument or "")


def test_the_configuration_may_turn_it_on() -> None:
    io, client = counting(), core(cache={"on": True, "ttl": 60})
    run = lambda **options: drive(client.run("complete", complete.check("x"), options, io)).text  # noqa: E731
    assert [run(), run(), run(cache=False)] == ["reply 1", "reply 1", "reply 2"]


@pytest.mark.parametrize(
    ("cache", "message", "hint"),
    [
        ({"sampeld": 5}, "config=: cache.sampeld: unknown key", "Did you mean 'sampled'?"),
        ({"megabytes": 0}, "config=: cache.megabytes: must be greater than 0", ""),
        ({"path": ""}, "config=: cache.path: ", ""),
    ],
)
def test_a_wrong_setting_is_an_error_with_its_place(cache: Any, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"cache": cache})
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_a_file_that_is_not_trusted_says_nowhere_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    file = tmp_path / "llmsdk.toml"
    file.write_text("[cache]\non = true\npath = 'replies.db'\n", "utf-8")
    with pytest.raises(ConfigError, match="not trusted to say where to write") as caught:
        load()
    assert "llmsdk trust" in caught.value.hint
    trust(file)
    assert load().cache_file == file.parent / "replies.db"
    assert load({"cache": {"path": "~/x.db"}}).cache_file == Path("~/x.db").expanduser()


def test_a_refusal_of_a_request_is_no_reply() -> None:
    io = FakeIO(lambda request: (400, {}, b'{"error": {"message": "bad"}}'))
    client = core()
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            ask(client, io)
    assert len(io.requests) == 2
