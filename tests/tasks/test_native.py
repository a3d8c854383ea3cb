"""Models that translate, answer or classify by themselves: not asked in words, but down the same line as all others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted

from llmsdk import AsyncClient, Client
from llmsdk.errors import Disconnected, InputError, InvalidBody, Overloaded, StreamInterrupted, Unsupported
from llmsdk.io import IO
from llmsdk.provider import Answers, Capabilities, Classifies, Translates
from llmsdk.types import Event, Finish, Output, Request, Span, TextDelta, Usage

NATIVE = Capabilities(chat=False, options=frozenset(), native=frozenset({"translate", "answer", "classify"}))
PAGES = ["Anna lives in Paris. She is a cook.", "Tom lives in Rome.", "In Paris, it rains."]
PARIS = (Span(0, 14, 19, 0.9), Span(2, 3, 8, 0.4), Span(1, 13, 17, 0.1))


class Made(Scripted):
    """Plays its scripts for the three operations, and keeps what it was asked besides."""

    def __init__(self, *scripts: Any, can: Capabilities = NATIVE) -> None:
        super().__init__(*scripts, can=can)
        self.asked: list[Any] = []

    def translate(self, request: Request, to: str, source: str | None, io: IO) -> AsyncIterator[Event]:
        self.asked.append((to, source))
        return self.generate(request, io)

    def answer(self, request: Request, documents: Sequence[str], io: IO) -> AsyncIterator[Event]:
        self.asked.append(tuple(documents))
        return self.generate(request, io)

    def classify(self, request: Request, labels: Sequence[str], multi: bool, io: IO) -> AsyncIterator[Event]:
        self.asked.append((tuple(labels), multi))
        return self.generate(request, io)


def client(provider: Scripted, **options: Any) -> Client:
    return Client("scripted:m", provider=provider, **options)


GOOD_MORNING = [TextDelta("早上"), TextDelta("好"), Usage(4, 2), Finish("stop")]


def test_the_protocols_are_known_by_their_methods() -> None:
    for protocol in (Translates, Answers, Classifies):
        assert isinstance(Made(), protocol)
        assert not isinstance(Scripted(), protocol)


# --- translate ----------------------------------------------------------------------------------------------------


def test_a_translation_is_not_asked_for_in_words() -> None:
    provider = Made(GOOD_MORNING)
    with client(provider) as c:
        result = c.translate("Good morning", to="zh", source="en")
    assert (result.text, result.to, result.source, result.route) == ("早上好", "zh", "en", "native")
    assert result.usage == Usage(4, 2)
    (row,) = result.attempts
    assert (row.operation, row.settled) == ("translate", "exact")
    assert provider.requests[0].input == "Good morning"
    assert provider.asked == [("zh", "en")]


def test_a_translation_streams() -> None:
    with client(Made(GOOD_MORNING)) as c, c.translate("Good morning", to="zh", stream=True) as stream:
        assert [event.text for event in stream if event.text] == ["早上", "好"]
    assert (stream.result.text, stream.result.route) == ("早上好", "native")


def test_a_translation_that_is_cut_is_no_translation() -> None:
    with client(Made([TextDelta("早")], []), retry=1) as c:
        with pytest.raises(StreamInterrupted) as cut:
            c.translate("Good morning", to="zh")
        assert cut.value.partial == "早"
        with pytest.raises(Disconnected):
            c.translate("Good morning", to="zh")
        assert [row.settled for row in c.ledger.rows] == ["estimated", "upper_bound"]


def test_what_only_words_can_say_is_not_dropped_unseen() -> None:
    provider = Made(GOOD_MORNING, GOOD_MORNING)
    with client(provider) as c:
        for extra in ({"glossary": {"Tom": "汤姆"}}, {"formality": "formal"}, {"temperature": 0.5}, {"max_tokens": 9}):
            with pytest.raises(Unsupported) as refused:
                c.translate("Good morning", to="zh", **extra)  # type: ignore[call-overload]
            assert refused.value.capability == next(iter(extra))
            assert "on_unsupported" in refused.value.hint
        assert provider.requests == []
        assert c.translate("Good morning", to="zh", formality="formal", on_unsupported="drop").warnings == ()
        with pytest.warns(UserWarning, match="formality"):
            assert "formality" in c.translate("x", to="zh", formality="formal", on_unsupported="warn").warnings[0]


def test_an_overload_is_retried_as_anywhere_else() -> None:
    provider = Made([Overloaded("later", retry_after=0.0)], GOOD_MORNING)
    with client(provider, retry={"base": 0}) as c:
        result = c.translate("Good morning", to="zh")
    assert [(row.operation, row.error) for row in result.attempts] == [("translate", "Overloaded"), ("translate", None)]


def test_a_model_that_is_made_for_something_else_is_asked_in_words() -> None:
    """The provider has the method for other models of its."""
    provider = Made([TextDelta("早上好"), Finish("stop")], can=Capabilities(native=frozenset({"answer"})))
    with client(provider) as c:
        assert c.translate("Good morning", to="zh").route == "chat"
    assert provider.asked == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("verb", ["chat", "complete"])
def test_what_it_cannot_do_is_refused_before_anything_is_sent(verb: str, stream: bool) -> None:
    provider = Made(can=Capabilities(chat=False, native=frozenset({"translate"})))
    with client(provider) as c:
        with pytest.raises(Unsupported) as refused:
            list(getattr(c, verb)("Hello!", stream=stream))
        assert refused.value.capability == "chat"
        with pytest.raises(Unsupported):
            c.classify("great film", ["good", "bad"])
        with pytest.raises(Unsupported):
            c.answer("Where does Anna live?", context=PAGES)
        assert c.ledger.rows == ()
    assert provider.requests == []


# --- answer -------------------------------------------------------------------------------------------------------


def test_an_answer_is_the_passage_itself() -> None:
    provider = Made([Usage(30, None), Output(PARIS)])
    with client(provider) as c:
        result = c.answer("Where does Anna live?", context=PAGES)
    assert (result.text, result.answerable, result.route) == ("Paris", True, "native")
    assert [(e.quote, e.source, e.start, e.end, e.score) for e in result.evidence] == [
        ("Paris", 0, 14, 19, 0.9), ("Paris", 2, 3, 8, 0.4),
    ]  # fmt: skip
    assert all(PAGES[e.source][e.start : e.end] == e.quote for e in result.evidence)
    assert provider.requests[0].input == "Where does Anna live?"
    assert provider.asked == [tuple(PAGES)]
    assert (result.attempts[0].operation, result.usage.input_tokens) == ("answer", 30)


def test_no_passage_is_no_answer() -> None:
    with client(Made([Output(())])) as c:
        result = c.answer("Where does Bob live?", context=PAGES)
    assert (result.text, result.answerable, result.evidence) == ("", False, ())


def test_its_documents_are_accounted_for_where_the_provider_does_not_count() -> None:
    with client(Made([Output(())])) as c:
        row = c.answer("Where?", context=["word " * 400]).attempts[0]
    assert row.settled == "estimated"
    assert row.usage is not None
    assert row.usage.input_tokens is not None
    assert row.usage.input_tokens > 300


@given(st.text("ab [1]\nNOTFUD", min_size=1), st.data())
def test_a_streamed_answer_shows_the_passage_whatever_it_is(page: str, data: st.DataObject) -> None:
    """Nothing of the protocol by which other models answer is looked for in it."""
    start = data.draw(st.integers(0, len(page) - 1))
    span = Span(0, start, data.draw(st.integers(start + 1, len(page))))
    with client(Made([Output((span,))], [Output((span,))])) as c:
        with c.answer("q", context=page, stream=True) as stream:
            shown = "".join(event.text for event in stream)
        assert shown == stream.result.text == page[span.start : span.end]
        buffered = c.answer("q", context=page)
        assert (buffered.text, buffered.evidence) == (stream.result.text, stream.result.evidence)


def test_without_documents_it_has_nothing_to_find() -> None:
    with client(Made()) as c, pytest.raises(Unsupported, match="answers without context"):
        c.answer("Where does Anna live?")
    talks = Capabilities(native=frozenset({"answer"}))
    with client(Made([TextDelta("Paris"), Finish("stop")], can=talks)) as c:
        assert c.answer("Where does Anna live?").route == "chat"


# --- classify -----------------------------------------------------------------------------------------------------


def test_a_classifiers_probabilities_are_exact() -> None:
    provider = Made([Output({"good": 0.75, "bad": 0.25})])
    with client(provider) as c:
        result = c.classify("great film", ["bad", "good"])
    assert (result.label, result.route, result.probability) == ("good", "native", "exact")
    assert result.scores == {"good": 0.75, "bad": 0.25}
    assert provider.requests[0].input == "great film"
    assert provider.asked == [(("bad", "good"), False)]
    assert result.attempts[0].operation == "classify"


def test_several_labels_may_fit_and_need_not_be_all() -> None:
    with client(Made([Output({"joy": 0.9, "anger": 0.2, "surprise": 0.6})])) as c:
        result = c.classify("oh!", ["surprise", "joy"], multi=True)
    assert (result.label, result.labels) == ("joy", ("joy", "surprise"))
    assert result.scores == {"joy": 0.9, "surprise": 0.6}


@pytest.mark.parametrize(
    "labels", [["good", "bad"], ["positive", "negative"], ["POSITIVE", "neutral", "NEGATIVE", "x"]]
)
def test_a_model_with_labels_of_its_own_names_them(labels: list[str]) -> None:
    with client(Made([Output({"POSITIVE": 0.8, "neutral": 0.1, "NEGATIVE": 0.1})])) as c:
        with pytest.raises(InputError) as wrong:
            c.classify("great film", labels)
        assert wrong.value.argument == "labels"
        assert "'POSITIVE', 'neutral', 'NEGATIVE'" in wrong.value.hint
        assert len(wrong.value.attempts) == 1
        assert c.ledger.rows[0].settled == "estimated"


def test_case_does_not_count_in_its_labels() -> None:
    with client(Made([Output({"POSITIVE": 0.9, "NEGATIVE": 0.1})])) as c:
        result = c.classify("great film", ["negative", "positive"])
    assert result.scores == {"positive": 0.9, "negative": 0.1}


def test_shares_that_do_not_add_up_are_no_choice() -> None:
    with client(Made([Output({"a": 0.9, "b": 0.8})])) as c, pytest.raises(InvalidBody, match=r"add up to 1\.7") as odd:
        c.classify("x", ["a", "b"])
    assert "multi=True" in odd.value.hint


def test_descriptions_say_nothing_to_it() -> None:
    provider = Made([Output({"a": 0.5, "b": 0.5})])
    with client(provider) as c:
        with pytest.raises(Unsupported, match="descriptions of labels"):
            c.classify("x", {"a": "the first", "b": ""})
        assert c.classify("x", {"a": "the first", "b": ""}, on_unsupported="drop").scores == {"a": 0.5, "b": 0.5}


# --- the other face -----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_all_three_awaited() -> None:
    shares = [Output({"good": 0.75, "bad": 0.25})]
    async with AsyncClient("scripted:m", provider=Made(GOOD_MORNING, [Output(PARIS)], shares, [Output(PARIS)])) as c:
        assert (await c.translate("Good morning", to="zh")).text == "早上好"
        assert (await c.answer("Where does Anna live?", context=PAGES)).text == "Paris"
        assert (await c.classify("great film", ["good", "bad"])).label == "good"
        async with c.answer("Where does Anna live?", context=PAGES, stream=True) as stream:
            assert "".join([event.text async for event in stream]) == "Paris"
