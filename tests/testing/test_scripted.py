"""The scripted provider behaves as a real one under all verbs, and says when its script is at its end."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from llmsdk import AsyncClient, Client
from llmsdk.errors import RateLimited, StreamInterrupted
from llmsdk.testing import Scripted, ScriptedScores, ScriptEnded
from llmsdk.types import Finish, Message, TextDelta, ToolCall, Usage

NOW = {"retry": {"base": 0.001}}


class City(BaseModel):
    name: str


def test_all_five_verbs() -> None:
    model = Scripted(
        " a time",
        "Hi!",
        "Guten Morgen",
        "1889\n[1] It opened in 1889.",
        {"good": 0.9, "bad": 0.1},
    )
    with Client("scripted:any", provider=model) as client:
        assert client.complete("Once upon").text == " a time"
        assert client.chat("Hello").text == "Hi!"
        assert client.translate("Good morning", to="de").text == "Guten Morgen"
        answer = client.answer("When?", context=["It opened in 1889."])
        assert (answer.text, answer.evidence[0].quote) == ("1889", "It opened in 1889.")
        label = client.classify("great film", ["good", "bad"])
        assert (label.label, label.scores["good"]) == ("good", 0.9)
    assert len(model.requests) == model.closed == 5


def test_pieces_are_events_and_a_mapping_is_json() -> None:
    with Client("scripted:any", provider=Scripted(["Once ", "upon"], {"name": "Oslo"})) as client:
        stream = client.chat("x", stream=True)
        assert [event.text for event in stream if event.text] == ["Once ", "upon"]
        assert stream.result.usage.output_tokens == 2
        assert client.chat("x", output=City).value == City(name="Oslo")


def test_tools_are_called() -> None:
    def weather(city: str) -> str:
        """The weather."""
        return f"rain in {city}"

    model = Scripted(ToolCall("", "weather", '{"city": "Oslo"}'), lambda request: str(request.messages[-1].parts[0]))
    with Client("scripted:any", provider=model) as client:
        assert "rain in Oslo" in client.chat("Will it rain?", tools=[weather], steps=2).text


def test_errors_are_raised_where_they_stand() -> None:
    model = Scripted(RateLimited("slow down"), "fine", ["half ", RateLimited("gone")])
    with Client("scripted:any", provider=model, config=NOW) as client:
        result = client.chat("x")
        assert (result.text, [row.error for row in result.attempts]) == ("fine", ["RateLimited", None])
        with pytest.raises(StreamInterrupted) as broken:
            client.chat("x")
        assert broken.value.partial == "half "


def test_a_list_of_events_is_sent_as_it_is() -> None:
    model = Scripted([TextDelta("cut")], [TextDelta("a"), Usage(5, 6), Finish("length")])
    with Client("scripted:any", provider=model) as client:
        with pytest.raises(StreamInterrupted):
            client.chat("x")
        result = client.chat("x")
        assert (result.finish_reason, result.usage) == ("length", Usage(5, 6))


def test_the_end_of_a_script_is_said_and_not_retried() -> None:
    model = Scripted("only one")
    with Client("scripted:any", provider=model) as client:
        client.chat("x")
        with pytest.raises(ScriptEnded, match="request 2 is one more than there are replies; it asks 'more'"):
            client.chat("more")
    assert len(model.requests) == 2


@pytest.mark.anyio
async def test_a_default_goes_on_for_ever() -> None:
    model = Scripted(default=lambda request: request.messages[-1].text[::-1])
    async with AsyncClient("scripted:any", provider=model) as client:
        assert [(await client.chat(text)).text for text in ("abc", "def")] == ["cba", "fed"]
    assert model.requests[0].messages == (Message("user", "abc"),)


def test_scores_make_a_classification_exact() -> None:
    model = ScriptedScores(lambda request, label: {"good": 0.0, "bad": -20.0}[label], name="mine")
    with Client("mine:any", provider=model) as client:
        result = client.classify("great film", ["good", "bad"])
    assert (result.label, result.probability) == ("good", "exact")
