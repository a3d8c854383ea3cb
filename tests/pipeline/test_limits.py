"""What a call waits for before it is sent, through the clients: configured limits, the host's word, its refusals."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from limits.virtual import VirtualIO, virtually
from scripted import FULL, Scripted, says
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.core import Core
from llmsdk.errors import ConfigError, DeadlineExceeded, LLMError, Overloaded, RateLimited
from llmsdk.io import IO, closing
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.io.fake import Scripted as Reply
from llmsdk.results import Completion
from llmsdk.tasks import complete
from llmsdk.types import Event, Request, Usage

CHAT = {
    "id": "1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


def core(provider: Scripted | None = None, **limits: int) -> Core:
    return Core.build("scripted:m", {"limits": {"scripted": limits}} if limits else {}, provider or Scripted(), {})


def ask(core: Core, io: IO, text: str = "x", **options: Any) -> Completion:
    return drive(core.run("complete", complete.check(text), options, io))


# --- what the configuration sets --------------------------------------------------------------------------------


def test_requests_a_minute() -> None:
    io, client = FakeIO(), core(Scripted(*[says("ok")] * 5), rpm=2)
    results = [ask(client, io) for _ in range(5)]
    assert io.slept == [60.25, 60.25]
    assert [result.attempts[0].queued for result in results] == [0, 0, 60.25, 0, 60.25]
    assert [result.timing.queued for result in results] == [0, 0, 60.25, 0, 60.25]
    assert [row.queued for row in client.shared.ledger.rows] == [0, 0, 60.25, 0, 60.25]


def test_every_attempt_waits_and_counts() -> None:
    io = FakeIO()
    provider = Scripted([Overloaded("busy")], [Overloaded("busy")], says("ok"))
    result = ask(core(provider, rpm=2), io, retry={"base": 0.0})
    assert [row.queued for row in result.attempts] == [0, 0, 60.25]


def test_tokens_a_minute_are_what_was_used_once_that_is_known() -> None:
    io = FakeIO()
    client = core(Scripted(*[says("ok", usage=Usage(7, 3))] * 9), tpm=100)
    for _ in range(9):  # each sets aside 61 and takes 10
        ask(client, io, "x", max_tokens=60)
    assert len(io.slept) == 2
    assert io.now() < 125


def test_what_surely_did_not_run_takes_no_tokens() -> None:
    io = FakeIO()
    provider = Scripted([Overloaded("busy")], says("ok"))
    ask(core(provider, tpm=100), io, "x" * 90, retry={"base": 0.0})
    assert io.slept == [0.0]


def test_what_may_have_run_keeps_what_was_set_aside() -> None:
    io = FakeIO()
    provider = Scripted([LLMError("gone", sent=True)], says("ok"))
    client = core(provider, tpm=100)
    with pytest.raises(LLMError):
        ask(client, io, "x" * 90)
    ask(client, io, "x" * 90)
    assert io.slept == [60.25]


def test_a_wait_past_the_deadline_sends_nothing_and_has_no_row() -> None:
    io, provider = FakeIO(), Scripted(says("ok"), says("never"))
    client = core(provider, rpm=1)
    ask(client, io)
    with pytest.raises(DeadlineExceeded) as caught:
        ask(client, io, deadline=20)
    assert caught.value.phase == "queue"
    assert "needs 60.2 s and the deadline leaves 20 s" in caught.value.message
    assert (caught.value.provider, caught.value.model) == ("scripted", "m")
    assert len(provider.requests) == len(client.shared.ledger.rows) == 1
    assert io.slept == []


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_concurrency(stream: bool) -> None:
    inside = most = 0

    class Slow(Scripted):
        async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            try:
                await io.sleep(0.002)
                async with closing(super().generate(request, io)) as events:
                    async for event in events:
                        yield event
            finally:
                inside -= 1

    provider = Slow(*[says("ok")] * 30)
    config = {"limits": {"scripted": {"concurrency": 3}}}
    async with AsyncClient("scripted:m", provider=provider, config=config) as client:
        if stream:
            async with client.chat("x", stream=True) as left:
                async for _ in left:
                    break  # a stream that is left gives its place back
        batch = await client.complete(["x"] * 20, concurrency=20)
        assert len(batch) == 20
        assert most == 3
        assert max(row.queued for row in client.ledger.rows) > 0


def test_a_thread_of_the_sync_client_waits_too() -> None:
    provider = Scripted(*[says("ok")] * 12)
    with Client("scripted:m", provider=provider, config={"limits": {"scripted": {"concurrency": 2}}}) as client:
        assert len(client.complete(["x"] * 12, concurrency=6)) == 12
        limiter = client._core.shared.limiter(provider)
    assert limiter is not None


# --- against hosts that count -----------------------------------------------------------------------------------


class Counting(Scripted):
    """Refuses what is more than so many requests and tokens in any minute, or in any minute of the clock."""

    def __init__(self, rpm: int, tpm: int, sliding: bool):
        super().__init__(can=FULL)
        self.rpm, self.tpm, self.sliding = rpm, tpm, sliding
        self.log: deque[tuple[float, int]] = deque()
        self.refused = 0

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        await io.sleep(0.05)  # on its way
        now, tokens = io.now(), len(str(request.input)) // 4 + (request.max_tokens or 0)
        start = now - 60 if self.sliding else math.floor(now / 60) * 60
        while self.log and self.log[0][0] <= start:
            self.log.popleft()
        if len(self.log) >= self.rpm or sum(t for _, t in self.log) + tokens > self.tpm:
            self.refused += 1
            raise RateLimited("too many")
        self.log.append((now, tokens))
        await io.sleep(0.5)
        for event in says("ok", usage=Usage(tokens, 0)):
            yield event


@pytest.mark.parametrize("sliding", [True, False])
def test_nothing_is_refused_and_nearly_all_is_used(sliding: bool) -> None:
    provider = Counting(60, 10_000, sliding)
    client = core(provider, rpm=60, tpm=10_000)
    ended = 0.0

    async def main(io: VirtualIO) -> None:
        nonlocal ended
        async with trio.open_nursery() as nursery:
            for number in range(300):
                text = "x" * (40 + number % 7)
                nursery.start_soon(partial(client.run, "complete", complete.check(text), {"max_tokens": 50}, io))
        ended = io.now()

    virtually(main)
    assert provider.refused == 0
    assert ended < 4 * 60.25 + 1  # 5 times 60 requests: the first go at once
    assert len(client.shared.ledger.rows) == 300


# --- what the host says -----------------------------------------------------------------------------------------


NUMBERS = count(1)


def openai(name: str = "openai", key: str = "", **more: Any) -> Core:
    """A client of its own, unless it shares ``key``: what a process knows of an account outlives its clients."""
    key = key or f"sk-canary-{next(NUMBERS)}"
    config = {"providers": {name: {"kind": "openai", "base_url": "https://api.example/v1", "api_key": key}}, **more}
    return Core.build(f"{name}:m", config, None, {})


def replies(**headers: str) -> Reply:
    return 200, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(CHAT).encode()


SPENT = {"x_ratelimit_limit_requests": "60", "x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "60s"}


def test_a_spent_bucket_is_waited_for_as_long_as_one_request_takes_to_come_back() -> None:
    io, client = FakeIO(lambda request: replies(**SPENT)), openai()
    assert ask(client, io).attempts[0].queued == 0
    assert ask(client, io).attempts[0].queued == pytest.approx(1.0)
    with pytest.raises(DeadlineExceeded, match="queue"):
        ask(client, io, deadline=0.5)


def test_a_spent_window_is_waited_for_to_its_end() -> None:
    headers = {"x_ratelimit_limit": "20", "x_ratelimit_remaining": "0"}
    io = FakeIO(lambda request: replies(**headers, x_ratelimit_reset=f"{(time.time() + 7) * 1000:.0f}"))
    client = openai()
    ask(client, io)
    assert ask(client, io).attempts[0].queued == pytest.approx(7, abs=0.5)


def test_a_prompt_that_still_fits_goes_at_once() -> None:
    headers = {
        "x_ratelimit_limit_tokens": "10000",
        "x_ratelimit_remaining_tokens": "1000",
        "x_ratelimit_reset_tokens": "54s",
    }
    io, client = FakeIO(lambda request: replies(**headers)), openai()
    ask(client, io)
    assert ask(client, io, "x" * 2000).attempts[0].queued == 0
    assert ask(client, io, "x" * 8000).attempts[0].queued == pytest.approx(6.1, abs=0.1)


def test_another_model_has_limits_of_its_own() -> None:
    io, client = FakeIO(lambda request: replies(**SPENT)), openai()
    ask(client, io)
    assert ask(client, io, model="openai:other").attempts[0].queued == 0
    assert ask(client, io).attempts[0].queued > 0.5


def test_the_limit_of_a_day_is_no_silence_of_a_day() -> None:
    headers = {"x_ratelimit_remaining_requests_day": "0", "x_ratelimit_reset_requests_day": "40000"}
    refusal: Reply = (429, {"retry-after": "40000"}, b'{"error": {"message": "the day is over"}}')
    answers = iter([replies(**headers), refusal])
    io, client = FakeIO(lambda request: next(answers)), openai()
    ask(client, io)
    with pytest.raises(RateLimited, match="the day is over"):
        ask(client, io, retry=1)
    assert io.slept == [60.0]


def test_retry_after_holds_for_the_other_callers_too() -> None:
    refusal: Reply = (429, {"retry-after": "9"}, b"{}")
    answers = iter([refusal, replies()])
    io, client = FakeIO(lambda request: next(answers)), openai()
    with pytest.raises(RateLimited):
        ask(client, io, retry=1)
    assert ask(client, io).attempts[0].queued == 9


def test_refusals_without_a_word_slow_down_and_successes_speed_up() -> None:
    state = {"refuse": True}
    io = FakeIO(lambda request: (503, {}, b"{}") if state["refuse"] else replies())
    client = openai(circuit={"failures": 0})
    for _ in range(20):
        with pytest.raises(Overloaded):
            ask(client, io, retry=1)
    waited = sum(io.slept)
    assert 5 < waited < 60
    state["refuse"] = False
    rows = [ask(client, io).attempts[0] for _ in range(400)]
    assert rows[0].queued > 1
    assert rows[-1].queued == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_host_on_a_socket(openai_server: OpenAIServer, stream: bool) -> None:
    spent = {
        "x-ratelimit-limit-requests": "300",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60s",
    }
    openai_server.script(headers=spent)
    with Client("openai:test-model", base_url=openai_server.url, api_key=KEY) as client:
        if stream:
            with client.chat("Hi!", stream=True) as events:
                next(events)
                assert client.chat("Hi!").attempts[0].queued > 0.1  # the head of the first reply has told
        else:
            client.chat("Hi!")
            assert 0.1 < client.chat("Hi!").timing.queued < 5


# --- who shares what --------------------------------------------------------------------------------------------


def test_all_clients_with_one_key_share_and_others_do_not() -> None:
    io = FakeIO(lambda request: replies(**SPENT))
    first, second, other = openai(key="sk-one"), openai("twin", key="sk-one"), openai()
    ask(first, io)
    assert ask(second, io).attempts[0].queued > 0.5
    assert ask(other, io).attempts[0].queued == 0


def test_the_latest_configured_limits_hold_for_all() -> None:
    io = FakeIO(lambda request: replies())
    first = openai(key="sk-two", limits={"openai": {"rpm": 1, "concurrency": 9}})
    for client in (first, openai(key="sk-two", limits={"openai": {"rpm": 3}}), openai(key="sk-two"), first):
        ask(client, io)
    assert io.slept == [60.25]


def test_without_limits_or_an_account_nothing_stands_in_the_way() -> None:
    client = core(Scripted(says("ok")))
    ask(client, FakeIO())
    assert client.shared.limiters == {"scripted": None}


def test_no_account_shows_its_key() -> None:
    client = openai(limits={"openai": {"rpm": 1}})
    provider: Any = client.shared.registry.provider("openai")
    limiter = client.shared.limiter(provider)
    assert "api.example" in provider.account
    assert "canary" not in f"{provider.account} {limiter!r} {vars(limiter)}"


# --- the configuration ------------------------------------------------------------------------------------------


def test_limits_come_from_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmsdk.config import load
    from llmsdk.limits import Limits

    path = tmp_path / "c.toml"
    path.write_text("[limits.openai]\nrpm = 500\ntpm = 200000\n", "utf-8")
    monkeypatch.setenv("LLMSDK_LIMITS_OPENAI_RPM", "60")
    monkeypatch.setenv("LLMSDK_LIMITS_LOCAL_CONCURRENCY", "2")
    config = load(path)
    assert config.limits == {"openai": Limits(rpm=60, tpm=200000), "local": Limits(concurrency=2)}
    assert config.sources["limits.openai.rpm"] == "env LLMSDK_LIMITS_OPENAI_RPM"


@pytest.mark.parametrize(
    ("limits", "message", "hint"),
    [
        ({"opnai": {"rpm": 5}}, "config=: limits.opnai: no provider has that name", "Did you mean 'openai'?"),
        (
            {"openai": {"concurency": 5}},
            "config=: limits.openai.concurency: unknown key",
            "Did you mean 'concurrency'?",
        ),
        ({"openai": {"rpm": 0}}, "config=: limits.openai.rpm: must be greater than or equal to 1", ""),
        ({"openai": {"concurrency": 1.5}}, "config=: limits.openai.concurrency: must be a valid integer", ""),
        ({"openai": 5}, "config=: limits.openai: must be a table, not a number", "[limits.openai]"),
        (5, "config=: limits: must be a table, not a number", "[limits.NAME]"),
    ],
)
def test_a_wrong_limit_is_an_error_with_its_place(limits: Any, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Client(config={"limits": limits})
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
