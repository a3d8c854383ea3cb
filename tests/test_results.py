"""Results: frozen, they pickle, they go through JSON and back, and the fold is the same however text was cut."""

import json
import pickle
from dataclasses import FrozenInstanceError
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import InvalidToolArguments, RateLimited
from llmsdk.reply import Reply
from llmsdk.results import (
    Answer,
    Attempt,
    Batch,
    Chat,
    Choice,
    Classification,
    Completion,
    Embeddings,
    Evidence,
    Record,
    Result,
    Timing,
    Translation,
)
from llmsdk.types import (
    Finish,
    Info,
    Message,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)

ROW = Attempt("a-1", "openai", "gpt-4.1", "generate", 1_790_000_000.0, 30, "exact", Usage(10, 5), 0.5, 0.1, tags=("t",))
RECORD = Record("openai", "gpt-4.1", "chat", (ROW,), Timing(0.0, 0.1, 0.5), warnings=("w",), raw_body=b'{"a": 1}')
TURN = Message("assistant", (Reasoning("hm"), Text("hi"), ToolCall("c", "f", '{"x": 1}')))
LOGPROBS = (TokenLogprob("hi", -0.5, (("hi", -0.5), ("ho", -1.0))),)
RESULTS: list[Result] = [
    Completion(record=RECORD, text="x", choices=(Choice("x", "stop", Message("assistant", "x"), LOGPROBS),)),
    Chat(record=RECORD, text="hi", message=TURN, reasoning="hm"),
    Translation(record=RECORD, text="x", to="zh", source="en"),
    Answer(record=RECORD, text="x", answerable=True, evidence=(Evidence("x", 0, 1, 2),)),
    Classification(record=RECORD, label="a", labels=("a",), scores={"a": 0.7, "b": 0.3}, probability="exact"),
    Embeddings(record=RECORD, vectors=((1.0, 2.0),)),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_every_result_pickles_and_goes_through_json(result: Result) -> None:
    assert pickle.loads(pickle.dumps(result)) == result
    assert type(result).from_json(result.to_json()) == result
    assert result.raw == {"a": 1}
    assert type(result).from_json(result.to_json()).raw is None
    with pytest.raises(FrozenInstanceError):
        result.record = RECORD  # type: ignore[misc]
    assert len(repr(result)) < 200


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_json_has_usage_and_cost_at_the_top(result: Result) -> None:
    data = json.loads(result.to_json())
    assert data["usage"]["input_tokens"] == 10
    assert data["usage"]["cached_input_tokens"] is None
    assert Decimal(data["cost"]) == result.cost
    assert result.to_dict()["cost"] == result.cost


def test_what_is_unknown_is_null_in_json() -> None:
    row = Attempt("b", "acme", "small", "generate", 0.0, None, "upper_bound", None)
    data = json.loads(Completion(record=Record("acme", "small", "chat", (row,)), text="x").to_json())
    assert (data["usage"]["input_tokens"], data["usage"]["output_tokens"], data["cost"]) == (None, None, None)


def test_labels_that_are_an_enum_are_their_values_in_json() -> None:
    class Topic(Enum):
        FOOD = "food"
        RAIN = "rain"

    scores = {Topic.FOOD: 0.75, Topic.RAIN: 0.25}
    result = Classification(record=RECORD, label=Topic.FOOD, labels=(Topic.FOOD,), scores=scores, probability="exact")
    assert json.loads(result.to_json())["scores"] == {"food": 0.75, "rain": 0.25}


def test_the_cost_is_a_decimal_or_unknown_and_never_a_guess() -> None:
    assert isinstance(RESULTS[0].cost, Decimal)
    assert RESULTS[0].cost > 0
    unknown = Attempt("b", "acme", "small", "generate", 0.0, None, "exact", Usage(1, 1))
    local = Attempt("c", "local", "pocket", "generate", 0.0, None, "exact", Usage(1, 1, source="local"))
    unrun = Attempt("d", "acme", "small", "generate", 0.0, None, "none", None)
    unseen = Attempt("e", "openai", "gpt-4.1", "generate", 0.0, None, "upper_bound", Usage(3, None))
    assert (unknown.cost, unseen.cost) == (None, None)
    assert (local.cost, unrun.cost) == (Decimal(0), Decimal(0))


@given(st.lists(st.builds(Usage, st.none() | st.integers(0, 99), st.none() | st.integers(0, 99)), min_size=1))
def test_usage_adds_up_and_unknown_stays_unknown(usages: list[Usage]) -> None:
    total = usages[0]
    for usage in usages[1:]:
        total = total + usage
    known = [usage.input_tokens for usage in usages if usage.input_tokens is not None]
    assert total.input_tokens == (sum(known) if known else None)


@given(st.text(max_size=40), st.lists(st.integers(1, 6), max_size=30))
def test_the_fold_does_not_care_how_text_was_cut(text: str, sizes: list[int]) -> None:
    reply, place = Reply(), 0
    for size in [*sizes, len(text)]:
        reply.add(TextDelta(text[place : place + size]))
        place += size
    assert reply.text == text


def test_the_fold_keeps_every_part() -> None:
    reply = Reply()
    for event in (
        Info(id="r", model="m-1"),
        ReasoningDelta("h"),
        ReasoningDelta("m", provider_state="sig"),
        TextDelta("a"),
        ToolCallDelta(0, "c1", "f", '{"x"'),
        TextDelta("b", index=1),
        ToolCallDelta(0, "", "", ": 1}"),
        ToolCallDelta(1, "c2", "g"),
        Usage(1, 1),
        Usage(1, 2),
        Finish("tool_call", "tool_calls"),
    ):
        reply.add(event)
    first, second = reply.choices
    assert first.message.parts == (
        Reasoning("hm", "sig"),
        Text("a"),
        ToolCall("c1", "f", '{"x": 1}'),
        ToolCall("c2", "g", ""),
    )
    assert [call.arguments for call in first.message.tool_calls] == [{"x": 1}, {}]
    assert (second.text, reply.usage, reply.model) == ("b", Usage(1, 2), "m-1")
    assert not reply.complete(2)
    assert reply.complete(1)


@pytest.mark.parametrize("text", ["{", "[1]", "nul", '{"a": NaN}'])
def test_bad_tool_arguments_are_a_typed_error(text: str) -> None:
    with pytest.raises(InvalidToolArguments):
        _ = ToolCall("c", "f", text).arguments


def test_a_batch_sums_up_and_shows_what_failed() -> None:
    error = RateLimited("slow")
    error.attempts = (ROW,)
    batch = Batch((RESULTS[0], error))  # type: ignore[arg-type]
    assert batch.usage.input_tokens == 20
    assert batch.errors == {1: error}
    assert len(batch) == 2
    assert batch[0] is RESULTS[0]


def test_a_batch_goes_into_json_with_what_failed() -> None:
    error = RateLimited("slow")
    error.attempts = (ROW,)
    batch = Batch((*RESULTS, error))  # type: ignore[arg-type]
    *items, failed = json.loads(batch.to_json())["items"]
    assert items == [json.loads(result.to_json()) for result in RESULTS]
    assert failed == {"error": "RateLimited", "message": "slow", "attempts": items[0]["record"]["attempts"]}
    assert json.loads(batch.to_json())["usage"]["input_tokens"] == batch.usage.input_tokens
    assert Decimal(json.loads(batch.to_json())["cost"]) == batch.to_dict()["cost"] == batch.cost
