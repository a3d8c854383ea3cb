"""Our clients against live servers of others: the same tests for ``transformers serve``, and for LiteLLM's proxy.

Both serve the model in the package, so what our own runtime writes is what they must write, and count. They are asked
for with ``scripts/peers``, which installs and starts them. What they were seen to do: docs/providers/peers.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from dialects import PAGES, joined
from live import MODEL, Peer, litellm_proxy, transformers_serve
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client, Stream
from llmsdk.errors import ContextTooLong, NotFound, SchemaMismatch, Unauthorized

pytestmark = pytest.mark.skipif(
    not os.environ.get("LLMSDK_TEST_PEERS"), reason="live peers are installed and started by scripts/peers"
)
NO_KEY = "it asks for no key"
NO_TOOLS = "the model behind it was not taught to call tools"
PROMPT, STORY = "Once upon a time", 20
OPTIONS = {"temperature": 0.0, "retry": {"attempts": 1}}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    logs = tmp_path_factory.mktemp("peers")
    with OpenAIServer() as host, transformers_serve(logs / "transformers.log") as upstream:
        with litellm_proxy(logs / "litellm.log", upstream, (host.url, KEY)) as proxy:
            yield {upstream.name: upstream, proxy.name: proxy}


@pytest.fixture(scope="session", params=["transformers", "litellm"])
def peer(request: pytest.FixtureRequest, served: dict[str, Peer]) -> Peer:
    return served[request.param]


@pytest.fixture
def client(peer: Peer) -> Iterator[Client]:
    with Client(**peer.client, **OPTIONS) as made:
        yield made
        assert made.ledger.open == ()


@pytest.fixture
async def aclient(peer: Peer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(**peer.client, **OPTIONS) as made:
        yield made
        assert made.ledger.open == ()


@pytest.fixture(scope="session")
def ours() -> Iterator[Client]:
    """The same model in our own runtime: what it writes and counts is what is right."""
    with Client(f"local:{MODEL}", temperature=0.0) as made:
        yield made


def same(result: Any, expected: Any) -> None:
    """The same text, for the same reason, of as many tokens."""
    assert result.text == expected.text != ""
    assert result.finish_reason == expected.finish_reason
    assert result.usage.input_tokens == expected.usage.input_tokens
    assert result.usage.output_tokens == expected.usage.output_tokens
    assert result.usage.source == "provider"
    assert [row.settled for row in result.attempts] == ["exact"] * len(result.attempts)
    assert result.cost is None, "it is no vendor's host"


def test_complete(client: Client, ours: Client) -> None:
    expected = ours.complete(PROMPT, max_tokens=STORY)
    whole = client.complete(PROMPT, max_tokens=STORY)
    assert whole.route == "complete", "it continues a raw prompt"
    same(whole, expected)
    with client.complete(PROMPT, max_tokens=STORY, stream=True) as stream:
        assert "".join(event.text for event in stream) == expected.text
    same(stream.result, expected)


@pytest.mark.parametrize("limit", [40, 5], ids=["stop", "length"])
def test_chat(client: Client, ours: Client, limit: int) -> None:
    expected = ours.chat("Hello!", max_tokens=limit)
    assert expected.finish_reason == ("stop" if limit == 40 else "length")
    same(client.chat("Hello!", max_tokens=limit), expected)
    with client.chat("Hello!", max_tokens=limit, stream=True) as stream:
        pieces = [event.text for event in stream]
    assert "".join(pieces) == expected.text
    assert len([*filter(None, pieces)]) > 2, "it comes in pieces"
    same(stream.result, expected)


def test_a_conversation_goes_on(client: Client, ours: Client) -> None:
    turns: list[Any] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello!"}]
    turns.append(client.chat(turns).message)
    turns.append({"role": "user", "content": "Who are you?"})
    same(client.chat(turns, max_tokens=30), ours.chat(turns, max_tokens=30))


def test_translate(client: Client, ours: Client) -> None:
    expected = ours.translate("Good morning", to="zh")
    same(client.translate("Good morning", to="zh"), expected)
    with client.translate("Good morning", to="zh", stream=True) as stream:
        assert "".join(event.text for event in stream) == expected.text == "早上好"


def test_answer(client: Client, ours: Client) -> None:
    expected = ours.answer("When will order 4071 arrive?", context=PAGES)
    found = client.answer("When will order 4071 arrive?", context=PAGES)
    same(found, expected)
    assert found.evidence == expected.evidence
    assert found.evidence[0].quote == PAGES[0]


def test_classify(client: Client, peer: Peer) -> None:
    """Without logprobs it takes a model that states probabilities; what comes of a smaller one is a typed error."""
    with pytest.raises(SchemaMismatch) as caught:
        client.classify("great film, i love it", ["positive", "negative"])
    assert caught.value.text == "positive"
    assert caught.value.attempts[0].settled == "exact"
    if peer.name == "litellm":
        found = client.classify("great film, i love it", ["positive", "negative"], model="litellm:test-model")
        assert (found.label, found.probability) == ("positive", "stated")


def test_many_at_once(client: Client, ours: Client) -> None:
    asked = ["Hello!", "Good morning!", "Who are you?"]
    expected = ours.chat(asked, max_tokens=20)
    found = client.chat(asked, max_tokens=20, concurrency=3)
    assert [reply.text for reply in found] == [reply.text for reply in expected]
    assert found.usage.output_tokens == expected.usage.output_tokens


@pytest.mark.anyio
async def test_on_a_loop(aclient: AsyncClient, ours: Client) -> None:
    same(await aclient.complete(PROMPT, max_tokens=STORY), ours.complete(PROMPT, max_tokens=STORY))
    expected = ours.chat("Hello!")
    same(await aclient.chat("Hello!"), expected)
    async with aclient.chat("Hello!", stream=True) as stream:
        assert await joined(stream) == expected.text
    same(stream.result, expected)
    same(await aclient.translate("Good morning", to="zh"), ours.translate("Good morning", to="zh"))
    found = await aclient.answer("When will order 4071 arrive?", context=PAGES)
    assert found.text == "Friday"
    with pytest.raises(SchemaMismatch):
        await aclient.classify("great film, i love it", ["positive", "negative"])


def test_its_models(client: Client) -> None:
    assert MODEL in [model.id for model in client.models()]


def test_a_stream_that_is_left(client: Client, ours: Client) -> None:
    with client.complete(PROMPT, max_tokens=200, stream=True) as stream:
        assert next(iter(stream)).text is not None
    assert client.ledger.open == ()
    same(client.chat("Hello!"), ours.chat("Hello!"))


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_unknown_model(client: Client, peer: Peer, streamed: bool) -> None:
    def ask() -> Any:
        reply = client.chat("Hello!", model=f"{peer.name}:nobody", stream=streamed)
        return [*reply] if isinstance(reply, Stream) else reply

    with pytest.raises(NotFound, match="nobody") as caught:
        ask()
    assert caught.value.status == 400


def test_a_wrong_key(peer: Peer) -> None:
    if peer.key is None:
        pytest.skip(NO_KEY)
    wrong = "sk-wrong-0123456789abcdef"
    with Client(**{**peer.client, "api_key": wrong}, **OPTIONS) as client, pytest.raises(Unauthorized) as caught:
        client.chat("Hello!")
    assert wrong not in repr(caught.value) + repr(vars(caught.value)) + str(caught.value)


def test_a_prompt_that_is_too_long(client: Client, peer: Peer) -> None:
    if peer.name == "transformers":
        pytest.skip("it goes beyond the window of its model without a word")
    with pytest.raises(ContextTooLong) as caught:
        client.chat("Hello! " * 50, model="litellm:test-small")
    assert caught.value.limit == 64


# --- tools and schemas --------------------------------------------------------------------------------------------


@pytest.fixture
def able(client: Client, peer: Peer) -> Client:
    """A client of a model that calls tools and keeps to schemas."""
    if peer.name == "transformers":
        pytest.skip(NO_TOOLS)
    return client.with_options(model=f"{peer.name}:test-model")


def test_tools(able: Client) -> None:
    called = []

    def weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return f"It is sunny in {city}."

    asked = able.chat("Use weather for city=Oslo", tools=[weather])
    assert asked.finish_reason == "tool_call"
    assert [(call.name, call.arguments) for call in asked.tool_calls] == [("weather", {"city": "Oslo"})]
    with able.chat("Use weather for city=Oslo", tools=[weather], stream=True) as stream:
        _ = [*stream]
    assert [call.arguments for call in stream.result.tool_calls] == [{"city": "Oslo"}]
    assert stream.result.usage == asked.usage
    able.chat("Use weather for city=Oslo", tools=[weather], steps=2)
    assert called == ["Oslo"]


def test_output(able: Client) -> None:
    from dataclasses import make_dataclass

    place = make_dataclass("Place", [("city", str), ("people", int)])
    found = able.chat("city=Oslo people=700000", output=place)
    assert (found.value.city, found.value.people) == ("Oslo", 700000)
    assert found.route == "chat+schema"


def test_embed(client: Client, peer: Peer) -> None:
    if peer.name == "transformers":
        pytest.skip("it has no embeddings")
    found = client.embed(["a", "b"], model="litellm:test-embed")
    assert len(found.vectors) == 2
    assert found.usage.input_tokens == 2


# --- other dialects -----------------------------------------------------------------------------------------------


def test_it_speaks_another_dialect_too(peer: Peer, ours: Client) -> None:
    """``/responses`` of the one, ``/messages`` of the other."""
    name, base = ("openai-responses", f"{peer.origin}/v1") if peer.key is None else ("anthropic", peer.origin)
    expected = ours.chat("Hello!", max_tokens=40)
    with Client(f"{name}:{MODEL}", base_url=base, api_key=peer.key or "none", **OPTIONS) as client:
        same(client.chat("Hello!", max_tokens=40), expected)
        with client.chat("Hello!", max_tokens=40, stream=True) as stream:
            assert "".join(event.text for event in stream) == expected.text
        same(stream.result, expected)
        assert json.dumps(stream.result.to_dict())
