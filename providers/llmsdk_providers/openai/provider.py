"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from llmsdk.io import HTTPRequest
from llmsdk.io.route import address
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Request, TokenCount
from llmsdk_providers.openai import decode, encode, tokens
from llmsdk_providers.openai.capabilities import ModelTable
from llmsdk_providers.openai.decode import Decoder
from llmsdk_providers.openai.encode import Dialect
from llmsdk_providers.openai.host import OpenAIHost
from llmsdk_providers.openai.row import Row
from llmsdk_providers.openai.settings import BASE_URL, ENDPOINTS, VARIABLE
from llmsdk_providers.openai.settings import Settings as OpenAISettings


class OpenAI(OpenAIHost):
    """OpenAI, and every host that speaks its chat-completions dialect.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = OpenAISettings
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS

    row: ClassVar[Row] = Row(BASE_URL, (VARIABLE,), embeddings=True)
    """What holds for a host of which nothing is known but that it speaks the dialect."""
    vendor: ClassVar[str] = "openai"

    def __init__(self, name: str, settings: OpenAISettings) -> None:
        super().__init__(name, settings)
        row = self.row
        self._table = ModelTable(settings, openai=self.is_openai, other=row.capabilities, strict=row.strict_models)
        known = "max_completion_tokens" if self.is_openai else row.max_tokens_field
        self._dialect = Dialect(
            max_tokens_field=settings.max_tokens_field or known,
            schema=self._table.capabilities("").schema,
            stream_usage=row.stream_usage if settings.stream_usage is None else settings.stream_usage,
            openai=self.is_openai,
            host=address(self.host.url).label,
            reasoning=row.switch,
            returns_reasoning=row.returns_reasoning,
            schema_field=row.schema_field,
            fetches_files=row.fetches_files,
        )

    @property
    def has_embeddings(self) -> bool:
        said = self._openai.embeddings
        return self.row.embeddings if said is None else said

    def vendor_names(self) -> tuple[str, ...]:
        return (self.vendor,)

    def capabilities(self, model: str) -> Capabilities:
        return self._table.capabilities(model)

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        raw = self._is_raw(request)
        body = (encode.completion if raw else encode.chat)(request, self._form(request.model))
        path = self.path("/completions" if raw else "/chat/completions", request.model)
        return self.host.post(path, {**body, **request.extra_body}, request)

    def _form(self, model: str) -> Dialect:
        if self.row.strict_models is None:
            return self._dialect
        return replace(self._dialect, schema=self.capabilities(model).schema)

    def _is_raw(self, request: Request) -> bool:
        return isinstance(request.input, str) and self.capabilities(request.model).complete

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        form = self._dialect
        return decode.decode(body, self.host.secrets, form.host, returns_reasoning=form.returns_reasoning is not None)

    def decoder(self, request: Request) -> Decoder:
        form = self._dialect
        return Decoder(self.host.secrets, form.host, returns_reasoning=form.returns_reasoning is not None)

    # --- the rest -----------------------------------------------------------------------------------------------

    def count(self, request: Request) -> TokenCount | None:
        """Count with tiktoken where it is at hand; ``None`` where it is not."""
        return tokens.count(request, openai=self.is_openai, raw=self._is_raw(request))
