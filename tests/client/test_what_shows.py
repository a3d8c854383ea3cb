"""What a notebook, a log and a warning show of the client's objects: short, useful, and no word of a prompt."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from scripted import Scripted, says

from llmsdk import AsyncClient, Client

SECRET = "canary-4711"


def client(*scripts: Any) -> Client:
    return Client("scripted:m", provider=Scripted(*scripts))


def test_a_stream_says_what_it_is_of_and_how_far_it_is() -> None:
    with client(says("hello"), says("hello")) as c:
        stream = c.chat(SECRET, stream=True)
        assert repr(stream) == "<Stream of chat(): not begun>"
        next(stream)
        assert repr(stream) == "<Stream of chat(): open>"
        assert SECRET not in repr(stream._flow)
        assert stream.result.text == "hello"
        assert repr(stream) == "<Stream of chat(): complete>"
        with c.translate(SECRET, to="zh", stream=True) as left:
            next(left)
        assert repr(left) == "<Stream of translate(): closed>"


@pytest.mark.anyio
async def test_an_async_stream_does_too() -> None:
    async with AsyncClient("scripted:m", provider=Scripted(says("hello"))) as c:
        stream = c.complete(SECRET, stream=True)
        assert repr(stream) == "<AsyncStream of complete(): not begun>"
        async with stream:
            async for _ in stream:
                assert repr(stream) == "<AsyncStream of complete(): open>"
        assert repr(stream) == "<AsyncStream of complete(): complete>"


def test_a_client_shows_its_model_and_no_more() -> None:
    c = Client("openai:gpt-5", api_key=SECRET)
    assert repr(c) == "Client('openai:gpt-5')"
    assert SECRET not in repr(vars(c))
    c.close()
    assert repr(c) == "Client('openai:gpt-5') (closed)"
    assert repr(Client(config={})) == "Client()"
    assert repr(AsyncClient(config={})) == "AsyncClient()"


def test_a_ledger_shows_its_sums() -> None:
    with client(says("hello"), says("hello", usage=None)) as c:
        assert repr(c.ledger) == "<Ledger: 0 settled, 0 open; tokens: ? in, ? out>"
        c.chat(SECRET)
        assert repr(c.ledger) == "<Ledger: 1 settled, 0 open; tokens: 7 in, 3 out>"
        with c.chat(SECRET, stream=True) as stream:
            next(stream)
            assert "1 open" in repr(c.ledger)


def test_a_batch_shows_its_first_results() -> None:
    with client(*(says("x") for _ in range(5))) as c:
        few, many = c.complete(["a", "b"]), c.complete(["a", "b", "c"])
    assert repr(few) == "Batch([Completion(text='x'), Completion(text='x')])"
    assert repr(type(many)((*many, *many))).endswith("Completion(text='x'), ... 3 more])")


FORGOTTEN: dict[str, Callable[[AsyncClient], Any]] = {
    "chat": lambda c: c.chat("Hi!"),
    "complete": lambda c: c.complete(["a", "b"]),
    "translate": lambda c: c.translate("Hi!", to="zh"),
    "answer": lambda c: c.answer("Who?"),
    "classify": lambda c: c.classify("Hi!", ["a", "b"]),
    "embed": lambda c: c.embed("Hi!"),
    "models": lambda c: c.models(),
    "count_tokens": lambda c: c.count_tokens("Hi!"),
}


@pytest.mark.parametrize("verb", FORGOTTEN)
def test_a_forgotten_await_is_told_by_the_name_of_the_verb(verb: str) -> None:
    c = AsyncClient("scripted:m", provider=Scripted())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FORGOTTEN[verb](c)
        gc.collect()
    assert [str(item.message) for item in caught] == [f"coroutine 'AsyncClient.{verb}' was never awaited"]
