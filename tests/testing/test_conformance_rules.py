"""The suite itself: for each rule a provider that breaks it, and is told so."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from acme_kit import PAGE, modules
from docs.doc_blocks import anchors
from pydantic import ConfigDict, create_model
from scripted import Scoring
from servers.backends import AnthropicBackend, OpenAIBackend

from llmsdk.errors import ConfigError, DeadlineExceeded, InvalidBody, InvalidRequest, RateLimited, Transient
from llmsdk.io import closing
from llmsdk.io.sse import ServerSentEvent
from llmsdk.provider import Capabilities, HTTPSettings, Secret
from llmsdk.testing import conformance
from llmsdk.testing.conformance.rules import events, leaving
from llmsdk.testing.conformance.rules.wire import MARKED
from llmsdk.testing.server import NO_FAULT
from llmsdk.types import Event, Finish, Model, Output, ReasoningDelta, TextDelta, TokenCount, ToolCallDelta, Usage
from llmsdk_providers.anthropic import Anthropic
from llmsdk_providers.openai import OpenAI

Change = Callable[[Event], Iterable[Event]]


def altered(base: Any, change: Change) -> Any:
    """A provider whose events are not what they should be."""

    class Altered(base):  # type: ignore[misc]
        async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
            async with closing(super().generate(request, io)) as events:
                async for event in events:
                    for other in change(event):
                        yield other

    return Altered


def wrong(base: Any, **attributes: Any) -> Any:
    return type(base.__name__, (base,), attributes)


def encoded(base: Any, change: Callable[[Any], Any]) -> Any:
    """A provider that encodes another request than it is given."""
    return wrong(base, encode=lambda self, request: base.encode(self, change(request)))


def texts(change: Callable[[str], str]) -> Change:
    return lambda event: [replace(event, text=change(event.text)) if isinstance(event, TextDelta) else event]


# --- the broken ones ------------------------------------------------------------------------------------------------


def talkative(event: Event) -> Iterator[Event]:
    yield event
    if isinstance(event, Finish):
        yield TextDelta("And one thing more.")


def hesitant(acme: ModuleType) -> Any:
    """Keeps its text to the end."""

    class Reader(acme.Reader):  # type: ignore[misc, name-defined]
        text = ""

        def piece(self, said: Any) -> Iterator[Event]:
            for event in super().piece(said):
                if isinstance(event, TextDelta):
                    self.text += event.text
                    continue
                if isinstance(event, Usage):
                    yield TextDelta(self.text)
                yield event

    return wrong(acme.Acme, decoder=lambda self, request: Reader(self.host.secrets))


class Lines:
    """Takes each chunk for a whole event."""

    def feed(self, chunk: bytes) -> Iterable[ServerSentEvent]:
        return [ServerSentEvent(data=line[6:]) for line in chunk.splitlines() if line.startswith(b"data: ")]


def hasty_reader(acme: ModuleType) -> Any:
    return wrong(acme.Acme, frames=lambda self: Lines())


def counted(event: Event) -> Iterator[Event]:
    if isinstance(event, Usage):
        event = Usage(event.output_tokens, event.input_tokens)
    yield event


def apart(event: Event) -> Iterator[Event]:
    """Cached input is no part of the input."""
    if isinstance(event, Usage) and event.input_tokens is not None:
        event = replace(event, input_tokens=event.input_tokens - (event.cached_input_tokens or 0))
    yield event


def probable(event: Event) -> Iterator[Event]:
    """Probabilities in the place of their logarithms."""
    if isinstance(event, TextDelta):
        event = replace(event, logprobs=tuple(replace(t, logprob=math.exp(t.logprob)) for t in event.logprobs))
    yield event


def aloud(event: Event) -> Iterator[Event]:
    yield TextDelta(event.reasoning) if isinstance(event, ReasoningDelta) else event


def nameless(event: Event) -> Iterator[Event]:
    yield replace(event, id="call") if isinstance(event, ToolCallDelta) else event


def stopped(event: Event) -> Iterator[Event]:
    yield Finish("stop") if isinstance(event, Finish) else event


def unpaid(event: Event) -> Iterator[Event]:
    if not isinstance(event, Usage):
        yield event


def streamed_otherwise(acme: ModuleType) -> Any:
    class Reader(acme.Reader):  # type: ignore[misc, name-defined]
        def feed(self, event: ServerSentEvent) -> Iterable[Event]:
            return [Finish("stop", "streamed") if isinstance(e, Finish) else e for e in super().feed(event)]

    return wrong(acme.Acme, decoder=lambda self, request: Reader(self.host.secrets))


def mute(acme: ModuleType) -> Any:
    """Whatever comes, and however it ends, it is a reply."""

    class Mute(acme.Acme):  # type: ignore[misc, name-defined]
        async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
            try:
                async with closing(super().generate(request, io)) as events:
                    async for event in events:
                        yield event
            except (Transient, InvalidBody, DeadlineExceeded):
                pass
            yield Finish("stop")

    return Mute


def repeating(acme: ModuleType) -> Any:
    """Gives everybody the first reply."""

    class Repeating(acme.Acme):  # type: ignore[misc, name-defined]
        lock = threading.Lock()  # however many begin at once, one is the first

        async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
            with self.lock:
                if not hasattr(self, "said"):
                    self.said = [event async for event in super().generate(request, io)]
            for event in self.said:
                yield event

    return Repeating


def leaking(acme: ModuleType) -> Any:
    """Never closes a reply."""
    kept = []

    class Leaking(acme.Acme):  # type: ignore[misc, name-defined]
        async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
            reply = await io.send(self.encode(request))
            kept.append(chunks := reply.chunks())
            async for _ in chunks:
                yield TextDelta("x")

    return Leaking


def looping(acme: ModuleType) -> Any:
    """Waits for asyncio itself."""

    class Looping(acme.Acme):  # type: ignore[misc, name-defined]
        async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
            await asyncio.sleep(0)
            raise NotImplementedError
            yield

    return Looping


def echoing(self: Any, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    return InvalidRequest(body.decode(), status=status)


def deaf(self: Any, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    return InvalidRequest("No.", status=status)


def hasty(self: Any, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    return RateLimited("Slow down.", status=status)


def opened(base: Any) -> Any:
    def init(self: Any, name: str, settings: Any) -> None:
        base.__init__(self, name, settings)
        socket.socket().close()

    return wrong(base, __init__=init)


def renamed(base: Any) -> Any:
    def init(self: Any, name: str, settings: Any) -> None:
        base.__init__(self, "acme", settings)

    return wrong(base, __init__=init)


def curt(base: Any) -> Any:
    def init(self: Any, name: str, settings: Any) -> None:
        if settings.api_key is None:
            raise ConfigError("no")
        base.__init__(self, name, settings)

    return wrong(base, __init__=init)


Lax = create_model(
    "Lax", __config__=ConfigDict(extra="ignore"),
    **{key: (Secret | None if key == "api_key" else Any, value) for key, value in vars(HTTPSettings()).items()},
)  # fmt: skip


class Short(Scoring):
    """Forgets one candidate."""

    def __init__(self, name: str, settings: Any) -> None:
        super().__init__(lambda request, candidate: -1.0, name=name)

    async def score(self, request: Any, candidates: Any, io: Any) -> AsyncIterator[Event]:
        async for event in super().score(request, candidates[1:], io):
            yield event


class Lost(Scoring):
    """Has a fault of its own for a model that it does not know."""

    def __init__(self, name: str, settings: Any) -> None:
        super().__init__(lambda request, candidate: -1.0, name=name)

    async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
        raise KeyError(request.model)
        yield


class Vague(Scoring):
    """Says that it translates by itself, and gives no text."""

    def __init__(self, name: str, settings: Any) -> None:
        can = Capabilities(native=frozenset({"translate"}))
        super().__init__(lambda request, candidate: -1.0, name=name, can=can)

    async def translate(self, request: Any, to: str, source: str | None, io: Any) -> AsyncIterator[Event]:
        yield Usage(1, 1)


async def backwards(self: Any, model: str, texts: Any, io: Any) -> AsyncIterator[Event]:
    async for event in OpenAI.embed(self, model, texts, io):
        yield Output(sorted(event.value)) if isinstance(event, Output) else event


async def strangers(self: Any, io: Any) -> AsyncIterator[Event]:
    yield Output((Model("m", "somebody else"),))


async def guessed(self: Any, request: Any, io: Any) -> AsyncIterator[Event]:
    yield Output(TokenCount(3, "exact"))


def everything(self: Any, model: str) -> Capabilities:
    return Capabilities(tools=True, options=frozenset(MARKED))


VERBS = {"verb": "complete chat translate answer classify", "stream": "complete chat translate answer"}
Breaker = Callable[[ModuleType], Any]
ACME: dict[str, Breaker] = {
    "class.contract": lambda acme: wrong(acme.Acme, contract=None),
    "class.methods": lambda acme: wrong(acme.Acme, generate=lambda self, request: None),
    "class.name": lambda acme: renamed(acme.Acme),
    "class.capabilities": lambda acme: wrong(
        acme.Acme, capabilities=lambda self, model: Capabilities(options=frozenset({"maximum"}))
    ),
    "settings.model": lambda acme: wrong(acme.Acme, Settings=Lax),
    "settings.secrets": lambda acme: wrong(
        acme.Acme, __repr__=lambda self: f"Acme({self.settings.api_key.reveal()})"
    ),
    "settings.missing_key": lambda acme: curt(acme.Acme),
    "construction.opens_nothing": lambda acme: opened(acme.Acme),
    "reply.whole": lambda acme: altered(acme.Acme, talkative),
    "reply.streamed": hesitant,
    "reply.same_streamed": streamed_otherwise,
    "reply.any_text": lambda acme: altered(acme.Acme, texts(lambda text: text.encode("ascii", "replace").decode())),
    "reply.any_pieces": hasty_reader,
    "reply.empty": lambda acme: wrong(
        acme.Acme, decode=lambda self, body, request: [TextDelta("(nothing)"), Usage(1, 1), Finish("stop")]
    ),
    "reply.length": lambda acme: altered(acme.Acme, stopped),
    "usage.figures": lambda acme: altered(acme.Acme, counted),
    "reply.tools": lambda acme: altered(acme.Acme, nameless),
    "reply.tool_results": lambda acme: encoded(
        acme.Acme, lambda request: replace(request, input=tuple(m for m in request.input if m.role != "tool"))
    ),
    "wire.prompt": lambda acme: encoded(acme.Acme, lambda request: replace(request, input=request.input[-1:])),
    "wire.key": lambda acme: wrong(
        acme.Acme,
        encode=lambda self, request: replace(
            found := acme.Acme.encode(self, request), url=f"{found.url}?key={self.settings.api_key.reveal()}"
        ),
    ),
    "wire.many_at_once": repeating,
    "fault.gateway": lambda acme: wrong(acme.Acme, error=deaf),
    "fault.echoed_key": lambda acme: wrong(acme.Acme, error=echoing),
    "leaving.deadline": mute,
    "verb.output": lambda acme: altered(acme.Acme, texts(str.upper)),
    **{
        f"wire.option.{name}": lambda acme: wrong(
            encoded(acme.Acme, lambda request: replace(request, max_tokens=None, temperature=None)),
            capabilities=everything,
        )
        for name in MARKED
    },
    **{f"fault.{fault}": lambda acme: wrong(acme.Acme, error=deaf) for fault in conformance.Fault},
    **dict.fromkeys(("fault.not_a_reply", "fault.inside_a_reply", "fault.inside_a_stream"), mute),
    **dict.fromkeys(("stream.cut", "stream.broken", "stream.no_end"), mute),
    **{f"leaving.{face}": leaking for face in ("sync", "asyncio", "trio")},
    **{
        f"{kind}.{verb}.{face}": looping
        for face in ("sync", "asyncio", "trio")
        for kind, verbs in VERBS.items()
        for verb in verbs.split()
    },
}  # fmt: skip
"""For each rule the provider of the documentation, broken."""
OTHERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "usage.cached": (altered(OpenAI, apart), OpenAIBackend, {}),
    "reply.logprobs": (altered(OpenAI, probable), OpenAIBackend, {"logprobs": 20}),
    "reply.reasoning": (altered(OpenAI, aloud), OpenAIBackend, {}),
    "more.embeds": (wrong(OpenAI, embed=backwards), OpenAIBackend, {}),
    "more.lists": (wrong(OpenAI, models=strangers), OpenAIBackend, {}),
    "more.counts": (wrong(OpenAI, count=lambda self, request: TokenCount(1, "local")), OpenAIBackend, {}),
    "more.counts_exactly": (wrong(Anthropic, count_exactly=guessed), AnthropicBackend, {}),
    "more.scores": (Short, None, {}),
    "more.native": (Vague, None, {}),
    "fault.model_here": (Lost, None, {}),
}
"""Rules about what Acme does not offer, with a class, its backend and settings."""
CASES = {case.name: case for case in conformance.cases()}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, ModuleType]:
    return modules(tmp_path_factory.mktemp("acme"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never happens need not be waited for."""
    monkeypatch.setattr(leaving, "PATIENCE", 0.2)


def told(result: conformance.Result) -> None:
    """The result says what is wrong, and where the rule is explained."""
    assert result.outcome == "failed", result
    assert result.expected
    assert result.came
    assert "docs/providers/writing-one.md#" in str(result)


def test_every_rule_can_be_broken() -> None:
    assert CASES.keys() == ACME.keys() | OTHERS.keys()


@pytest.mark.parametrize("rule", ACME)
def test_a_broken_provider_is_told_so(rule: str, acme: tuple[ModuleType, ModuleType]) -> None:
    provider, host = acme
    told(conformance.check(CASES[rule], conformance.Subject(ACME[rule](provider), host.AcmeBackend)))


@pytest.mark.parametrize("rule", OTHERS)
def test_what_acme_does_not_offer(rule: str) -> None:
    kind, backend, settings = OTHERS[rule]
    told(conformance.check(CASES[rule], conformance.Subject(kind, backend, settings=settings)))


def test_a_wait_that_is_not_told(acme: tuple[ModuleType, ModuleType]) -> None:
    kind = wrong(acme[0].Acme, error=hasty)
    result = conformance.check(CASES["fault.rate_limit"], conformance.Subject(kind, acme[1].AcmeBackend))
    assert (result.expected, result.came) == ("retry_after 7.0", "None")


def test_single_bytes_stay_single_where_a_socket_joins_them(
    acme: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "Delivery", lambda piece: NO_FAULT)
    told(conformance.check(CASES["reply.any_pieces"], conformance.Subject(hasty_reader(acme[0]), acme[1].AcmeBackend)))


def test_usage_that_is_missing_shows_in_the_ledger(acme: tuple[ModuleType, ModuleType]) -> None:
    kind = altered(acme[0].Acme, unpaid)
    result = conformance.check(CASES["verb.chat.sync"], conformance.Subject(kind, acme[1].AcmeBackend))
    assert "ledger" in result.expected
    assert "estimated" in result.came


def test_who_asks_twice_is_told_so(acme: tuple[ModuleType, ModuleType]) -> None:
    class Stubborn(acme[0].Acme):  # type: ignore[misc, name-defined]
        async def generate(self, request: Any, io: Any) -> AsyncIterator[Event]:
            for again in (True, False):
                try:
                    async with closing(super().generate(request, io)) as events:
                        async for event in events:
                            yield event
                    return
                except Transient:
                    if not again:
                        raise

    result = conformance.check(CASES["fault.overload"], conformance.Subject(Stubborn, acme[1].AcmeBackend))
    assert "requests" in result.expected
    assert result.came == "2"


def test_a_fault_of_the_backend_is_a_failure_and_not_the_providers(acme: tuple[ModuleType, ModuleType]) -> None:
    backend = wrong(acme[1].AcmeBackend, reply=lambda self, said, request, stream: 1 / 0)
    result = conformance.check(CASES["reply.whole"], conformance.Subject(acme[0].Acme, backend))
    assert result.outcome == "failed"
    assert "ZeroDivisionError" in result.came


def test_what_does_not_apply_is_skipped_with_its_reason(acme: tuple[ModuleType, ModuleType]) -> None:
    subject = conformance.Subject(acme[0].Acme, acme[1].AcmeBackend)
    result = conformance.check(CASES["reply.reasoning"], subject)
    assert (result.outcome, result.reason) == ("skipped", "Acme has no reasoning, no logprobs and no cache")
    assert conformance.check(CASES["more.embeds"], subject).reason == "not offered: it is no Embeds"


def test_a_report_of_which_all_is_skipped_is_not_well() -> None:
    skipped = conformance.Result(CASES["reply.whole"], "skipped", reason="so")
    assert not conformance.Report((skipped,)).ok
    assert conformance.Report((skipped, conformance.Result(CASES["reply.whole"], "passed"))).ok


def test_each_rule_is_explained_where_it_says() -> None:
    found = anchors(PAGE)
    root = Path(__file__).parents[2]
    for case in CASES.values():
        page, _, anchor = case.page.partition("#")
        assert root / page == PAGE
        assert anchor in found, case.page
        assert case.rule.endswith("."), case.name
