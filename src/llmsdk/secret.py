"""Keys, and other texts that nobody is to see.

``Secret`` is how a key is kept: whatever prints, logs, copies or serializes it gets the mask, and only ``reveal`` the
key. ``Hidden`` and ``Masked`` are texts and bytes that are in use, and so travel through frames that a traceback may
show with their local variables: only their ``repr`` is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast, final

T = TypeVar("T")

MASK = "***"
WORDS = ("authorization", "key", "token", "secret", "cookie", "password", "credential")
"""Words in the name of a setting or a header whose value is a secret."""


@final
class Secret:
    """A text that shows nowhere: not in ``str``, ``repr``, ``format``, ``vars``, JSON, nor as a field of a model.

    It compares in constant time, with a ``str`` too, and is its own copy. It is not pickled: a masked key would be
    wrong where it arrives, and a real one would lie in whatever file or queue carries it.
    """

    __slots__ = ("_tell",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a secret is a str, not {type(value).__name__}")
        self._tell: Callable[[], str] = lambda: value

    @classmethod
    def of(cls, value: Any) -> Secret:
        """``value`` as a secret: a ``str``, a ``Secret``, or whatever hides a text as pydantic's ``SecretStr`` does.

        Raises:
            ValueError: it is none of these. The text does not show it.
        """
        if isinstance(value, Secret):
            return value
        if hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        if not isinstance(value, str):
            raise ValueError("must be a valid string")
        return cls(value)

    def reveal(self) -> str:
        """The text itself. Only its ``repr`` is masked from here on."""
        return Hidden(self._tell())

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._tell())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret | str):
            return NotImplemented
        from hmac import compare_digest

        return compare_digest(_bytes(self._tell()), _bytes(other if isinstance(other, str) else other._tell()))

    def __hash__(self) -> int:
        return hash(self._tell())

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled; look it up again where it is needed")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        shown = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_plain_validator_function(cls.of, serialization=shown)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "password", "writeOnly": True}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Hidden(str):
    """A text whose ``repr`` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class Masked(bytes):
    """Bytes whose ``repr`` does not show them."""

    def __repr__(self) -> str:
        return MASK


def is_secret(name: str) -> bool:
    """Whether the value of a setting or a header of that name is for nobody to see."""
    name = name.lower()
    return any(word in name for word in WORDS)


def kept(value: T, name: str = "", form: Callable[[str], Any] = Secret) -> T:
    """``value`` with each text in it in another ``form`` that stands under the name of a secret, such as ``api_key``.

    All texts under ``headers`` and ``proxy`` are taken for secrets, and any URL that holds credentials.
    """
    if isinstance(value, str):
        return cast("T", form(value)) if _hides(name, value) else value
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return cast("T", type(value)(kept(item, name, form) for item in value))
    if isinstance(value, Mapping) and value.keys() != {"env"}:  # that is the name of a variable
        whole = name if _hides(name) else ""
        return cast("T", {key: kept(item, whole or _word(key), form) for key, item in value.items()})
    return value


def _word(key: Any) -> str:
    return key if isinstance(key, str) else ""


def _hides(name: str, value: str = "") -> bool:
    return name in ("headers", "proxy") or is_secret(name) or ("://" in value and "@" in value)


def revealed(value: Any) -> Any:
    """``value`` with its secrets as the texts that they are."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(revealed(item) for item in value)
    return value


__all__ = ["MASK", "WORDS", "Hidden", "Masked", "Secret", "is_secret", "kept", "revealed"]
