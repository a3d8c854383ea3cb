"""Thoughts: their marks are learned, they are told apart from the answer, and the template's switch is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_kit import make_talker, make_tokenizer

from llmsdk import Client, Message, Tool
from llmsdk.errors import Unsupported
from llmsdk.types import Reasoning, Request, Text
from llmsdk_providers.local.calls import CallForm
from llmsdk_providers.local.text import Texts
from llmsdk_providers.local.thinking import STATE, Marks, Thinking, Thoughts, marks, switch

transformers = pytest.importorskip("transformers", reason="the local runtime needs transformers")

TAGS = Marks("<think>", "</think>")
SAID = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' and loop.last and not add_generation_prompt %}<think>\n"
    "{{ m.reasoning_content or '' }}\n</think>\n\n"
    "{% elif m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}{% for call in m.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
)
SWITCHED = (
    SAID
    + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""As of Qwen3: the model begins its thoughts by itself."""
OPEN = SAID + "<think>\n{% endif %}"
"""As of DeepSeek-R1: the prompt begins them."""


# --- marks and switches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "tokens", "found"),
    [
        (SWITCHED, [], TAGS),
        ("{{ content.split('</think>')[-1] }}<think>\n", [], TAGS),
        ("no word of it", ["<|end|>", "[THINK]", "[/THINK]"], Marks("[THINK]", "[/THINK]")),
        ("", ["<|START_THINKING|>", "<|END_THINKING|>"], Marks("<|START_THINKING|>", "<|END_THINKING|>")),
        ("", ["<|begin_of_thought|>", "<|end_of_thought|>"], Marks("<|begin_of_thought|>", "<|end_of_thought|>")),
        ("<seed:think>a</seed:think>", [], Marks("<seed:think>", "</seed:think>")),
        ("{{ m['reasoning_content'] }}<tools></tools>", ["<tool_call>", "</tool_call>"], None),
        ("<think>", [], None),
        ("{{ '<think{}>'.format(x) }}{{ '</think{}>'.format(x) }}", [], None),
    ],
)
def test_marks_are_a_pair_of_tags_with_a_telling_name(template: str, tokens: list[str], found: Marks | None) -> None:
    assert marks(template, tokens) == found


@pytest.mark.parametrize(
    ("template", "found"),
    [
        (SWITCHED, "enable_thinking"),
        ("{%- if thinking %}", "thinking"),
        ("{{ '/no_think' if not enable_thinking }}", "enable_thinking"),
        (OPEN, None),
        ("{{ message.thinking }} {{ message['thinking'] }} thinking", None),
        ("", None),
    ],
)
def test_a_switch_is_a_variable_of_the_template(template: str, found: str | None) -> None:
    assert switch(template) == found


# --- telling apart ------------------------------------------------------------------------------------------------


def apart(pieces: Sequence[str], *, opened: bool = False) -> tuple[str, str]:
    reader = Thoughts(Thinking(TAGS, opened))
    found = [*map(reader.push, pieces), reader.finish()]
    return "".join(thought for thought, _ in found), "".join(answer for _, answer in found)


@pytest.mark.parametrize(
    ("text", "opened", "thought", "answer"),
    [
        ("<think>\nHm, 1 < 2.\n</think>\n\nYes.\n", False, "Hm, 1 < 2.", "Yes.\n"),
        ("\n<think>Hm</think>Yes", False, "Hm", "Yes"),
        ("<think>\n\n</think>\n\nYes", False, "", "Yes"),
        ("Hm\n</think>\n\nYes", True, "Hm", "Yes"),
        ("Hm </thin", True, "Hm </thin", ""),
        ("<think>Hm </think>\n", False, "Hm", ""),
        (" Yes", False, "", " Yes"),
        ("<thin", False, "", "<thin"),
        (" \n", False, "", " \n"),
        ("In HTML <think>a</think>", False, "", "In HTML <think>a</think>"),
        ("<think>a <think> b</think>c</think>", False, "a <think> b", "c</think>"),
        ("", False, "", ""),
    ],
)
def test_thoughts_stand_at_the_beginning(text: str, opened: bool, thought: str, answer: str) -> None:
    assert apart([text], opened=opened) == (thought, answer)
    assert apart(list(text), opened=opened) == (thought, answer)


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", "</thi", " ", "\n", "a", "你"]), max_size=9
    ),
    st.booleans(),
    st.data(),
)
def test_it_does_not_matter_how_the_text_is_cut(parts: list[str], opened: bool, data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    thought, answer = apart([text], opened=opened)
    assert apart(pieces, opened=opened) == (thought, answer)
    assert TAGS.end not in thought
    assert thought == thought.strip()
    assert opened or text.lstrip().startswith(TAGS.begin) or (thought, answer) == ("", text)


@given(st.text("</think> \nab", max_size=12), st.booleans())
def test_nothing_is_held_back_without_need(text: str, opened: bool) -> None:
    """White space, and what may be the beginning of a mark."""
    reader = Thoughts(Thinking(TAGS, opened))
    shown = "".join("".join(reader.push(letter)) for letter in text)
    rest = "".join(reader.finish()).strip()
    assert not rest or any(mark.startswith(rest) for mark in (TAGS.begin, TAGS.end))
    assert set(shown) <= set(text)


# --- prompts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def texts(tmp_path: Path) -> Callable[..., Texts]:
    def make(template: str) -> Texts:
        make_tokenizer(tmp_path, template=template, words=WORDS)
        return Texts(transformers.AutoTokenizer.from_pretrained(tmp_path), "test", [])

    return make


def shown(made: Texts, *messages: Message, **fields: Any) -> str:
    return str(made.tokenizer.decode(made.prompt(Request("m", messages, **fields)).ids))


def test_the_switch_is_what_transformers_gives_the_template(texts: Callable[..., Texts]) -> None:
    made, question = texts(SWITCHED), Message("user", "a")
    for wish in (True, False):
        theirs = made.tokenizer.apply_chat_template(
            [{"role": "user", "content": "a"}], add_generation_prompt=True, tokenize=False, enable_thinking=wish
        )
        assert shown(made, question, reasoning=wish) == theirs
    assert "<think>" not in shown(made, question)


def test_thoughts_go_back_to_a_template_that_asks_for_them(texts: Callable[..., Texts]) -> None:
    own, other = Reasoning("Hm.", {STATE: True}), Reasoning("Oh!", {"elsewhere": 1})
    turns = (Message("user", "a"), Message("assistant", (own, other, Text("b"))), Message("user", "c"))
    assert "<think>Hm.</think>b" in shown(texts(SWITCHED), *turns)
    assert "Hm." not in shown(texts(SWITCHED.replace("reasoning_content", "no_such_key")), *turns)


def test_the_form_of_a_call_has_no_thoughts_before_it(texts: Callable[..., Texts]) -> None:
    for template in (SWITCHED, OPEN):
        assert texts(template).calls() == CallForm("<tool_call>", "</tool_call>", "name", "arguments", listed=False)


def test_the_form_of_a_call_is_not_cut_where_a_thought_would_begin(texts: Callable[..., Texts]) -> None:
    """As of QwQ: the prompt begins a thought, and a turn that calls has none."""
    for begun in ("<think>\n", "<think>\n</think>"):
        made = texts(
            OPEN.replace(" and loop.last and not add", " and false and not add").replace("<think>\n{%", begun + "{%")
        )
        assert made.calls() == CallForm("<tool_call>", "</tool_call>", "name", "arguments", listed=False)


def test_a_variable_that_changes_nothing_is_no_switch(texts: Callable[..., Texts]) -> None:
    assert texts(SWITCHED).switch() == "enable_thinking"
    for idle in (
        "{% set thinking = 1 %}",
        "{{ '' if enable_thinking else '' }}",
        "{% if thinking is false %}{{ raise_exception('no') }}{% endif %}",
    ):
        assert texts(OPEN + idle).switch() is None


def test_candidates_are_answers(texts: Callable[..., Texts]) -> None:
    """They are scored behind thoughts of nothing, whether the template has a switch or not."""
    for template in (SWITCHED, OPEN):
        assert shown(texts(template), Message("user", "a"), reasoning=False).endswith("<think>\n\n</think>\n\n")


# --- models -------------------------------------------------------------------------------------------------------

WORDS = ("<think>", "</think>")
THOUGHT, ANSWER = "Hm, the dog?", "It is good"


@pytest.fixture(params=[SWITCHED, OPEN], ids=["switched", "open"])
def template(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["text", "control"])
def client(request: pytest.FixtureRequest, tmp_path: Path, template: str) -> Iterator[Client]:
    """Asks a model that thinks and answers. Marks are ordinary added tokens (Qwen), or control tokens (Magistral)."""
    begin = [] if template is OPEN else ["<think>"]
    script = [*begin, THOUGHT, "</think>", ANSWER, "<|end|>"]
    folder = make_talker(tmp_path / "model", script, template=template, words=WORDS, control=request.param)
    with Client(f"local:{folder}", config={"providers": {"local": {"threads": 1}}}) as made:
        yield made


def test_thoughts_are_no_text(client: Client) -> None:
    reply = client.chat("a")
    assert (reply.reasoning, reply.text, reply.finish_reason) == (THOUGHT, ANSWER, "stop")
    assert [type(part) for part in reply.message.parts] == [Reasoning, Text]
    with client.chat("a", stream=True) as stream:
        events = list(stream)
    assert "".join(event.text for event in events) == ANSWER
    assert (stream.result.reasoning, stream.result.message) == (THOUGHT, reply.message)
    usage = reply.usage
    assert usage.reasoning_tokens is not None
    assert usage.output_tokens is not None
    assert 0 < usage.reasoning_tokens < usage.output_tokens
    assert len(client.chat([*reply.messages, Message("user", "b")]).attempts) == 1


def test_max_tokens_may_cut_a_thought(client: Client, template: str) -> None:
    reply = client.chat("a", max_tokens=3)
    assert (reply.text, reply.finish_reason) == ("", "length")
    assert reply.reasoning
    assert THOUGHT.startswith(reply.reasoning)
    assert reply.usage.reasoning_tokens == reply.usage.output_tokens == 3
    assert [warning for warning in reply.warnings if "max_tokens" in warning]
    assert not client.chat("a", max_tokens=12).warnings


def test_stop_strings_and_logprobs_are_of_the_answer(client: Client) -> None:
    reply = client.chat("a", stop=["dog", " good"], logprobs=0)
    assert (reply.reasoning, reply.text, reply.finish_reason) == (THOUGHT, "It is", "stop")
    assert reply.logprobs is not None
    assert "".join(item.token for item in reply.logprobs) == "It is"


def test_a_value_comes_behind_the_thoughts(client: Client) -> None:
    """The model thinks what it would, and is held to the type then."""
    reply = client.chat("a", output=bool, max_tokens=200)
    assert reply.reasoning == THOUGHT
    assert isinstance(reply.value, bool)


def test_a_call_comes_behind_the_thoughts(client: Client) -> None:
    tool = Tool("add", {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]})
    reply = client.chat("a", tools=[tool], tool_choice="add", max_tokens=300)
    (call,) = reply.tool_calls
    assert (reply.reasoning, reply.text, call.name) == (THOUGHT, "", "add")


def test_labels_are_scored_as_answers(client: Client) -> None:
    found = client.classify("a", ["good", "bad"])
    assert (found.probability, sum(found.scores.values())) == ("exact", pytest.approx(1))


def test_the_switch(client: Client, template: str) -> None:
    if template is OPEN:
        for wish in (True, False):
            with pytest.raises(Unsupported) as caught:
                client.chat("a", reasoning=wish)
            assert caught.value.capability == "reasoning"
        return
    assert client.chat("a", reasoning=True).reasoning == THOUGHT
    without = client.chat("a", reasoning=False, output=bool)
    assert without.reasoning == ""
    assert isinstance(without.value, bool)
    for wish in ("low", 100):
        with pytest.raises(Unsupported, match="no effort"):
            client.chat("a", reasoning=wish)  # type: ignore[arg-type]


def test_thoughts_in_a_form_that_is_not_known(tmp_path: Path) -> None:
    template = SWITCHED.replace("<think>", "<|muse|>").replace("</think>", "<|said|>")
    folder = make_talker(tmp_path / "model", [ANSWER, "<|end|>"], template=template)
    with Client(f"local:{folder}", config={"providers": {"local": {"threads": 1}}}) as client:
        assert client.chat("a").text == ANSWER
        assert client.chat("a", reasoning=False, max_tokens=3).reasoning == ""
        with pytest.raises(Unsupported, match="form"):
            client.chat("a", reasoning=True)


def test_a_raw_prompt_is_continued_as_it_is(client: Client, template: str) -> None:
    said = client.complete("<|assistant|>" if template is SWITCHED else "<think>\n").text
    assert said.endswith(f"{THOUGHT}</think>{ANSWER}")
