"""What the models can do, by their names: Anthropic's have family and version in them.

A name that has neither belongs to another maker, whose host speaks the dialect. Such a model is taken to think with a
budget and to take every sampling option; a host that can do less answers an honest 400.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmsdk.provider import Capabilities

DEFAULT_MAX_TOKENS = 16_384
"""Tokens of output where the caller names no limit, if the model can give as many."""
_NEW = re.compile(r"claude-(?P<family>[a-z]+)-(?P<major>\d{1,2})(?:-(?P<minor>\d{1,2}))?(?!\d)")
_OLD = re.compile(r"claude-(?P<major>\d)(?:-(?P<minor>\d))?-(?P<family>[a-z]+)")
_UNNUMBERED = re.compile(r"claude-(?P<family>mythos|fable)")
_TOOLS = frozenset({"max_tokens", "stop", "tool_choice", "parallel_tool_calls"})
SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_MAX_TOKENS = (((4, 6), 128_000), ((4, 5), 64_000), ((3, 7), 64_000), ((3, 5), 8192), ((3, 0), 4096))
"""The most tokens of output, from each version on."""


@dataclass(frozen=True, slots=True)
class Claude:
    """One model, as far as its name tells."""

    family: str = ""
    version: tuple[int, int] | None = None

    @property
    def max_output(self) -> int | None:
        """The most tokens that it gives; ``None`` where that is not known."""
        if self.version is None:
            return None
        if self.family == "opus" and (4, 0) <= self.version < (4, 5):
            return 32_000
        return next((most for since, most in _MAX_TOKENS if self.version >= since), 4096)

    @property
    def default_max_tokens(self) -> int:
        return min(DEFAULT_MAX_TOKENS, self.max_output or 4096)

    @property
    def context(self) -> int | None:
        if self.version is None:
            return None
        return 200_000 if self.version < (4, 6) else None if self.family == "haiku" else 1_000_000

    @property
    def samples(self) -> bool:
        """Whether sampling is for the caller to choose."""
        return self.version is None or self.version <= (4, 6)

    @property
    def adapts(self) -> bool:
        """Whether it decides by itself how much to think, by an effort that is asked for."""
        return self.version is not None and self.version >= (4, 6)

    @property
    def budgets(self) -> bool:
        """Whether it takes a budget of tokens to think with."""
        return self.version is None or (3, 7) <= self.version <= (4, 6)

    @property
    def thinks_unasked(self) -> bool:
        return self.version is not None and self.version >= (5, 0)

    @property
    def always_thinks(self) -> bool:
        """It cannot be told not to, and then not be forced to call a tool either."""
        if self.family == "opus":
            return self.version is not None and self.version >= (5, 5)
        return self.family in ("fable", "mythos")

    @property
    def binds(self) -> bool:
        """Whether a reply can be held to a schema; others are asked to call a tool that has it."""
        return self.version is not None and self.version >= (4, 5)

    @property
    def capabilities(self) -> Capabilities:
        options = _TOOLS | (SAMPLING if self.samples else set()) | ({"reasoning"} if self._thinks else set())
        return Capabilities(
            schema="strict" if self.binds else "json",
            tools=True,
            options=options,
            context=self.context,
            output=self.default_max_tokens,
        )

    @property
    def _thinks(self) -> bool:
        return self.adapts or self.budgets


def known(model: str) -> Claude:
    """What the name of a model tells."""
    for pattern in (_NEW, _OLD):
        if found := pattern.search(model):
            return Claude(found["family"], (int(found["major"]), int(found["minor"] or 0)))
    found = _UNNUMBERED.search(model)
    return Claude(found["family"], (5, 0)) if found else Claude()
