"""The reason why a reply ended, in our words."""

from __future__ import annotations

from collections.abc import Mapping

from llmsdk.types import FinishReason


def reason(raw: str | None, table: Mapping[str, FinishReason], *, called: bool) -> FinishReason:
    """Our word for a host's, which is ``other`` where ``table`` lacks it.

    That tools are to be called shows in the calls, not in the reason: hosts say ``stop`` beside them, and some say
    that there are calls where there are none.
    """
    known = table.get(raw, "other") if raw else "other"
    if called:
        return "tool_call" if known in ("stop", "other") else known
    return "other" if known == "tool_call" else known
