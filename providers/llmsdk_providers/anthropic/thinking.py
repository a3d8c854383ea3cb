"""How much a model is to think: by an effort, or by a budget of tokens within the limit of the output."""

from __future__ import annotations

from typing import Any

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Request
from llmsdk_providers.anthropic.models import Claude

BUDGETS = {"low": 2048, "medium": 8192, "high": 16_384}
"""Tokens for the models that know no effort."""
LEAST = 1024
"""Tokens of the smallest budget that is taken."""


def limit(request: Request, model: Claude, default: int | None = None) -> int:
    """``max_tokens``: what was asked for, or a default with room for the answer besides the thoughts."""
    if request.max_tokens is not None:
        return request.max_tokens
    usual = default or model.default_max_tokens
    wanted = usual + (_budget(request) if _is_budgeted(request, model) else 0)
    return min(wanted, model.max_output or wanted)


def fields(request: Request, model: Claude, max_tokens: int) -> dict[str, Any]:
    """``thinking`` and the effort. Nothing where it is left to the model.

    Raises:
        InputError: a budget for which ``max_tokens`` leaves no room.
        Unsupported: a model that cannot be told.
    """
    wish = request.reasoning
    if wish is None:
        return {}
    if wish is False:
        return _off(request, model)
    if _is_budgeted(request, model):
        return {"thinking": {"type": "enabled", "budget_tokens": _fitting(request, max_tokens)}}
    if not model.adapts:
        raise Unsupported(f"{request.model} does not think", capability="reasoning", hint="Leave reasoning= out.")
    if isinstance(wish, int) and wish is not True:
        hint = 'Pass "low", "medium" or "high".'
        raise Unsupported(f"{request.model} takes no budget of tokens", capability="reasoning", hint=hint)
    effort = {"output_config": {"effort": wish}} if isinstance(wish, str) else {}
    return {"thinking": {"type": "adaptive", "display": "summarized"}, **effort}


def _off(request: Request, model: Claude) -> dict[str, Any]:
    if model.always_thinks:
        hint = 'Pass "low", or leave it out.'
        raise Unsupported(f"{request.model} cannot answer without thinking", capability="reasoning", hint=hint)
    return {"thinking": {"type": "disabled"}} if model.thinks_unasked else {}


def _is_budgeted(request: Request, model: Claude) -> bool:
    wish = request.reasoning
    if not model.budgets or wish is None or wish is False:
        return False
    return not model.adapts or (isinstance(wish, int) and wish is not True)


def _budget(request: Request) -> int:
    wish = request.reasoning
    if isinstance(wish, str):
        return BUDGETS[wish]
    return BUDGETS["medium"] if wish is None or isinstance(wish, bool) else max(wish, LEAST)


def _fitting(request: Request, max_tokens: int) -> int:
    """The budget, which is a part of ``max_tokens``. An effort is content with half of it."""
    budget = _budget(request)
    if isinstance(request.reasoning, str | bool):
        budget = min(budget, max(max_tokens // 2, LEAST))
    if budget >= max_tokens:
        hint = f"Raise max_tokens over {budget}, or pass a smaller budget; the smallest is {LEAST}."
        text = f"max_tokens ({max_tokens}) leaves no room for an answer after {budget} tokens of reasoning"
        raise InputError(text, argument="max_tokens", hint=hint)
    return budget
