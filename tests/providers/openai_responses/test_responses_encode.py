"""Requests as they go over the wire: bodies written by hand, and held against the service's own description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dialects import CANARY, sent, spec_errors

from llmsdk.errors import ConfigError, InputError, MissingKey, Unsupported
from llmsdk.types import Media, Message, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.openai_responses import Responses, Settings
from llmsdk_providers.openai_responses.items import STATE, state

HOST = "api.openai.com:443"
HI = (Message("user", "Hi!"),)
SCHEMA = {
    "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False,
}  # fmt: skip
TOOL = Tool("look", SCHEMA, "Looks.")
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"}
HEADER = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def provider(**settings: Any) -> Responses:
    return Responses("openai-responses", Settings(**{"api_key": CANARY, **settings}))


def back(item: dict[str, Any], text: str = "") -> Reasoning:
    return Reasoning(text, state(HOST, item))


def turn(*parts: Any) -> Message:
    return Message("assistant", parts)


PLAIN = {"model": "gpt-4o", "input": [{"role": "user", "content": "Hi!"}], "store": False, "stream": False}
THINKS = {**PLAIN, "model": "gpt-5", "include": ["reasoning.encrypted_content"]}
FLAT = {"type": "function", "name": "look", "parameters": SCHEMA, "strict": False, "description": "Looks."}
FORMAT = {"type": "json_schema", "name": "reply", "schema": SCHEMA, "strict": True}
GOLDEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, PLAIN),
    ({"input": "Once"}, {**PLAIN, "input": [{"role": "user", "content": "Once"}]}),
    ({"stream": True, "temperature": 0.0, "top_p": 0.5, "max_tokens": 20},
     {**PLAIN, "stream": True, "temperature": 0.0, "top_p": 0.5, "max_output_tokens": 20}),
    ({"max_tokens": 1}, {**PLAIN, "max_output_tokens": 16}),
    ({"logprobs": 0}, {**PLAIN, "include": ["message.output_text.logprobs"]}),
    ({"logprobs": 3}, {**PLAIN, "include": ["message.output_text.logprobs"], "top_logprobs": 3}),
    ({"tools": (TOOL,), "tool_choice": "look", "parallel_tool_calls": False},
     {**PLAIN, "tools": [FLAT], "tool_choice": {"type": "function", "name": "look"}, "parallel_tool_calls": False}),
    ({"tools": (Tool("t", {}, strict=True),), "tool_choice": "required"},
     {**PLAIN, "tools": [{"type": "function", "name": "t", "parameters": {}, "strict": True}],
      "tool_choice": "required"}),
    ({"schema": SCHEMA}, {**PLAIN, "text": {"format": FORMAT}}),
    ({"schema": {"type": "object"}, "schema_name": "a b"},
     {**PLAIN, "text": {"format": {"type": "json_schema", "name": "a_b", "schema": {"type": "object"},
                                   "strict": False}}}),
    ({"model": "gpt-5"}, THINKS),
    ({"model": "gpt-5", "reasoning": "low"}, {**THINKS, "reasoning": {"effort": "low"}}),
    ({"model": "gpt-5", "reasoning": True}, THINKS),
    ({"model": "gpt-5", "reasoning": False}, {**THINKS, "reasoning": {"effort": "minimal"}}),
    ({"extra_body": {"store": True, "previous_response_id": "resp_1"}},
     {**PLAIN, "store": True, "previous_response_id": "resp_1"}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "body"), GOLDEN)
def test_bodies(fields: dict[str, Any], body: dict[str, Any]) -> None:
    assert sent(provider(), Request(**{"model": "gpt-4o", "input": HI, **fields})) == body


INPUTS: list[tuple[tuple[Message, ...], list[dict[str, Any]]]] = [
    ((Message("user", (Text("Look:"), Media("image/png", b"\x01"), Media("image/png", url="https://e.example/a"))),),
     [{"role": "user", "content": [
         {"type": "input_text", "text": "Look:"},
         {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AQ=="},
         {"type": "input_image", "detail": "auto", "image_url": "https://e.example/a"}]}]),
    ((Message("user", (Media("application/pdf", b"\x01"), Media("application/pdf", url="https://e.example/b"),
                       Media("text/plain", b"\x01", name="a.txt"))),),
     [{"role": "user", "content": [
         {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,AQ=="},
         {"type": "input_file", "file_url": "https://e.example/b"},
         {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,AQ=="}]}]),
    ((Message("user", "a"), Message("system", "now brief"), Message("user", "b")),
     [{"role": "user", "content": "a"}, {"role": "system", "content": "now brief"}, {"role": "user", "content": "b"}]),
    # nothing of the host's: plain items
    ((turn(Reasoning("hm"), Text("Let me look."), ToolCall("c1", "look", "")),
      Message("tool", (ToolResult("c1", "7"),)), Message("user", (ToolResult("c2", "8"), Text("and?")))),
     [{"role": "assistant", "content": "Let me look."},
      {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "c1", "output": "7"},
      {"type": "function_call_output", "call_id": "c2", "output": "8"},
      {"role": "user", "content": [{"type": "input_text", "text": "and?"}]}]),
    # what the host made goes back in its place, with its ids
    ((turn(back(THOUGHT, "hm"), ToolCall("c1", "look", "{}", state(HOST, {"id": "fc_1"})), back(THOUGHT),
           back(SEARCH), back(HEADER), Text("Seven."), Text(" Or 8.")),),
     [THOUGHT, {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"}, THOUGHT,
      SEARCH, {**HEADER, "content": [{"type": "output_text", "text": "Seven.", "annotations": []}]},
      {"role": "assistant", "content": " Or 8."}]),
    # reasoning without what followed it is refused, so it stays here, and so do the ids that hang on it
    ((turn(back(THOUGHT)), Message("user", "go on")), [{"role": "user", "content": "go on"}]),
    ((turn(Text("a"), back(THOUGHT)),), [{"role": "assistant", "content": "a"}]),
    ((turn(ToolCall("c1", "look", "{}", state(HOST, {"id": "fc_1"}))),),
     [{"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}]),
    # reasoning that the host has not kept and that we cannot show it
    ((turn(back({"type": "reasoning", "id": "rs_1", "summary": []}), back(HEADER), Text("a")),),
     [{"role": "assistant", "content": "a"}]),
    ((turn(back({**HEADER, "phase": "commentary"}), Text("a")),),
     [{"role": "assistant", "content": "a", "phase": "commentary"}]),
    # what another host or another dialect made
    ((turn(Reasoning("hm", state("api.x.ai:443", THOUGHT)), Text("a", {"other.dialect": 1})),),
     [{"role": "assistant", "content": "a"}]),
    ((turn(Reasoning("hm", {STATE: "odd"}), Reasoning("hm", 5), Text("a")),), [{"role": "assistant", "content": "a"}]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "items"), INPUTS)
def test_input(messages: tuple[Message, ...], items: list[dict[str, Any]]) -> None:
    assert sent(provider(), Request("gpt-5", messages))["input"] == items


def test_system_messages_at_the_front_are_instructions() -> None:
    two = (Message("system", "Be brief."), Message("system", (Text("Be "), Text("kind."))))
    body = sent(provider(), Request("gpt-4o", (*two, *HI)))
    assert (body["instructions"], body["input"]) == ("Be brief.\n\nBe kind.", [{"role": "user", "content": "Hi!"}])
    alone = sent(provider(), Request("gpt-4o", two[:1]))
    assert (alone.get("instructions"), alone["input"]) == (None, [{"role": "system", "content": "Be brief."}])


def test_reasoning_goes_only_to_models_that_take_it() -> None:
    said = turn(back(THOUGHT), back(HEADER), Text("a"))
    assert sent(provider(), Request("gpt-4o", (said,)))["input"] == [{"role": "assistant", "content": "a"}]
    bare = turn(back({"type": "reasoning", "id": "rs_1", "summary": []}), back(HEADER), Text("a"))
    stored = sent(provider(store=True), Request("gpt-5", (bare,)))
    assert [item["type"] for item in stored["input"]] == ["reasoning", "message"]
    assert stored["store"] is True


def test_hosts_and_settings() -> None:
    xai = provider(base_url="https://api.x.ai/v1")
    body = sent(xai, Request("grok-4", HI, max_tokens=1, reasoning="high"))
    assert body["include"] == ["reasoning.encrypted_content"]
    assert (body["max_output_tokens"], body["reasoning"]) == (1, {"effort": "high"})
    other = provider(base_url="https://e.example/v1", encrypted_reasoning=True, summary="auto", schema="json")
    body = sent(other, Request("m", HI, schema=SCHEMA, reasoning=False))
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["reasoning"] == {"summary": "auto", "effort": "none"}
    assert body["text"] == {"format": {"type": "json_object"}}
    assert "reasoning" not in sent(provider(summary="auto"), Request("gpt-4o", HI))
    request = provider(organization="org", project="proj").encode(Request("gpt-4o", HI))
    assert (b"openai-organization", b"org") in request.headers
    assert request.url == "https://api.openai.com/v1/responses"
    azure = provider(base_url="https://x.openai.azure.com/openai/v1")
    assert sent(azure, Request("gpt-5", HI, max_tokens=2))["max_output_tokens"] == 16


def test_capabilities() -> None:
    plain, thinks = provider().capabilities("gpt-4o"), provider().capabilities("gpt-5")
    assert (plain.logprobs, thinks.logprobs, plain.schema, plain.tools) == (20, 0, "strict", True)
    assert "temperature" in plain.options - thinks.options
    assert "reasoning" in thinks.options - plain.options
    said = provider(base_url="https://e.example/v1", logprobs=5, tools=False, context=9, options=["seed"])
    assert said.capabilities("m").logprobs == 5
    assert not said.capabilities("m").tools
    assert said.capabilities("m").context == 9
    assert {"seed", "reasoning"} <= said.capabilities("m").options


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"input": (Message("tool", "7"),)}, InputError, "does not say which call"),
        ({"input": (turn(Media("image/png", b"x")),)}, InputError, "assistant"),
        ({"input": (Message("user", (ToolCall("c", "t", ""),)),)}, InputError, "user"),
        ({"input": (Message("user", (Media("audio/wav", b"x"),)),)}, Unsupported, "audio/wav"),
        ({"input": (Message("user", (Media("image/png"),)),)}, InputError, "neither"),
        ({"reasoning": 500}, Unsupported, "token budget"),
        ({"model": "o3", "reasoning": False}, Unsupported, "without reasoning"),
        ({"extra_body": {"x": {1, 2, object()}}}, InputError, "JSON"),
    ],
)
def test_what_cannot_be_said(fields: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        provider().encode(Request(**{"model": "gpt-5", "input": HI, **fields}))


def test_a_host_without_schemas() -> None:
    with pytest.raises(Unsupported, match="schema"):
        provider(schema="none").encode(Request("gpt-4o", HI, schema=SCHEMA))


def test_settings_that_cannot_work() -> None:
    with pytest.raises(MissingKey, match="openai-responses"):
        Responses("openai-responses", Settings())
    for pasted in ("/responses", "/responses/input_tokens", "/chat/completions"):
        with pytest.raises(ConfigError, match=f"ends in {pasted}"):
            provider(base_url=f"https://e.example/v1{pasted}")
    assert CANARY not in repr(provider()) + repr(provider().encode(Request("m", HI)))


SPEC = "openai.openapi.yaml"
LAGS = ("{'role': 'user', 'content': [", "'annotations': []} is not valid under any of")
"""A message that both of two descriptions fit, and one that the host itself sends; see tests/wire/EXCLUDED.md."""


def test_the_service_describes_such_requests(shared_data: Path) -> None:
    """Every body above, against OpenAI's description."""
    bodies = [sent(provider(), Request(**{"model": "gpt-4o", "input": HI, **fields})) for fields, _ in GOLDEN]
    bodies += [sent(provider(), Request("gpt-5", messages)) for messages, _ in INPUTS]
    assert len(bodies) >= 20
    faults = [fault for body in bodies for fault in spec_errors(shared_data, SPEC, "/v1/responses", body)]
    assert [fault for fault in faults if not any(lag in fault for lag in LAGS)] == []
    wrong = {"model": "gpt-4o", "input": [{"type": "function_call"}]}
    assert spec_errors(shared_data, SPEC, "/v1/responses", wrong)
