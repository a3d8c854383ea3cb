"""Hosts by their names: a row each, from the configuration to the wire."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from servers.openai_server import KEY, OpenAIServer

from llmsdk import Client
from llmsdk.errors import ConfigError, MissingKey, UnknownProvider, Unsupported
from llmsdk.io.route import address
from llmsdk.provider import Capabilities
from llmsdk.registry import BUILT_IN
from llmsdk.types import Message, Reasoning, Request, Text, ToolCall, ToolResult
from llmsdk_providers.openai import OpenAI, Settings, hosts
from llmsdk_providers.openai.hosts import HOSTS

HI = (Message("user", "Hi!"),)
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
LOCAL = {name for name, row in HOSTS.items() if address(row.base_url).loopback}


def made(name: str, **settings: Any) -> OpenAI:
    kind: type[OpenAI] = getattr(hosts, name)
    return kind(name, Settings(**({} if name in LOCAL else {"api_key": KEY}), **settings))


def body(name: str, model: str = "m", **fields: Any) -> dict[str, Any]:
    encoded = json.loads(made(name).encode(Request(model, HI, **fields)).body)
    assert isinstance(encoded, dict)
    return {key: value for key, value in encoded.items() if key not in ("model", "messages")}


# --- one table ----------------------------------------------------------------------------------------------------


def test_every_row_is_registered_and_nothing_else_is() -> None:
    registered = {name for name, target in BUILT_IN.items() if target.startswith("llmsdk_providers.openai.hosts:")}
    assert registered == set(HOSTS)
    assert all(BUILT_IN[name] == f"llmsdk_providers.openai.hosts:{name}" for name in HOSTS)
    with pytest.raises(AttributeError, match="no host 'nobody'"):
        _ = hosts.nobody


@pytest.mark.parametrize("name", HOSTS)
def test_a_row_is_all_that_a_provider_needs(name: str) -> None:
    row, provider = HOSTS[name], made(name)
    assert provider.host.url == row.base_url
    assert provider.key_variables == row.key_variables
    assert provider.key_variables, "a server of one's own may want one, too"
    assert row.base_url.startswith("http://127.0.0.1:") or row.base_url.startswith("https://")
    assert repr(provider) == f"{name}({name!r}, {row.base_url!r})"
    request = provider.encode(Request("m", HI))
    assert request.url == f"{row.base_url}/chat/completions"
    assert dict(request.headers).get(b"authorization") == (None if name in LOCAL else f"Bearer {KEY}".encode())


@pytest.mark.parametrize("name", HOSTS)
def test_every_option_of_a_row_can_be_sent(name: str) -> None:
    """Each option that is offered is in the body, or is an argument of another kind."""
    values: dict[str, Any] = {
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "stop": ("a",), "seed": 1, "n": 2,
        "frequency_penalty": 0.1, "presence_penalty": 0.1, "repetition_penalty": 1.1, "logit_bias": {1: 1.0},
        "tool_choice": "auto", "parallel_tool_calls": True,
    }  # fmt: skip
    can = made(name).capabilities("m")
    for option in can.options - {"reasoning", "echo", "tool_choice", "parallel_tool_calls"}:
        assert len(body(name, **{option: values[option]})) == 1, option
    assert ("reasoning" in can.options) is (HOSTS[name].reasoning is not None)
    assert ("echo" in can.options) is can.complete
    if not can.tools:
        assert can.options.isdisjoint({"tool_choice", "parallel_tool_calls"})


def test_what_a_row_says_is_a_default() -> None:
    assert made("groq").capabilities("m") == Capabilities(
        schema="json",
        tools=True,
        options=frozenset({
            "max_tokens", "temperature", "top_p", "stop", "seed", "tool_choice", "parallel_tool_calls", "reasoning",
        }),
    )  # fmt: skip
    said = made("groq", schema="none", logprobs=3, options=["n"], max_tokens_field="max_tokens", embeddings=False)
    can = said.capabilities("openai/gpt-oss-20b")
    assert (can.schema, can.logprobs, "n" in can.options) == ("none", 3, True)
    assert json.loads(said.encode(Request("m", HI, max_tokens=5)).body)["max_tokens"] == 5
    assert not said.has_embeddings
    assert made("groq").has_embeddings
    assert not made("deepseek").has_embeddings
    assert made("deepseek", embeddings=True).has_embeddings


# --- on the wire --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("cerebras", {"max_completion_tokens": 5}), ("groq", {"max_completion_tokens": 5}),
        ("xai", {"max_completion_tokens": 5}), ("deepseek", {"max_tokens": 5}), ("vllm", {"max_tokens": 5}),
    ],
)  # fmt: skip
def test_the_name_of_the_limit(name: str, sent: dict[str, Any]) -> None:
    assert body(name, max_tokens=5) == sent


@pytest.mark.parametrize("name", HOSTS)
def test_usage_is_asked_for_where_it_does_not_come_by_itself(name: str) -> None:
    usual = {"stream": True, "stream_options": {"include_usage": True}}
    assert body(name, stream=True) == ({"stream": True} if name in ("perplexity", "transformers") else usual)
    assert json.loads(made(name, stream_usage=False).encode(Request("m", HI, stream=True)).body)["stream"] is True


def test_forms_of_a_schema() -> None:
    bound = {"name": "reply", "schema": SCHEMA, "strict": True}
    assert body("xai", schema=SCHEMA)["response_format"] == {"type": "json_schema", "json_schema": bound}
    assert body("tgi", schema=SCHEMA)["response_format"] == {"type": "json_schema", "value": bound}
    for name in ("deepseek", "moonshot", "qwen", "zhipu"):
        assert body(name, schema=SCHEMA)["response_format"] == {"type": "json_object"}
    with pytest.raises(Unsupported, match="schema"):
        body("transformers", schema=SCHEMA)


def test_groq_holds_only_some_of_its_models_to_a_schema() -> None:
    assert body("groq", "llama-3.3-70b-versatile", schema=SCHEMA)["response_format"] == {"type": "json_object"}
    assert body("groq", "openai/gpt-oss-120b", schema=SCHEMA)["response_format"]["type"] == "json_schema"
    assert made("groq").capabilities("openai/gpt-oss-120b").schema == "strict"
    assert made("groq").capabilities("llama-3.3-70b-versatile").schema == "json"


EFFORT = {"reasoning_effort": "low"}
ON, OFF = {"type": "enabled"}, {"type": "disabled"}


@pytest.mark.parametrize(
    ("names", "low", "yes", "no", "number"),
    [
        ("cerebras fireworks groq litellm perplexity xai", EFFORT, {}, {"reasoning_effort": "none"}, None),
        ("together", EFFORT, {"reasoning": {"enabled": True}}, {"reasoning": {"enabled": False}}, None),
        ("deepseek moonshot zhipu", {"thinking": ON, **EFFORT}, {"thinking": ON}, {"thinking": OFF}, None),
        ("qwen", None, {"enable_thinking": True}, {"enable_thinking": False},
         {"enable_thinking": True, "thinking_budget": 900}),
        ("openrouter", {"reasoning": {"effort": "low"}}, {"reasoning": {"enabled": True}},
         {"reasoning": {"effort": "none"}}, {"reasoning": {"max_tokens": 900}}),
        ("vllm sglang", EFFORT, {"chat_template_kwargs": {"enable_thinking": True}},
         {"chat_template_kwargs": {"enable_thinking": False}}, None),
        ("llamacpp transformers", None, {"chat_template_kwargs": {"enable_thinking": True}},
         {"chat_template_kwargs": {"enable_thinking": False}}, None),
    ],
)  # fmt: skip
def test_how_hosts_are_asked_to_reason(names: str, low: Any, yes: Any, no: Any, number: Any) -> None:
    for name in names.split():
        for wish, expected in (("low", low), (True, yes), (False, no), (900, number)):
            if expected is not None:
                assert body(name, reasoning=wish) == expected, (name, wish)
                continue
            with pytest.raises(Unsupported) as refused:
                body(name, reasoning=wish)
            assert "Pass " in refused.value.hint


def test_every_host_that_reasons_is_in_the_table_above() -> None:
    assert sum(row.reasoning is not None for row in HOSTS.values()) == 16
    assert [name for name, row in HOSTS.items() if row.reasoning is None] == ["lmstudio", "tgi"]


# --- there and back -----------------------------------------------------------------------------------------------


def conversation(name: str, message: dict[str, Any], back: str) -> dict[str, Any]:
    """The assistant's turn that ``back`` is sent, after ``name`` replied with ``message``."""
    from llmsdk.reply import Reply

    reply, raw = Reply(), json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    for event in made(name).decode(raw, Request("m", HI)):
        reply.add(event)
    turns = (*HI, reply.choices[0].message, Message("tool", (ToolResult("c1", "sunny"),)))
    sent = json.loads(made(back).encode(Request("m", turns)).body)["messages"][1]
    assert isinstance(sent, dict)
    return sent


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize("name", ["deepseek", "moonshot", "zhipu"])
def test_reasoning_goes_back_to_hosts_that_want_it(name: str) -> None:
    """They answer 400 to a call whose reasoning is missing."""
    message = {"content": "Let me look.", "reasoning_content": "Hm.", "tool_calls": [CALL]}
    assert conversation(name, message, name) == {"role": "assistant", **message}
    for other in ("groq", "xai", "vllm"):
        assert "reasoning_content" not in conversation(name, message, other)
        assert "reasoning_content" not in conversation(other, message, other)


def test_openrouter_gets_its_details_back() -> None:
    details = [{"type": "reasoning.encrypted", "data": "abc", "format": "x", "index": 0}]
    message = {"content": "", "reasoning_details": details, "tool_calls": [CALL]}
    assert conversation("openrouter", message, "openrouter")["reasoning_details"] == details
    assert "reasoning_details" not in conversation("openrouter", message, "groq")


def test_a_users_own_reasoning_stays_here() -> None:
    turn = Message("assistant", (Reasoning("Hm."), Text("Yes."), ToolCall("c1", "look", "{}", {"x": 1})))
    sent = json.loads(made("deepseek").encode(Request("m", (*HI, turn))).body)["messages"][1]
    assert sent == {"role": "assistant", "content": "Yes.", "tool_calls": [CALL]}


# --- by name, without any configuration ---------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in (variable for row in HOSTS.values() for variable in row.key_variables):
        monkeypatch.delenv(variable, raising=False)
    assert not [name for name in os.environ if name.endswith("_API_KEY")]


@pytest.mark.parametrize("name", HOSTS)
def test_a_client_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in LOCAL:
        Client(f"{name}:m").close()
        return
    with pytest.raises(MissingKey) as missing:
        Client(f"{name}:m")
    assert HOSTS[name].key_variables[0] in missing.value.hint
    for variable in HOSTS[name].key_variables:
        with monkeypatch.context() as patch:
            patch.setenv(variable, KEY)
            with Client(f"{name}:m") as client:
                assert KEY not in repr(client)


def test_a_name_that_is_nearly_one_of_them() -> None:
    with pytest.raises(UnknownProvider, match="gorq") as unknown:
        Client("gorq:m")
    assert "Did you mean 'groq'?" in unknown.value.hint


def test_a_path_that_is_the_dialects_own() -> None:
    with pytest.raises(ConfigError, match="/chat/completions") as wrong:
        made("vllm", base_url="http://127.0.0.1:8000/v1/chat/completions")
    assert "precedes" in wrong.value.hint


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.mark.parametrize("name", ["groq", "deepseek", "perplexity", "transformers"])
def test_the_five_verbs(name: str, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address for a host by name keeps its row and its key."""
    monkeypatch.setenv(HOSTS[name].key_variables[0], KEY)
    monkeypatch.setenv(f"LLMSDK_PROVIDERS_{name.upper()}_BASE_URL", server.url)
    pages = ["Order 4071 will arrive on Friday.", "Tom lives in Berlin."]
    with Client(f"{name}:test-model") as client:
        assert client.chat("Hello!", max_tokens=40).text
        assert client.complete("Once upon a time", max_tokens=20).text
        assert client.translate("Good morning", to="zh").text
        assert client.answer("When will order 4071 arrive?", context=pages).answerable
        assert client.classify("great film", ["good", "bad"]).label == "good"
        assert "".join(event.text for event in client.chat("Hello!", stream=True)) == client.chat("Hello!").text
    sent = [json.loads(request.body) for request in server.requests]
    limit = HOSTS[name].max_tokens_field
    assert next(fields for fields in sent if "messages" in fields)[limit] == 40
    assert any("stream_options" in fields for fields in sent) is HOSTS[name].stream_usage
