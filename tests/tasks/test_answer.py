"""Reading answers: quotes found where they stand, what a stream shows, and what is no answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted

from llmsdk.accounting.ledger import Ledger
from llmsdk.errors import InputError
from llmsdk.io.fake import FakeIO
from llmsdk.options import CallSettings
from llmsdk.pipeline.attempt import attempt
from llmsdk.pipeline.line import Line, Way
from llmsdk.tasks import Show, answer
from llmsdk.tasks.answer import AnswerTask, find, visible

DOCS = ("The market opens on Friday.  It closes at 8 p.m.", 'Anna said: "It\'s fine."\nBob  left.')


def shower() -> Show:
    """What a stream of an answer from documents is shown through."""
    line = Line(Way(Scripted(), "m", attempt, Ledger(), CallSettings(), {}), FakeIO())
    show = AnswerTask("q", DOCS).show(line)
    assert show is not None
    return show


def test_a_quote_is_the_documents_own_text() -> None:
    found = find("The market opens on Friday.", DOCS, 0)
    assert found is not None
    assert DOCS[found.source][found.start : found.end] == found.quote == "The market opens on Friday."


@pytest.mark.parametrize(
    ("quote", "own"),
    [
        ("opens on Friday. It closes", "opens on Friday.  It closes"),
        ("“The market opens on Friday.”", "The market opens on Friday."),
        ("It’s fine.", "It's fine."),
        ("Bob left", "Bob  left"),
        ("It closes at 8 p.m", "It closes at 8 p.m"),
        ("The market opens on Friday...", "The market opens on Friday"),
    ],
)
def test_spacing_and_marks_may_differ(quote: str, own: str) -> None:
    found = find(quote, DOCS, 0)
    assert found is not None
    assert found.quote == own


def test_a_wrong_number_is_put_right_and_a_made_up_quote_is_refused() -> None:
    found = find("Bob left.", DOCS, 0)
    assert found is not None
    assert found.source == 1
    assert find("The market opens on Monday.", DOCS, 0) is None
    assert find("Bob left.", DOCS, 99) == found
    assert find("...", DOCS, 0) is None


@given(st.text(min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 20))
def test_any_span_of_words_is_found_or_has_none(document: str, start: int, length: int) -> None:
    quote = document[start : start + length]
    found = find(quote, (document,), 0)
    if quote.strip():
        assert found is not None or not quote.strip("\"'“”‘’「」『』«». 。…\t\n\r")
    if found:
        assert document[found.start : found.end] == found.quote


REPLIES = [
    "Friday\n[1] The market opens on Friday.",
    "NOT FOUND",
    "Not found.",
    "[1] The market opens on Friday.",
    "It is [1] the first.\nSecond line\n[1] The market opens on Friday.\n[2] Bob left.",
    "  Friday  ",
    "Notable: Friday",
    "星期五\n[1] The market opens on Friday.",
    "",
]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_what_a_stream_shows_adds_up_to_the_answer(reply: str, size: int) -> None:
    show = shower()
    pieces = [reply[i : i + size] for i in range(0, len(reply), size)]
    shown = "".join(show(piece) for piece in pieces) + show("")
    assert shown == visible(reply, whole=True)


@given(st.text(alphabet="NOT FUD\n[]12 ab.", max_size=40), st.integers(1, 5))
def test_any_reply_shows_what_it_reads(reply: str, size: int) -> None:
    show = shower()
    shown = "".join(show(reply[i : i + size]) for i in range(0, len(reply), size)) + show("")
    assert shown == visible(reply, whole=True)


def test_bad_input_is_named() -> None:
    for question, context, argument in [
        ("", None, "question"),
        ("q", [], "context"),
        ("q", ["fine", ""], "context[1]"),
        ("q", ["a\0b"], "context[0]"),
        ("q", 7, "context"),
    ]:
        with pytest.raises(InputError) as caught:
            answer.check(question, context=context)
        assert caught.value.argument == argument
