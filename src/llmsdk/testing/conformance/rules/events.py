"""What ``generate`` yields, whole and streamed: well-formed, and the same reply either way."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, get_args

from llmsdk.errors import Unsupported
from llmsdk.io import closing
from llmsdk.reply import Reply
from llmsdk.testing.conformance.backend import Said
from llmsdk.testing.conformance.case import Broken, Skip, case, expect, require
from llmsdk.testing.conformance.faces import ask, stream
from llmsdk.testing.conformance.stage import Stage
from llmsdk.testing.faults import Fault as Delivery
from llmsdk.testing.server import NO_FAULT
from llmsdk.types import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
)

RULES = "rules-of-generate"
REPLY = "replies"
TEXT = "Hello there! How can I help you?"
WORLD = 'Grüße, 世界! 🙂 "quoted" \\ {"a": [1]}\n\ndata: not an event\nend'
"""What a decoder may stumble over: bytes of several characters, and marks of its own framing."""
WEATHER = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
CALLS = (
    ToolCall("call000a1", "get_weather", '{"city": "Paris"}'),
    ToolCall("call000b2", "get_weather", '{"city": "Oslo"}'),
)
SIXTEEN = "one two three four five six seven eight nine ten eleven twelve red green blue white"


def chat(client: Any, content: Any = "Hello!", **options: Any) -> Any:
    return client.chat(content, **options)


def both(stage: Stage, said: Said, delivery: Delivery = NO_FAULT, **options: Any) -> tuple[Reply, Reply]:
    """The reply whole and streamed, each seen to be well-formed."""
    stage.says(said, delivery)
    ask(stage, "sync", lambda client: chat(client, **options))
    stream(stage, "sync", lambda client: chat(client, stream=True, **options))
    whole, streamed = stage.heard[-2:]
    return folded(whole.events), folded(streamed.events)


def folded(events: Sequence[Event], n: int = 1) -> Reply:
    """Events as one reply.

    Raises:
        Broken: they are not well-formed.
    """
    reply, finished = Reply(), set[int]()
    for event in events:
        require(isinstance(event, Event), "events of llmsdk.types", event)
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta | Finish):
            require(event.index not in finished, f"nothing of choice {event.index} after its Finish", event)
        if isinstance(event, Finish):
            finished.add(event.index)
            require(event.reason in get_args(FinishReason), f"a reason out of {get_args(FinishReason)}", event)
        if isinstance(event, Usage):
            check_usage(event)
        reply.add(event)
    expect("choices that are finished:", sorted(finished), list(range(n)))
    for choice in reply.choices:
        calls = choice.message.tool_calls
        require(all(call.id and call.name for call in calls), "calls with an id and a name", calls)
        expect("a tool_call finish if and only if there are calls:", choice.finish_reason == "tool_call", bool(calls))
    return reply


def check_usage(usage: Usage) -> None:
    """Figures that can be: whole numbers, and no part larger than what it is a part of."""
    figures = {item.name: getattr(usage, item.name) for item in fields(usage) if item.name != "source"}
    for name, figure in figures.items():
        fine = figure is None or (type(figure) is int and figure >= 0)
        require(fine, f"{name} as None or a whole number from 0 on", figure)
    total = usage.input_tokens
    cached = (usage.cached_input_tokens or 0) + (usage.cache_write_tokens or 0)
    require(total is None or cached <= total, "input_tokens that include what was cached", usage)
    most = usage.output_tokens
    require(most is None or (usage.reasoning_tokens or 0) <= most, "output_tokens that include reasoning", usage)


def same(whole: Reply, streamed: Reply) -> None:
    """A streamed reply is the same reply."""
    expect("text, streamed as it is whole:", streamed.text, whole.text)
    expect("parts, streamed as they are whole:", _parts(streamed), _parts(whole))
    expect("finish, streamed as it is whole:", streamed.finish, whole.finish)
    expect("usage, streamed as it is whole:", streamed.usage, whole.usage)


def _parts(reply: Reply) -> list[Any]:
    """Calls with what they say and not as it is spaced; neighbouring text is one part already."""
    return [
        (part.type, part.name, _parsed(part.arguments_json))
        if isinstance(part, ToolCall)
        else (part.type, getattr(part, "text", ""))
        for choice in reply.choices
        for part in choice.message.parts
    ]


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


# --- text ---------------------------------------------------------------------------------------------------------


@case("reply.whole", RULES)
def whole(stage: Stage) -> None:
    """A reply that is not streamed: its text, one Finish for each choice, nothing after it, usage that can be."""
    stage.says(Said(TEXT))
    result = ask(stage, "sync", chat)
    reply = folded(stage.heard[-1].events)
    expect("text of the result:", result.text, reply.text)
    if stage.subject.backend is not None:
        expect("text", reply.text, TEXT)
        expect("finish", result.finish_reason, "stop")


@case("reply.streamed", RULES)
def streamed(stage: Stage) -> None:
    """A streamed reply: the same, as TextDelta events."""
    stage.says(Said(TEXT))
    events, result = stream(stage, "sync", lambda client: chat(client, stream=True))
    reply = folded(stage.heard[-1].events)
    expect("text of the events, joined:", "".join(event.text for event in events), reply.text)
    expect("text of the result:", result.text, reply.text)
    if stage.subject.backend is not None:
        expect("text", reply.text, TEXT)
        pieces = [event for event in events if event.text]
        require(len(pieces) > 1, "text in several events, as the host sent it", f"{len(pieces)} event")


@case("reply.same_streamed", REPLY)
def same_streamed(stage: Stage) -> None:
    """The streamed and the whole reply fold to the same: text, parts, finish and usage."""
    options: dict[str, Any] = {}
    if stage.subject.backend is None:
        if not {"temperature", "seed"} & stage.can.options:
            raise Skip("it cannot be made to repeat itself: it has neither temperature nor seed")
        options = {"temperature": 0.0} if "temperature" in stage.can.options else {"seed": 1}
    same(*both(stage, Said(TEXT), **options))


@case("reply.any_text", REPLY)
def any_text(stage: Stage) -> None:
    """Text of any script, quotes, line breaks and all comes through as it is."""
    _ = stage.backend
    for reply in both(stage, Said(WORLD)):
        expect("text", reply.text, WORLD)


@case("reply.any_pieces", REPLY)
def any_pieces(stage: Stage) -> None:
    """A stream that comes in single bytes is the same stream."""
    _ = stage.backend
    with _bytewise():
        _, reply = both(stage, Said(WORLD), Delivery(piece=1))
    expect("text", reply.text, WORLD)


@contextmanager
def _bytewise() -> Iterator[None]:
    """Replies of our transport in single bytes: what was sent one by one comes together where a machine is busy."""
    from llmsdk.io.exchange import Reply as HTTPReply

    as_they_come = HTTPReply.chunks

    async def chunks(reply: HTTPReply) -> AsyncGenerator[bytes]:
        async with closing(as_they_come(reply)) as found:
            async for chunk in found:
                for byte in chunk:
                    yield bytes((byte,))

    HTTPReply.chunks = chunks  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        HTTPReply.chunks = as_they_come  # type: ignore[method-assign]


@case("reply.empty", REPLY)
def empty(stage: Stage) -> None:
    """A reply without a word is a whole reply."""
    _ = stage.backend
    for reply in both(stage, Said("")):
        expect("text", reply.text, "")


@case("reply.length", REPLY)
def length(stage: Stage) -> None:
    """A reply that was cut at max_tokens finishes with length."""
    if stage.subject.backend is None:
        _length_here(stage)
        return
    for reply in both(stage, Said(SIXTEEN, finish="length"), max_tokens=16):
        expect("text", reply.text, SIXTEEN)
        expect("finish", reply.finish and reply.finish.reason, "length")


def _length_here(stage: Stage) -> None:
    if "max_tokens" not in stage.can.options:
        raise Skip("it does not take max_tokens")
    result = ask(stage, "sync", lambda client: chat(client, "Tell me a story", max_tokens=1))
    require(result.finish_reason in ("length", "stop"), "length, or stop", result.finish_reason)
    require((result.usage.output_tokens or 0) <= 1, "one token of output at most", result.usage)


# --- figures ------------------------------------------------------------------------------------------------------


@case("usage.figures", "usage")
def figures(stage: Stage) -> None:
    """Input and output tokens are what the host said, streamed too."""
    if stage.subject.backend is None:
        usage = ask(stage, "sync", chat).usage
        require(usage.input_tokens and usage.output_tokens, "figures of input and output", usage)
        return
    for reply in both(stage, Said(TEXT, usage=Usage(23, 9))):
        require(reply.usage is not None, "usage", "none")
        expect("(input, output)", reply.usage and (reply.usage.input_tokens, reply.usage.output_tokens), (23, 9))


@case("usage.cached", "usage")
def cached(stage: Stage) -> None:
    """Input that was read from a cache is a part of the input, and told apart."""
    _ = stage.backend
    for reply in both(stage, Said(TEXT, usage=Usage(23, 9, cached_input_tokens=6))):
        usage = reply.usage or Usage()
        expect("(input, of it cached)", (usage.input_tokens, usage.cached_input_tokens), (23, 6))


@case("reply.logprobs", REPLY)
def logprobs(stage: Stage) -> None:
    """Logprobs, where they are declared: natural logarithms, with the alternatives of a token."""
    if not stage.can.logprobs:
        raise Skip("the model has no logprobs")
    shares = {"A": 0.75, "B": 0.25}
    for reply in both(stage, Said("A", first=shares, usage=Usage(11, 1)), logprobs=2):
        told = reply.choices[0].logprobs
        if not told:
            raise Broken("logprobs of each token", "none")
        for token in told:
            require(token.logprob <= 0, "logarithms of probabilities, 0 at most", token)
        if stage.subject.backend is not None:
            top = {name.strip(): round(math.exp(value), 3) for name, value in told[0].top}
            expect("probabilities of the first token:", top, shares)


# --- reasoning and tools ------------------------------------------------------------------------------------------


@case("reply.reasoning", REPLY)
def reasoning(stage: Stage) -> None:
    """What the model thought comes as reasoning and not as text, and goes back with the message that it came with."""
    _ = stage.backend
    thought = "Let me think."
    *replies, options = _aloud(stage, Said(TEXT, reasoning=thought))
    for reply in replies:
        expect("(text, reasoning)", (reply.text, reply.reasoning.strip()), (TEXT, thought))
        back = [{"role": "user", "content": "Hello!"}, reply.choices[0].message, {"role": "user", "content": "And?"}]
        stage.says(Said("Nothing."))
        expect("text", ask(stage, "sync", lambda client: chat(client, back, **options)).text, "Nothing.")  # noqa: B023


def _aloud(stage: Stage, said: Said) -> tuple[Reply, Reply, dict[str, Any]]:
    """Both replies, by the first of the ways to ask for reasoning that the model takes."""
    for value in ("low", "high", True) if "reasoning" in stage.can.options else ():
        try:
            return *both(stage, said, reasoning=value), {"reasoning": value}
        except Unsupported:
            continue
    return *both(stage, said), {}


@case("reply.tools", "tools")
def tools(stage: Stage) -> None:
    """Calls of tools, also several at once: names, arguments, ids that differ, and a tool_call finish."""
    if not stage.can.tools:
        raise Skip("the model takes no tools")
    _ = stage.backend
    for reply in both(stage, Said(calls=CALLS, finish="tool_call"), content="Weather?", tools=[WEATHER]):
        calls = reply.choices[0].message.tool_calls
        came = [(call.name, call.arguments) for call in calls]
        expect("calls", came, [(call.name, call.arguments) for call in CALLS])
        expect("ids that differ:", len({call.id for call in calls}), len(calls))


@case("reply.tool_results", "tools")
def tool_results(stage: Stage) -> None:
    """A call and its result go back to the host in the next turn."""
    if not stage.can.tools:
        raise Skip("the model takes no tools")
    _ = stage.backend
    stage.says(Said(calls=CALLS[:1], finish="tool_call"))
    first = ask(stage, "sync", lambda client: chat(client, "Weather?", tools=[WEATHER]))
    (call,) = first.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": "sunny-4711"}
    turns = [{"role": "user", "content": "Weather?"}, first.message, result]
    stage.says(Said("It is sunny."))
    second = ask(stage, "sync", lambda client: chat(client, turns, tools=[WEATHER]))
    expect("text", second.text, "It is sunny.")
    sent = stage.sent[-1].body.decode()
    for word in ("sunny-4711", "get_weather", "Paris"):
        require(word in sent, f"{word!r} in the request", sent)
