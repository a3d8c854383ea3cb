"""The scripted provider of ``llmsdk.testing``, and a whole reply in one word."""

from __future__ import annotations

from typing import Any

from llmsdk.testing.scripted import CAN as FULL
from llmsdk.testing.scripted import Scripted
from llmsdk.testing.scripted import ScriptedScores as Scoring
from llmsdk.types import Event, Finish, TextDelta, Usage

USED = Usage(7, 3)


def says(text: str, *, reason: Any = "stop", usage: Usage | None = USED) -> list[Event]:
    """A whole reply, a piece a character."""
    return [*(TextDelta(char) for char in text), *([usage] if usage else []), Finish(reason, reason)]


__all__ = ["FULL", "USED", "Scoring", "Scripted", "says"]
