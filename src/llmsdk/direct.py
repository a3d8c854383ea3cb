"""Frozen dataclasses that are made without a detour."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def direct(kind: type[T]) -> type[T]:
    """Let a frozen dataclass with slots put its fields straight into them.

    The ``__init__`` that ``dataclass`` writes asks ``object.__setattr__`` for each field, which takes twice as long; a
    call makes twenty such objects, a stream one a chunk. This one is written in the same way and takes the same
    arguments. No field may have a ``default_factory``.
    """
    slow: Any = kind.__init__
    code = slow.__code__
    plain, named = code.co_varnames[: code.co_argcount], code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    parameters = [*plain, "*", *named] if named else plain
    names = (*plain[1:], *named)
    lines = [f" put_{name}(self, {name})\n" for name in names]
    space: dict[str, Any] = {f"put_{name}": getattr(kind, name).__set__ for name in names}
    exec(f"def __init__({', '.join(parameters)}):\n{''.join(lines)}", space)  # noqa: S102 - names of fields, nothing else
    quick = space["__init__"]
    for told in ("__defaults__", "__kwdefaults__", "__annotations__", "__module__", "__qualname__"):
        setattr(quick, told, getattr(slow, told))
    kind.__init__ = quick  # type: ignore[method-assign]
    return kind


__all__ = ["direct"]
