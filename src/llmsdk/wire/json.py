"""JSON bodies in and out: untrusted ones are parsed with care, ours are written or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from llmsdk.errors import InputError, InvalidBody
from llmsdk.io.redact import redact

_BOM = b"\xef\xbb\xbf"


def parse(body: bytes, secrets: Sequence[str] = (), where: str = "the reply", hint: str | None = None) -> Any:
    """The JSON value of untrusted bytes; every kind of bomb is an error like any other.

    Raises:
        InvalidBody: no JSON; the text shows how it begins, without ``secrets``.
    """
    try:
        return from_json(body.removeprefix(_BOM), allow_inf_nan=False)
    except ValueError as error:
        begin = redact(body[:200].decode("utf-8", "replace"), secrets)
        raise InvalidBody(f"{where} is not JSON ({error}); it begins {begin!r}", hint=hint) from None


def dump(body: Mapping[str, Any]) -> bytes:
    """The bytes of a request's body.

    Raises:
        InputError: it holds what JSON cannot.
    """
    try:
        return to_json(body)
    except ValueError as error:
        hint = "Text needs to be valid Unicode, and extra= plain data."
        raise InputError(f"the request cannot be written as JSON: {error}", hint=hint) from None


def under(body: Any, key: str) -> dict[str, Any]:
    """The object at ``key``, or an empty one: what a host sends may be of any shape."""
    inner = body.get(key) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; nothing where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def string(value: Any) -> str:
    """A text, or an empty one in place of anything else."""
    return value if isinstance(value, str) else ""
