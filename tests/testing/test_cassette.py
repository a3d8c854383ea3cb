"""Recorded once, played again: every provider's road, streams with their pieces, no secret in the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.anthropic_server import AnthropicServer
from servers.bedrock_server import BedrockServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import ConfigError, Overloaded, StreamInterrupted
from llmsdk.io import HTTPRequest
from llmsdk.testing import Cassette, FaultServer, UnknownRequest, faults, no_network
from llmsdk.testing.scrub import Scrubber

ONCE = {"retry": {"attempts": 1}}
PLAYED = {"providers": {"openai": {"base_url": "https://api.openai.com/v1", "api_key": "sk-of-nobody"}}, **ONCE}


def record(path: Path, host: FaultServer) -> None:
    with Cassette(path), Client("openai:any", config=host.config(**ONCE)) as client:
        client.chat("Hello")
        assert "".join(event.text for event in client.chat("Hello", stream=True)) == host.reply


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    with FaultServer("Good day.") as host:
        record(tmp_path / "deep" / "hello.json", host)
    return tmp_path / "deep" / "hello.json"


def test_it_plays_without_network_and_with_another_key(tape: Path) -> None:
    with no_network(), Cassette(tape) as cassette, Client("openai:any", config=PLAYED) as client:
        result = client.chat("Hello")
        assert (result.text, result.usage.output_tokens, result.attempts[0].settled) == ("Good day.", 2, "exact")
        assert [event.text for event in client.chat("Hello", stream=True) if event.text] == ["Good", " day."]
        assert client.chat("Hello").text == "Good day.", "the last reply is given again"
        assert len(cassette.asked) == 3


@pytest.mark.anyio
async def test_it_plays_for_async_clients(tape: Path) -> None:
    with no_network(), Cassette(tape, mode="replay"):
        async with AsyncClient("openai:any", config=PLAYED) as client:
            assert (await client.chat("Hello")).text == "Good day."
            async with client.chat("Hello", stream=True) as stream:
                assert "".join([event.text async for event in stream]) == "Good day."


@pytest.mark.anyio
async def test_async_clients_record(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with FaultServer("one two") as host, Cassette(path, mode="record"):
        async with AsyncClient("openai:any", config=host.config()) as client, client.chat("Hi", stream=True) as stream:
            assert "".join([event.text async for event in stream]) == "one two"
    row = json.loads(path.read_text())["exchanges"][0]
    assert row["request"]["body"]["messages"] == [{"role": "user", "content": "Hi"}]
    assert len(row["reply"]["pieces"]) >= 1
    assert "".join(row["reply"]["pieces"]).endswith("data: [DONE]\n\n")


def test_an_unknown_request_names_the_nearest_and_is_not_retried(tape: Path) -> None:
    with Cassette(tape, mode="replay") as cassette, Client("openai:any", config={**PLAYED, "retry": {}}) as client:
        with pytest.raises(UnknownRequest, match=r"hello\.json has no recording of POST /v1/chat/completions") as error:
            client.chat("Hullo")
        assert '-   "content": "Hello",' in error.value.hint
        assert '+   "content": "Hullo",' in error.value.hint
        assert len(cassette.asked) == 1


def test_meaning_counts_and_headers_do_not(tape: Path) -> None:
    with Cassette(tape), Client("openai:any", config=PLAYED) as client:
        client.chat("Hello", extra={"headers": {"X-Trace": "1"}}, idempotency_key="k")
        with pytest.raises(UnknownRequest):
            client.chat("Hello", temperature=0.5)


def test_extend_records_what_is_new(tape: Path) -> None:
    with FaultServer("Two.") as host, Cassette(tape, mode="extend"):
        with Client("openai:any", config=host.config()) as client:
            assert (client.chat("Hello").text, client.chat("Other").text) == ("Good day.", "Two.")
        assert len(host.requests) == 1
    with Cassette(tape), Client("openai:any", config=PLAYED) as client:
        assert client.chat("Other").text == "Two."


def test_retries_are_played_in_order(tmp_path: Path) -> None:
    path, quick = tmp_path / "x.json", {"retry": {"base": 0.001}}
    with FaultServer("Yes.") as host:
        host.inject(faults.status(503, retry_after=0.001))
        with Cassette(path), Client("openai:any", config=host.config(**quick)) as client:
            client.chat("x")
    with Cassette(path), Client("openai:any", config={**PLAYED, **quick}) as client:
        result = client.chat("x")
        assert [row.error for row in result.attempts] == ["Overloaded", None]
    with Cassette(path), Client("openai:any", config=PLAYED) as client, pytest.raises(Overloaded):
        client.chat("x")


def test_a_reply_that_was_left_breaks_off_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with FaultServer("word " * 30) as host:
        host.always = faults.drip(0.001, size=200)
        with Cassette(path), Client("openai:any", config=host.config()) as client:
            with client.chat("x", stream=True) as stream:
                assert next(event.text for event in stream if event.text) == "word"
    with Cassette(path), Client("openai:any", config=PLAYED) as client:
        with pytest.raises(StreamInterrupted, match="the recording ends here"):
            list(client.chat("x", stream=True))


@pytest.mark.parametrize(
    ("model", "server", "key"),
    [
        ("anthropic:claude-sonnet-4-5", lambda key: AnthropicServer(key=key), "sk-ant-canary-0123456789"),
        ("bedrock:test.model-v1:0", lambda key: BedrockServer(key), "bedrock-canary-0123456789"),
    ],
    ids=["anthropic", "bedrock"],
)
def test_other_dialects(tmp_path: Path, model: str, server: Callable[[str], Any], key: str) -> None:
    path = tmp_path / "x.json"
    with server(key) as host, Cassette(path), Client(model, base_url=host.origin, api_key=key) as client:
        told = ask_both_ways(client)
    assert key not in path.read_text()
    with no_network(), Cassette(path), Client(model, base_url="https://h.example", api_key="another") as client:
        assert ask_both_ways(client) == told


def ask_both_ways(client: Client) -> tuple[str, str]:
    streamed = client.chat("Hello!", max_tokens=9, stream=True)
    return client.chat("Hello!", max_tokens=9).text, "".join(event.text for event in streamed)


# --- secrets ----------------------------------------------------------------------------------------------------


def test_no_secret_reaches_the_file(tmp_path: Path) -> None:
    path, key, own = tmp_path / "x.json", "sk-canary-0123456789abcdef", "my-tenant-77"
    told = {"choices": [{"message": {"content": f"your key is {key}, {own}"}, "finish_reason": "stop"}]}
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % key.encode()
    with FaultServer(key=key) as host:
        host.inject(
            faults.says(told, headers={"set-cookie": "session=abcdef", "x-request-id": f"r-{own}"}),
            faults.says([event[:40], event[40:]]),
        )
        with Cassette(path, secrets=[own]), Client("openai:any", config=host.config(**ONCE)) as client:
            client.chat(f"I am {own}")
            with pytest.raises(StreamInterrupted):
                list(client.chat("x", stream=True))
    text = path.read_text()
    for secret in (key, key[:12], key[12:], own, "session="):
        assert secret not in text, secret


@pytest.mark.parametrize(
    "text",
    [
        "https://h/v1/models?alt=sse&key=SECRETVALUE",
        "https://user:SECRETVALUE@h/v1",
        '{"access_token": "SECRETVALUE", "expires_in": 3}',
        "grant_type=jwt&assertion=SECRETVALUE",
        "it is sk-SECRETVALUE-0123456789abcdef!",
        "signed by AKIASECRETVALUE01234",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    masked = Scrubber()(text)
    assert "SECRETVALUE" not in masked
    assert "***" in masked


def test_the_keys_of_a_request_are_known() -> None:
    request = HTTPRequest("POST", "https://h/", [(b"X-Goog-Api-Key", b"my own key 1")], b"{}")
    assert Scrubber().knowing(request)("a my own key 1 b") == "a *** b"


def test_ordinary_text_stays() -> None:
    text = '{"max_tokens": 5, "key": 3, "content": "The key is under the mat; token by token."}'
    assert Scrubber()(text) == text


def test_pieces_stay_as_long_as_they_were() -> None:
    pieces = [b"a SEC", b"RET b", "é".encode()[:1], "é".encode()[1:]]
    assert Scrubber(("SECRET",)).pieces(pieces) == (b"a ***", b"*** b", b"\xc3", b"\xa9")


# --- files ------------------------------------------------------------------------------------------------------


def test_a_missing_or_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no cassette"), Cassette(tmp_path / "none.json", mode="replay"):
        pass
    broken = tmp_path / "broken.json"
    for text in ("", "{}", '{"llmsdk_cassette": 1, "exchanges": [{}]}', '{"llmsdk_cassette": 99, "exchanges": []}'):
        broken.write_text(text)
        with pytest.raises(ConfigError, match="cassette"), Cassette(broken):
            pass


def test_nothing_is_written_where_nothing_was_asked(tmp_path: Path) -> None:
    with Cassette(tmp_path / "x.json"):
        pass
    assert list(tmp_path.iterdir()) == []
