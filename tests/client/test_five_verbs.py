"""The same program on every backend: one file of five verbs, run on a hosted API and on the model in the package."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client

PAGES = ["Order 4071 will arrive on Friday.", "Tom lives in Berlin."]
BACKENDS = ["openai", "local"]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The arguments that make a client of the backend."""
    if request.param == "local":
        pytest.importorskip("torch", reason="the built-in runtime needs torch")
        yield {"model": "local:pocket"}
        return
    with OpenAIServer() as server:
        yield {"model": "openai:test-model", "api_key": KEY, "base_url": server.url}


@pytest.fixture(scope="module")
def client(backend: dict[str, Any]) -> Iterator[Client]:
    with Client(**backend) as made:
        yield made


def accounted(result: Any, client: Client | AsyncClient) -> None:
    """Every result says what it used, by whom, and how."""
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens is not None
    assert result.attempts
    assert all(row.settled == "exact" and row in client.ledger.rows for row in result.attempts)
    assert (result.provider, result.model) != ("", "")
    assert result.route
    assert result.timing.total > 0
    assert client.ledger.open == ()


def test_complete(client: Client) -> None:
    for prompt in ("Once upon a time", "今天是星期五，"):
        result = client.complete(prompt, max_tokens=30)
        assert result.text.strip()
        assert result.finish_reason in ("stop", "length")
        assert client.complete(prompt, max_tokens=30, echo=True).text == prompt + result.text
        accounted(result, client)


def test_chat(client: Client) -> None:
    result = client.chat("Hello!", max_tokens=40)
    assert result.text.strip()
    assert result.finish_reason == "stop"
    assert result.message.role == "assistant"
    again = client.chat([{"role": "user", "content": "Hello!"}, result.message, {"role": "user", "content": "Thanks!"}])
    assert again.text.strip()
    accounted(result, client)


def test_translate(client: Client) -> None:
    result = client.translate("Good morning", to="zh")
    assert result.text.startswith("早上好")
    assert client.translate("早上好", to="en", source="zh").text.lower().startswith("good morning")
    accounted(result, client)


def test_answer(client: Client) -> None:
    result = client.answer("Where does Tom live?", context=PAGES)
    assert "Berlin" in result.text
    assert result.answerable is True
    assert result.evidence
    for item in result.evidence:
        assert PAGES[item.source][item.start : item.end] == item.quote
    assert "Tom lives in Berlin." in [item.quote for item in result.evidence]
    accounted(result, client)


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


def test_classify(client: Client) -> None:
    result = client.classify("I love this wonderful film!", ["good", "bad"])
    assert result.label == "good"
    assert sum(result.scores.values()) == pytest.approx(1)
    assert result.probability == ("exact" if result.provider == "local" else "stated")
    assert client.classify("I hate this terrible film!", Mood).label is Mood.BAD
    accounted(result, client)


def test_a_stream_says_what_the_whole_reply_says(client: Client) -> None:
    asked: list[Any] = [
        lambda stream: client.complete("Once upon a time", max_tokens=20, stream=stream),
        lambda stream: client.chat("Hello!", stream=stream),
        lambda stream: client.translate("Good morning", to="zh", stream=stream),
        lambda stream: client.answer("Where does Tom live?", context=PAGES, stream=stream),
    ]
    for ask in asked:
        whole, stream = ask(False), ask(True)
        assert "".join(event.text for event in stream) == whole.text == stream.result.text
        counts = [(result.usage.input_tokens, result.usage.output_tokens) for result in (whole, stream.result)]
        assert counts[0] == counts[1]
        assert stream.result.finish_reason == whole.finish_reason


def test_lists_give_batches_in_order(client: Client) -> None:
    texts = ["I love this wonderful film!", "I hate this terrible film!"] * 3
    batch = client.classify(texts, ["good", "bad"], concurrency=3)
    assert [item.label for item in batch] == ["good", "bad"] * 3
    assert batch.usage.input_tokens == sum(item.usage.input_tokens or 0 for item in batch)


def test_tokens_are_counted_before_the_call(client: Client) -> None:
    count = client.count_tokens("Hello!")
    used = client.chat("Hello!").usage.input_tokens
    assert used is not None
    if count.method == "local":
        assert count.value == used
    else:
        assert count.margin > 0


@pytest.mark.anyio
async def test_the_async_client_says_the_same(backend: dict[str, Any], client: Client) -> None:
    async with AsyncClient(**backend) as twin:
        assert (await twin.chat("Hello!")).text == client.chat("Hello!").text
        async with twin.translate("Good morning", to="zh", stream=True) as stream:
            text = "".join([event.text async for event in stream])
        assert text == stream.result.text == client.translate("Good morning", to="zh").text
        batch = await twin.answer(["Where does Tom live?", "When will order 4071 arrive?"], context=PAGES)
        assert ["Berlin" in batch[0].text, "Friday" in batch[1].text] == [True, True]
        accounted(batch[0], twin)
