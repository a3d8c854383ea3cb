"""The provider: the dialect's pure functions, bound to one server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar

from llmsdk.errors import InvalidBody
from llmsdk.io import IO, HTTPRequest
from llmsdk.io.ndjson import LineDecoder
from llmsdk.io.route import address
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Model, Output, Request
from llmsdk.wire import Hosted
from llmsdk.wire.counts import counts
from llmsdk.wire.json import items, string
from llmsdk_providers.ollama import decode, encode
from llmsdk_providers.ollama.decode import Decoder
from llmsdk_providers.ollama.settings import BASE_URL, ENDPOINTS, VARIABLE
from llmsdk_providers.ollama.settings import Settings as OllamaSettings


class Ollama(Hosted):
    """An Ollama server, on this machine or elsewhere, or ollama.com.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = OllamaSettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    base_url: ClassVar[str] = BASE_URL
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS

    def __init__(self, name: str, settings: OllamaSettings) -> None:
        self._ollama = settings
        super().__init__(name, settings)
        self._capabilities = Capabilities(
            complete=True, suffix=settings.suffix, schema="strict", logprobs=encode.TOP_LOGPROBS, tools=True,
            options=encode.OPTIONS, context=settings.num_ctx,
        )  # fmt: skip

    def key_required(self) -> bool:
        """Only the vendor's own host asks for one."""
        host = address(self._ollama.base_url or BASE_URL).host
        return host == "ollama.com" or host.endswith(".ollama.com")

    def vendor_names(self) -> tuple[str, ...]:
        return ("ollama",)

    def capabilities(self, model: str) -> Capabilities:
        return self._capabilities

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire: a raw prompt to ``/api/generate``, a conversation to ``/api/chat``.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        raw = isinstance(request.input, str)
        body = (encode.generate if raw else encode.chat)(request, self._ollama.num_ctx)
        if self._ollama.keep_alive is not None:
            body["keep_alive"] = self._ollama.keep_alive
        return self.host.post("/api/generate" if raw else "/api/chat", {**body, **request.extra_body}, request)

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self.host.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self.host.secrets)

    def frames(self) -> LineDecoder:
        return LineDecoder(self.max_event)

    # --- the rest -----------------------------------------------------------------------------------------------

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order."""
        body = await self.ask(
            self.host.post("/api/embed", {"model": model, "input": list(texts), "truncate": False}), io
        )
        reply = body if isinstance(body, dict) else {}
        yield counts({"input_tokens": reply.get("prompt_eval_count"), "output_tokens": 0}, [])
        yield Output(_vectors(reply.get("embeddings"), len(texts)))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the server has."""
        body = await self.ask(self.host.get("/api/tags"), io)
        rows = body.get("models") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise InvalidBody("the list of models is no list")
        yield Output(tuple(Model(name, self.name) for row in items(rows) if (name := string(row.get("name")))))


def _vectors(rows: Any, expected: int) -> tuple[tuple[float, ...], ...]:
    if not isinstance(rows, list) or len(rows) != expected:
        found = len(rows) if isinstance(rows, list) else "no"
        raise InvalidBody(f"the server gave {found} vectors for {expected} texts")
    try:
        return tuple(tuple(float(number) for number in row) for row in rows)
    except (TypeError, ValueError) as error:
        raise InvalidBody(f"the server gave a vector that is none: {error!r:.200}") from None
