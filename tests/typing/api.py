"""What type checkers must make of the public face. Never run: mypy and pyright read it, strictly."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, assert_type

from pydantic import BaseModel

import llmsdk
from llmsdk import (
    Answer,
    AsyncClient,
    AsyncStream,
    Batch,
    Chat,
    Classification,
    Client,
    Completion,
    Embeddings,
    Event,
    Message,
    Model,
    Stream,
    TokenCount,
    ToolCall,
    Translation,
    Usage,
)


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class City(BaseModel):
    name: str


def complete(client: Client, flag: bool) -> None:
    assert_type(client.complete("Once"), Completion)
    assert_type(client.complete("Once", suffix="end", max_tokens=4, stop=["."], n=2, echo=True), Completion)
    assert_type(client.complete("Once", stream=False), Completion)
    assert_type(client.complete("Once", stream=True), Stream[Completion])
    assert_type(client.complete("Once", stream=flag), Completion | Stream[Completion])
    assert_type(client.complete(["a", "b"]), Batch[Completion])


def chat(client: Client, flag: bool, turns: list[Message], dicts: list[dict[str, Any]]) -> None:
    assert_type(client.chat("hi"), Chat)
    assert_type(client.chat("hi").value, None)
    assert_type(client.chat("hi", system="be brief", temperature=0, reasoning="low"), Chat)
    assert_type(client.chat("hi", stream=True), Stream[Chat])
    assert_type(client.chat("hi", stream=flag), Chat | Stream[Chat])
    assert_type(client.chat(turns), Chat)
    assert_type(client.chat(dicts), Chat)
    assert_type(client.chat([Message("user", "hi")]), Chat)
    assert_type(client.chat([{"role": "user", "content": "hi"}]), Chat)
    assert_type(client.chat([*turns, client.chat(turns).message]), Chat)
    assert_type(client.chat("hi").tool_calls, tuple[ToolCall, ...])


def output(client: Client, flag: bool) -> None:
    assert_type(client.chat("Paris?", output=City), Chat[City])
    assert_type(client.chat("Paris?", output=City).value, City)
    assert_type(client.chat("Paris?", output=City).value.name, str)
    assert_type(client.chat("Paris?", output=int).value, int)
    assert_type(client.chat("Paris?", output=list[City]).value, list[City])
    assert_type(client.chat("Paris?", output=City | None).value, City | None)
    assert_type(client.chat("Paris?", output=Literal["yes", "no"]).value, Literal["yes", "no"])
    assert_type(client.chat("Paris?", output=City, stream=True), Stream[Chat[City]])
    assert_type(client.chat("Paris?", output=City, stream=flag), Chat[City] | Stream[Chat[City]])
    assert_type(client.chat("Paris?", output=City, stream=True).result.value, City)


def many(client: Client) -> None:
    assert_type(client.chat(["hi", "ho"]), Batch[Chat])
    assert_type(client.chat(["hi", "ho"])[0], Chat)
    assert_type(client.chat([[Message("user", "hi")], [Message("user", "ho")]]), Batch[Chat])
    assert_type(client.chat(["Paris?", "Rome?"], output=City), Batch[Chat[City]])
    assert_type(client.chat(["Paris?", "Rome?"], output=City)[1].value, City)
    assert_type(client.chat(["hi"], errors="return", concurrency=2).usage, Usage)


def translate(client: Client, flag: bool) -> None:
    assert_type(client.translate("hi", to="zh"), Translation)
    assert_type(client.translate("hi", to="zh", source="en", glossary={"a": "b"}, formality="formal"), Translation)
    assert_type(client.translate("hi", to="zh", stream=True), Stream[Translation])
    assert_type(client.translate("hi", to="zh", stream=flag), Translation | Stream[Translation])
    assert_type(client.translate(["hi", "ho"], to="zh"), Batch[Translation])
    assert_type(client.translate("hi", to="zh").text, str)


def answer(client: Client, flag: bool) -> None:
    assert_type(client.answer("who?"), Answer)
    assert_type(client.answer("who?", context="a page"), Answer)
    assert_type(client.answer("who?", context=["one", "two"]), Answer)
    assert_type(client.answer("who?", stream=True), Stream[Answer])
    assert_type(client.answer("who?", stream=flag), Answer | Stream[Answer])
    assert_type(client.answer(["who?", "where?"], context="a page"), Batch[Answer])
    assert_type(client.answer("who?").answerable, bool | None)
    assert_type(client.answer("who?", context="a page").evidence[0].quote, str)


def classify(client: Client, described: Mapping[str, str], names: Sequence[str]) -> None:
    assert_type(client.classify("great", ["good", "bad"]), Classification[str])
    assert_type(client.classify("great", {"good": "is praised", "bad": "is not"}), Classification[str])
    assert_type(client.classify("great", described, multi=True, threshold=0.3), Classification[str])
    assert_type(client.classify("great", names), Classification[str])
    assert_type(client.classify("great", ("good", "bad")), Classification[str])
    assert_type(client.classify("great", Mood), Classification[Mood])
    assert_type(client.classify("great", Mood).label, Mood)
    assert_type(client.classify("great", Mood).scores, dict[Mood, float])
    assert_type(client.classify(["great", "poor"], Mood), Batch[Classification[Mood]])
    assert_type(client.classify(["great", "poor"], ["good", "bad"]), Batch[Classification[str]])
    assert_type(client.classify("great", Literal["good", "bad"]), Classification[Literal["good", "bad"]])
    assert_type(client.classify("great", Literal["good", "bad"]).label, Literal["good", "bad"])
    assert_type(client.classify("great", Mood).probability, Literal["exact", "logprob", "stated"])


def the_rest(client: Client) -> None:
    assert_type(client.embed(["a", "b"]), Embeddings)
    assert_type(client.models(), tuple[Model, ...])
    assert_type(client.count_tokens("hi"), TokenCount)
    assert_type(client.usage, Usage)
    assert_type(client.chat("hi").cost, Decimal | None)
    assert_type(client.with_options(temperature=0), Client)
    with Client("local:pocket") as inner:
        assert_type(inner, Client)


def streams(client: Client) -> None:
    with client.chat("hi", stream=True) as stream:
        for event in stream:
            assert_type(event, Event)
            assert_type(event.text, str)
    assert_type(stream.result, Chat)


async def awaited(client: AsyncClient, flag: bool) -> None:
    pending: Coroutine[Any, Any, Completion] = client.complete("Once")
    assert_type(await pending, Completion)
    assert_type(await client.complete(["a", "b"]), Batch[Completion])
    assert_type(client.complete("Once", stream=True), AsyncStream[Completion])
    assert_type(client.chat("hi", stream=flag), Coroutine[Any, Any, Chat] | AsyncStream[Chat])
    assert_type(await client.chat("hi"), Chat)
    assert_type(await client.chat("Paris?", output=City), Chat[City])
    assert_type(await client.chat(["hi", "ho"]), Batch[Chat])
    assert_type(await client.translate("hi", to="zh"), Translation)
    assert_type(client.translate("hi", to="zh", stream=True), AsyncStream[Translation])
    assert_type(await client.answer("who?", context=["a"]), Answer)
    assert_type(client.answer("who?", stream=True), AsyncStream[Answer])
    assert_type(await client.classify("great", Mood), Classification[Mood])
    assert_type(await client.classify(["great"], ["good", "bad"]), Batch[Classification[str]])
    assert_type(await client.embed("a"), Embeddings)
    assert_type(await client.models("openai"), tuple[Model, ...])
    assert_type(await client.count_tokens("hi"), TokenCount)
    assert_type(client.with_options(deadline=3), AsyncClient)
    async with client.chat("hi", stream=True) as stream, AsyncClient() as inner:
        assert_type(inner, AsyncClient)
        async for event in stream:
            assert_type(event, Event)
    assert_type(stream.result, Chat)


def mistakes(client: Client, other: AsyncClient) -> None:
    client.chat("hi", temprature=0)  # type: ignore[call-overload]
    client.chat("hi", temperature="hot")  # type: ignore[call-overload]
    client.chat("hi", None)  # type: ignore[call-overload]
    client.complete("hi", system="be brief")  # type: ignore[call-overload]
    client.translate("hi")  # type: ignore[call-overload]
    client.translate("hi", to="zh", formality="rude")  # type: ignore[call-overload]
    client.classify("hi")  # type: ignore[call-overload]
    client.classify("hi", ["a", "b"], stream=True)  # type: ignore[call-overload]
    client.classify("hi", "a, b")  # type: ignore[call-overload]
    client.classify(["hi", "ho"], "a, b")  # type: ignore[call-overload]
    client.chat(["hi", "ho"], stream=True)  # type: ignore[arg-type]
    client.chat(3)  # type: ignore[call-overload]
    assert client.chat("hi").txt  # type: ignore[attr-defined]
    client.with_options(modle="x")  # type: ignore[call-arg]
    other.chat("hi", temprature=0)  # type: ignore[call-overload]
    assert llmsdk.Clint  # type: ignore[attr-defined]
    Client("local:pocket", tempreature=0)  # type: ignore[call-arg]
