"""Several keys of one provider, on sockets: whose turn it is, what a bad key does, and that no key shows anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import pickle
import random
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest

from llmsdk import AsyncClient, Client
from llmsdk.core import Shared
from llmsdk.errors import ConfigError, LLMError, MissingKey, Unauthorized
from llmsdk.testing import FaultServer, faults
from llmsdk.testing.faults import HTTPAnswer
from llmsdk.testing.server import Received

KEYS = ("sk-canary-one-4711", "sk-canary-two-4712", "sk-canary-three-4713")


class Host(FaultServer):
    """Takes some keys, refuses others in its way, and quotes what it was sent."""

    def __init__(self, *keys: str) -> None:
        super().__init__("Good day to you.")
        self.keys = keys
        self.refusals: dict[str, HTTPAnswer] = {}

    def handle(self, request: Received) -> HTTPAnswer:
        key = request.headers["authorization"].removeprefix("Bearer ")
        if key in self.refusals:
            return self.refusals[key]
        self.key = key if key in self.keys else "another"
        if request.path.endswith("/models"):
            return HTTPAnswer(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})
        if request.path.endswith("/embeddings"):
            return HTTPAnswer(200, {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1}})
        return super().handle(request)

    def refuse(self, key: str, status: int, code: str | None = None, **headers: str) -> None:
        error = {"message": f"Refused for {key}", "type": "error", "code": code}
        self.refusals[key] = HTTPAnswer(status, {"error": error}, headers)

    @property
    def asked(self) -> list[int]:
        """Which key each request came with, from 1."""
        return [KEYS.index(request.headers["authorization"].removeprefix("Bearer ")) + 1 for request in self.requests]

    def given(self, *keys: str, **sections: Any) -> dict[str, Any]:
        return {"providers": {"openai": {"base_url": self.url, "api_key": [*keys]}}, **sections}


@pytest.fixture
def host() -> Iterator[Host]:
    with Host(*KEYS) as server:
        yield server


def under_way(client: Any) -> list[int]:
    shared: Shared = client._core.shared
    return [member.load.under_way for members in shared.sharing.values() for member in members]


def test_keys_take_turns_and_rows_say_which(host: Host) -> None:
    with Client("openai:m", config=host.given(*KEYS)) as client:
        results = [client.chat("Hi!") for _ in range(6)]
    assert host.asked == [1, 2, 3, 1, 2, 3]
    assert [result.attempts[0].provider for result in results[:3]] == ["openai#1", "openai#2", "openai#3"]
    assert {result.provider for result in results} == {"openai"}
    assert [(sums.key, sums.requests) for sums in client.ledger.by("model")] == [(("openai:m",), 6)]
    assert [sums.requests for sums in client.ledger.by("provider")] == [2, 2, 2]


def test_keys_by_argument_and_one_in_a_list(host: Host) -> None:
    with Client("openai:m", base_url=host.url, api_key=KEYS[:2], config={}) as client:
        assert [client.chat("Hi!").attempts[0].provider for _ in range(2)] == ["openai#1", "openai#2"]
    with Client("openai:m", base_url=host.url, api_key=[KEYS[2]], config={}) as client:
        assert client.chat("Hi!").attempts[0].provider == "openai"
    assert host.asked == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "invalid_api_key", "Unauthorized"),
        (403, None, "PermissionDenied"),
        (429, "insufficient_quota", "QuotaExhausted"),
        (429, None, "RateLimited"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_is_refused_goes_unnoticed(
    host: Host, status: int, code: str | None, error: str, stream: bool
) -> None:
    host.refuse(KEYS[0], status, code)
    with Client("openai:m", config=host.given(*KEYS[:2])) as client:
        replies = client.chat("Hi!", stream=stream)
        result = replies.result if stream else replies  # type: ignore[union-attr]
        assert result.text == "Good day to you."
        assert [(row.provider, row.error, row.settled) for row in result.attempts] == [
            ("openai#1", error, "none"),
            ("openai#2", None, "exact"),
        ]
        client.chat("Hi!")
        assert under_way(client) == [0, 0]
    assert host.asked == [1, 2, 2]


def test_what_shares_and_prices_are_known_of_each_key(host: Host) -> None:
    config = host.given(*KEYS, limits={"openai": {"concurrency": 1}}, budget={"usd": 1})
    config["providers"]["openai"]["prices"] = "openai"
    with Client("openai:gpt-4.1-mini", config=config) as client:
        streams = [client.chat("Hi!", stream=True) for _ in range(3)]
        for stream in streams:
            next(stream)
        assert under_way(client) == [1, 1, 1]  # at a concurrency of one each
        for stream in streams:
            stream.close()
        assert under_way(client) == [0, 0, 0]
        assert sorted(host.asked) == [1, 2, 3]
        assert client.chat("Hi!").cost


@pytest.mark.anyio
async def test_questions_at_once_are_spread_evenly(host: Host) -> None:
    async with AsyncClient("openai:m", config=host.given(*KEYS)) as client:
        streams = [client.chat("Hi!", stream=True) for _ in range(12)]
        async with anyio.create_task_group() as group:
            for stream in streams:
                group.start_soon(anext, stream)
        assert under_way(client) == [4, 4, 4]
        for stream in streams:
            await stream.aclose()
        assert under_way(client) == [0, 0, 0]
    assert Counter(host.asked) == {1: 4, 2: 4, 3: 4}


@pytest.mark.anyio
async def test_whatever_becomes_of_questions_none_is_counted_for_ever(host: Host) -> None:
    """Cancelled, failed, left and dropped, at random moments."""
    host.pause = 0.001
    dice = random.Random(7)  # noqa: S311
    config = host.given(*KEYS[:2], retry={"attempts": 2, "base": 0.0}, circuit={"failures": 0})

    async def one(client: AsyncClient, number: int) -> None:
        with anyio.move_on_after(dice.uniform(0.0, 0.03)), contextlib.suppress(LLMError):
            if number % 3 == 0:
                await client.chat("Hi!")
                return
            stream = client.chat("Hi!", stream=True)
            if number % 3 == 1:
                async for _ in stream:
                    break
            else:
                await anext(stream)  # and forgotten

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        async with AsyncClient("openai:m", config=config) as client:
            for number in range(60):
                if number % 5 == 0:
                    host.inject(dice.choice([faults.status(500), faults.reset(after=30), faults.close()]))
            async with anyio.create_task_group() as group:
                for number in range(60):
                    group.start_soon(one, client, number)
            gc.collect()
            with anyio.move_on_after(5):
                while any(under_way(client)):  # noqa: ASYNC110 - what is dropped closes when the loop turns
                    await anyio.sleep(0.005)
            assert under_way(client) == [0, 0]
            host.clear()
            assert (await client.chat("Hi!")).text == "Good day to you."


@pytest.mark.anyio
async def test_a_second_question_beside_a_slow_one_goes_to_another_key(host: Host) -> None:
    host.inject(faults.hang())
    async with AsyncClient("openai:m", config=host.given(*KEYS[:2]), hedge=0.05) as client:
        result = await client.chat("Hi!")
        assert result.text == "Good day to you."
        assert sorted(row.provider for row in result.attempts) == ["openai#1", "openai#2"]
        assert under_way(client) == [0, 0]
    assert host.asked == [1, 2]


# --- secrets ----------------------------------------------------------------------------------------------------


def test_no_key_shows_anywhere(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for key in KEYS:
        host.refuse(key, 401, "invalid_api_key")
    seen = io.StringIO()
    with Client("openai:m", config=host.given(*KEYS)) as client:
        with pytest.raises(Unauthorized) as caught:
            client.chat("Hi!")
        error = caught.value
        assert "3 of 3 keys or hosts were tried" in error.hint
        found = traceback.TracebackException.from_exception(error, capture_locals=True)
        members = [*client._core.shared.sharing.values()]
        seen.writelines(f"{frame.locals}" for frame in found.stack if frame.filename != __file__)
        for thing in (error, vars(error), error.attempts, client, client.ledger, client._core, members, *members[0]):
            seen.write(f"{thing}{thing!r}")
        seen.write(repr(pickle.dumps(error)))
    seen.write(caplog.text)
    assert host.asked == [1, 2, 3]
    assert "canary" not in seen.getvalue()


@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        ([], ConfigError, "an empty list of keys"),
        ([KEYS[0], ""], ConfigError, "key 2 of 2 is empty"),
        ([KEYS[0], KEYS[1], KEYS[0]], ConfigError, "keys 1 and 3 are the same"),
        ([KEYS[0], f"{KEYS[1]}\n"], ConfigError, "has a line break"),
        ([KEYS[0], 7], ConfigError, "valid string"),
        ([KEYS[0], {"env": "LLMSDK_TEST_NO_SUCH_KEY"}], MissingKey, "LLMSDK_TEST_NO_SUCH_KEY is not set"),
    ],
)
def test_a_mistake_in_the_keys_is_told_without_them(keys: Sequence[Any], kind: type[ConfigError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Client("openai:m", config={"providers": {"openai": {"api_key": keys}}})
    assert caught.value.hint
    assert "canary" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"


def test_keys_from_the_environment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_TEST_KEY_A", KEYS[0])
    monkeypatch.setenv("LLMSDK_TEST_KEY_B", KEYS[1])
    names: Any = [{"env": "LLMSDK_TEST_KEY_A"}, {"env": "LLMSDK_TEST_KEY_B"}]
    with Client("openai:m", config=host.given(*names)) as client:
        client.chat("Hi!"), client.chat("Hi!")
        registry = client._core.shared.registry
        assert registry.key_source("openai") == "env LLMSDK_TEST_KEY_A, env LLMSDK_TEST_KEY_B"
    assert host.asked == [1, 2]


def test_a_reply_of_one_key_is_kept_for_all(host: Host) -> None:
    with Client("openai:m", config=host.given(*KEYS), cache=True) as client:
        first, second = client.chat("Hi!"), client.chat("Hi!")
    assert (first.text, second.attempts[0].cached) == (second.text, True)
    assert host.asked == [1]


def test_embeddings_and_models_are_spread_too(host: Host) -> None:
    with Client("openai:m", config=host.given(*KEYS)) as client:
        assert [model.provider for model in client.models("openai")] == ["openai"]
        assert client.embed(["a"]).vectors == ((1.0,),)
    assert host.asked == [1, 1]  # each is a model of its own


def test_two_loops_and_a_thread_share_what_is_known(host: Host) -> None:
    host.refuse(KEYS[0], 401, "invalid_api_key")

    async def main() -> None:
        async with AsyncClient("openai:m", config=host.given(*KEYS[:2])) as client:
            await client.chat("Hi!")

    asyncio.run(main())
    with Client("openai:m", config=host.given(*KEYS[:2])) as client:
        client.chat("Hi!")
    asyncio.run(main())
    assert host.asked == [1, 2, 2, 2]
