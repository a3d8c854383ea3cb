"""Classification: three ways to get probabilities, each saying which it was."""

import enum
import math
from typing import Literal

import pytest
from scripted import FULL, Scoring, Scripted, says

from llmsdk import Client
from llmsdk.errors import InputError, SchemaMismatch
from llmsdk.provider import Capabilities
from llmsdk.types import Finish, TextDelta, TokenLogprob, Usage

LOGPROBS = Capabilities(logprobs=20, schema="strict", options=FULL.options)


def client(provider: Scripted) -> Client:
    return Client("scripted:m", provider=provider)


def first_token(*top: tuple[str, float]) -> list[object]:
    pairs = tuple((token, math.log(share)) for token, share in top)
    token = TokenLogprob(pairs[0][0], pairs[0][1], pairs)
    return [TextDelta(token.token, logprobs=(token,)), Usage(20, 1), Finish("length", "length")]


def test_scores_are_the_models_own_where_it_scores() -> None:
    provider = Scoring(lambda request, label: {"good": -1.0, "bad": -3.0}[label])
    with client(provider) as c:
        result = c.classify("great film", ["good", "bad"])
    assert (result.label, result.probability, result.route) == ("good", "exact", "score")
    assert result.scores["good"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert sum(result.scores.values()) == pytest.approx(1)
    assert result.usage.input_tokens == 10
    assert [row.operation for row in result.attempts] == ["score"]


def test_multi_judges_each_label_by_itself() -> None:
    def ranking(request: object, candidate: str) -> float:
        fits = "\nLabel: food" in request.messages[0].text or "\nLabel: travel" in request.messages[0].text  # type: ignore[attr-defined]
        return -0.1 if (candidate == "yes") == fits else -3.0

    with client(Scoring(ranking)) as c:
        result = c.classify("dumplings in Beijing", ["food", "sports", "travel"], multi=True)
    assert result.labels == ("food", "travel")
    assert result.scores["sports"] < 0.1 < 0.9 < result.scores["food"]
    assert len(result.attempts) == 3


def test_logprobs_of_the_first_token_where_reported() -> None:
    provider = Scripted(first_token(("B", 0.6), (" A", 0.2), ("a", 0.1), ("The", 0.1)), can=LOGPROBS)
    with client(provider) as c:
        result = c.classify("x", ["good", "bad"])
    assert (result.label, result.probability, result.route) == ("bad", "logprob", "chat+logprobs")
    assert result.scores["bad"] == pytest.approx(0.6 / 0.9)
    request = provider.requests[0]
    assert (request.max_tokens, request.logprobs, request.temperature) == (1, 20, 0.0)
    assert "A. good\nB. bad" in request.messages[0].text


def test_useless_logprobs_fall_back_to_asking_and_say_so() -> None:
    provider = Scripted(first_token(("The", 0.99), ("A", 0.01)), says('{"good": 3, "bad": 1}'), can=LOGPROBS)
    with client(provider) as c:
        result = c.classify("x", ["good", "bad"])
    assert (result.probability, result.scores) == ("stated", {"good": 0.75, "bad": 0.25})
    assert "logprobs" in result.warnings[0]
    assert result.usage.input_tokens == 27
    assert provider.requests[1].schema is not None


NONSENSE = [
    "no",
    "{}",
    "[1]",
    '{"good": 1}',
    '{"good": "x", "bad": 1}',
    '{"good": -1, "bad": 2}',
    '{"good": 0, "bad": 0}',
]


@pytest.mark.parametrize("reply", NONSENSE)
def test_stated_nonsense_is_an_error_with_what_was_said(reply: str) -> None:
    with client(Scripted(says(reply))) as c, pytest.raises(SchemaMismatch) as caught:
        c.classify("x", ["good", "bad"])
    assert caught.value.text == reply
    assert caught.value.usage is not None
    assert caught.value.usage.total_tokens == 10


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


def test_an_enum_gives_its_members() -> None:
    with client(Scripted(says('```json\n{"good": 0.9, "bad": 0.1}\n```'))) as c:
        result = c.classify("x", Mood)
    assert result.label is Mood.GOOD
    assert result.scores[Mood.BAD] == pytest.approx(0.1)


def test_a_literal_and_a_mapping_are_labels_too() -> None:
    with client(Scripted(says('{"a": 1, "b": 0}'), says('{"a": 0, "b": 1}'))) as c:
        assert c.classify("x", Literal["a", "b"]).label == "a"
        assert c.classify("x", {"a": "first", "b": ""}).label == "b"


@pytest.mark.parametrize(
    "labels", [[], ["one"], ["a", "a"], ["a", ""], "ab", 7, ["a", 3], ["a ", "b"], {"a": "x\0", "b": ""}]
)
def test_bad_labels_are_refused_before_anything_is_asked(labels: object) -> None:
    provider = Scripted()
    with client(provider) as c, pytest.raises(InputError) as caught:
        c.classify("x", labels)  # type: ignore[call-overload]
    assert str(caught.value.argument).startswith("labels")
    assert provider.requests == []
