"""A key or a token, which shows nowhere by itself."""

from __future__ import annotations

from typing import Any


class Secret:
    """A text that is masked wherever it is printed; ``reveal`` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __str__(self) -> str:
        return "**********" if self._value else ""

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def of(cls, value: Any) -> Secret:
        """``value`` as a secret: a ``str``, a ``Secret``, or what hides a text as pydantic's ``SecretStr`` does.

        Raises:
            ValueError: something else.
        """
        if isinstance(value, Secret):
            return value
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        if not isinstance(text, str):
            raise ValueError("must be a valid string")
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls.of)


__all__ = ["Secret"]
