"""The dry run: the very bytes that a call then sends, its tokens and what it costs at most; and nothing is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from scripted import Scoring, Scripted, says
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client, TokenCount
from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Output

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("chat", ("Hello!",), {"temperature": 0.5, "max_tokens": 9}),
    ("chat", ("Hello!",), {"stream": True}),
    ("translate", ("Good morning",), {"to": "zh"}),
    ("answer", ("Who?",), {"context": ["Ann did it."]}),
    ("classify", ("great", ["good", "bad"]), {}),
    ("complete", ("Once",), {}),
]


@pytest.mark.parametrize(("verb", "arguments", "options"), CALLS)
def test_the_body_is_what_is_then_sent(
    openai_server: OpenAIServer, verb: Any, arguments: Any, options: dict[str, Any]
) -> None:
    with Client("openai:test-model", base_url=openai_server.url, api_key=KEY) as client:
        told = client.explain(verb, *arguments, **options)
        assert openai_server.requests == []
        result = getattr(client, verb)(*arguments, **options)
        if options.get("stream"):
            with result:
                list(result)
            result = result.result
    assert told.body == openai_server.requests[0].json
    assert told.url == f"{openai_server.url}/chat/completions"
    assert (told.operation, told.route) == ("generate", result.route)
    assert KEY not in repr(told)


def test_cost_is_an_upper_bound_where_price_and_limit_are_known() -> None:
    with Client("openai:gpt-4.1-mini", api_key="sk-0123456789abcdef") as client:
        told = client.explain("chat", "Hello!", max_tokens=1000)
        assert told.max_tokens == 1000
        assert told.cost is not None
        assert Decimal("0.0016") < told.cost < Decimal("0.0017")  # 1,000 tokens out at $1.60 a million, a few in
        assert client.explain("chat", "Hello!").cost is None
        assert client.explain("chat", "Hello!", max_tokens=10, model="openai:unheard-of").cost is None


def test_scoring_is_told_as_such_and_local_calls_cost_nothing() -> None:
    provider = Scoring(lambda request, candidate: 0.0, name="local")
    with Client("local:m", provider=provider) as client:
        told = client.explain("classify", "great", ["good", "bad"])
        assert (told.operation, told.route) == ("score", "score")
        assert (told.url, told.body, told.cost) == (None, None, Decimal(0))
        assert provider.requests == []


@pytest.mark.anyio
async def test_the_async_client_explains_too() -> None:
    provider = Scripted(says("x"))
    async with AsyncClient("scripted:m", provider=provider) as client:
        told = client.explain("chat", ["one", "two"])
    assert told.request.messages[0].text == "one"
    assert provider.requests == []


def test_what_the_verb_refuses_is_refused() -> None:
    with Client("scripted:m", provider=Scripted()) as client:
        with pytest.raises(InputError, match="empty"):
            client.explain("chat", "")
        with pytest.raises(Unsupported):
            client.explain("chat", "x", reasoning="low")
        with pytest.raises(InputError, match="no verb"):
            client.explain("sing", "x")  # type: ignore[arg-type]


# --- exact counts -------------------------------------------------------------------------------------------------


class Counting(Scripted):
    """A host that counts."""

    async def count_exactly(self, request: Any, io: Any) -> Any:
        self.requests.append(request)
        yield Output(TokenCount(42, "exact"))


def test_exact_counts_come_from_the_host_and_stand_in_the_ledger() -> None:
    with Client("scripted:m", provider=Counting()) as client:
        assert client.count_tokens("Hi!").method == "estimate"
        assert client.count_tokens("Hi!", exact=True) == TokenCount(42, "exact")
        assert [row.operation for row in client.ledger.rows] == ["count"]


def test_who_cannot_count_exactly_says_so() -> None:
    with Client("scripted:m", provider=Scripted()) as client, pytest.raises(Unsupported, match="counting exactly"):
        client.count_tokens("Hi!", exact=True)


def test_the_own_tokenizer_of_a_local_model_is_exact_enough() -> None:
    pytest.importorskip("torch", reason="the built-in runtime needs torch")
    with Client("local:pocket") as client:
        assert client.count_tokens("Hi!", exact=True) == client.count_tokens("Hi!")
