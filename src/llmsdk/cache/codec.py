"""The events of a reply as bytes, and back exactly as they were; or not at all.

Nothing is run to read an entry: it is JSON with a checksum, and only the types of ``llmsdk.types`` are made of it.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any, TypeGuard

from llmsdk import types
from llmsdk.types import Event, Info, TextDelta

_CHECK = 16
"""Bytes of the checksum."""
_KNOWN = {
    name: getattr(types, name)
    for name in (
        "TextDelta", "ReasoningDelta", "ToolCallDelta", "Info", "Finish", "Output", "Usage", "TokenLogprob", "Score",
        "Span",
    )
}  # fmt: skip


def encode(events: Iterable[Event], key: bytes, secret: bytes) -> bytes | None:
    """The entry of a reply, ``None`` where it holds what would not come back as it was."""
    kept = compact(events)
    try:
        content = json.dumps([_plain(event) for event in kept], separators=(",", ":")).encode()
        if _events(content) != kept:
            return None
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
    return _checksum(content, key, secret) + content


def decode(entry: bytes, key: bytes, secret: bytes) -> list[Event] | None:
    """The events of an entry, ``None`` where it is damaged, or was written for another key or by a stranger."""
    check, content = entry[:_CHECK], entry[_CHECK:]
    if check != _checksum(content, key, secret):
        return None
    try:
        return _events(content)
    except (TypeError, ValueError, KeyError, RecursionError):
        return None


def compact(events: Iterable[Event]) -> list[Event]:
    """The events, with text in one that came in pieces. Bodies of the wire are left out, as of all that is kept."""
    kept: list[Event] = []
    pieces: list[str] = []
    for event in events:
        last = kept[-1] if kept else None
        if _goes_on(last, event):
            pieces.append(event.text)
            continue
        _join(kept, pieces)
        pieces = [event.text] if type(event) is TextDelta else []
        kept.append(replace(event, raw=None) if isinstance(event, Info) else event)
    _join(kept, pieces)
    return kept


def _goes_on(last: Event | None, event: Event) -> TypeGuard[TextDelta]:
    if type(last) is not TextDelta or type(event) is not TextDelta or last.index != event.index:
        return False
    return not (last.logprobs or event.logprobs)


def _join(kept: list[Event], pieces: Sequence[str]) -> None:
    if len(pieces) > 1:
        last = kept[-1]
        assert isinstance(last, TextDelta)
        kept[-1] = replace(last, text="".join(pieces))


def _checksum(content: bytes, key: bytes, secret: bytes) -> bytes:
    return blake2b(key + content, digest_size=_CHECK, key=secret).digest()


def _events(content: bytes) -> list[Event]:
    return [_value(item) for item in json.loads(content)]


def _plain(value: Any) -> Any:
    """A value as JSON. What JSON has no word for is an object with one name that begins with ``$``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [_plain(item) for item in value]}
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, dict):
        return {"$dict": [[_plain(name), _plain(item)] for name, item in value.items()]}
    if is_dataclass(value) and type(value).__name__ in _KNOWN:
        return {f"${type(value).__name__}": {f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    raise TypeError(type(value).__name__)


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((mark, inner),) = plain.items()
    match mark:
        case "$tuple":
            return tuple(_value(item) for item in inner)
        case "$bytes":
            return b64decode(inner)
        case "$dict":
            return {_value(name): _value(item) for name, item in inner}
        case _:
            return _KNOWN[mark.removeprefix("$")](**{name: _value(item) for name, item in inner.items()})


__all__ = ["compact", "decode", "encode"]
