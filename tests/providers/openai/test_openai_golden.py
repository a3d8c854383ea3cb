"""Every host by name, in bytes of our own: what it is sent, and what is read of a reply in its manner.

What hosts really sent is read in ``test_openai_recorded``; this is what it showed, and holds without those files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from dialects import events, fold, sent, shown

from llmsdk.io.route import address
from llmsdk.types import Message, Request, Usage
from llmsdk_providers.openai import OpenAI, Settings, hosts
from llmsdk_providers.openai.hosts import HOSTS

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
HELD = {**SCHEMA, "required": ["a"], "additionalProperties": False}
STRICT = {"type": "json_schema", "json_schema": {"name": "reply", "schema": HELD, "strict": True}}
VALUE = {"type": "json_schema", "value": {"name": "reply", "schema": HELD, "strict": True}}
OBJECT = {"type": "json_object"}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
PLAIN = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
THOUGHT = {**PLAIN, "completion_tokens_details": {"reasoning_tokens": 2}}
OUTSIDE = {**THOUGHT, "total_tokens": 14}
COUNTED = Usage(7, 5)
WITH_THOUGHT = Usage(7, 5, reasoning_tokens=2)


@dataclass(frozen=True)
class Golden:
    """A host: what it is sent, how it answers, and what that means."""

    sent: dict[str, Any]
    """Of a streamed request for 40 tokens, bound to a schema; the model and the messages come besides."""
    deltas: tuple[dict[str, Any], ...]
    """What the stream's chunks add to the message, in the host's own fields."""
    usage: dict[str, Any] = field(default_factory=lambda: PLAIN)
    counts: str = "apart"
    """Where usage stands in a stream: ``apart``, ``last`` (with the reason), ``every``, ``x_groq`` or ``choice``."""
    reason: str = "stop"
    done: bool = True
    """Whether the stream has a terminator."""
    reads: Usage = COUNTED
    thought: str = ""
    comment: bytes = b""


def thinking(name: str) -> tuple[dict[str, Any], ...]:
    return ({"role": "assistant", "content": ""}, {name: "Hm"}, {name: "."}, {"content": "Hel"}, {"content": "lo!"})


SPOKEN = ({"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo!"})
DETAILS = (
    {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "index": 0}]},
    {"content": "Hello!"},
)
GOLDEN: dict[str, Golden] = {
    "cerebras": Golden(
        {**ASKED, "max_completion_tokens": 40, "response_format": STRICT}, thinking("reasoning"), THOUGHT, "last",
        done=False, reads=WITH_THOUGHT, thought="Hm.",
    ),
    "deepseek": Golden(
        {**ASKED, "max_tokens": 40, "response_format": OBJECT}, thinking("reasoning_content"),
        {**THOUGHT, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 3}, "last",
        reads=Usage(7, 5, 4, reasoning_tokens=2), thought="Hm.", comment=b": keep-alive\n\n",
    ),
    "fireworks": Golden({**ASKED, "max_tokens": 40, "response_format": STRICT}, SPOKEN),
    "groq": Golden(
        {**ASKED, "max_completion_tokens": 40, "response_format": OBJECT}, thinking("reasoning"), THOUGHT, "x_groq",
        reads=WITH_THOUGHT, thought="Hm.",
    ),
    "moonshot": Golden(
        {**ASKED, "max_tokens": 40, "response_format": OBJECT}, thinking("reasoning_content"),
        {**PLAIN, "cached_tokens": 4}, "choice", reads=Usage(7, 5, 4), thought="Hm.",
    ),
    "openrouter": Golden(
        {**ASKED, "max_tokens": 40, "response_format": STRICT}, DETAILS,
        {**THOUGHT, "cost": 0.1, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1}},
        reads=Usage(7, 5, 4, 1, 2), thought="Hm.", comment=b": OPENROUTER PROCESSING\n\n",
    ),
    "perplexity": Golden(
        {"stream": True, "max_tokens": 40, "response_format": STRICT}, SPOKEN, {**PLAIN, "search_context_size": "low"},
        "every",
    ),
    "qwen": Golden(
        {**ASKED, "max_tokens": 40, "response_format": OBJECT}, thinking("reasoning_content"), THOUGHT,
        reads=WITH_THOUGHT, thought="Hm.",
    ),
    "together": Golden({**ASKED, "max_tokens": 40, "response_format": STRICT}, SPOKEN, counts="last", reason="eos"),
    "xai": Golden(
        {**ASKED, "max_completion_tokens": 40, "response_format": STRICT}, thinking("reasoning_content"), OUTSIDE,
        reads=Usage(7, 7, reasoning_tokens=2), thought="Hm.",
    ),
    "zhipu": Golden(
        {**ASKED, "max_tokens": 40, "response_format": OBJECT}, thinking("reasoning_content"),
        {**PLAIN, "prompt_tokens_details": {"cached_tokens": 0}}, "last", reads=Usage(7, 5, 0), thought="Hm.",
    ),
    "litellm": Golden(
        {**ASKED, "max_tokens": 40, "response_format": STRICT}, thinking("reasoning_content"), THOUGHT,
        reads=WITH_THOUGHT, thought="Hm.",
    ),
    "llamacpp": Golden(
        {**ASKED, "max_tokens": 40, "response_format": STRICT}, thinking("reasoning_content"), thought="Hm.",
    ),
    "lmstudio": Golden({**ASKED, "max_tokens": 40, "response_format": STRICT}, SPOKEN),
    "sglang": Golden(
        {**ASKED, "max_tokens": 40, "response_format": STRICT}, thinking("reasoning_content"),
        {**PLAIN, "prompt_tokens_details": None}, thought="Hm.",
    ),
    "tgi": Golden({**ASKED, "max_tokens": 40, "response_format": VALUE}, SPOKEN, reason="eos_token"),
    "transformers": Golden({"stream": True, "max_tokens": 40}, SPOKEN, counts="last"),
    "vllm": Golden(
        {**ASKED, "max_tokens": 40, "response_format": STRICT}, thinking("reasoning"),
        {**PLAIN, "prompt_tokens_details": None}, thought="Hm.",
    ),
}  # fmt: skip


def made(name: str) -> OpenAI:
    kind: type[OpenAI] = getattr(hosts, name)
    return kind(name, Settings() if address(HOSTS[name].base_url).loopback else Settings(api_key="k" * 20))


def streamed(golden: Golden) -> bytes:
    """The stream as the host would send it."""
    chunks = [chunk(delta, None, golden) for delta in golden.deltas]
    last = chunk({}, golden.reason, golden)
    match golden.counts:
        case "last":
            last["usage"] = golden.usage
        case "choice":
            last["choices"][0]["usage"] = golden.usage
        case "x_groq":
            last["x_groq"] = {"id": "req_1", "usage": golden.usage}
        case "apart":
            chunks.append(last)
            last = {**chunk({}, None, golden), "choices": [], "usage": golden.usage}
    return golden.comment + events(*chunks, last, *(["[DONE]"] if golden.done else []))


def chunk(delta: dict[str, Any], reason: str | None, golden: Golden) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    figures = {"usage": golden.usage} if golden.counts == "every" else {}
    return {"id": "r-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice], **figures}


def whole(golden: Golden) -> bytes:
    """The same reply in one body."""
    message: dict[str, Any] = {}
    for delta in golden.deltas:
        for name, value in delta.items():
            message[name] = message.get(name, type(value)()) + value
    choice = {"index": 0, "message": message, "finish_reason": golden.reason}
    return json.dumps({"id": "r-1", "model": "m-1", "choices": [choice], "usage": golden.usage}).encode()


def test_every_host_is_here() -> None:
    assert set(GOLDEN) == set(HOSTS)


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_host_is_sent(name: str) -> None:
    bound = {} if HOSTS[name].schema == "none" else {"schema": SCHEMA}
    turns = (Message("system", "Be brief."), Message("user", "Hi!"))
    request = Request("m", turns, stream=True, max_tokens=40, **bound)
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
    assert sent(made(name), request) == {"model": "m", "messages": said, **GOLDEN[name].sent}


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_host_says(name: str) -> None:
    """Whole or streamed, in one piece or byte by byte, it is the same reply."""
    golden, provider = GOLDEN[name], made(name)
    reply = fold(provider, whole(golden))
    assert (reply.text, reply.reasoning, reply.usage) == ("Hello!", golden.thought, golden.reads)
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.raw_reason) == ("stop", golden.reason)
    assert (reply.id, reply.model, reply.warnings) == ("r-1", "m-1", [])
    for size in (0, 1, 7):
        assert shown(fold(provider, streamed(golden), streamed=True, size=size)) == shown(reply)
