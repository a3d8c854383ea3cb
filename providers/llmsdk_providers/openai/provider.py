"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

import struct
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from llmsdk.errors import InvalidBody, Unsupported
from llmsdk.io import IO, HTTPRequest
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Model, Output, Request, TokenCount
from llmsdk.wire import Hosted
from llmsdk_providers.openai import decode, encode, tokens, usage
from llmsdk_providers.openai.capabilities import ModelTable
from llmsdk_providers.openai.decode import Decoder
from llmsdk_providers.openai.settings import BASE_URL, ENDPOINTS, VARIABLE
from llmsdk_providers.openai.settings import Settings as OpenAISettings


class OpenAI(Hosted):
    """OpenAI, and every host that speaks its chat-completions dialect.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[BaseModel]] = OpenAISettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    base_url: ClassVar[str] = BASE_URL
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        self._openai = settings
        super().__init__(name, settings)
        self._table = ModelTable(settings, self.host.url)
        known = "max_completion_tokens" if self._table.is_openai else "max_tokens"
        self._dialect = encode.Dialect(
            max_tokens_field=settings.max_tokens_field or known,
            schema=self._table.capabilities("").schema,
            stream_usage=settings.stream_usage,
            openai=self._table.is_openai,
        )

    def headers(self, key: str | None) -> Mapping[str, str | None]:
        own = {"openai-organization": self._openai.organization, "openai-project": self._openai.project}
        return {**super().headers(key), **own}

    def key_required(self) -> bool | None:
        return self._openai.key_required

    def vendor_names(self) -> tuple[str, ...]:
        return ("openai",)

    def capabilities(self, model: str) -> Capabilities:
        return self._table.capabilities(model)

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        raw = self._is_raw(request)
        body = (encode.completion if raw else encode.chat)(request, self._dialect)
        return self.host.post("/completions" if raw else "/chat/completions", {**body, **request.extra_body}, request)

    def _is_raw(self, request: Request) -> bool:
        return isinstance(request.input, str) and self.capabilities(request.model).complete

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self.host.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self.host.secrets)

    # --- the rest -----------------------------------------------------------------------------------------------

    def count(self, request: Request) -> TokenCount | None:
        """Count with tiktoken where it is at hand; ``None`` where it is not."""
        return tokens.count(request, openai=self._table.is_openai, raw=self._is_raw(request))

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order.

        Raises:
            Unsupported: the settings say that the host has no embeddings.
        """
        if not self._openai.embeddings:
            raise Unsupported(f"{self.name} has no embeddings", capability="embeddings", hint="Ask another provider.")
        fields: dict[str, Any] = {"model": model, "input": list(texts)}
        if self._table.is_openai:
            fields["encoding_format"] = "base64"  # a third of the bytes of decimal numbers, and exact
        body = await self.ask(self.host.post("/embeddings", fields), io)
        figures = usage.find(body) if isinstance(body, dict) else None
        if figures is not None:
            yield usage.read({**figures, "completion_tokens": 0, "total_tokens": None})[0]
        yield Output(_vectors(body, len(texts)))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the host lists."""
        body = await self.ask(self.host.get("/models"), io)
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
