"""Replies bound to a type: by the best means that a model has, validated, asked for once more where they do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter
from scripted import Scripted, says

from llmsdk import AsyncClient, Client, Message
from llmsdk.errors import InputError, LLMError, RateLimited, Refused, SchemaMismatch
from llmsdk.pipeline.answer_tool import Answer
from llmsdk.provider import Capabilities
from llmsdk.reply import Reply
from llmsdk.tasks.schema import FAULTS, MAX_FAULT
from llmsdk.types import Event, Finish, ReasoningDelta, TextDelta, Tool, ToolCallDelta, Usage

FORCED = frozenset({"tool_choice", "parallel_tool_calls", "reasoning"})
STRICT = Capabilities(schema="strict", tools=True, options=FORCED)
TOOLS = Capabilities(tools=True, options=FORCED)
JSON = Capabilities(schema="json")
WORDS = Capabilities()
PARIS = '{"name": "Paris", "people": 2}'
ODD = '{"name": "Paris", "people": "many"}'


class City(BaseModel):
    name: str
    people: int


@dataclass
class Pair:
    a: int
    b: int


class Tree(BaseModel):
    leaves: list[Tree] = Field(default=[])


def client(provider: Scripted) -> Client:
    return Client("scripted:m", provider=provider)


def calls(*pieces: str, slot: int = 0) -> list[Event]:
    """A reply that is a call, its arguments in pieces."""
    first = ToolCallDelta(slot, "c1", "City")
    return [
        first,
        *(ToolCallDelta(slot, arguments=piece) for piece in pieces),
        Usage(7, 3),
        Finish("tool_call", "tool"),
    ]


# --- rungs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("can", "route", "asked"),
    [(STRICT, "schema", False), (TOOLS, "tool", False), (JSON, "json", True), (WORDS, "asked", True)],
)
def test_the_best_means_is_used_and_told(can: Capabilities, route: str, asked: bool) -> None:
    provider = Scripted(calls(PARIS) if route == "tool" else says(f"```json\n{PARIS}\n```"), can=can)
    with client(provider) as c:
        result = c.chat("x", output=City)
    assert result.value == City(name="Paris", people=2)
    assert (result.route, result.finish_reason) == (f"chat+{route}", "stop")
    (request,) = provider.requests
    assert (request.schema is not None) == (route in ("schema", "json"))
    assert (request.tools != ()) == (route == "tool")
    assert ("JSON schema" in request.messages[0].text) == asked


def test_a_tool_is_not_forced_where_the_caller_has_tools_or_wants_thoughts() -> None:
    def look(place: str) -> str:
        return place

    provider = Scripted(says(PARIS), says(PARIS), says(PARIS), can=TOOLS)
    with client(provider) as c:
        assert c.chat("x", output=City, tools=[look]).route == "chat+asked"
        assert c.chat("x", output=City, reasoning="high").route == "chat+asked"
        assert c.chat("x", output=City, reasoning=False).route == "chat+tool"
    assert [tool.name for tool in provider.requests[0].tools] == ["look"]


def test_a_model_that_cannot_be_made_to_call_is_asked_in_words() -> None:
    provider = Scripted(says(PARIS), can=Capabilities(tools=True))
    with client(provider) as c:
        assert c.chat("x", output=City).route == "chat+asked"
    assert provider.requests[0].tools == ()


# --- the tool -----------------------------------------------------------------------------------------------------


def test_the_call_of_the_tool_reads_as_text() -> None:
    """The provider sees a tool that must be called; whoever asked sees neither tool nor call."""
    thought = [ReasoningDelta("hm"), TextDelta("Here you are:")]
    provider = Scripted([*thought, *calls(PARIS[:9], PARIS[9:])], [*thought, *calls(PARIS)], can=TOOLS)
    with client(provider) as c:
        result = c.chat("x", output=City)
        with c.chat("x", output=City, stream=True) as stream:
            text = "".join(event.text for event in stream)
    (tool,) = provider.requests[0].tools
    assert tool == Tool("City", City.model_json_schema(), "Give the answer.")
    assert (provider.requests[0].tool_choice, provider.requests[0].parallel_tool_calls) == ("City", False)
    assert text == result.text == stream.result.text == PARIS
    assert result.value == stream.result.value == City(name="Paris", people=2)
    assert (result.tool_calls, result.reasoning, result.raw_finish_reason) == ((), "hm", "tool")
    assert result.message.text == PARIS


def test_a_host_that_takes_no_notice_of_tools_is_read_all_the_same() -> None:
    with client(Scripted(says(PARIS), can=TOOLS)) as c:
        result = c.chat("x", output=City)
    assert (result.value, result.text) == (City(name="Paris", people=2), PARIS)


@given(
    arguments=st.lists(st.text(max_size=4), max_size=5),
    preface=st.lists(st.text(min_size=1, max_size=4), max_size=3),
    other=st.booleans(),
    called=st.booleans(),
)
def test_what_stands_for_the_text(arguments: list[str], preface: list[str], other: bool, called: bool) -> None:
    """The arguments of the first call, or else what was said; and the end is the last that comes."""
    reply, answer = Reply(), Answer()
    given: list[Event] = [TextDelta(piece) for piece in preface]
    if called:
        given += [*calls(*arguments)[:-2], *(calls("{}", slot=1)[:-2] if other else ())]
    given += [Usage(1, 1), Finish("tool_call" if called else "stop", "raw")]
    seen = [read for event in given for read in answer.read(event)]
    for event in seen:
        reply.add(event)
    assert reply.text == "".join(arguments if called else preface)
    assert (reply.finish, reply.usage) == (Finish("stop", "raw"), Usage(1, 1))
    assert isinstance(seen[-1], Finish)
    assert not any(isinstance(event, ToolCallDelta) for event in seen)


# --- once more ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("can", "rung"), [(STRICT, "schema"), (TOOLS, "tool"), (JSON, "json"), (WORDS, "asked")])
def test_a_reply_that_does_not_fit_is_shown_to_the_model_once(can: Capabilities, rung: str) -> None:
    provider = Scripted(says(ODD), says(PARIS), can=can)
    with client(provider) as c:
        result = c.chat("x", output=City, system="Be brief.")
        assert c.ledger.rows == result.attempts
    assert (result.value, result.route) == (City(name="Paris", people=2), f"chat+{rung}+again")
    assert (result.usage, [row.settled for row in result.attempts]) == (Usage(14, 6), ["exact", "exact"])
    *_, said, fault = provider.requests[1].messages
    assert said == Message("assistant", ODD)
    assert fault.role == "user"
    assert fault.text.startswith("the reply does not fit the schema: people: Input should be a valid integer")
    assert len(fault.text) < 300
    assert ("JSON schema" in provider.requests[1].messages[0].text) == (rung != "schema")
    assert result.messages == (result.message,), "the conversation goes on from the reply that fits"


def test_the_second_reply_is_the_last() -> None:
    provider = Scripted(says(ODD), says("{}"), says(PARIS))
    with client(provider) as c, pytest.raises(SchemaMismatch, match="name: Field required") as caught:
        c.chat("x", output=City)
    assert (caught.value.text, caught.value.usage, len(caught.value.attempts)) == ("{}", Usage(14, 6), 2)
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("length", SchemaMismatch), ("content_filter", Refused), ("refusal", Refused), ("pause", SchemaMismatch),
     ("error", SchemaMismatch)],
)  # fmt: skip
def test_a_reply_that_was_cut_filtered_or_refused_is_not_asked_for_again(reason: str, kind: type[LLMError]) -> None:
    provider = Scripted(says('{"name": "Pa', reason=reason), says(PARIS))
    with client(provider) as c, pytest.raises(kind) as caught:
        c.chat("x", output=City)
    assert (len(provider.requests), caught.value.usage) == (1, Usage(7, 3))
    assert getattr(caught.value, "text", "") == '{"name": "Pa'
    assert ("max_tokens" in caught.value.hint) == (reason == "length")


def test_one_attempt_is_one_attempt() -> None:
    provider = Scripted(says(ODD), says(PARIS))
    with client(provider) as c, pytest.raises(SchemaMismatch):
        c.chat("x", output=City, retry=1)
    assert len(provider.requests) == 1


def test_a_reply_without_a_word_is_not_shown() -> None:
    provider = Scripted(says("  "), says(PARIS))
    with client(provider) as c:
        assert c.chat("x", output=City).value.people == 2
    assert [message.role for message in provider.requests[1].messages] == ["user", "user"]


def test_asking_again_is_retried_and_keeps_the_deadline() -> None:
    limited = RateLimited("slow down", retry_after=0.0)
    with client(Scripted(says(ODD), [limited], says(PARIS))) as c:
        result = c.chat("x", output=City, retry={"base": 0.0})
        assert [row.settled for row in result.attempts] == ["exact", "none", "exact"]
    late = RateLimited("slow down", retry_after=50.0)
    with client(Scripted(says(ODD), [late], says(PARIS))) as c, pytest.raises(RateLimited, match="deadline") as caught:
        c.chat("x", output=City, deadline=20)
    assert caught.value.usage == Usage(7, 3)


def test_a_stream_is_never_asked_again() -> None:
    """What was shown cannot be taken back: the value is read at the end, and an error says what is wrong with it."""
    provider = Scripted(says(ODD), says(PARIS))
    shown: list[str] = []
    with client(provider) as c, pytest.raises(SchemaMismatch, match="people") as caught:
        shown.extend(event.text for event in c.chat("x", output=City, stream=True))
    assert "".join(shown) == caught.value.text == ODD
    assert (len(provider.requests), caught.value.usage) == (1, Usage(7, 3))


@pytest.mark.anyio
async def test_awaited_it_is_the_same() -> None:
    provider = Scripted(says(ODD), calls(PARIS), [*calls(PARIS)], can=TOOLS)
    async with AsyncClient("scripted:m", provider=provider) as c:
        result = await c.chat("x", output=City)
        assert (result.value.people, result.route, len(result.attempts)) == (2, "chat+tool+again", 2)
        async with c.chat("x", output=City, stream=True) as stream:
            assert "".join([event.text async for event in stream]) == PARIS
        assert stream.result.value.people == 2


def test_many_are_each_asked_again_by_themselves() -> None:
    def replies(request: Any) -> Iterable[Event]:
        return says(ODD if len(request.messages) == 1 else PARIS)

    with client(Scripted(*[replies] * 4)) as c:
        batch = c.chat(["x", "y"], output=City, concurrency=1)
    assert [result.value.people for result in batch] == [2, 2]
    assert batch.usage == Usage(28, 12)


# --- with tools of the caller -------------------------------------------------------------------------------------


def test_calls_come_before_the_value() -> None:
    def people(city: str) -> int:
        """How many live in a city."""
        return 2

    asks: list[Event] = [ToolCallDelta(0, "c1", "people", '{"city": "Paris"}'), Usage(7, 3), Finish("tool_call")]
    provider = Scripted(asks, asks, says(ODD), says(PARIS))
    with client(provider) as c:
        asked = c.chat("x", output=City, tools=[people])
        assert (asked.value, [call.name for call in asked.tool_calls]) == (None, ["people"])
        result = c.chat("x", output=City, tools=[people], steps=3)
    assert result.value.people == 2
    roles = [message.role for message in provider.requests[-1].messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert [message.role for message in result.messages] == ["assistant", "tool", "assistant"]


# --- types --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "value", "spelled"),
    [
        (list[int], [1, 2], ['{"value": [1, 2]}', "[1, 2]", "```\n[1, 2]\n```"]),
        (int, 7, ['{"value": 7}', "7"]),
        (str | None, None, ['{"value": null}', "null"]),
        (Tree, Tree(leaves=[Tree()]), ['{"value": {"leaves": [{"leaves": []}]}}']),
        (dict[str, int], {"value": 3}, ['{"value": 3}']),
        (Pair, Pair(1, 2), ['{"a": 1, "b": 2}']),
    ],
    ids=str,
)
def test_what_is_no_object_stands_under_a_key(output: Any, value: Any, spelled: list[str]) -> None:
    """Hosts hold a reply to the schema of an object only; a model that gives the value itself is understood."""
    provider = Scripted(*map(says, spelled))
    with client(provider) as c:
        assert [c.chat("x", output=output).value for _ in spelled] == [value] * len(spelled)
    for request in provider.requests:
        assert request.schema is not None
        assert request.schema["type"] == "object"
        assert request.schema_name.isidentifier()


def test_what_does_not_fit_is_told_in_few_words() -> None:
    """By place and reason; no address of a page, no value, and not every fault of a long reply."""
    long = "x" * 5000
    replies = (f'{{"name": 1, "people": "{long}"}}', str([f"{i}{long}" for i in range(9)]).replace("'", '"'))
    with client(Scripted(*map(says, replies))) as c:
        with pytest.raises(SchemaMismatch) as caught:
            c.chat("x", output=City, retry=1)
        assert caught.value.message == (
            "the reply does not fit the schema: name: Input should be a valid string; "
            "people: Input should be a valid integer, unable to parse string as an integer"
        )
        with pytest.raises(SchemaMismatch, match=r"; 2: .*integer \(and 6 more\)") as caught:
            c.chat("x", output=list[int], retry=1)
    assert "pydantic" not in str(caught.value)
    assert "xx" not in str(caught.value)


def test_the_words_of_a_validator_and_names_that_a_model_made_up_are_cut() -> None:
    def never(value: int) -> int:
        raise ValueError("because " * 1000)

    names = ", ".join(f'"{"n" * 3000}{number}": "x"' for number in range(5))
    with client(Scripted(says('{"value": 3}'), says(f"{{{names}}}"))) as c:
        for output in (Annotated[int, AfterValidator(never)], dict[str, int]):
            with pytest.raises(SchemaMismatch) as caught:
                c.chat("x", output=output, retry=1)
            assert len(caught.value.message) < FAULTS * (MAX_FAULT + 10) + 60


def test_a_type_without_a_schema_is_told_without_an_address() -> None:
    with client(Scripted()) as c, pytest.raises(InputError, match="no type with a JSON schema") as caught:
        c.chat("x", output=Client)
    assert "https" not in str(caught.value)
    assert "\n" not in caught.value.message


def test_a_model_in_the_place_of_its_class_is_a_value() -> None:
    with client(Scripted()) as c, pytest.raises(InputError, match=r"City\(name='Oslo'.*\) is a value\n"):
        c.chat("x", output=City(name="Oslo", people=1))


def test_the_schema_of_a_type_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    plain = TypeAdapter.json_schema

    def counted(adapter: TypeAdapter[Any]) -> Any:
        made.append(adapter)
        return plain(adapter)

    monkeypatch.setattr(TypeAdapter, "json_schema", counted)
    with client(Scripted(says(PARIS), says(PARIS), says(PARIS), can=WORDS)) as c:
        c.chat("x", output=City)
        assert len(made) == 1
        c.chat(["x", "y"], output=City, concurrency=1)
    assert len(made) == 2
