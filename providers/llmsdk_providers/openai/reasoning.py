"""How hosts are asked to reason, or not to. Each function makes fields of the body out of ``Request.reasoning``.

``None`` in place of fields: the host has no switch for this wish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fields = Mapping[str, Any]
Switch = Callable[[str | int | bool], Fields | None]


def effort(wish: str | int | bool) -> Fields | None:
    """``reasoning_effort``, as OpenAI has it. ``True`` leaves it to the model."""
    if isinstance(wish, bool):
        return {} if wish else {"reasoning_effort": "none"}
    return {"reasoning_effort": wish} if isinstance(wish, str) else None


def effort_or_toggle(wish: str | int | bool) -> Fields | None:
    """Effort for models that have levels, a toggle for those that can do without (Together)."""
    return {"reasoning": {"enabled": wish}} if isinstance(wish, bool) else effort(wish)


def thinking(wish: str | int | bool) -> Fields | None:
    """``thinking`` with a type, and the effort beside it (DeepSeek, Moonshot, Zhipu)."""
    if isinstance(wish, bool):
        return {"thinking": {"type": "enabled" if wish else "disabled"}}
    return {"thinking": {"type": "enabled"}, "reasoning_effort": wish} if isinstance(wish, str) else None


def budget(wish: str | int | bool) -> Fields | None:
    """A toggle and a number of tokens (Qwen)."""
    if isinstance(wish, bool):
        return {"enable_thinking": wish}
    return {"enable_thinking": True, "thinking_budget": wish} if isinstance(wish, int) else None


def routed(wish: str | int | bool) -> Fields | None:
    """One object for every kind of model behind a router (OpenRouter)."""
    match wish:
        case bool():
            return {"reasoning": {"enabled": True} if wish else {"effort": "none"}}
        case str():
            return {"reasoning": {"effort": wish}}
        case _:
            return {"reasoning": {"max_tokens": wish}}


def template(wish: str | int | bool) -> Fields | None:
    """What the model's chat template makes of it (servers of open models)."""
    return {"chat_template_kwargs": {"enable_thinking": wish}} if isinstance(wish, bool) else None


def template_or_effort(wish: str | int | bool) -> Fields | None:
    """The template for a toggle, and effort for models that have levels (vLLM, SGLang)."""
    return template(wish) if isinstance(wish, bool) else effort(wish)
