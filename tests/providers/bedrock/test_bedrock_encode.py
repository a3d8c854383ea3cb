"""Requests as they go over the wire to Bedrock."""

from __future__ import annotations

from typing import Any

import pytest
from dialects import HI, sent

from llmsdk.errors import ConfigError, InputError, LLMError, MissingKey, Unsupported
from llmsdk.types import Media, Message, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.bedrock import Bedrock, Settings

HOST = Bedrock("bedrock", Settings(api_key="k", region="us-east-1"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", CITY, "The weather.", strict=True)
TOOL = {
    "toolSpec": {"name": "get_weather", "inputSchema": {"json": CITY}, "description": "The weather.", "strict": True}
}
USER = {"role": "user", "content": [{"text": "Hi!"}]}
CALL = ToolCall("c1", "get_weather", '{"city":"Paris"}')
CLAUDE = "us.anthropic.claude-x-v1:0"
SIGNED = Reasoning("Hm.", {"bedrock.reasoning": {"signature": "sig"}})
HIDDEN = Reasoning("", {"bedrock.reasoning": {"redactedContent": "aGk="}})


def body(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": list(messages or (USER,)), **fields}


CASES: list[tuple[Request, dict[str, Any]]] = [
    (Request("m", HI), body()),
    (Request("m", "Hi!"), body()),
    (
        Request("m", HI, max_tokens=9, temperature=0.5, top_p=0.9, stop=("a",)),
        body(inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a"]}),
    ),
    (
        Request("m", (Message("system", "Be brief."), *HI, Message("system", "And kind."))),
        body(system=[{"text": "Be brief."}, {"text": "And kind."}]),
    ),
    (
        Request("m", (Message("user", (
            Text("See"), Media("image/png", b"\x89PNG"), Media("application/pdf", b"%PDF", name="a_b.pdf"),
            Media("audio/mpeg", b"ID3"), Media("image/jpeg", url="s3://bucket/x"),
        )),)),
        body({"role": "user", "content": [
            {"text": "See"}, {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}},
            {"document": {"format": "pdf", "source": {"bytes": "JVBERg=="}, "name": "a b pdf"}},
            {"audio": {"format": "mp3", "source": {"bytes": "SUQz"}}},
            {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/x"}}}},
        ]}),
    ),
    (
        Request("m", (
            *HI, Message("assistant", (SIGNED, HIDDEN, Reasoning("not ours"), Text(""), CALL)),
            Message("tool", (ToolResult("c1", "Sunny"),)), Message("tool", (ToolResult("c2", "No", is_error=True),)),
            *HI,
        ), tools=(WEATHER,)),
        body(
            USER,
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "aGk="}},
                {"toolUse": {"toolUseId": "c1", "name": "get_weather", "input": {"city": "Paris"}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "Sunny"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "No"}], "status": "error"}}, {"text": "Hi!"},
            ]},
            toolConfig={"tools": [TOOL]},
        ),
    ),
    (
        Request("m", HI, tools=(WEATHER,), tool_choice="required"),
        body(toolConfig={"tools": [TOOL], "toolChoice": {"any": {}}}),
    ),
    (
        Request("m", HI, tools=(WEATHER,), tool_choice="get_weather"),
        body(toolConfig={"tools": [TOOL], "toolChoice": {"tool": {"name": "get_weather"}}}),
    ),
    (
        Request("m", HI, tools=(WEATHER,), tool_choice="auto", parallel_tool_calls=True),
        body(toolConfig={"tools": [TOOL], "toolChoice": {"auto": {}}}),
    ),
    (Request("m", HI, tools=(WEATHER,), tool_choice="none"), body()),
    (
        Request("m", HI, schema={"type": "object"}, schema_name="city", reasoning="low"),
        body(outputConfig={
            "textFormat": {"type": "json_schema", "structure": {
                "jsonSchema": {"schema": '{"type":"object"}', "name": "city"},
            }},
            "effort": "low",
        }),
    ),
    (
        Request(CLAUDE, HI, top_k=4, reasoning=2000),
        body(additionalModelRequestFields={"top_k": 4, "thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ),
    (Request(CLAUDE, HI, reasoning=False), body(additionalModelRequestFields={"thinking": {"type": "disabled"}})),
    (
        Request("m", HI, extra_body={"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}),
        body(guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1"}),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "expected"), CASES)
def test_bodies(request_: Request, expected: dict[str, Any]) -> None:
    assert sent(HOST, request_) == expected


@pytest.mark.parametrize(("request_", "expected"), CASES)
def test_bodies_satisfy_the_model_of_the_service(request_: Request, expected: dict[str, Any]) -> None:
    """What botocore's own model of the service has against them."""
    pytest.importorskip("botocore", reason="requests are validated with AWS's own package")
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.Session().get_service_model("bedrock-runtime").operation_model("Converse")
    report = ParamValidator().validate({"modelId": "m", **expected}, model.input_shape)
    assert report.generate_report() == ""


@pytest.mark.parametrize(
    ("request_", "kind", "word"),
    [
        (Request("m", HI, tools=(WEATHER,), parallel_tool_calls=False), Unsupported, "one call at a time"),
        (
            Request("m", (*HI, Message("assistant", (CALL,)), *HI), tools=(WEATHER,), tool_choice="none"),
            Unsupported,
            "forbid tools",
        ),
        (Request("m", HI, reasoning=2000), Unsupported, "no such switch"),
        (Request(CLAUDE, HI, reasoning=True), Unsupported, "no such switch"),
        (Request("m", (Message("user", (Media("video/mp4", b"x"),)),)), Unsupported, "video/mp4"),
        (Request("m", (Message("user", (Media("image/png", url="https://x/y"),)),)), Unsupported, "fetches nothing"),
        (Request("m", (Message("tool", "Sunny"),)), InputError, "which call"),
        (Request("m", (Message("user", ""),)), InputError, "no content"),
        (Request("m", (*HI, Message("assistant", (ToolCall("c", "f", "[]"),)))), InputError, "not an object"),
    ],
)
def test_what_cannot_be_sent(request_: Request, kind: type[LLMError], word: str) -> None:
    with pytest.raises(kind, match=word) as caught:
        HOST.encode(request_)
    assert caught.value.hint


def test_where_it_goes() -> None:
    arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.x"
    encoded = HOST.encode(Request(arn, HI, stream=True))
    path = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse-stream"
    assert encoded.url == f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{path}"
    assert dict(encoded.headers)[b"authorization"] == b"Bearer k"


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="no AWS region"):
        Bedrock("bedrock", Settings(api_key="k"))
    with pytest.raises(ConfigError, match="is no AWS region"):
        Bedrock("bedrock", Settings(api_key="k", region="evil.example/#"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert ".eu-west-1." in Bedrock("bedrock", Settings(api_key="k")).host.url
    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    assert Bedrock("bedrock", Settings(api_key="k")).host.url == "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
    with pytest.raises(MissingKey, match="mine"):  # credentials that are found are for AWS's own hosts
        Bedrock("mine", Settings(base_url="https://x.example"))
    with pytest.raises(ConfigError, match="ends in"):
        Bedrock("bedrock", Settings(api_key="k", base_url="https://x.example/model"))
    assert "sk-canary" not in repr(Bedrock("bedrock", Settings(api_key="sk-canary")))
    assert HOST.capabilities(CLAUDE).options - HOST.capabilities("m").options == {"top_k"}
    assert Bedrock("bedrock", Settings(api_key="k", schema="none")).capabilities("m").schema == "none"
