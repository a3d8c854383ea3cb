"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from llmsdk.io import HTTPRequest
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Request, TokenCount
from llmsdk_providers.openai import decode, encode, tokens
from llmsdk_providers.openai.capabilities import ModelTable
from llmsdk_providers.openai.decode import Decoder
from llmsdk_providers.openai.host import OpenAIHost
from llmsdk_providers.openai.settings import ENDPOINTS
from llmsdk_providers.openai.settings import Settings as OpenAISettings


class OpenAI(OpenAIHost):
    """OpenAI, and every host that speaks its chat-completions dialect.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[BaseModel]] = OpenAISettings
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        super().__init__(name, settings)
        self._table = ModelTable(settings, openai=self.is_openai)
        known = "max_completion_tokens" if self.is_openai else "max_tokens"
        self._dialect = encode.Dialect(
            max_tokens_field=settings.max_tokens_field or known,
            schema=self._table.capabilities("").schema,
            stream_usage=settings.stream_usage,
            openai=self.is_openai,
        )

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
        path = self.path("/completions" if raw else "/chat/completions", request.model)
        return self.host.post(path, {**body, **request.extra_body}, request)

    def _is_raw(self, request: Request) -> bool:
        return isinstance(request.input, str) and self.capabilities(request.model).complete

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self.host.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self.host.secrets)

    # --- the rest -----------------------------------------------------------------------------------------------

    def count(self, request: Request) -> TokenCount | None:
        """Count with tiktoken where it is at hand; ``None`` where it is not."""
        return tokens.count(request, openai=self.is_openai, raw=self._is_raw(request))
