"""What a provider may offer beside ``generate``, where it does."""

from __future__ import annotations

import math
from typing import Any

from llmsdk.errors import Unsupported
from llmsdk.provider import Counts, CountsExactly, Embeds, Lists, Scores
from llmsdk.testing.conformance.case import Skip, case, expect, require
from llmsdk.testing.conformance.faces import FACES, ask
from llmsdk.testing.conformance.rules.events import check_usage
from llmsdk.testing.conformance.stage import NAME, Stage
from llmsdk.types import TokenCount

MORE = "what-else-it-can-do"
TEXTS = ["a small cat", "an order that arrives on Friday", "blue"]
IDS = ("first-model", "second-model", "third-model")


def offered(stage: Stage, protocol: Any) -> None:
    if not isinstance(stage.provider, protocol):
        raise Skip(f"not offered: it is no {protocol.__name__}")


@case("more.scores", MORE)
def scores(stage: Stage) -> None:
    """score gives log P of each candidate, which classify turns into exact probabilities."""
    offered(stage, Scores)
    if stage.subject.backend is not None:
        raise Skip("a backend renders no scores")
    result = ask(stage, "sync", lambda client: client.classify("great film", ["good", "bad"]))
    expect("probability", result.probability, "exact")
    require(all(0 <= value <= 1 for value in result.scores.values()), "probabilities", result.scores)
    expect("settled", [attempt.settled for attempt in result.attempts], ["exact"])


@case("more.native", MORE)
def native(stage: Stage) -> None:
    """A verb that capabilities calls native is done natively, and not asked in words."""
    if not stage.can.native:
        raise Skip("not offered: the model is made for no verb of its own")
    if stage.subject.backend is not None:
        raise Skip("a backend renders no native tasks")
    calls = {
        "translate": lambda client: client.translate("Good morning.", to="zh", source="en"),
        "answer": lambda client: client.answer("Where does Tom live?", context=["Tom lives in Berlin."]),
        "classify": lambda client: client.classify("great film", ["good", "bad"]),
    }
    for verb in stage.can.native:
        result = ask(stage, "sync", calls[verb])
        expect(f"route of {verb}:", result.route, "native")


@case("more.embeds", MORE)
def embeds(stage: Stage) -> None:
    """embed gives one vector a text, in order, all of one length, with usage that can be."""
    offered(stage, Embeds)
    if stage.subject.backend is not None:
        stage.answers(stage.backend.embeddings)
        stage.model = stage.backend.embedding_model or stage.model
    try:
        results = [
            ask(stage, face, lambda client: client.embed(texts))  # noqa: B023 - called before the next one
            for face, texts in zip(FACES[:2], (TEXTS, [TEXTS[2], *TEXTS[:2]]), strict=True)
        ]
    except Unsupported as error:  # a class may serve models or hosts of which some do not embed
        require(not stage.sent, "Unsupported before anything is sent", f"{len(stage.sent)} requests")
        raise Skip(f"not offered: {error.message}") from None
    vectors = [[tuple(vector) for vector in result.vectors] for result in results]
    expect("vectors:", len(vectors[0]), len(TEXTS))
    expect("lengths:", len({len(vector) for vector in vectors[0]}), 1)
    require(all(math.isfinite(x) for vector in vectors[0] for x in vector), "finite numbers", vectors[0])
    expect("vectors in the order of the texts:", vectors[1], [vectors[0][2], *vectors[0][:2]])
    check_usage(results[0].usage)


@case("more.lists", MORE)
def lists(stage: Stage) -> None:
    """models lists what the host offers, with the provider's own name."""
    offered(stage, Lists)
    if stage.subject.backend is not None:
        backend = stage.backend
        stage.answers(lambda request: backend.models(IDS, request))
    found = ask(stage, "sync", lambda client: client.models())
    expect("their provider", {model.provider for model in found}, {NAME} if found else set())
    if stage.subject.backend is not None:
        expect("models", {model.id for model in found}, set(IDS))


@case("more.counts", MORE)
def counts(stage: Stage) -> None:
    """count counts without a network, the same each time, and more for a longer text."""
    offered(stage, Counts)
    if stage.subject.backend is not None:
        _ = stage.server
    short, again, long = (
        ask(stage, "sync", lambda client: client.count_tokens(text))  # noqa: B023 - called before the next one
        for text in ("Hello!", "Hello!", "Hello! " * 50)
    )
    require(isinstance(short, TokenCount), "a TokenCount", short)
    expect("the same count,", again, short)
    require(0 < short.value < long.value, "more tokens in a longer text", (short, long))
    expect("requests:", len(stage.sent), 0)


@case("more.counts_exactly", MORE)
def counts_exactly(stage: Stage) -> None:
    """count_exactly tells the host's own count."""
    offered(stage, CountsExactly)
    if stage.subject.backend is not None:
        backend = stage.backend
        stage.answers(lambda request: backend.count(4711, request))
    for face in FACES[:2]:
        count = ask(stage, face, lambda client: client.count_tokens("Hello!", exact=True))
        expect("method", count.method, "exact")
        if stage.subject.backend is not None:
            expect("value", count.value, 4711)
