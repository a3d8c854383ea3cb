"""What goes over the wire: all that was asked, the key in a header only, and one request a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from llmsdk.testing.conformance.backend import Received, Said
from llmsdk.testing.conformance.case import Skip, add, case, expect, require
from llmsdk.testing.conformance.faces import ask
from llmsdk.testing.conformance.stage import KEY, Stage

WIRE = "over-http"
MARKED: Mapping[str, Any] = {
    "max_tokens": 4321, "temperature": 0.625, "top_p": 0.375, "top_k": 43, "min_p": 0.0625, "seed": 424243,
    "stop": ["STOPMARK"], "frequency_penalty": 0.4375, "presence_penalty": 0.5625, "repetition_penalty": 1.125,
}  # fmt: skip
"""Options whose value can be found again in a request."""
SOME = 12
"""Calls at once."""


@case("wire.prompt", WIRE)
def prompt(stage: Stage) -> None:
    """The model, the system's words and each turn are in the request."""
    _ = stage.backend
    stage.says(Said("Fine."))
    turns = [
        {"role": "system", "content": "SYSTEM-mark"},
        {"role": "user", "content": "FIRST-mark"},
        {"role": "assistant", "content": "SECOND-mark"},
        {"role": "user", "content": "THIRD-mark"},
    ]
    ask(stage, "sync", lambda client: client.chat(turns))
    (request,) = stage.sent
    text = request.body.decode()
    places = [text.find(f"{word}-mark") for word in ("FIRST", "SECOND", "THIRD")]
    require(min(places) >= 0, "every turn in the request", text)
    expect("turns in their order, at", places, sorted(places))
    require("SYSTEM-mark" in text, "the system's words in the request", text)
    require(stage.model in request.path + text, f"the model {stage.model!r} in the request", request.path + text)


def sends(name: str, stage: Stage) -> None:
    if name not in stage.can.options:
        raise Skip(f"the model does not take {name}")
    _ = stage.backend
    stage.says(Said("Fine."))
    ask(stage, "sync", lambda client: client.chat("Hello!", **{name: MARKED[name]}))
    value = MARKED[name][0] if isinstance(MARKED[name], list) else MARKED[name]
    sent = stage.sent[-1].body.decode()
    found = re.search(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])", sent)
    require(found, f"{name}, which capabilities() declares, in the request as {value}", sent)


for _name in MARKED:
    add(f"wire.option.{_name}", f"{_name}, where it is declared, reaches the host.", WIRE,
        partial(sends, _name), __name__)  # fmt: skip


@case("wire.key", WIRE)
def key(stage: Stage) -> None:
    """The key goes into a header: not into the address, which is logged on the way, and not into the body."""
    _ = stage.backend
    if KEY not in str(stage.backend.settings("http://127.0.0.1", KEY)):
        raise Skip("the backend's settings have no key")
    stage.says(Said("Fine."))
    ask(stage, "sync", lambda client: client.chat("Hello!"))
    (request,) = stage.sent
    address = f"{request.path} {request.query}"
    require(KEY not in address, "no key in the address", address)
    require(KEY.encode() not in request.body, "no key in the body", request.body.decode())
    require(any(KEY in value for value in request.headers.values()), "the key in a header", list(request.headers))


@case("wire.many_at_once", "rules-of-generate")
def many_at_once(stage: Stage) -> None:
    """One instance serves many threads: replies go to whom they are for."""
    stage.says(lambda request: Said(f"reply {_marked(request)}"))
    asked = [f"question MARK{number:03}" for number in range(SOME)]
    batch = ask(stage, "sync", lambda client: client.chat(asked, concurrency=SOME))
    expect("replies:", len(batch), SOME)
    if stage.subject.backend is not None:
        expect("texts", [result.text for result in batch], [f"reply MARK{number:03}" for number in range(SOME)])


def _marked(request: Received) -> str:
    found = re.search(r"MARK\d{3}", request.body.decode())
    return found[0] if found else "nobody"
