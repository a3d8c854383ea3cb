"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

import struct
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel
from pydantic_core import to_json

from llmsdk.errors import ConfigError, InputError, InvalidBody, LLMError, Unsupported
from llmsdk.io import IO, HTTPRequest, TransportOptions, closing
from llmsdk.provider import Capabilities, HTTPProvider
from llmsdk.types import Event, Model, Output, Request, TokenCount
from llmsdk_providers.openai import decode, encode, errors, tokens, usage
from llmsdk_providers.openai.capabilities import ModelTable
from llmsdk_providers.openai.decode import Decoder
from llmsdk_providers.openai.settings import VARIABLE, check_base_url, check_key
from llmsdk_providers.openai.settings import Settings as OpenAISettings

Header = tuple[bytes, bytes]
_SECRET = (b"authorization", b"key", b"token", b"secret", b"cookie")
"""Words in the name of a header whose value must not show."""


class OpenAI(HTTPProvider):
    """OpenAI, and every host that speaks its chat-completions dialect.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[BaseModel]] = OpenAISettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        super().__init__(name, settings)
        url = check_base_url(name, settings)
        self._table = ModelTable(settings, url)
        self._embeds = settings.embeddings
        self._wire = Wire(url, _headers(settings, check_key(name, settings, url)), self.transport)
        known = "max_completion_tokens" if self._table.is_openai else "max_tokens"
        self._dialect = encode.Dialect(
            max_tokens_field=settings.max_tokens_field or known,
            schema=self._table.capabilities("").schema,
            stream_usage=settings.stream_usage,
            openai=self._table.is_openai,
        )

    def __repr__(self) -> str:
        return f"OpenAI({self.name!r}, {self._wire.url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a provider holds a key and is not pickled; make it anew from the configuration")

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
        return self._wire.post("/completions" if raw else "/chat/completions", {**body, **request.extra_body}, request)

    def _is_raw(self, request: Request) -> bool:
        return isinstance(request.input, str) and self.capabilities(request.model).complete

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self._wire.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self._wire.secrets)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        return errors.from_reply(status, headers, body, self._wire.secrets)

    # --- the rest -----------------------------------------------------------------------------------------------

    def count(self, request: Request) -> TokenCount | None:
        """Count with tiktoken where it is at hand; ``None`` where it is not."""
        return tokens.count(request, openai=self._table.is_openai, raw=self._is_raw(request))

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order.

        Raises:
            Unsupported: the settings say that the host has no embeddings.
        """
        if not self._embeds:
            raise Unsupported(f"{self.name} has no embeddings", capability="embeddings", hint="Ask another provider.")
        fields: dict[str, Any] = {"model": model, "input": list(texts)}
        if self._table.is_openai:
            fields["encoding_format"] = "base64"  # a third of the bytes of decimal numbers, and exact
        body = await self._ask(self._wire.post("/embeddings", fields), io)
        figures = usage.find(body) if isinstance(body, dict) else None
        if figures is not None:
            yield usage.read({**figures, "completion_tokens": 0, "total_tokens": None})[0]
        yield Output(_vectors(body, len(texts)))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the host lists."""
        body = await self._ask(self._wire.get("/models"), io)
        rows = body.get("data") if isinstance(body, dict) else body
        if not isinstance(rows, list):
            raise InvalidBody("the list of models is no list")
        named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
        yield Output(tuple(Model(row["id"], self.name, _context(row)) for row in named))

    async def _ask(self, request: HTTPRequest, io: IO) -> Any:
        """The JSON of a reply that is no stream."""
        async with closing(await io.send(request)) as reply:
            if not 200 <= reply.status < 300:
                raise await self.failure(reply)
            body = decode.parse(await reply.read(self.max_body), self._wire.secrets)
        if isinstance(body, dict) and errors.is_error(body):
            raise errors.from_body(body, self._wire.secrets)
        return body


class Wire:
    """One host's address and headers, prebuilt. Its headers hold the key, so they show nowhere."""

    __slots__ = ("_headers", "_options", "secrets", "url")

    def __init__(self, url: str, headers: tuple[Header, ...], options: TransportOptions) -> None:
        self.url = url
        self._headers = headers
        self._options = options
        self.secrets = tuple(
            value.decode().removeprefix("Bearer ") for name, value in headers if any(word in name for word in _SECRET)
        )

    def __repr__(self) -> str:
        return f"Wire({self.url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("headers with a key in them are not pickled")

    def get(self, path: str) -> HTTPRequest:
        headers = [header for header in self._headers if header[0] != b"content-type"]
        return HTTPRequest("GET", self.url + path, headers, b"", self._options, self.secrets)

    def post(self, path: str, body: Mapping[str, Any], request: Request | None = None) -> HTTPRequest:
        """A request with ``body`` as JSON.

        Raises:
            InputError: the body holds what JSON cannot, or a header what no header can.
        """
        try:
            content = to_json(body)
        except ValueError as error:
            hint = "Text needs to be valid Unicode, and extra= plain data."
            raise InputError(f"the request cannot be written as JSON: {error}", hint=hint) from None
        headers: Sequence[Header] = self._headers
        if request is not None and (request.extra_headers or request.idempotency_key is not None):
            headers = _merged(self._headers, _extra(request))
        return HTTPRequest("POST", self.url + path, headers, content, self._options, self.secrets)


# --- headers ------------------------------------------------------------------------------------------------------


def _headers(settings: OpenAISettings, key: str | None) -> tuple[Header, ...]:
    named = {
        "content-type": "application/json",
        "user-agent": "llmsdk",  # some hosts refuse requests without one
        "authorization": f"Bearer {key}" if key else None,
        "openai-organization": settings.organization,
        "openai-project": settings.project,
    }
    own = {name: value for name, value in named.items() if value}
    try:
        return _merged(_encoded(own), _encoded(settings.headers))
    except ValueError as error:
        hint = "Use printable ASCII, without line breaks."
        raise ConfigError(f"a header cannot be sent: {error}", hint=hint) from None


def _extra(request: Request) -> tuple[Header, ...]:
    own = {"idempotency-key": request.idempotency_key} if request.idempotency_key is not None else {}
    try:
        return _encoded(own | dict(request.extra_headers))
    except ValueError as error:
        hint = "Use printable ASCII, without line breaks."
        raise InputError(f"a header cannot be sent: {error}", argument="extra", hint=hint) from None


def _encoded(headers: Mapping[str, str]) -> tuple[Header, ...]:
    """Headers as bytes. What is wrong with a value is said by the header's name: it may be a secret."""
    for name, value in headers.items():
        if not name or not name.isascii() or not name.isprintable() or any(mark in name for mark in " :"):
            raise ValueError(f"{name!r} is no name of a header")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ValueError(f"the value of {name!r} has characters that no header has")
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


def _merged(headers: Sequence[Header], others: Sequence[Header]) -> tuple[Header, ...]:
    """``headers`` with ``others``, of which each takes the place of its namesake."""
    names = {name for name, _ in others}
    return (*(header for header in headers if header[0] not in names), *others)


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
