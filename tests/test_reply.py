"""The fold keeps every block of a reply, where it stood, however the events were cut."""

import pickle
from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from llmsdk.reply import Reply
from llmsdk.types import (
    Event,
    Finish,
    Message,
    Part,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

WORDS = st.text(min_size=1, max_size=12)
STATE = st.none() | st.builds(lambda text: {"some.block": {"signature": text}}, WORDS)
PARTS = st.lists(
    st.builds(Text, WORDS) | st.builds(Reasoning, WORDS, STATE) | st.builds(ToolCall, WORDS, WORDS, WORDS, STATE),
    max_size=8,
)


def message(events: Sequence[Event]) -> Message:
    reply = Reply()
    for event in [*events, Finish("stop")]:
        reply.add(event)
    return reply.choices[0].message


def pieces(text: str, size: int) -> Iterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]


def rendered(parts: Sequence[Part], size: int) -> Iterator[Event]:
    """The events of a reply that consists of ``parts``, in pieces of ``size``, with one slot for each block."""
    for slot, part in enumerate(parts):
        match part:
            case Text():
                yield from map(TextDelta, pieces(part.text, size))
            case Reasoning():
                for piece in pieces(part.text, size):
                    yield ReasoningDelta(piece, slot=slot)
                yield ReasoningDelta("", provider_state=part.provider_state, slot=slot)
            case ToolCall():
                yield ToolCallDelta(slot, part.id, part.name)
                for piece in pieces(part.arguments_json, size):
                    yield ToolCallDelta(slot, arguments=piece)
                yield ToolCallDelta(slot, provider_state=part.provider_state)


def joined(parts: Sequence[Part]) -> list[Part]:
    """Parts, of which two texts in a row are one."""
    whole: list[Part] = []
    for part in parts:
        last = whole[-1] if whole else None
        if isinstance(last, Text) and isinstance(part, Text):
            whole[-1] = Text(last.text + part.text)
        else:
            whole.append(part)
    return whole


@given(PARTS, st.integers(1, 20))
def test_every_block_keeps_its_place_its_words_and_its_state(parts: list[Part], size: int) -> None:
    folded = message(list(rendered(parts, size)))
    assert list(folded.parts) == (joined(parts) or [Text("")])
    assert message(list(rendered(parts, size))) == message(list(rendered(parts, 99)))
    assert pickle.loads(pickle.dumps(folded)) == folded


def test_blocks_of_reasoning_each_with_its_signature_stand_between_text_and_calls() -> None:
    reply = Reply()
    for event in (
        ReasoningDelta("First ", slot=0),
        ReasoningDelta("thought.", slot=0),
        ReasoningDelta("", provider_state="sig-0", slot=0),
        TextDelta("Let me "),
        TextDelta("look."),
        ToolCallDelta(0, "c0", "look", "{}", provider_state="sig-call"),
        ReasoningDelta("", provider_state="hidden", slot=1),
        ReasoningDelta("Second.", provider_state="sig-2", slot=2),
        ToolCallDelta(1, "c1", "see", "{}"),
    ):
        reply.add(event)
    assert reply.choices[0].message.parts == (
        Reasoning("First thought.", "sig-0"),
        Text("Let me look."),
        ToolCall("c0", "look", "{}", "sig-call"),
        Reasoning("", "hidden"),
        Reasoning("Second.", "sig-2"),
        ToolCall("c1", "see", "{}"),
    )
    assert (reply.text, reply.reasoning) == ("Let me look.", "First thought.Second.")
    assert reply.seen == "Let me look.First thought.Second.look{}see{}"


def test_a_block_that_goes_on_later_stays_where_it_began() -> None:
    """Hosts mix the pieces of blocks; a dialect without blocks has one of reasoning and gives no slot."""
    folded = message([
        ReasoningDelta("Hm"), TextDelta("x"), ReasoningDelta("m."), TextDelta("y"),
        ToolCallDelta(0, "a", "f"), ToolCallDelta(1, "b", "g"), ToolCallDelta(0, arguments="{}"),
    ])  # fmt: skip
    assert folded.parts == (Reasoning("Hmm."), Text("xy"), ToolCall("a", "f", "{}"), ToolCall("b", "g", ""))


def test_plain_text_is_a_plain_message() -> None:
    assert message([TextDelta("a"), TextDelta("b")]) == Message("assistant", "ab")
    assert message([]) == Message("assistant", "")
    assert message([ReasoningDelta(""), TextDelta("a")]) == Message("assistant", "a")
