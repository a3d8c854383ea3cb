"""What makes two questions the same: a hash over everything that can matter to the answer.

Every value goes in with its type and its length, so that no two questions run together. The hash is keyed with the
secret of its store: what is hashed, an API key among it, cannot be guessed at from a key alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from hashlib import blake2b
from typing import Any

from llmsdk.provider import CONTRACT, Provider
from llmsdk.types import Operation, Request

FORMAT = 1
"""Of keys and entries. Another one is another world."""
_LEFT_OUT = frozenset({"stream", "idempotency_key"})
"""Fields of a request that do not matter to the answer: a streamed reply and a buffered one are the same."""


class _Unknown(Exception):
    """A value of which it is not known what makes two of it the same."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a provider."""

    operation: Operation
    request: Request
    provider: Provider
    given: tuple[Any, ...]
    """What the operation takes besides the request."""
    namespace: str = ""
    others: tuple[tuple[Provider, str], ...] = ()
    """Hosts, with their models, that may be asked in its place."""


def key(asked: Asked, secret: bytes) -> bytes | None:
    """The key of a question, or ``None`` where none can be made that is surely its own.

    A provider takes part by ``fingerprint(secret)``, a text that tells its host, its settings and who asks from others.
    """
    everybody = [_who(provider, secret) for provider in (asked.provider, *(provider for provider, _ in asked.others))]
    request = {f.name: getattr(asked.request, f.name) for f in fields(Request) if f.name not in _LEFT_OUT}
    digest = blake2b(digest_size=32, key=secret)
    whole: list[Any] = [FORMAT, CONTRACT, asked.namespace]
    for who in everybody:
        if who is None:
            return None
        whole += who
    whole += [model for _, model in asked.others]
    try:
        _feed(digest, (*whole, asked.operation, asked.given, request))
    except _Unknown:
        return None
    return digest.digest()


def _who(provider: Provider, secret: bytes) -> tuple[str, str, str] | None:
    fingerprint = getattr(provider, "fingerprint", None)
    kind = type(provider)
    return None if fingerprint is None else (kind.__module__, kind.__qualname__, fingerprint(secret))


def _feed(digest: blake2b, value: Any) -> None:
    match value:
        case None | bool() | int() | float():
            _put(digest, type(value).__name__, repr(value).encode())
        case str():
            _put(digest, "str", value.encode("utf-8", "surrogatepass"))
        case bytes():
            _put(digest, "bytes", value)
        case tuple() | list():
            _put(digest, "list", b"%d" % len(value))
            for item in value:
                _feed(digest, item)
        case Mapping():  # in its order, which a model may see
            _put(digest, "dict", b"%d" % len(value))
            for name, item in value.items():
                _feed(digest, name)
                _feed(digest, item)
        case _ if is_dataclass(value) and not isinstance(value, type):
            names = [f.name for f in fields(value)]
            _put(digest, type(value).__qualname__, b"%d" % len(names))
            for name in names:
                _feed(digest, name)
                _feed(digest, getattr(value, name))
        case _:
            raise _Unknown


def _put(digest: blake2b, kind: str, content: bytes) -> None:
    digest.update(b"%s:%d:" % (kind.encode(), len(content)))
    digest.update(content)


__all__ = ["FORMAT", "Asked", "key"]
