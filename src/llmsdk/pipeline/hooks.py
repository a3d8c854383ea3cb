"""Hooks of the user's, whose errors disturb no call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_told: set[tuple[str, str]] = set()
"""What has been logged: once is enough."""


def quietly(what: str, hook: Callable[..., T], *arguments: Any) -> T | None:
    """Call a hook. If it raises, that is logged, once for each kind of error, and the call that it watches goes on."""
    try:
        return hook(*arguments)
    except Exception as error:
        if (kind := (what, type(error).__name__)) not in _told:
            import logging

            _told.add(kind)
            logging.getLogger("llmsdk").warning("%s raised an error, and the call went on", what, exc_info=error)
        return None


__all__ = ["quietly"]
