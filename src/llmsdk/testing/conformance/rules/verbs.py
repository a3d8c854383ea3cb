"""The five verbs on the three faces, each settled in the ledger; streams; a type of output."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from llmsdk.errors import OutputError
from llmsdk.testing.conformance.backend import Received, Said
from llmsdk.testing.conformance.case import Skip, add, case, expect, require
from llmsdk.testing.conformance.faces import FACES, ask, stream
from llmsdk.testing.conformance.stage import Stage

VERBS = "the-five-verbs"
PAGES = ["Order 4071 will arrive on Friday.", "Tom lives in Berlin."]
CALLS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "complete": (lambda client, **o: client.complete("Once upon a time", **o), " there was a cat.", "there was a cat."),
    "chat": (lambda client, **o: client.chat("Hello!", **o), "Hello there!", "Hello there!"),
    "translate": (lambda client, **o: client.translate("Good morning.", to="zh", **o), "早上好。", "早上好。"),
    "answer": (
        lambda client, **o: client.answer("When will order 4071 arrive?", context=PAGES, **o),
        f"On Friday.\n[1] {PAGES[0]}", "On Friday.",
    ),
}  # fmt: skip
"""The call, what the host says to it, and what the result says."""


class Place(BaseModel):
    """Of so few values that a model held to them ends, however little it knows."""

    city: Literal["Paris", "Oslo"]


def verb(name: str, face: str, stage: Stage) -> None:
    call, said, text = CALLS[name]
    stage.says(Said(said))
    result = ask(stage, face, call)
    _check(stage, result, text)


def streamed(name: str, face: str, stage: Stage) -> None:
    call, said, text = CALLS[name]
    stage.says(Said(said))
    events, result = stream(stage, face, partial(call, stream=True))
    _check(stage, result, text)
    expect("text of the events, joined:", "".join(event.text for event in events).strip(), result.text.strip())


def _check(stage: Stage, result: Any, text: str) -> None:
    require(isinstance(result.text, str), "text", result)
    if stage.subject.backend is not None:
        expect("text", result.text.strip(), text)
    settled = [attempt.settled for attempt in result.attempts]
    expect("rows of the ledger, settled", settled, ["exact"] * len(settled))


def classify(face: str, stage: Stage) -> None:
    stage.says(lambda request: _label(stage, request))
    try:
        result = ask(stage, face, lambda client: client.classify("great film", ["good", "bad"]))
    except OutputError as error:
        if stage.subject.backend is not None:
            raise
        raise Skip(f"the model does not follow the task: {error.message}") from None
    require(result.label in ("good", "bad"), "one of the labels", result)
    expect("probabilities add up to", round(sum(result.scores.values()), 6), 1.0)
    if stage.subject.backend is not None:
        expect("label", result.label, "good")


def _label(stage: Stage, request: Received) -> Said:
    """The letter of the first label, or the probabilities as JSON, by what the request is."""
    if stage.heard[-1].request.logprobs is not None:
        return Said("A", first={"A": 0.75, "B": 0.25})
    return Said(json.dumps({"good": 0.75, "bad": 0.25}))


for _face in FACES:
    for _name in CALLS:
        add(f"verb.{_name}.{_face}", f"{_name} works ({_face}).", VERBS, partial(verb, _name, _face), __name__)
    add(f"verb.classify.{_face}", f"classify works ({_face}).", VERBS, partial(classify, _face), __name__)
    for _name in CALLS:
        _rule = f"{_name} works as a stream ({_face}), and its result is that of the same call unstreamed."
        add(f"stream.{_name}.{_face}", _rule, VERBS, partial(streamed, _name, _face), __name__)


@case("verb.output", VERBS)
def output(stage: Stage) -> None:
    """chat gives an object of a type that it is asked for."""
    stage.says(Said('{"city": "Paris"}'))
    try:
        result = ask(stage, "sync", lambda client: client.chat("Where? city=Paris", output=Place))
    except OutputError as error:
        if stage.subject.backend is not None:
            raise
        raise Skip(f"the model does not follow the schema: {error.message}") from None
    require(isinstance(result.value, Place), "an object of the type", result.value)
    if stage.subject.backend is not None:
        expect("value", result.value, Place(city="Paris"))
