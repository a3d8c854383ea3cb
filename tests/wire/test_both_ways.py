"""Buffered and streamed agree: the test server of each dialect says any reply both ways, and both fold to the same."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from dialects import HI, told
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import folded
from servers.backends import BACKENDS, Served
from servers.brain import pieces

from llmsdk.registry import BUILT_IN
from llmsdk.reply import Reply
from llmsdk.testing.conformance import HTTPAnswer, Received, Said
from llmsdk.types import Request, Tool, ToolCall, Usage

KEY = "sk-canary-0123456789abcdef"
TOOLS = tuple(Tool(name, {"type": "object", "properties": {"q": {"type": "string"}}}) for name in ("look", "tell"))

SIXTEEN = " one two three four five six seven eight nine ten eleven twelve red green blue white"
"""A host may give a reply no fewer tokens."""
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
ARGUMENTS = st.dictionaries(st.sampled_from(["q", "é"]), WORDS | st.integers(-9, 9) | st.lists(st.booleans()))
CALLS = st.builds(
    lambda name, given: ToolCall("call000a1", name, json.dumps(given)), st.sampled_from(["look", "tell"]), ARGUMENTS
)
FIGURES = st.builds(Usage, st.integers(0, 99), st.integers(0, 99), st.none() | st.integers(1, 120))
"""Cached input may be more than all input: some hosts say such things."""
SAID = st.one_of(
    st.builds(Said, WORDS, WORDS, usage=FIGURES),
    st.builds(Said, WORDS.map(lambda text: text + SIXTEEN), usage=FIGURES, finish=st.just("length")),
    st.builds(
        lambda calls, usage: Said(calls=numbered(calls), usage=usage, finish="tool_call"),
        st.lists(CALLS, min_size=1, max_size=3), FIGURES,
    ),
)  # fmt: skip


def numbered(calls: list[ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(replace(call, id=f"call000a{number}") for number, call in enumerate(calls))


class Saying:
    """An ``io`` whose host says one thing; what it sent is kept."""

    clock = None

    def __init__(self, backend: Served, said: Said, *, stream: bool) -> None:
        self.backend, self.said, self.stream = backend, said, stream
        self.body = b""

    async def send(self, request: Any) -> Any:
        parts = urlsplit(request.url)
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        came = Received(request.method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, request.body)
        answer: HTTPAnswer = self.backend.reply(self.said, came, stream=self.stream)
        self.body = answer.whole
        return _Reply(answer)


class _Reply:
    def __init__(self, answer: HTTPAnswer) -> None:
        self.status, self.headers, self._body = answer.status, answer.headers, answer.whole

    async def read(self, limit: int = 0) -> bytes:
        return self._body

    async def chunks(self) -> Any:
        yield self._body

    async def aclose(self) -> None:
        pass


@cache
def dialect(name: str) -> tuple[Any, Served]:
    """A provider, and the host that it asks."""
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    backend = BACKENDS[name]()
    return kind(name, kind.Settings(**backend.settings("http://127.0.0.1:1", KEY))), backend


def asked(name: str, said: Said, *, stream: bool) -> tuple[Reply, bytes]:
    """A reply, and its bytes."""
    provider, backend = dialect(name)
    limit = len(pieces(said.text)) if said.finish == "length" else None
    thinks = said.reasoning and "reasoning" in provider.capabilities(backend.model).options
    asks: dict[str, Any] = {"tools": TOOLS if said.calls else (), "reasoning": "high" if thinks else None}
    request = Request(backend.model, HI, stream=stream, max_tokens=limit, **asks)
    io: Any = Saying(backend, said, stream=stream)
    return folded(provider.generate(request, io)), io.body


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=40)
@given(SAID, st.data())
def test_any_reply_is_the_same_both_ways(name: str, said: Said, cut: st.DataObject) -> None:
    provider, backend = dialect(name)
    said = replace(said, reasoning=said.reasoning if backend.thinks else "")
    if not backend.caches:
        said = replace(said, usage=replace(said.usage, cached_input_tokens=None))
    (whole, _), (streamed, body) = asked(name, said, stream=False), asked(name, said, stream=True)
    assert whole.text == said.text
    assert said.calls or whole.reasoning == said.reasoning, "some say that they will call"
    made = whole.choices[0].message.tool_calls if said.calls else ()
    assert [(call.name, call.arguments) for call in made] == [(call.name, call.arguments) for call in said.calls]
    assert streamed.choices == whole.choices
    assert (streamed.usage, streamed.finish, streamed.model) == (whole.usage, whole.finish, whole.model)
    assert streamed.complete(1)
    assert whole.finish is not None
    assert whole.finish.reason == said.finish
    places = cut.draw(st.lists(st.integers(0, len(body)), max_size=5))
    assert told(provider, body, places) == told(provider, body)
