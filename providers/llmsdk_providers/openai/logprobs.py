"""Log probabilities in both of the dialect's forms, made into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmsdk.types import TokenLogprob


def read(value: Any) -> tuple[TokenLogprob, ...]:
    """What stands in a choice's ``logprobs``. A token without a probability, as the first of an echoed prompt, is
    left out.
    """
    if not isinstance(value, dict):
        return ()
    if isinstance(value.get("tokens"), list):
        return _legacy(value)
    entries = [*_list(value.get("content")), *_list(value.get("refusal"))]
    return tuple(token for entry in entries if (token := _token(entry)) is not None)


def _token(entry: Any) -> TokenLogprob | None:
    pair = _pair(entry)
    if pair is None:
        return None
    top = [other for item in _list(entry.get("top_logprobs")) if (other := _pair(item)) is not None]
    return TokenLogprob(*pair, _ranked(top))


def _pair(entry: Any) -> tuple[str, float] | None:
    if not isinstance(entry, dict):
        return None
    return _checked(entry.get("token"), entry.get("logprob"))


def _legacy(value: dict[str, Any]) -> tuple[TokenLogprob, ...]:
    """Parallel lists, as ``/completions`` has them: tokens, their logprobs, a mapping of alternatives for each."""
    tokens, logprobs, tops = value["tokens"], _list(value.get("token_logprobs")), _list(value.get("top_logprobs"))
    read = []
    for index, (token, logprob) in enumerate(zip(tokens, logprobs, strict=False)):
        pair = _checked(token, logprob)
        top = tops[index] if index < len(tops) and isinstance(tops[index], dict) else {}
        if pair is not None:
            others = [other for item in top.items() if (other := _checked(*item)) is not None]
            read.append(TokenLogprob(*pair, _ranked(others)))
    return tuple(read)


def _checked(token: Any, logprob: Any) -> tuple[str, float] | None:
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    return token, float(logprob)


def _ranked(top: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(top, key=lambda pair: -pair[1]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
