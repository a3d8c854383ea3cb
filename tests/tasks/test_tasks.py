"""The tasks on a scripted provider: what is asked, what is read, and what is refused."""

from typing import Any

import pytest
from scripted import Scripted, says

from llmsdk import Client, Message
from llmsdk.errors import InputError, Unsupported
from llmsdk.provider import Capabilities
from llmsdk.types import ReasoningDelta

CHATS = Capabilities(options=frozenset({"max_tokens"}))


def client(provider: Scripted) -> Client:
    return Client("scripted:m", provider=provider)


def test_complete_is_raw_where_the_provider_continues_text() -> None:
    provider = Scripted(says(" a time"))
    with client(provider) as c:
        result = c.complete("Once upon", echo=True)
    assert (result.text, result.route) == ("Once upon a time", "complete")
    assert provider.requests[0].input == "Once upon"


def test_complete_is_asked_for_where_it_only_chats() -> None:
    provider = Scripted(says("x"), says("mid"), can=CHATS)
    with client(provider) as c:
        assert c.complete("Once").route == "chat"
        c.complete("a", suffix="b")
    first, second = provider.requests
    assert first.messages[-1] == Message("user", "Once")
    assert "<after>\nb\n</after>" in second.messages[-1].text


def test_echo_comes_first_in_a_stream_too() -> None:
    with client(Scripted(says("bc"))) as c:
        stream = c.complete("a", stream=True, echo=True)
        assert "".join(event.text for event in stream) == stream.result.text == "abc"


def test_chat_keeps_the_conversation_and_its_message_appends_back() -> None:
    provider = Scripted([ReasoningDelta("hm"), *says("Hi Anna")], says("Anna"))
    with client(provider) as c:
        turns: list[Any] = [{"role": "user", "content": "I am Anna."}]
        first = c.chat(turns, system="Be kind.")
        assert (first.text, first.reasoning) == ("Hi Anna", "hm")
        c.chat([*turns, first.message, Message("user", "Who am I?")])
    assert provider.requests[0].messages[0] == Message("system", "Be kind.")
    assert [m.role for m in provider.requests[1].messages] == ["user", "assistant", "user"]


def test_a_list_of_messages_is_one_conversation_and_a_list_of_str_many() -> None:
    provider = Scripted(says("a"), says("b"), says("c"))
    with client(provider) as c:
        assert c.chat([{"role": "user", "content": "x"}]).text == "a"
        assert [r.text for r in c.chat(["x", "y"], concurrency=1)] == ["b", "c"]
        with pytest.raises(InputError):
            c.chat([])


def test_translate_names_the_languages_and_keeps_the_glossary() -> None:
    provider = Scripted(says("早上好，小明"), says("早上好"))
    with client(provider) as c:
        result = c.translate("Good morning, Tom", to="zh", source="en", glossary={"Tom": "小明"}, formality="informal")
        assert (result.text, result.to, result.source) == ("早上好，小明", "zh", "en")
        assert result.warnings == ()
        assert "小明" in c.translate("Good morning, Tom", to="zh", glossary={"Tom": "小明"}).warnings[0]
    system = provider.requests[0].messages[0].text
    for words in ("from English to Chinese", "informal", "- Tom = 小明"):
        assert words in system


@pytest.mark.parametrize("bad", [{"to": "zh_cn"}, {"to": "jp"}, {"to": "en", "source": "en"},
                                 {"to": "de", "formality": "polite"}, {"to": "de", "glossary": {"": "x"}}])  # fmt: skip
def test_translate_refuses_before_it_asks(bad: Any) -> None:
    provider = Scripted()
    with client(provider) as c, pytest.raises(InputError):
        c.translate("x", **bad)
    assert provider.requests == []


def test_answers_quote_what_stands_there() -> None:
    docs = ["Tom lives in Rome.", "Anna lives in Paris. She is a cook."]
    reply = "Paris\n[2] Anna lives in Paris.\n[1] Anna lives on the moon."
    with client(Scripted(says(reply), says("NOT FOUND"), says("Paris"))) as c:
        result = c.answer("Where does Anna live?", context=docs)
        assert (result.text, result.answerable) == ("Paris", True)
        (evidence,) = result.evidence
        assert docs[evidence.source][evidence.start : evidence.end] == evidence.quote == "Anna lives in Paris."
        assert "moon" in result.warnings[0]
        missing = c.answer("Where does Bob live?", context=docs)
        assert (missing.text, missing.answerable, missing.evidence) == ("", False, ())
        assert c.answer("Where?").answerable is None


def test_an_answer_streams_without_its_protocol() -> None:
    reply = "In Paris.\n[1] Anna lives in Paris."
    with client(Scripted(says(reply))) as c:
        stream = c.answer("Where?", context="Anna lives in Paris.", stream=True)
        assert "".join(event.text for event in stream) == stream.result.text == "In Paris."
        assert stream.result.evidence[0].quote == "Anna lives in Paris."


def test_an_option_the_backend_lacks_is_refused_warned_of_or_dropped() -> None:
    provider = Scripted(says("a"), says("b"), can=CHATS)
    with client(provider) as c:
        with pytest.raises(Unsupported) as caught:
            c.chat("x", temperature=0.5)
        assert caught.value.capability == "temperature"
        with pytest.warns(UserWarning, match="temperature"):
            assert c.chat("x", temperature=0.5, on_unsupported="warn").warnings
        assert c.chat("x", temperature=0.5, on_unsupported="drop").warnings == ()
        with pytest.raises(Unsupported):
            c.chat("x", tools=[{"name": "f"}])
    assert all(request.temperature is None for request in provider.requests)
