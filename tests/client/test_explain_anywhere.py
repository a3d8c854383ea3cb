"""The dry run asks nobody and always has an answer, whatever stands between a verb and a provider."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from scripted import FULL, Scoring, Scripted, says

from llmsdk import Budget, Client
from llmsdk.errors import Overloaded, ServerFault
from llmsdk.testing import FaultServer, faults

VERBS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("chat", ("Hello!",), {}),
    ("chat", (["one", "two"],), {}),
    ("chat", ("Hello!",), {"stream": True}),
    ("chat", ("Hello!",), {"output": int}),
    ("complete", ("Once",), {}),
    ("translate", ("Good morning",), {"to": "zh"}),
    ("answer", ("Who?",), {}),
    ("answer", ("Who?",), {"context": ["Ann did it.", "So did Bob."]}),
    ("classify", ("great", ["good", "bad"]), {}),
    ("classify", ("great", ["good", "bad", "odd"]), {"multi": True}),
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"cache": True},
    {"hedge": 0.5},
    {"retry": 1, "deadline": 5},
    {"restart": True, "tags": ["a"]},
    {"budget": Budget(requests=1)},
]
CONFIG: dict[str, Any] = {
    "models": {
        "spread": {"spread": ["one:m", "two:m"]},
        "ordered": ["one:m", "two:m"],
        "both": ["spread", "scoring:m"],
        "quick": {"model": "one:m", "hedge": 0.1, "restart": True},
    },
    "limits": {"one": {"rpm": 1, "concurrency": 1}},
    "budget": {"tokens": 1},
    "circuit": {"failures": 1},
    "cache": {"on": True},
}
MODELS = ["one:m", "scoring:m", "bound:m", "spread", "ordered", "both", "quick"]


class Bound(Scripted):
    """It has a loop of its own."""

    loop_bound = True


def providers() -> list[Any]:
    return [
        Scripted(name="one", can=FULL),
        Scripted(name="two", can=FULL),
        Scoring(lambda request, candidate: 0.0, name="scoring", can=FULL),
        Bound(name="bound", can=FULL),
    ]


@pytest.fixture
def client() -> Iterator[Client]:
    with Client("one:m", config=CONFIG, provider=providers()) as client:
        yield client


@pytest.mark.parametrize(("verb", "arguments", "given"), VERBS)
def test_every_model_and_option(client: Client, verb: Any, arguments: tuple[Any, ...], given: dict[str, Any]) -> None:
    for model, options in itertools.product(MODELS, OPTIONS):
        told = client.explain(verb, *arguments, model=model, **given, **options)
        assert told.model == "m"
        assert told.tokens.value > 0
    assert client.ledger.rows == ()


def test_models_made_for_one_task() -> None:
    config = {"providers": {"huggingface": {"api_key": "hf_0123456789abcdef"}}}
    calls: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
        ("Helsinki-NLP/opus-mt-en-zh", "translate", ("Hello.",), {"to": "zh"}),
        ("deepset/roberta-base-squad2", "answer", ("Who?",), {"context": ["Ann did it.", "So did Bob."]}),
        ("facebook/bart-large-mnli", "classify", ("great", ["good", "bad"]), {"multi": True}),
    ]
    with Client(config=config) as client:
        for model, verb, arguments, given in calls:
            told = client.explain(verb, *arguments, model=f"huggingface:{model}", **given)  # type: ignore[arg-type]
            assert (told.route, told.operation) == ("native", verb)


def test_a_kept_reply_an_open_circuit_and_a_spent_budget_do_not_matter() -> None:
    config = {"retry": {"attempts": 1}, "circuit": {"failures": 1}, "cache": {"on": True}}
    with FaultServer() as host, Client("openai:any", config=host.config(**config)) as client:
        spent = Budget(requests=1)
        client.chat("Hello!", budget=spent)
        assert client.chat("Hello!").attempts[0].cached
        host.inject(faults.status(500))
        with pytest.raises(ServerFault):
            client.chat("Another one")
        told = client.explain("chat", "Hello!", budget=spent)
        assert told.url == f"{host.url}/chat/completions"
        assert len(host.requests) == 2
    with Client("scripted:m", provider=Scripted(says("x"), [Overloaded("busy")])) as client:
        client.chat("x")
        assert client.explain("chat", "x").route == "chat"
