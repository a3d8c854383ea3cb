"""What the tests of every dialect share: replies made of bytes, what of them is compared, the five verbs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import recorded
import yaml
from hypothesis import strategies as st
from recorded import Exchange

from llmsdk import AsyncClient, Client
from llmsdk.errors import LLMError
from llmsdk.io.drive import drive
from llmsdk.reply import Reply
from llmsdk.types import Event, Message, Request

HI = (Message("user", "Hi!"),)


def exchange(body: bytes, *, streamed: bool) -> Exchange:
    """A reply of our own making, in the form of a recorded one."""
    return Exchange("ours", "ours", 200, [], body, streamed, {})


def fold(provider: Any, body: bytes, *, streamed: bool = False, size: int = 0) -> Reply:
    """A reply as ``provider`` folds it, its body in pieces of ``size`` bytes (0: in one)."""
    return recorded.fold(provider, exchange(body, streamed=streamed), size)


def shown(reply: Reply) -> tuple[Any, ...]:
    """All of a reply but its raw body and its warnings."""
    return reply.choices, reply.usage, reply.finish, reply.id, reply.model


def agree(provider: Any, whole: Any, stream: bytes, cut: st.DataObject) -> Reply:
    """A reply says the same whole (JSON) and as a stream, however that is cut; no beginning is taken for all of it."""
    buffered, streamed = fold(provider, json.dumps(whole).encode()), fold(provider, stream, streamed=True)
    assert shown(streamed) == shown(buffered)
    assert streamed.complete(1)
    places = st.lists(st.integers(0, len(stream)), max_size=9)
    assert told(provider, stream, cut.draw(places)) == told(provider, stream)
    interruptions(provider, stream, streamed, cut.draw(places))
    return streamed


def told(provider: Any, stream: bytes, places: Sequence[int] = ()) -> list[Event]:
    """The events of a stream that is cut at ``places``."""

    async def listed() -> list[Event]:
        return [event async for event in recorded.generated(provider, exchange(stream, streamed=True), places)]

    return drive(listed())


def interruptions(provider: Any, body: bytes, whole: Reply, lengths: Iterable[int] | None = None) -> list[int]:
    """The lengths of a stream's beginnings that were taken for complete. What they say must be the whole reply."""
    complete = []
    for length in range(len(body) + 1) if lengths is None else lengths:
        try:
            reply = fold(provider, body[:length], streamed=True)
        except LLMError:
            continue  # a typed error says that it is not whole
        assert whole.text.startswith(reply.text)
        if reply.complete(1):
            complete.append(length)
            assert reply.choices == whole.choices
    return complete


def sent(provider: Any, request: Request) -> Any:
    """The JSON body that goes over the wire."""
    return json.loads(provider.encode(request).body)


def pieces(text: str, draw: st.DataObject) -> Iterator[str]:
    """A text cut anywhere."""
    while text:
        size = draw.draw(st.integers(1, len(text)))
        yield text[:size]
        text = text[size:]


def events(*bodies: Any, named: bool = False) -> bytes:
    """Server-sent events of JSON; ``named`` after their ``type``."""
    lines = []
    for body in bodies:
        name = f"event: {body['type']}\n" if named else ""
        lines.append(f"{name}data: {body if isinstance(body, str) else json.dumps(body)}\n\n")
    return "".join(lines).encode()


def spec_errors(shared: Path, spec: str, path: str, body: Any) -> list[str]:
    """What the service's own API description has against a request."""
    pytest.importorskip("jsonschema", reason="requests are validated with jsonschema")
    reader: Any = recorded._reader(shared)
    found: list[str] = reader.validate_request(_spec(shared / "specs" / spec), "POST", path, body)
    return found


@lru_cache(maxsize=1)
def _spec(path: Path) -> Any:
    loaded = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe one
    return json.loads(json.dumps(loaded, default=str))


# --- the five verbs -----------------------------------------------------------------------------------------------

PAGES = ["Order 4071 will arrive on Friday.", "Tom lives in Berlin."]
CANARY = "sk-canary-0123456789abcdef"


def five_verbs(client: Client) -> None:
    """What every backend answers alike, buffered and streamed."""
    story = client.complete("Once upon a time", max_tokens=30)
    assert story.text.strip()
    chat = client.chat("Hello!", max_tokens=40)
    assert chat.text == "Hello! How can I help you?"
    assert chat.finish_reason == "stop"
    with client.chat("Hello!", max_tokens=40, stream=True) as stream:
        text = "".join(event.text for event in stream)
    assert text == chat.text
    assert stream.result.usage == chat.usage
    assert client.translate("Good morning", to="zh").text.startswith("早上好")
    assert client.answer("When will order 4071 arrive?", context=PAGES).text.endswith("Friday")
    assert client.classify("great film, i love it", ["positive", "negative"]).label == "positive"
    assert all(row.settled == "exact" for row in client.ledger.rows)
    assert client.ledger.open == ()


async def five_verbs_on_a_loop(client: AsyncClient) -> None:
    """The same on asyncio and trio: each verb whole, and as a stream where it has one."""
    story = await client.complete("Once upon a time", max_tokens=30)
    async with client.complete("Once upon a time", max_tokens=30, stream=True) as stream:
        assert await joined(stream) == story.text != ""
    chat = await client.chat("Hello!", max_tokens=40)
    async with client.chat("Hello!", max_tokens=40, stream=True) as stream:
        assert await joined(stream) == chat.text == "Hello! How can I help you?"
    assert stream.result.usage == chat.usage
    assert stream.result.finish_reason == chat.finish_reason == "stop"
    translation = await client.translate("Good morning", to="zh")
    async with client.translate("Good morning", to="zh", stream=True) as stream:
        assert await joined(stream) == translation.text
    assert translation.text.startswith("早上好")
    answer = await client.answer("When will order 4071 arrive?", context=PAGES)
    async with client.answer("When will order 4071 arrive?", context=PAGES, stream=True) as stream:
        assert await joined(stream) == answer.text
    assert answer.text.endswith("Friday")
    assert (await client.classify("great film, i love it", ["positive", "negative"])).label == "positive"
    assert all(row.settled == "exact" for row in client.ledger.rows)
    assert client.ledger.open == ()


async def joined(stream: Any) -> str:
    return "".join([event.text async for event in stream])


def refusal(client: Client, **fields: Any) -> LLMError:
    """The error of a chat, which shows the key nowhere."""
    with pytest.raises(LLMError) as caught:
        client.chat("Hello!", retry={"attempts": 1}, **fields)
    assert CANARY not in repr(caught.value) + str(caught.value) + repr(vars(caught.value)) + repr(client)
    return caught.value
