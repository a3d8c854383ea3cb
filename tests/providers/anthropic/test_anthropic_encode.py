"""Requests as they go over the wire: golden bodies, and what the service's own description says to them."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import ConfigError, InputError, MissingKey, Unsupported
from llmsdk.types import Media, Message, Part, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.anthropic import Anthropic, Settings, schema
from llmsdk_providers.anthropic.encode import STATE
from llmsdk_providers.anthropic.models import known

KEY = "sk-ant-canary-0123456789"
PROVIDER = Anthropic("anthropic", Settings(api_key=KEY))  # type: ignore[arg-type]
MODEL = "claude-sonnet-4-5"
HI = (Message("user", "Hi!"),)
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CLOSED = {**PERSON, "additionalProperties": False}
FREE = {"type": "object", "additionalProperties": {"type": "integer"}}
WEATHER = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "Tells the weather.")
SIGNED = Reasoning("Hm.", {STATE: {"type": "thinking", "signature": "c2ln"}})
HIDDEN = Reasoning("", {STATE: {"type": "redacted_thinking", "data": "ZGF0YQ=="}})


def body(*messages: Message, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    request = PROVIDER.encode(Request(model, messages or HI, **fields))
    sent: dict[str, Any] = json.loads(request.body)
    return sent


def turns(*messages: Message, **fields: Any) -> Any:
    return body(*messages, **fields)["messages"]


def test_the_least_that_is_sent() -> None:
    request = PROVIDER.encode(Request(MODEL, "Hi!"))
    assert request.url == "https://api.anthropic.com/v1/messages"
    headers = dict(request.headers)
    assert headers[b"x-api-key"] == KEY.encode()
    assert headers[b"anthropic-version"] == b"2023-06-01"
    assert b"authorization" not in headers
    assert b"anthropic-beta" not in headers
    hello = [{"role": "user", "content": "Hi!"}]
    assert json.loads(request.body) == {"model": MODEL, "messages": hello, "max_tokens": 16_384}


def test_every_option() -> None:
    fields = body(
        Message("system", "Be brief."), *HI, Message("system", "And kind."), stream=True, max_tokens=5, temperature=0.5,
        top_p=0.9, top_k=40, stop=("END", "\n\n"), extra_body={"metadata": {"user_id": "u"}},
    )  # fmt: skip
    assert fields == {
        "model": MODEL, "messages": [{"role": "user", "content": "Hi!"}], "system": "Be brief.\n\nAnd kind.",
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop_sequences": ["END", "\n\n"],
        "stream": True, "metadata": {"user_id": "u"},
    }  # fmt: skip


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["https://h.example", "https://h.example/", "https://h.example/v1"])
def test_the_address_with_its_version_or_without(base: str) -> None:
    provider = Anthropic("acme", Settings(base_url=base, api_key=KEY))  # type: ignore[arg-type]
    assert provider.encode(Request("m", HI)).url == "https://h.example/v1/messages"


def test_settings_that_show_in_requests() -> None:
    provider = Anthropic("a", Settings(api_key=KEY, beta=("one", "two"), max_tokens=99, version="2030-01-01"))  # type: ignore[arg-type]
    request = provider.encode(Request(MODEL, HI))
    headers = dict(request.headers)
    assert (headers[b"anthropic-beta"], headers[b"anthropic-version"]) == (b"one,two", b"2030-01-01")
    assert json.loads(request.body)["max_tokens"] == 99
    assert KEY not in repr(provider) + repr(provider.host) + repr(provider.settings) + repr(request)


@pytest.mark.parametrize("end", ["/v1/messages", "/messages", "/v1/messages/count_tokens", "/v1/complete"])
def test_the_dialect_s_own_path_in_base_url(end: str) -> None:
    with pytest.raises(ConfigError, match="ends in"):
        Anthropic("a", Settings(base_url=f"https://h.example{end}", api_key=KEY))  # type: ignore[arg-type]


def test_no_key() -> None:
    with pytest.raises(MissingKey) as caught:
        Anthropic("anthropic", Settings())
    assert "ANTHROPIC_API_KEY" in caught.value.hint


# --- messages -----------------------------------------------------------------------------------------------------


def test_a_conversation_with_tools_and_thoughts_goes_back_in_order() -> None:
    call, other = ToolCall("c1", "weather", '{"city":"Rome"}'), ToolCall("c2", "weather", "")
    between = Reasoning(
        "", {STATE: {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}}
    )
    answer = Message("assistant", (SIGNED, HIDDEN, Text("Let me look."), call, between, SIGNED, other))
    results = Message("tool", (ToolResult("c1", "sunny"),)), Message("tool", (ToolResult("c2", "boom", is_error=True),))
    assert turns(*HI, answer, *results, Message("user", "Well?")) == [
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "tool_use", "id": "c2", "name": "weather", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "c2", "content": "boom", "is_error": True},
            {"type": "text", "text": "Well?"},
        ]},
    ]  # fmt: skip


def test_results_stand_before_what_the_user_says() -> None:
    mixed = Message("user", (Text("Here:"), ToolResult("c1", "42")))
    call = Message("assistant", (ToolCall("c1", "f", "{}"),))
    assert [block["type"] for block in turns(*HI, call, mixed)[2]["content"]] == ["tool_result", "text"]


def test_what_another_provider_thought_stays_behind() -> None:
    foreign = Message("assistant", (Reasoning("Hm.", {"openai.message": {"x": 1}}), Reasoning("m"), Text("Yes.")))
    assert turns(*HI, foreign)[1] == {"role": "assistant", "content": "Yes."}


def test_calls_of_other_hosts_and_broken_ones() -> None:
    call = ToolCall("call:1/a", "f", '{"x": ', {STATE: {"caller": {"type": "direct"}}})
    sent = turns(*HI, Message("assistant", (call,)), Message("tool", (ToolResult("call:1/a", "no"),)))
    assert sent[1]["content"] == [
        {
            "type": "tool_use",
            "id": "call_1_a",
            "name": "f",
            "input": {"INVALID_JSON": '{"x": '},
            "caller": {"type": "direct"},
        }
    ]
    assert sent[2]["content"][0]["tool_use_id"] == "call_1_a"


def test_cited_text_goes_back_with_its_sources() -> None:
    sources = Reasoning("", {STATE: {"type": "text", "citations": [{"cited_text": "x"}]}})
    answer = Message("assistant", (Text("So: "), sources, Text("x"), Text(".")))
    assert turns(*HI, answer)[1]["content"] == [
        {"type": "text", "text": "So: "},
        {"type": "text", "text": "x", "citations": [{"cited_text": "x"}]},
        {"type": "text", "text": "."},
    ]


def test_media() -> None:
    parts = (
        Text("What is it?"), Media("image/png", b"png"), Media("image/jpeg", url="https://h.example/a.jpg"),
        Media("application/pdf", b"pdf", name="a.pdf"), Media("application/pdf", url="https://h.example/a.pdf"),
        Media("text/plain", b"words"),
    )  # fmt: skip
    data = b64encode(b"png").decode()
    assert turns(Message("user", parts))[0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image", "source": {"type": "url", "url": "https://h.example/a.jpg"}},
        {"type": "document", "title": "a.pdf",
         "source": {"type": "base64", "media_type": "application/pdf", "data": b64encode(b"pdf").decode()}},
        {"type": "document", "source": {"type": "url", "url": "https://h.example/a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
    ]  # fmt: skip
    with pytest.raises(Unsupported, match="audio/wav"):
        turns(Message("user", (Media("audio/wav", b"x"),)))


@pytest.mark.parametrize(
    "messages",
    [
        (Message("user", ""),),
        (Message("system", "Be brief."),),
        (Message("tool", "42"),),
        (Message("system", (Media("image/png", b"x"),)), *HI),
    ],
)
def test_conversations_that_cannot_be(messages: tuple[Message, ...]) -> None:
    with pytest.raises(InputError) as caught:
        turns(*messages)
    assert caught.value.hint


def test_a_reply_without_words_is_no_turn() -> None:
    assert turns(*HI, Message("assistant", ""), Message("user", "Hello?")) == [
        {"role": "user", "content": "Hi!"}, {"role": "user", "content": "Hello?"},
    ]  # fmt: skip


# --- tools --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("weather", False, {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tools(choice: str | None, parallel: bool | None, expected: Any) -> None:
    sent = body(tools=(WEATHER, Tool("now", {}, strict=True)), tool_choice=choice, parallel_tool_calls=parallel)
    assert sent.get("tool_choice") == expected
    assert sent["tools"] == [
        {"name": "weather", "description": "Tells the weather.", "input_schema": WEATHER.parameters},
        {"name": "now", "input_schema": {"type": "object"}, "strict": True},
    ]


# --- schemas ------------------------------------------------------------------------------------------------------


def test_a_schema_binds_the_reply_where_the_model_can() -> None:
    sent = body(schema=PERSON)
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    assert "tools" not in sent
    both = body(schema=PERSON, model="claude-opus-4-6", reasoning="high")["output_config"]
    assert both == {"effort": "high", "format": {"type": "json_schema", "schema": CLOSED}}


@pytest.mark.parametrize(
    ("model", "given"), [("claude-3-5-haiku-20241022", PERSON), (MODEL, FREE), ("kimi-k2", PERSON)]
)
def test_else_it_is_that_of_a_tool(model: str, given: dict[str, Any]) -> None:
    sent = body(model=model, schema=given, schema_name="list[int]")
    assert sent["tools"] == [{"name": "list_int_", "description": "Give the answer.", "input_schema": given}]
    assert sent["tool_choice"] == {"type": "tool", "name": "list_int_", "disable_parallel_tool_use": True}
    assert "output_config" not in sent
    assert PROVIDER.capabilities("kimi-k2").schema == "json"


def test_a_tool_s_schema_is_an_object() -> None:
    numbers = {"type": "array", "items": {"$ref": "#/$defs/N"}, "$defs": {"N": {"type": "integer"}}}
    sent = body(model="claude-3-5-haiku-20241022", schema=numbers, tools=(WEATHER,))
    assert sent["tools"][1]["input_schema"] == {
        "type": "object", "required": ["value"], "$defs": {"N": {"type": "integer"}},
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/N"}}},
    }  # fmt: skip
    assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


def test_a_tool_cannot_be_forced_while_the_model_thinks() -> None:
    for model, fields in (("claude-opus-4-1", {"reasoning": "low"}), ("claude-fable-5-1", {})):
        with pytest.raises(Unsupported, match="schema"):
            body(model=model, schema=FREE, **fields)


def test_schemas_in_the_host_s_form() -> None:
    given = {
        "type": "object", "title": "T", "required": ["n"], "$defs": {"E": {"enum": ["a", "b"]}},
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."},
            "e": {"$ref": "#/$defs/E", "default": "a"},
            "u": {"oneOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
            "s": {"type": "string", "format": "password"},
            "l": {"type": "array", "items": PERSON, "minItems": 1},
        },
    }  # fmt: skip
    assert schema.bound(given) == {
        "type": "object", "title": "T", "required": ["n"], "$defs": {"E": {"enum": ["a", "b"]}},
        "additionalProperties": False,
        "properties": {
            "n": {"type": "integer", "description": 'How many. {"minimum":1,"maximum":9}'},
            "e": {"$ref": "#/$defs/E"},
            "u": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
            "s": {"type": "string", "description": '{"format":"password"}'},
            "l": {"type": "array", "items": CLOSED, "minItems": 1},
        },
    }  # fmt: skip
    tree = {"$ref": "#/$defs/T", "$defs": {"T": {
        "type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]}},
    }}}  # fmt: skip
    root = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    for open_one in (FREE, tree, root, {"type": "object"}, {}, {"type": ["string", "null"]}):
        assert schema.bound(open_one) is None


# --- thinking -----------------------------------------------------------------------------------------------------


ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("model", "wish", "thinking", "effort", "limit"),
    [
        (MODEL, None, None, None, 16_384),
        (MODEL, False, None, None, 16_384),
        (MODEL, "low", {"type": "enabled", "budget_tokens": 2048}, None, 18_432),
        (MODEL, True, {"type": "enabled", "budget_tokens": 8192}, None, 24_576),
        (MODEL, 100, {"type": "enabled", "budget_tokens": 1024}, None, 17_408),
        ("claude-opus-4-1", "high", {"type": "enabled", "budget_tokens": 16_000}, None, 32_000),
        ("claude-opus-4-6", 5000, {"type": "enabled", "budget_tokens": 5000}, None, 21_384),
        ("claude-opus-4-6", "low", ADAPTIVE, "low", 16_384),
        ("claude-sonnet-5", True, ADAPTIVE, None, 16_384),
        ("claude-sonnet-5", False, {"type": "disabled"}, None, 16_384),
        ("claude-opus-5-5", "medium", ADAPTIVE, "medium", 16_384),
        ("claude-3-5-sonnet-20240620", None, None, None, 8192),
    ],
)
def test_thinking(model: str, wish: Any, thinking: Any, effort: str | None, limit: int) -> None:
    sent = body(model=model, reasoning=wish)
    assert sent.get("thinking") == thinking
    assert sent.get("output_config", {}).get("effort") == effort
    assert sent["max_tokens"] == limit


def test_a_budget_is_part_of_the_limit() -> None:
    assert body(reasoning="high", max_tokens=3000)["thinking"]["budget_tokens"] == 1500
    for wish, limit in (("high", 1000), (4096, 4096)):
        with pytest.raises(InputError, match="no room") as caught:
            body(reasoning=wish, max_tokens=limit)
        assert "max_tokens" in caught.value.hint


@pytest.mark.parametrize(
    ("model", "wish"),
    [
        ("claude-3-5-haiku-20241022", "low"),
        ("claude-opus-4-7", 4096),
        ("claude-fable-5", False),
        ("claude-opus-5-5", False),
    ],
)
def test_thinking_that_a_model_lacks(model: str, wish: Any) -> None:
    with pytest.raises(Unsupported) as caught:
        body(model=model, reasoning=wish)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [
        ("claude-sonnet-4-5-20250929", "sonnet", (4, 5)), ("claude-opus-4-20250514", "opus", (4, 0)),
        ("claude-3-5-sonnet-20240620", "sonnet", (3, 5)), ("claude-3-opus-20240229", "opus", (3, 0)),
        ("anthropic/claude-haiku-4-5@20251001", "haiku", (4, 5)), ("claude-4-opus-20250514", "opus", (4, 0)),
        ("claude-mythos-preview", "mythos", (5, 0)), ("claude-fable-5-1", "fable", (5, 1)),
        ("claude-2.1", "", None), ("kimi-k2", "", None),
    ],
)  # fmt: skip
def test_names_of_models(name: str, family: str, version: tuple[int, int] | None) -> None:
    assert (known(name).family, known(name).version) == (family, version)


def test_sampling_is_declared_where_it_is_taken() -> None:
    assert "temperature" in PROVIDER.capabilities("claude-sonnet-4-6").options
    assert "temperature" not in PROVIDER.capabilities("claude-opus-4-7").options
    newer = Anthropic("a", Settings(api_key=KEY, version="2026-10-21"))  # type: ignore[arg-type]
    assert "temperature" not in newer.capabilities("claude-sonnet-4-6").options
    with pytest.raises(InputError, match="temperature"):
        body(temperature=1.5)


# --- the service's own description --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def spec(shared: Path) -> Any:
    """The description, without its beta, which has other types of the same names."""
    whole = json.loads((shared / "specs/anthropic.openapi.yaml").read_text("utf-8"))
    return {**whole, "paths": {path: rest for path, rest in whole["paths"].items() if "?beta" not in path}}


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
IDS = st.sampled_from(["c1", "c2"])
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, TEXTS), st.just(SIGNED), st.just(HIDDEN),
    st.builds(ToolCall, IDS, st.just("weather"), st.just('{"city":"Rome"}')),
)  # fmt: skip
MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["user", "system"]), TEXTS),
        st.builds(Message, st.just("assistant"), st.lists(PARTS, min_size=1, max_size=4).map(tuple)),
        st.builds(Message, st.just("tool"), st.tuples(st.builds(ToolResult, IDS, TEXTS))),
        st.just(Message("user", (Text("x"), Media("image/png", b"x"), Media("application/pdf", b"x")))),
    ),
    max_size=4,
).map(tuple)


@settings(max_examples=30)  # a validator is built anew for each
@given(
    messages=MESSAGES, stream=st.booleans(), reasoning=st.sampled_from([None, "low", True, 2000, False]),
    model=st.sampled_from([MODEL, "claude-opus-4-6", "claude-3-7-sonnet-20250219"]),
    tools=st.sampled_from([(), (WEATHER,)]), choice=st.sampled_from([None, "auto", "required", "weather"]),
    parallel=st.sampled_from([None, False]), schema=st.sampled_from([None, PERSON]),
)  # fmt: skip
def test_requests_are_valid_by_the_service_s_own_description(
    shared_data: Path, messages: tuple[Message, ...], stream: bool, reasoning: Any, model: str, tools: Any,
    choice: str | None, parallel: bool | None, schema: Any,
) -> None:  # fmt: skip
    pytest.importorskip("jsonschema", reason="requests are validated with jsonschema")
    fields = {"reasoning": reasoning, "tools": tools, "tool_choice": choice if tools else None, "schema": schema}
    request = Request(model, (*messages, *HI), stream=stream, parallel_tool_calls=parallel, **fields)
    if reasoning not in (None, False) and schema and model.startswith("claude-3"):
        with pytest.raises(Unsupported):
            PROVIDER.encode(request)
        return
    sent = json.loads(PROVIDER.encode(request).body)
    # the reader of descriptions leaves out what is called "format", as most of it is that of a string
    form = sent.get("output_config", {}).pop("format", None)
    assert form == (
        None if schema is None or model.startswith("claude-3") else {"type": "json_schema", "schema": CLOSED}
    )
    reader: Any = recorded._reader(shared_data)
    assert reader.validate_request(spec(shared_data), "POST", "/v1/messages", sent) == []
