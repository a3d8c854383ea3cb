"""Leaving early: the reply is closed at once, the connection too, and the provider goes on to work."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from llmsdk.errors import DeadlineExceeded
from llmsdk.testing.conformance.backend import HTTPAnswer, Received, Said
from llmsdk.testing.conformance.case import Broken, add, case, require
from llmsdk.testing.conformance.faces import FACES, ask, leave
from llmsdk.testing.conformance.rules.events import chat
from llmsdk.testing.conformance.server import PATIENCE
from llmsdk.testing.conformance.stage import Stage
from llmsdk.testing.faults import Fault as Delivery

LEAVING = "leaving-early"
LONG = " ".join(["again and again"] * 40)


def left(face: str, stage: Stage) -> None:
    _held(stage)
    leave(stage, face, lambda client: client.chat("Tell me a story", stream=True), lambda: _closed(stage))
    stage.says(Said("Here."))
    result = ask(stage, "sync", chat)
    require(isinstance(result.text, str), "a reply to the next question", result)


for _face in FACES:
    _how = "Leaving a stream" if _face == "sync" else f"Cancelling a stream on {_face}"
    _rule = f"{_how} after its first text closes the reply and its connection; text comes while the rest is awaited."
    add(f"leaving.{_face}", _rule, LEAVING, partial(left, _face), __name__)


def _closed(stage: Stage) -> None:
    require(stage.heard[-1].ended, "generate closed when its caller left", "a generator that is still open")
    if stage.subject.backend is not None:
        require(stage.server.left(PATIENCE), "the connection closed when the caller left", "an open connection")


def _held(stage: Stage) -> None:
    """The host says one half and waits."""
    if stage.subject.backend is None:
        return
    backend = stage.backend

    def scene(request: Received) -> HTTPAnswer:
        answer = backend.reply(Said(LONG), request, stream=True)
        pieces = answer.pieces or ()
        return replace(answer, body=pieces[: len(pieces) // 2])

    stage.answers(scene, Delivery(end="hang"))


@case("leaving.deadline", LEAVING)
def deadline(stage: Stage) -> None:
    """A deadline ends a call whose host says nothing, and closes its connection."""
    _ = stage.backend
    stage.says(Said("Never."), Delivery(cut=0, end="hang"))
    try:
        result: Any = ask(stage, "sync", lambda client: client.chat("Hello!", deadline=0.5))
    except DeadlineExceeded:
        require(stage.server.left(PATIENCE), "the connection closed at the deadline", "an open connection")
        return
    raise Broken("DeadlineExceeded", f"a reply: {result!r}")
