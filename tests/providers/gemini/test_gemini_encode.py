"""What goes over the wire: whole bodies, written by hand; addresses and keys; what is refused before it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dialects import CANARY, HI, sent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from llmsdk import Client
from llmsdk.errors import ConfigError, InputError, MissingKey, Unsupported
from llmsdk.types import Media, Message, Part, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.gemini import Gemini, Settings, Vertex, VertexSettings, schema
from llmsdk_providers.gemini.contents import STATE, UNSIGNED

KEY = SecretStr(CANARY)
GEMINI = Gemini("gemini", Settings(api_key=KEY))
VERTEX = Vertex("vertex", VertexSettings(project="p", location="here", token=KEY))
WEATHER = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "How it is.")
ASKED = {"role": "user", "parts": [{"text": "Hi!"}]}


def body(**fields: Any) -> Any:
    return sent(GEMINI, Request(**{"model": "gemini-2.5-flash", "input": HI, **fields}))


def turns(*messages: Message, model: str = "gemini-2.5-flash") -> Any:
    return sent(GEMINI, Request(model, messages))["contents"]


# --- bodies -------------------------------------------------------------------------------------------------------


def test_everything_at_once() -> None:
    asked = (Message("system", "Be brief."), Message("system", "Be kind."), Message("user", "Hi!"))
    assert body(
        input=asked, max_tokens=5, temperature=0.5, top_p=0.9, top_k=3, seed=7, stop=("a", "b"), n=2,
        frequency_penalty=0.1, presence_penalty=0.2, logprobs=4, tools=(WEATHER, Tool("now", {"type": "object"})),
        tool_choice="weather",
    ) == {
        "contents": [ASKED],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "tools": [{"functionDeclarations": [
            {"name": "weather", "description": "How it is.", "parametersJsonSchema": dict(WEATHER.parameters)},
            {"name": "now"},
        ]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "generationConfig": {
            "maxOutputTokens": 5, "temperature": 0.5, "topP": 0.9, "topK": 3, "seed": 7, "stopSequences": ["a", "b"],
            "candidateCount": 2, "frequencyPenalty": 0.1, "presencePenalty": 0.2, "responseLogprobs": True,
            "logprobs": 4,
        },
    }  # fmt: skip


def test_nothing_but_the_question() -> None:
    assert body() == body(input="Hi!") == {"contents": [ASKED]}
    assert body(logprobs=0)["generationConfig"] == {"responseLogprobs": True}


@pytest.mark.parametrize(("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")])
def test_tool_choice(choice: str, mode: str) -> None:
    assert body(tools=(WEATHER,), tool_choice=choice)["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


def test_extra_fields_join_what_is_there() -> None:
    extra = {"generationConfig": {"mediaResolution": "LOW"}, "safetySettings": [1]}
    made = body(max_tokens=5, extra_body=extra)
    assert made["generationConfig"] == {"maxOutputTokens": 5, "mediaResolution": "LOW"}
    assert made["safetySettings"] == [1]


@pytest.mark.parametrize(
    ("model", "wish", "config"),
    [
        ("gemini-2.5-flash", "low", {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-pro", "high", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.5-pro", True, {"includeThoughts": True}),
        ("gemini-flash-latest", 99, {"includeThoughts": True, "thinkingBudget": 99}),
        ("gemini-3-pro-preview", "medium", {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        ("gemini-3.5-flash", 512, {"includeThoughts": True, "thinkingBudget": 512}),
        ("gemini-2.5-flash", False, {"thinkingBudget": 0}),
        ("gemini-3-flash-preview", False, {"thinkingLevel": "MINIMAL"}),
        ("gemini-2.0-flash", False, None),
        ("gemini-2.5-flash", None, None),
    ],
)
def test_reasoning(model: str, wish: Any, config: Any) -> None:
    assert body(model=model, reasoning=wish).get("generationConfig", {}).get("thinkingConfig") == config


@pytest.mark.parametrize(("model", "wish"), [("gemini-2.5-pro", False), ("gemma-3-27b-it", "low")])
def test_reasoning_that_a_model_lacks(model: str, wish: Any) -> None:
    with pytest.raises(Unsupported) as caught:
        body(model=model, reasoning=wish)
    assert caught.value.hint


# --- schemas ------------------------------------------------------------------------------------------------------

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "format": "email"},
        "mood": {"$ref": "#/$defs/Mood", "description": "how"},
        "ages": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "kind": {"const": "x"},
        "any": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"Mood": {"enum": ["glad", "sad"], "type": "string"}},
}


def test_a_schema_as_it_is() -> None:
    assert body(schema=PERSON)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": PERSON,
    }


def test_a_schema_in_the_older_form() -> None:
    older = Gemini("gemini", Settings(api_key=KEY, schema_form="openapi"))
    made = sent(older, Request("gemini-2.0-flash", HI, schema=PERSON))["generationConfig"]
    assert made == {
        "responseMimeType": "application/json",
        "responseSchema": {
            "type": "OBJECT",
            "properties": {
                "name": {"type": "STRING", "nullable": True},
                "mood": {"type": "STRING", "enum": ["glad", "sad"], "description": "how"},
                "ages": {"type": "ARRAY", "items": {"type": "INTEGER", "nullable": True}},
                "kind": {"type": "STRING", "enum": ["x"]},
                "any": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
            },
            "required": ["name"],
        },
    }


@pytest.mark.parametrize(
    "broken", [{"$ref": "#"}, {"$ref": "#/nowhere"}, {"properties": {"x": {"$ref": "#"}}}, {"items": {"$ref": "#"}}]
)
def test_a_schema_that_the_older_form_cannot_hold(broken: Mapping[str, Any]) -> None:
    with pytest.raises(Unsupported):
        schema.subset(broken)


# --- conversations ------------------------------------------------------------------------------------------------


def call(name: str, call_id: str, **state: Any) -> ToolCall:
    return ToolCall(call_id, name, '{"n": 1}', {STATE: state} if state else None)


def test_a_conversation_with_tools() -> None:
    made = turns(
        Message("user", "Go"),
        Message("assistant", (Text("Yes."), call("a", "1", id="1", thoughtSignature="s"), call("b", "made"))),
        Message("tool", (ToolResult("made", "[1]"),)),
        Message("tool", (ToolResult("1", '{"x": 2}'), )),
        Message("user", "And?"),
        Message("assistant", ""),
    )  # fmt: skip
    assert made == [
        {"role": "user", "parts": [{"text": "Go"}]},
        {"role": "model", "parts": [
            {"text": "Yes."},
            {"functionCall": {"id": "1", "name": "a", "args": {"n": 1}}, "thoughtSignature": "s"},
            {"functionCall": {"name": "b", "args": {"n": 1}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"id": "1", "name": "a", "response": {"x": 2}}},
            {"functionResponse": {"name": "b", "response": {"output": "[1]"}}},
        ]},
        {"role": "user", "parts": [{"text": "And?"}]},
    ]  # fmt: skip


def test_a_result_that_failed() -> None:
    made = turns(Message("assistant", (call("a", "1"),)), Message("tool", (ToolResult("1", "no", is_error=True),)))
    assert made[1]["parts"][0]["functionResponse"]["response"] == {"error": "no"}


def test_calls_of_another_model_are_marked_for_a_model_that_wants_signatures() -> None:
    asked = Message("assistant", (call("a", "1"), call("b", "2")))
    (turn,) = turns(asked, model="gemini-3-pro-preview")
    assert [part.get("thoughtSignature") for part in turn["parts"]] == [UNSIGNED, None]
    (turn,) = turns(asked, model="gemini-2.5-pro")
    assert [part.get("thoughtSignature") for part in turn["parts"]] == [None, None]
    (turn,) = turns(Message("assistant", (call("a", "1", thoughtSignature="s"),)), model="gemini-3-pro-preview")
    assert turn["parts"][0]["thoughtSignature"] == "s"


def test_states_go_back_untouched_and_those_of_others_not_at_all() -> None:
    code = {"executableCode": {"code": "1+1", "language": "PYTHON"}, "thoughtSignature": "c"}
    parts: tuple[Part, ...] = (
        Reasoning("Hm.", {STATE: {"thought": True, "thoughtSignature": "t"}}),
        Reasoning("", {STATE: code}),
        Text("Two."),
        Reasoning("", {STATE: {"thoughtSignature": "e"}}),
        Reasoning("", {STATE: {"thoughtSignature": "f"}}),
        Reasoning("Others.", {"anthropic.block": {"signature": "x"}}),
        Reasoning("Mine.", None),
    )
    (turn,) = turns(Message("assistant", parts))
    assert turn["parts"] == [
        {"text": "Hm.", "thought": True, "thoughtSignature": "t"},
        code,
        {"text": "Two.", "thoughtSignature": "e"},
        {"text": "", "thoughtSignature": "f"},
    ]


def test_files() -> None:
    made = turns(Message("user", (
        Text("Look:"), Media("image/png", b"\x01\x02"), Media("application/pdf", url="https://host.example/a.pdf"),
        Media("audio/wav", b""),
    )))  # fmt: skip
    assert made[0]["parts"] == [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": "AQI="}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://host.example/a.pdf"}},
        {"inlineData": {"mimeType": "audio/wav", "data": ""}},
    ]
    with pytest.raises(Unsupported, match="application/zip"):
        turns(Message("user", (Media("application/zip", b"PK"),)))


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": tuple("abcdef")},
        {"input": (Message("system", "only"),)},
        {"input": (Message("system", (Media("image/png", b"x"),)), *HI)},
        {"input": (Message("tool", "what?"),)},
        {"input": (Message("tool", (ToolResult("nobody", "x"),)),)},
        {"input": (Message("user", "\ud800"),)},
    ],
)
def test_what_cannot_be_sent(fields: Any) -> None:
    with pytest.raises(InputError) as caught:
        body(**fields)
    assert str(caught.value)


PARTS = st.lists(
    st.builds(Text, st.text(max_size=3))
    | st.builds(Reasoning, st.text(max_size=3), st.none() | st.just({STATE: {"thought": True}}))
    | st.builds(ToolCall, st.sampled_from("ab"), st.just("f"), st.just("{}"))
    | st.builds(ToolResult, st.sampled_from("ab"), st.text(max_size=3)),
    max_size=5,
).map(tuple)


@given(st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), PARTS), max_size=6))
def test_any_conversation_is_sent_in_form_or_refused_in_words(messages: list[Message]) -> None:
    try:
        made = turns(*messages)
    except InputError:
        return
    for turn in made:
        assert turn.keys() == {"role", "parts"}
        assert turn["role"] in ("user", "model")
        assert turn["parts"]
        assert not any("_id" in part for part in turn["parts"])
    results = [any("functionResponse" in part for part in turn["parts"]) for turn in made]
    assert not any(first and second for first, second in pairwise(results))


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        (None, "https://generativelanguage.googleapis.com/v1beta"),
        ("https://h.example/", "https://h.example/v1beta"),
        ("https://h.example/v1", "https://h.example/v1"),
        ("https://h.example/x/v1beta2/", "https://h.example/x/v1beta2"),
    ],
)
def test_where_a_request_goes(base_url: str | None, expected: str) -> None:
    provider = Gemini("gemini", Settings(api_key=KEY, base_url=base_url))
    for model, path in (("m", "models/m"), ("tunedModels/t", "tunedModels/t"), ("a?b", "models/a%3Fb")):
        assert provider.encode(Request(model, HI)).url == f"{expected}/{path}:generateContent"
    assert provider.encode(Request("m", HI, stream=True)).url == f"{expected}/models/m:streamGenerateContent?alt=sse"
    assert (b"x-goog-api-key", CANARY.encode()) in provider.encode(Request("m", HI)).headers


@pytest.mark.parametrize(
    ("location", "root"),
    [
        ("here", "https://here-aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("global", "https://aiplatform.googleapis.com"),
    ],
)
def test_where_a_request_goes_on_vertex(location: str, root: str) -> None:
    provider = Vertex("vertex", VertexSettings(project="p", location=location, token=KEY))
    above = f"{root}/v1/projects/p/locations/{location}/publishers"
    asked = provider.encode(Request("m", HI))
    assert asked.url == f"{above}/google/models/m:generateContent"
    assert (b"authorization", f"Bearer {CANARY}".encode()) in asked.headers
    assert provider.encode(Request("other/m", HI)).url == f"{above}/other/models/m:generateContent"
    assert provider.encode(Request("publishers/o/models/m", HI)).url == f"{above}/o/models/m:generateContent"
    endpoint = "projects/q/locations/x/endpoints/1"
    assert provider.encode(Request(endpoint, HI)).url == f"{root}/v1/{endpoint}:generateContent"


def test_project_and_location_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "theirs")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "there")
    provider = Vertex("vertex", VertexSettings(token=KEY))
    assert "there-aiplatform" in provider.encode(Request("m", HI)).url
    assert "/projects/theirs/" in provider.encode(Request("m", HI)).url


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/v1beta/models", "https://h.example/v1beta/models/m:generateContent", "ftp://h.example",
        "https://h.example/v1beta/openai", "https://h.example/?key=1", "http://h.example",
        "https://h.example/v1/projects/p",
    ],
)  # fmt: skip
def test_addresses_that_cannot_work(url: str) -> None:
    for make in (
        lambda: Gemini("gemini", Settings(api_key=KEY, base_url=url)),
        lambda: Vertex("vertex", VertexSettings(project="p", token=KEY, base_url=url)),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [{}, {"project": "p"}, {"project": "p", "api_key": CANARY}, {"project": "p", "token": ""},
     {"project": "p", "token": f"Bearer {CANARY}"}, {"project": "p", "token": CANARY, "token_provider": str},
     {"token": CANARY}, {"project": "p/..", "token": CANARY}, {"project": "p", "location": "x.y/", "token": CANARY}],
)  # fmt: skip
def test_settings_of_vertex_that_cannot_work(fields: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Client("vertex:m", config={"providers": {"vertex": fields}})
    assert CANARY not in str(caught.value) + repr(vars(caught.value))


def test_a_missing_key_is_told_with_its_variable() -> None:
    with pytest.raises(MissingKey) as caught:
        Client("gemini:m")
    assert "GEMINI_API_KEY" in caught.value.hint


def test_no_secret_shows() -> None:
    for provider in (GEMINI, VERTEX):
        shown = repr(provider) + repr(provider.settings) + repr(provider.encode(Request("m", HI))) + repr(provider.host)
        assert CANARY not in shown


# --- what models can do -------------------------------------------------------------------------------------------


def test_capabilities() -> None:
    assert "reasoning" in GEMINI.capabilities("gemini-2.5-flash").options
    assert "reasoning" not in GEMINI.capabilities("gemini-2.0-flash").options
    assert (GEMINI.capabilities("gemini-2.0-flash").logprobs, VERTEX.capabilities("gemini-2.0-flash").logprobs) == (
        0,
        20,
    )
    assert VERTEX.capabilities("gemini-2.5-pro").logprobs == 0
    assert GEMINI.capabilities("gemini-3-pro-preview").context == 1_048_576
    assert GEMINI.capabilities("gemma-3-27b-it").context is None
    told = Gemini("gemini", Settings(api_key=KEY, logprobs=3, thinking="level", context=9)).capabilities("gemma")
    assert (told.logprobs, told.context, "reasoning" in told.options) == (3, 9, True)


# --- the service's own description --------------------------------------------------------------------------------

PREFIX = "GoogleCloudAiplatformV1"


def faults(schemas: Mapping[str, Any], name: str, value: Any, place: str) -> list[str]:
    """What Vertex's discovery document has against a value."""
    known = schemas[name].get("properties", {})
    found = []
    for key, inner in value.items():
        rule = known.get(key)
        if rule is None:
            found.append(f"{place}.{key} is unknown to {name}")
            continue
        many = inner if rule.get("type") == "array" and isinstance(inner, list) else [inner]
        rule = rule.get("items", rule) if rule.get("type") == "array" else rule
        for item in many:
            found += one_fault(schemas, rule, item, f"{place}.{key}")
    return found


def one_fault(schemas: Mapping[str, Any], rule: Mapping[str, Any], value: Any, place: str) -> list[str]:
    if "$ref" in rule:
        return faults(schemas, rule["$ref"], value, place) if isinstance(value, dict) else [f"{place} is no object"]
    kinds: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict}
    kind = kinds.get(rule["type"], object)
    wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool and kind is not object)
    if wrong or ("enum" in rule and value not in rule["enum"]):
        return [f"{place} = {value!r:.40} is no {rule['type']} of {rule.get('enum', 'any')}"]
    return []


def test_requests_fit_the_description_of_vertex(shared_data: Path) -> None:
    path = shared_data / "specs/vertex-aiplatform.v1.discovery.json"
    schemas = json.loads(path.read_text("utf-8"))["schemas"]
    signed = (Reasoning("Hm.", {STATE: {"thought": True}}), call("a", "1", id="1", thoughtSignature="s"))
    messages = (
        Message("system", "Be brief."), Message("user", (Media("image/png", b"x"), Media("image/png", url="u"))),
        Message("assistant", signed), Message("tool", (ToolResult("1", "x"),)), *HI,
    )  # fmt: skip
    for model in ("gemini-2.5-flash", "gemini-3-pro-preview"):
        for choice in ("auto", "weather"):
            request = Request(
                model, messages, max_tokens=5, temperature=0.5, top_p=0.9, top_k=3, seed=7, stop=("a",), n=2,
                logprobs=2, frequency_penalty=0.1, presence_penalty=0.2, reasoning="low", tools=(WEATHER,),
                tool_choice=choice, schema=PERSON,
            )  # fmt: skip
            made = sent(VERTEX, request)
            assert faults(schemas, f"{PREFIX}GenerateContentRequest", made, "") == []
            assert faults(schemas, f"{PREFIX}CountTokensRequest", VERTEX.counted(request), "") == []
    assert faults(schemas, f"{PREFIX}GenerateContentRequest", {"contents": [{"part": 1}]}, "")
