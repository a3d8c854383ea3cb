"""What is the same for every form in which OpenAI's models are spoken to: headers, vectors, the list of models."""

from __future__ import annotations

import struct
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from llmsdk.errors import InvalidBody, Unsupported
from llmsdk.io import IO
from llmsdk.types import Event, Model, Output
from llmsdk.wire import Hosted
from llmsdk_providers.openai import usage
from llmsdk_providers.openai.capabilities import is_openai
from llmsdk_providers.openai.settings import BASE_URL, VARIABLE, HostSettings


class OpenAIHost(Hosted):
    """A host with OpenAI's headers, ``/embeddings`` and ``/models``.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    base_url: ClassVar[str] = BASE_URL

    def __init__(self, name: str, settings: HostSettings) -> None:
        self._openai = settings
        super().__init__(name, settings)

    @property
    def has_embeddings(self) -> bool:
        """Whether there is ``/embeddings``."""
        return self._openai.embeddings is not False

    @property
    def is_openai(self) -> bool:
        """Whether the models are OpenAI's own, known by their names."""
        return is_openai(self.host.url)

    def headers(self, key: str | None) -> Mapping[str, str | None]:
        own = {"openai-organization": self._openai.organization, "openai-project": self._openai.project}
        return {**super().headers(key), **own}

    def key_required(self) -> bool | None:
        return self._openai.key_required

    def path(self, endpoint: str, model: str) -> str:
        """Where an endpoint is, after ``base_url``."""
        return endpoint

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order.

        Raises:
            Unsupported: the host has no embeddings.
        """
        if not self.has_embeddings:
            raise Unsupported(f"{self.name} has no embeddings", capability="embeddings", hint="Ask another provider.")
        fields: dict[str, Any] = {"model": model, "input": list(texts)}
        if self.is_openai:
            fields["encoding_format"] = "base64"  # a third of the bytes of decimal numbers, and exact
        body = await self.ask(self.host.post(self.path("/embeddings", model), fields), io)
        figures = usage.find(body) if isinstance(body, dict) else None
        if figures is not None:
            yield usage.read({**figures, "completion_tokens": 0, "total_tokens": None})[0]
        yield Output(_vectors(body, len(texts)))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the host lists."""
        body = await self.ask(self.host.get(self.path("/models", "")), io)
        rows = body.get("data") if isinstance(body, dict) else body
        if not isinstance(rows, list):
            raise InvalidBody("the list of models is no list")
        named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
        yield Output(tuple(Model(row["id"], self.name, _context(row)) for row in named))


# --- bodies -------------------------------------------------------------------------------------------------------


def _vectors(body: Any, expected: int) -> tuple[tuple[float, ...], ...]:
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(rows) != expected:
        found = len(rows) if isinstance(rows, list) else "no"
        raise InvalidBody(f"the host gave {found} vectors for {expected} texts")
    try:
        ordered = sorted(rows, key=lambda row: row.get("index", 0))
        return tuple(_vector(row["embedding"]) for row in ordered)
    except (TypeError, KeyError, AttributeError, ValueError, Base64Error, struct.error) as error:
        raise InvalidBody(f"the host gave a vector that is none: {error!r:.200}") from None


def _vector(value: Any) -> tuple[float, ...]:
    """A vector of decimal numbers, or of little-endian 32-bit floats in base64."""
    if isinstance(value, str):
        raw = b64decode(value, validate=True)
        return struct.unpack(f"<{len(raw) // 4}f", raw)
    return tuple(float(number) for number in value)


def _context(row: Mapping[str, Any]) -> int | None:
    """The model's window, under the names that hosts give it."""
    names = ("context_length", "context_window", "max_model_len", "max_context_length")
    return next((row[name] for name in names if isinstance(row.get(name), int)), None)
