"""Requests as they go over the wire, written out by hand."""

from __future__ import annotations

import copy
import json
import pickle
import pprint
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from llmsdk.errors import ConfigError, InputError, MissingKey, Unsupported
from llmsdk.provider import Counts, Embeds, Lists
from llmsdk.types import Media, Message, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.openai import OpenAI, Settings
from llmsdk_providers.openai.encode import STATE

KEY = "sk-test-0123456789abcdefXYZ"
HI = (Message("user", "Hi!"),)
CLOSED: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def provider(**settings: Any) -> OpenAI:
    return OpenAI("openai", Settings(api_key=KEY, **settings))


def host(**settings: Any) -> OpenAI:
    """A config-only host."""
    return OpenAI("acme", Settings(base_url="http://127.0.0.1:8000/v1", **settings))


def body(request: Request, using: OpenAI | None = None) -> dict[str, Any]:
    encoded = json.loads((using or provider()).encode(request).body)
    assert isinstance(encoded, dict)
    return encoded


def test_the_least() -> None:
    request = provider().encode(Request("gpt-4o", HI))
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert json.loads(request.body) == {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi!"}]}
    assert dict(request.headers) == {
        b"content-type": b"application/json",
        b"user-agent": b"llmsdk",
        b"authorization": f"Bearer {KEY}".encode(),
    }
    assert request.secrets == (KEY,)


def test_everything() -> None:
    request = Request(
        "m", HI, stream=True, max_tokens=7, temperature=0.0, top_p=0.5, top_k=3, min_p=0.1, stop=("a", "b"), seed=1,
        n=2, frequency_penalty=0.25, presence_penalty=-0.5, repetition_penalty=1.1, logit_bias={5: -100, 6: 2.5},
        logprobs=3, parallel_tool_calls=False, tools=(Tool("f", PARAMETERS, "Does.", True),), tool_choice="f",
        schema={"type": "object", "properties": {}}, schema_name="a b", reasoning="low",
    )  # fmt: skip
    assert body(request, host()) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi!"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "stop": ["a", "b"],
        "seed": 1,
        "n": 2,
        "frequency_penalty": 0.25,
        "presence_penalty": -0.5,
        "repetition_penalty": 1.1,
        "logit_bias": {"5": -100, "6": 2.5},
        "logprobs": True,
        "top_logprobs": 3,
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "Does.", "parameters": PARAMETERS, "strict": True},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a_b", "schema": CLOSED, "strict": True},
        },
        "reasoning_effort": "low",
    }


def test_a_conversation_with_tools() -> None:
    turns = (
        Message("system", "Be brief."),
        Message("user", (Text("How is "), Text("the weather?"))),
        Message(
            "assistant", (Text("Let me look."), ToolCall("c1", "look", '{"city":"Paris"}'), ToolCall("c2", "f", ""))
        ),
        Message("tool", (ToolResult("c1", "sunny"), ToolResult("c2", "25"))),
        Message("assistant", (ToolCall("c3", "look", "{}"),)),
        Message("tool", (ToolResult("c3", ""),)),
        Message("user", (ToolResult("c4", "late"), Text("And now?"))),
    )
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Paris"}'}},
        {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]
    third = [{"id": "c3", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert body(Request("m", turns))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "25"},
        {"role": "assistant", "tool_calls": third},
        {"role": "tool", "tool_call_id": "c3", "content": ""},
        {"role": "tool", "tool_call_id": "c4", "content": "late"},
        {"role": "user", "content": "And now?"},
    ]


def test_reasoning_goes_back_only_where_this_dialect_left_something_to_send() -> None:
    details = [{"type": "reasoning.encrypted", "data": "abc"}]
    thought = Reasoning("Hm.", {STATE: {"host": "127.0.0.1:8000", "reasoning_details": details}})
    said = (*HI, Message("assistant", (thought, Text("Yes."))), *HI)
    assert body(Request("m", said), host())["messages"][1] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_details": details,
    }
    plain = {"role": "assistant", "content": "Yes."}
    assert body(Request("m", said), provider())["messages"][1] == plain  # another host would not know the field
    foreign = Reasoning("Hm.", {"another.provider": {"signature": "abc"}})
    said = (*HI, Message("assistant", (foreign, Text("Yes."))), *HI)
    assert body(Request("m", said), host())["messages"][1] == plain


def test_a_calls_signature_goes_back_to_the_host_that_made_it() -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    made = ToolCall("c1", "look", "{}", {STATE: {"host": "127.0.0.1:8000", "extra_content": extra}})
    said = (*HI, Message("assistant", (made,)), Message("tool", (ToolResult("c1", "sunny"),)))
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert body(Request("m", said), host())["messages"][1]["tool_calls"] == [{**call, "extra_content": extra}]
    assert body(Request("m", said), provider())["messages"][1]["tool_calls"] == [call]


# --- media --------------------------------------------------------------------------------------------------------


def test_images_recordings_and_pdfs() -> None:
    turn = Message("user", (
        Text("What is this?"), Media("image/png", b"\x89PNG"), Media("image/jpeg", url="https://host.example/a.jpg"),
        Media("audio/mpeg", b"ID3"), Media("audio/x-wav", b"RIFF"), Media("application/pdf", b"%PDF"),
        Media("application/pdf", b"%PDF", name="bill.pdf"),
    ))  # fmt: skip
    pdf = "data:application/pdf;base64,JVBERg=="
    assert body(Request("m", (turn,)))["messages"] == [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "https://host.example/a.jpg"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": pdf}},
        {"type": "file", "file": {"filename": "bill.pdf", "file_data": pdf}},
    ]}]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "media", "kind", "said"),
    [
        ("user", Media("video/mp4", b"x"), Unsupported, "video/mp4"),
        ("user", Media("audio/flac", b"x"), Unsupported, "audio/flac"),
        ("user", Media("application/pdf", url="https://host.example/a.pdf"), Unsupported, "a URL of application/pdf"),
        ("user", Media("audio/wav", url="https://host.example/a.wav"), Unsupported, "a URL of audio/wav"),
        ("assistant", Media("image/png", b"x"), InputError, "'assistant' holds media"),
    ],
)
def test_media_that_cannot_be_sent(role: Any, media: Media, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as refused:
        body(Request("m", (Message(role, (Text("a"), media)),)))
    assert refused.value.hint  # type: ignore[attr-defined]


def test_a_tools_message_must_say_which_call_it_answers() -> None:
    for content in ("sunny", (Text("sunny"),)):
        with pytest.raises(InputError, match="which call"):
            body(Request("m", (*HI, Message("tool", content))))


@pytest.mark.parametrize(
    ("settings", "model", "field"),
    [
        ({}, "gpt-4o", "max_completion_tokens"),
        ({"max_tokens_field": "max_tokens"}, "gpt-4o", "max_tokens"),
        ({"base_url": "https://host.example/v1"}, "m", "max_tokens"),
        (
            {"base_url": "https://host.example/v1", "max_tokens_field": "max_completion_tokens"},
            "m",
            "max_completion_tokens",
        ),
        ({"base_url": "https://eu.api.openai.com/v1"}, "gpt-4o", "max_completion_tokens"),
    ],
)
def test_the_name_of_the_limit(settings: dict[str, Any], model: str, field: str) -> None:
    assert body(Request(model, HI, max_tokens=9), provider(**settings)) == {
        "model": model,
        "messages": [{"role": "user", "content": "Hi!"}],
        field: 9,
    }


def test_raw_completions() -> None:
    request = Request(
        "gpt-3.5-turbo-instruct", "Once", suffix=" end", max_tokens=4, n=2, echo=True, logprobs=0, stream=True
    )
    encoded = provider().encode(request)
    assert encoded.url == "https://api.openai.com/v1/completions"
    assert json.loads(encoded.body) == {
        "model": "gpt-3.5-turbo-instruct",
        "prompt": "Once",
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "max_tokens": 4,
        "suffix": " end",
        "echo": True,
        "logprobs": 0,
    }
    assert body(Request("gpt-4o", "Once"))["messages"] == [{"role": "user", "content": "Once"}]
    assert host(complete=True).encode(Request("m", "Once")).url.endswith("/v1/completions")
    assert host().encode(Request("m", "Once")).url.endswith("/v1/chat/completions")


# --- what the caller adds -----------------------------------------------------------------------------------------


def test_extras_reach_the_wire_untouched_and_win() -> None:
    request = Request(
        "m", HI, temperature=1.0, idempotency_key="k-1",
        extra_headers={"X-New": "yes", "Authorization": "Basic abc"}, extra_body={"temperature": 0.2, "new": [1, None]},
    )  # fmt: skip
    encoded = provider().encode(request)
    sent = json.loads(encoded.body)
    assert (sent["temperature"], sent["new"]) == (0.2, [1, None])
    assert dict(encoded.headers)[b"x-new"] == b"yes"
    assert [value for name, value in encoded.headers if name == b"authorization"] == [b"Basic abc"]
    assert dict(encoded.headers)[b"idempotency-key"] == b"k-1"


def test_settings_headers_organization_and_project() -> None:
    using = provider(organization="org-1", project="proj-1", headers={"X-Team": "a", "User-Agent": "mine"})
    headers = dict(using.encode(Request("m", HI)).headers)
    assert headers[b"openai-organization"] == b"org-1"
    assert headers[b"openai-project"] == b"proj-1"
    assert headers[b"x-team"] == b"a"
    assert headers[b"user-agent"] == b"mine"


@pytest.mark.parametrize("headers", [{"X": "a\r\nHost: b"}, {"X\n": "a"}, {"X:": "a"}, {"X": "ä"}, {"": "a"}])
def test_headers_that_no_wire_takes(headers: dict[str, str]) -> None:
    with pytest.raises(InputError, match="header"):
        provider().encode(Request("m", HI, extra_headers=headers))
    with pytest.raises(ConfigError, match="header"):
        provider(headers=headers)


def test_text_and_extras_that_no_json_takes() -> None:
    for request in (Request("m", (Message("user", "\ud800"),)), Request("m", HI, extra_body={"x": object()})):
        with pytest.raises(InputError, match="JSON"):
            provider().encode(request)


@given(
    st.builds(
        Request,
        st.text(max_size=8),
        st.tuples(st.builds(Message, st.sampled_from(["user", "system", "assistant"]), st.text(max_size=20))),
        stream=st.booleans(),
        max_tokens=st.none() | st.integers(1, 99),
        temperature=st.none() | st.floats(0, 2),
        stop=st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple),
        seed=st.none() | st.integers(0, 2**40),
        n=st.integers(1, 3),
        logprobs=st.none() | st.integers(0, 5),
        reasoning=st.none() | st.sampled_from(["low", "high"]),
        tool_choice=st.none() | st.sampled_from(["auto", "f"]),
        tools=st.sampled_from([(), (Tool("f", PARAMETERS),)]),
    )
)
def test_no_field_is_ever_null(request: Request) -> None:
    encoded = from_json(host().encode(request).body)
    assert encoded["messages"] == [{"role": m.role, "content": m.text} for m in request.messages]
    assert list(_nulls(encoded)) == []


def _nulls(value: Any) -> Any:
    if value is None:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _nulls(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nulls(item)


# --- schemas ------------------------------------------------------------------------------------------------------


def test_hosts_that_know_no_schema() -> None:
    request = Request("m", HI, schema=CLOSED)
    assert body(request, host(schema="json"))["response_format"] == {"type": "json_object"}
    with pytest.raises(Unsupported, match="schema"):
        host(schema="none").encode(request)


# --- reasoning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wish", "effort"),
    [
        ("gpt-5", "low", "low"),
        ("gpt-5", True, None),
        ("gpt-5", False, "minimal"),
        ("gpt-5.2", False, "none"),
        ("gpt-4o", False, None),
        ("o3", "high", "high"),
    ],
)
def test_reasoning_effort(model: str, wish: Any, effort: str | None) -> None:
    assert body(Request(model, HI, reasoning=wish)).get("reasoning_effort") == effort


def test_reasoning_that_cannot_be_said() -> None:
    for model, wish in (("gpt-5", 1000), ("o3", False)):
        with pytest.raises(Unsupported) as refused:
            body(Request(model, HI, reasoning=wish))
        assert refused.value.hint
    assert body(Request("m", HI, reasoning=False), host())["reasoning_effort"] == "none"


# --- capabilities -------------------------------------------------------------------------------------------------


def test_what_openais_models_can_do() -> None:
    can = provider().capabilities
    assert (can("gpt-4o").logprobs, can("gpt-4o").schema, can("gpt-4o").tools, can("gpt-4o").complete) == (
        20, "strict", True, False,
    )  # fmt: skip
    for model in ("o1", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5.2", "ft:o4-mini:x"):
        assert can(model).logprobs == 0
        assert "reasoning" in can(model).options
        assert not {"temperature", "top_p", "stop"} & can(model).options
    assert {"temperature", "n"} <= can("gpt-5-chat-latest").options
    assert (can("gpt-3.5-turbo-instruct").complete, can("gpt-3.5-turbo-instruct").suffix) == (True, True)
    assert (can("babbage-002").complete, can("davinci-002").suffix, can("gpt-3.5-turbo").complete) == (
        True,
        False,
        False,
    )


def test_what_other_hosts_can_do_is_said_by_the_settings() -> None:
    can = host().capabilities("gpt-4o")
    assert (can.schema, can.logprobs, can.tools, can.complete) == ("strict", 0, True, False)
    told = host(
        schema="json", logprobs=5, tools=False, complete=True, suffix=True, options=["n", "top_k"], context=4096
    ).capabilities("any")
    assert (told.schema, told.logprobs, told.tools, told.complete, told.suffix) == ("json", 5, False, True, True)
    assert {"n", "top_k", "echo"} <= told.options
    assert told.context == 4096
    assert not host(suffix=True).capabilities("any").suffix


def test_it_offers_the_optional_protocols() -> None:
    assert isinstance(provider(), Embeds)
    assert isinstance(provider(), Lists)
    assert isinstance(provider(), Counts)


# --- keys and addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "  "])
def test_no_key(key: str | None) -> None:
    with pytest.raises(MissingKey) as missing:
        OpenAI("openai", Settings(api_key=key))
    assert "OPENAI_API_KEY" in missing.value.hint
    assert "[providers.openai] api_key" in missing.value.hint
    assert missing.value.hint.endswith('to try without a key use "local:pocket"')
    with pytest.raises(MissingKey, match="ACME_EU_API_KEY"):
        OpenAI("acme-eu", Settings(api_key=key, base_url="https://host.example/v1"))


@pytest.mark.parametrize(
    "key",
    ["Bearer sk-secret", "sk secret", "sk-secret\n", "sk\0secret", "sk-sécret", '"sk-secret"', "sk-secret\r\nX: y"],
)
def test_keys_that_cannot_be_sent_are_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        OpenAI("openai", Settings(api_key=key))
    assert "cret" not in f"{refused.value!r} {refused.value} {refused.value.__dict__}"


def test_a_key_is_needed_where_the_host_is_another_machine() -> None:
    for url in ("http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:8000/v1", "https://a.localhost"):
        request = OpenAI("acme", Settings(base_url=url)).encode(Request("m", HI))
        assert b"authorization" not in dict(request.headers)
    assert OpenAI("acme", Settings(base_url="https://host.example", key_required=False))
    with pytest.raises(MissingKey):
        OpenAI("acme", Settings(base_url="http://127.0.0.1/v1", key_required=True))


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://host.example/v1/", "https://host.example/v1/chat/completions"),
        ("https://host.example", "https://host.example/chat/completions"),
        ("https://host.example:8443/a/b//", "https://host.example:8443/a/b/chat/completions"),
    ],
)
def test_base_url_is_what_precedes_the_path(url: str, sent: str) -> None:
    assert provider(base_url=url).encode(Request("m", HI)).url == sent


@pytest.mark.parametrize(
    "url",
    [
        "host.example/v1", "ftp://host.example", "https://", "https://host.example/v1?key=1", "https://host.example/v1#x",
        "https://user:pass@host.example/v1", "https://host.example/v1/chat/completions", "https://host.example/v1/models/",
        "https://host.example:port/v1", "https://ho st.example/v1", "https://höst.example/v1", "http://host.example/v1",
        "http://127.0.0.1.evil.example/v1", "http://localhost.evil.example/v1",
    ],
)  # fmt: skip
def test_base_urls_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        provider(base_url=url)
    assert refused.value.hint
    assert KEY not in str(refused.value)
    assert "pass" not in str(refused.value)


def test_plain_http_only_when_allowed() -> None:
    assert provider(base_url="http://10.0.0.1/v1", allow_plain_http=True)
    assert OpenAI("acme", Settings(base_url="http://10.0.0.1/v1", key_required=False))


def test_the_key_shows_nowhere() -> None:
    other = "second-secret-9876543210"
    using = provider(headers={"X-Api-Key": other, "x-plain": "plain"})
    assert using.encode(Request("m", HI)).secrets == (KEY, other)
    assert other not in pprint.pformat(vars(using))
    assert other not in str(using.error(500, {}, f"you sent {other}".encode()))
    request = using.encode(Request("m", HI))
    for shown in (repr(using), str(vars(using)), pprint.pformat(vars(using)), repr(request), repr(using.transport)):
        assert KEY not in shown
        assert KEY[3:] not in shown
    for value in vars(using).values():
        assert KEY not in repr(value)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(using)
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(using)
