"""What the models can do, by their names, and what the settings say instead."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmsdk.provider import Capabilities
from llmsdk_providers.gemini.settings import Settings, Thinking

OPTIONS = frozenset({
    "max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "n", "frequency_penalty", "presence_penalty",
    "tool_choice",
})  # fmt: skip
WINDOW = 1_048_576
LOGPROBS = 20
_VERSION = re.compile(r"(?:^|/)gemini-(\d+)(?:\.(\d+))?")
_RESTING = re.compile(r"gemini-(?:1\.|2\.0|2\.5-flash-lite)")
"""Models that do not think unless they are told to, so that a reply of one token is an answer."""


@dataclass(frozen=True, slots=True)
class Family:
    """How the models of one generation are spoken to."""

    thinking: Thinking
    always_thinks: bool = False
    signed_calls: bool = False
    """A call that goes back without its signature is refused."""


def family(model: str, thinking: Thinking | None = None) -> Family:
    """The family of a model. A name without a number, such as ``gemini-flash-latest``, is taken for a thinking one."""
    found = _VERSION.search(model)
    newest = 2.5 if "gemini" in model else 0.0
    version = float(f"{found[1]}.{found[2] or 0}") if found else newest
    known: Thinking = "none" if version < 2.5 else "budget" if version < 3 else "level"
    return Family(thinking or known, always_thinks="-pro" in model, signed_calls=version >= 3)


class ModelTable:
    """The capabilities of each model of one host."""

    __slots__ = ("_settings", "_vertex")

    def __init__(self, settings: Settings, *, vertex: bool) -> None:
        self._settings = settings
        self._vertex = vertex

    def family(self, model: str) -> Family:
        return family(model, self._settings.thinking)

    def capabilities(self, model: str) -> Capabilities:
        thinks = self.family(model).thinking != "none"
        said = self._settings.logprobs
        return Capabilities(
            schema="strict",
            logprobs=self._logprobs(model) if said is None else said,
            tools=True,
            options=OPTIONS | ({"reasoning"} if thinks else set()),
            context=self._settings.context or (WINDOW if _VERSION.search(model) else None),
        )

    def _logprobs(self, model: str) -> int:
        """Only Vertex has them throughout, and a model that thinks first spends a short reply on its thoughts."""
        return LOGPROBS if self._vertex and _RESTING.search(model) else 0
