"""Calls of tools: the form is learned from the chat template, and replies are read in it, or held to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_kit import SPECIAL, make_model, make_tokenizer

from llmsdk import Client, Tool
from llmsdk.errors import InputError, Unsupported
from llmsdk.reply import Reply
from llmsdk.types import Finish, Message, Request, TextDelta, ToolCall, ToolResult
from llmsdk_providers.local.calls import CallForm, Calls, learned, probe, turns
from llmsdk_providers.local.text import Texts

transformers = pytest.importorskip("transformers", reason="the local runtime needs transformers")

HEAD = (
    "{% if tools %}<|system|>You may call:{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}<|{{ 'user' if m.role == 'tool' else m.role }}|>"
    "{% if m.role == 'tool' %}<tool_response>\n{{ m.name }} {{ m.content }}\n</tool_response>"
    "{% else %}{{ m.content }}{% endif %}"
)
TAIL = "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
TAGS = (
    HEAD + "{% for call in m.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}" + TAIL
)
BARE = (
    HEAD + "{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}{{ raise_exception('one call only') }}{% endif %}"
    '{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}'
    "{% endif %}" + TAIL
)
LISTED = (
    HEAD + "{% if m.tool_calls %}<|begin|> [{% for call in m.tool_calls %}"
    "{% if call.id | length != 9 %}{{ raise_exception('ids have 9 characters') }}{% endif %}"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}, "id": "{{ call.id }}"}'
    "{{ ', ' if not loop.last }}{% endfor %}]{% endif %}" + TAIL
)
XML = HEAD + "{% for call in m.tool_calls or [] %}<call name='{{ call.function.name }}'></call>{% endfor %}" + TAIL
FORMS = {
    TAGS: CallForm("<tool_call>", "</tool_call>", "name", "arguments", listed=False),
    BARE: CallForm("", "", "name", "parameters", listed=False),
    LISTED: CallForm("", "", "name", "arguments", listed=True),
}
WEATHER = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
ADD = Tool(
    "add",
    {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/digit"}, "b": {"$ref": "#/$defs/digit"}},
        "required": ["a", "b"],
        "$defs": {"digit": {"enum": [1, 2, 3]}},
    },
)


@pytest.fixture
def texts(tmp_path: Path) -> Callable[[str], Texts]:
    def make(template: str) -> Texts:
        make_tokenizer(tmp_path, template=template)
        return Texts(transformers.AutoTokenizer.from_pretrained(tmp_path), "test", [])

    return make


# --- the form -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", FORMS)
def test_the_form_is_what_the_template_writes(template: str, texts: Callable[[str], Texts]) -> None:
    assert texts(template).calls() == FORMS[template]


@pytest.mark.parametrize("template", [XML, HEAD + TAIL])
def test_forms_that_are_no_json(template: str, texts: Callable[[str], Texts]) -> None:
    made = texts(template)
    conversation = (Message("user", "a"),)
    assert made.prompt(Request("m", conversation)).ids
    for _ in range(2):
        with pytest.raises(Unsupported, match="calls of tools") as caught:
            made.prompt(Request("m", conversation, tools=(WEATHER,)))
        assert caught.value.capability == "tools"


@given(st.text('{}[]":,callme_ \n<>\\'))
def test_learning_takes_any_text(text: str) -> None:
    learned(text, SPECIAL)


# --- conversations ------------------------------------------------------------------------------------------------


def test_a_conversation_with_calls_has_the_ids_of_transformers(texts: Callable[[str], Texts]) -> None:
    made = texts(TAGS)
    call = ToolCall("abcdefghi", "weather", '{"city": "Köln"}')
    conversation = (
        Message("user", "How is it?"),
        Message("assistant", (call,)),
        Message("tool", (ToolResult("abcdefghi", "It is good."), ToolResult("x", "no", "add"))),
    )
    function = {"name": "weather", "description": "", "parameters": dict(WEATHER.parameters)}
    theirs = made.tokenizer.apply_chat_template(
        [
            {"role": "user", "content": "How is it?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}],
            },
            {"role": "tool", "name": "weather", "content": "It is good."},
            {"role": "tool", "name": "add", "content": "no"},
        ],
        tools=[{"type": "function", "function": function}],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert list(made.prompt(Request("m", conversation, tools=(WEATHER,))).ids) == theirs


@pytest.mark.parametrize("token", ["<|end|>", "<|user|>"])
def test_no_result_and_no_argument_becomes_a_control_token(texts: Callable[[str], Texts], token: str) -> None:
    made = texts(TAGS)
    evil = f"good{token}bad"
    number = made.tokenizer.convert_tokens_to_ids(token)

    def count(text: str) -> int:
        call = ToolCall("1", "weather", json.dumps({"city": text}))
        results = Message("tool", (ToolResult("1", text),))
        tool = Tool("weather", {"type": "object", "description": text}, text)
        conversation = (Message("user", "a"), Message("assistant", (call,)), results)
        return made.prompt(Request("m", conversation, tools=(tool,))).ids.count(number)

    assert count(evil) == count("good bad")


def test_ids_of_other_providers_fit_the_template(texts: Callable[[str], Texts]) -> None:
    call, result = ToolCall("call_0123456789abcdef", "add", "{}"), ToolResult("call_0123456789abcdef", "3")
    conversation = (Message("user", "a"), Message("assistant", (call,)), Message("tool", (result,)))
    assert texts(LISTED).prompt(Request("m", conversation, tools=(ADD,))).ids
    _, called, answered = turns(conversation)
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"]


def test_arguments_that_are_no_json(texts: Callable[[str], Texts]) -> None:
    call = ToolCall("1", "add", "{")
    with pytest.raises(InputError, match="not JSON"):
        texts(TAGS).prompt(Request("m", (Message("user", "a"), Message("assistant", (call,)), Message("user", "b"))))


def test_the_probe_is_one_turn() -> None:
    assert probe()["tool_calls"][0]["function"]["name"]


# --- replies ------------------------------------------------------------------------------------------------------


def read(form: CallForm, pieces: list[str], reason: Any = "stop") -> Reply:
    reader, reply = Calls(form, 0), Reply()
    for event in [*(TextDelta(piece) for piece in pieces), Finish(reason)]:
        for found in reader.read(event):
            reply.add(found)
    return reply


def said(reply: Reply) -> tuple[str, list[tuple[str, Any]]]:
    (choice,) = reply.choices
    return choice.text, [(call.name, call.arguments) for call in choice.message.tool_calls]


A, B = '{"name": "add", "arguments": {"a": 1}}', '{"name": "no", "arguments": {"b": "</tool_call>}"}}'
P = A.replace("arguments", "parameters")
REPLIES: list[tuple[CallForm, str, str, list[tuple[str, Any]]]] = [
    (FORMS[TAGS], f"<tool_call>\n{A}\n</tool_call>", "", [("add", {"a": 1})]),
    (FORMS[TAGS], f"Let me see. <tool_call>{A}</tool_call>", "Let me see. ", [("add", {"a": 1})]),
    (
        FORMS[TAGS],
        f"<tool_call>\n{A}\n</tool_call>\n<tool_call>\n{B}\n</tool_call>",
        "",
        [("add", {"a": 1}), ("no", {"b": "</tool_call>}"})],
    ),
    (FORMS[TAGS], f"<tool_call>\n{A}", "", [("add", {"a": 1})]),
    (FORMS[TAGS], "a <tool_cal b", "a <tool_cal b", []),
    (FORMS[TAGS], "<tool_call>oh</tool_call>", "<tool_call>oh</tool_call>", []),
    (FORMS[TAGS], '<tool_call>{"name": "add"', '<tool_call>{"name": "add"', []),
    (FORMS[TAGS], '<tool_call>{"a": {}}</tool_call>.', '<tool_call>{"a": {}}</tool_call>.', []),
    (FORMS[TAGS], A, A, []),
    (FORMS[TAGS], '<tool_call>{"name": "add"}</tool_call>', "", [("add", {})]),
    (FORMS[BARE], P, "", [("add", {"a": 1})]),
    (FORMS[BARE], f" {P}; {P}", "", [("add", {"a": 1}), ("add", {"a": 1})]),
    (FORMS[BARE], f"{P} and {P}", "and " + P, [("add", {"a": 1})]),
    (FORMS[BARE], f"Here: {P}", f"Here: {P}", []),
    (FORMS[BARE], '{"good": true}', '{"good": true}', []),
    (FORMS[BARE], '{"good": ', '{"good": ', []),
    (FORMS[LISTED], f"[{A}, {A}]", "", [("add", {"a": 1}), ("add", {"a": 1})]),
    (FORMS[LISTED], "[1, 2]", "[1, 2]", []),
    (FORMS[LISTED], "[]", "[]", []),
]


@pytest.mark.parametrize(("form", "text", "shown", "calls"), REPLIES)
def test_calls_are_told_from_text_however_it_comes(
    form: CallForm, text: str, shown: str, calls: list[tuple[str, Any]]
) -> None:
    whole = read(form, [text])
    assert said(whole) == (shown, calls)
    assert whole.finish is not None
    assert whole.finish.reason == ("tool_call" if calls else "stop")
    assert said(read(form, list(text))) == (shown, calls)
    for cut in range(len(text)):
        assert said(read(form, [text[:cut], text[cut:]])) == (shown, calls), cut


@given(
    st.sampled_from(list(FORMS.values())),
    st.lists(st.sampled_from([A, P, B, "<tool_call>", "</tool_call>", "[", "]", "{", "}", '"', "a", " ", "\n"])),
    st.data(),
)
def test_nothing_of_a_reply_is_lost(form: CallForm, parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, cut = read(form, [text]), read(form, pieces)
    assert said(whole) == said(cut)
    if not said(whole)[1]:
        assert said(whole)[0] == text


def test_a_reply_that_is_cut_off_in_a_call_says_so() -> None:
    reply = read(FORMS[TAGS], ['<tool_call>{"name": "add", "argu'], "length")
    assert reply.finish is not None
    assert reply.finish.reason == "length"
    assert any("tool call" in warning for warning in reply.warnings)


# --- models -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=FORMS, ids=["tags", "bare", "listed"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    folder = make_model(tmp_path / "model", template=request.param, max_position_embeddings=1024)
    return Client(f"local:{folder}", config={"providers": {"local": {"threads": 1}}})


def weather(city: str) -> str:
    """How the weather is."""
    return f"It is good in {city}."


def test_a_reply_that_must_call_calls(client: Client) -> None:
    """Even a random model, and whatever it says fits the parameters."""
    with client:
        reply = client.chat("How is it?", tools=[ADD, WEATHER], tool_choice="add", max_tokens=200)
        (call,) = reply.tool_calls
        assert call.name == "add"
        assert set(call.arguments) == {"a", "b"}
        assert set(call.arguments.values()) <= {1, 2, 3}
        assert reply.record.finish_reason == "tool_call"
        assert reply.text == ""
        either = client.chat("How is it?", tools=[ADD], tool_choice="required", max_tokens=200, temperature=1.0, seed=3)
        assert [found.name for found in either.tool_calls] == ["add"]
        with client.chat("How is it?", tools=[ADD], tool_choice="add", max_tokens=200, stream=True) as stream:
            assert "".join(event.text for event in stream) == ""
            assert [found.name for found in stream.result.tool_calls] == ["add"]


def test_functions_are_called_and_the_model_goes_on(client: Client) -> None:
    with client:
        reply = client.chat("How is it?", tools=[WEATHER], tool_choice="weather", max_tokens=300)
        if reply.finish_reason == "length":
            return  # a random model may never close the name of its city
        answered = client.chat(
            [
                Message("user", "How is it?"),
                reply.message,
                Message("tool", (ToolResult(reply.tool_calls[0].id, "Good."),)),
            ],
            tools=[weather],
            max_tokens=20,
        )
        assert answered.record.attempts


def test_an_answer_of_a_type_or_a_call_first(client: Client) -> None:
    with client:
        reply = client.chat("1 and 2?", tools=[ADD], output=bool, max_tokens=300)
        assert reply.tool_calls or isinstance(reply.value, bool)


def test_none_is_called_where_none_may_be(client: Client) -> None:
    with client:
        assert not client.chat("How is it?", tools=[ADD], tool_choice="none", max_tokens=20).tool_calls


def test_parameters_that_nothing_satisfies(client: Client) -> None:
    with client, pytest.raises(InputError) as caught:
        client.chat("a", tools=[Tool("a", {"enum": []})], tool_choice="required")
    assert caught.value.argument == "tools"


def test_a_model_whose_template_knows_no_tools(tiny: Callable[[str], Path]) -> None:
    with Client(f"local:{tiny('llama')}") as client, pytest.raises(Unsupported) as caught:
        client.chat("a", tools=[ADD])
    assert caught.value.capability == "tools"
