"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar

from llmsdk.errors import InvalidBody, LLMError
from llmsdk.io import IO, HTTPRequest
from llmsdk.io.route import address
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Output, Request, TokenCount
from llmsdk_providers.openai import tokens
from llmsdk_providers.openai.host import OpenAIHost
from llmsdk_providers.openai.settings import ENDPOINTS
from llmsdk_providers.openai_responses import decode, encode
from llmsdk_providers.openai_responses.capabilities import ModelTable
from llmsdk_providers.openai_responses.decode import CODES, Decoder
from llmsdk_providers.openai_responses.items import Origin
from llmsdk_providers.openai_responses.settings import Settings as ResponsesSettings


class Responses(OpenAIHost):
    """OpenAI's Responses API, and other hosts that speak it.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = ResponsesSettings
    endpoints: ClassVar[tuple[str, ...]] = ("/responses/input_tokens", *ENDPOINTS)
    codes: ClassVar[Mapping[str, type[LLMError]]] = CODES

    def __init__(self, name: str, settings: ResponsesSettings) -> None:
        super().__init__(name, settings)
        self._settings = settings
        self._table = ModelTable(settings, self.host.url)
        self._origin = address(self.host.url).label

    def vendor_names(self) -> tuple[str, ...]:
        return ("openai-responses",)

    def capabilities(self, model: str) -> Capabilities:
        return self._table.capabilities(model)

    def dialect(self, model: str) -> encode.Dialect:
        """How a model of this host is spoken to."""
        takes = self._table.takes_reasoning(model)
        return encode.Dialect(
            origin=Origin(self._origin, reasoning=takes, stored=self._settings.store),
            openai=self._table.openai,
            schema=self.capabilities(model).schema,
            encrypted=self._table.encrypts(model),
            summary=self._settings.summary,
        )

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        body = {**encode.response(request, self.dialect(request.model)), **request.extra_body}
        return self.host.post(self.path("/responses", request.model), body, request)

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self._origin, self.host.secrets, self._warning(request))

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self._origin, self.host.secrets, self._warning(request))

    def _warning(self, request: Request) -> str | None:
        return encode.too_few(request, self.dialect(request.model))

    # --- counting -----------------------------------------------------------------------------------------------

    def count(self, request: Request) -> TokenCount | None:
        """Count with tiktoken where it is at hand; ``None`` where it is not."""
        return tokens.count(request, openai=self._table.openai, raw=False)

    async def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Ask the host: yield ``Output(TokenCount(..., "exact"))``.

        Raises:
            NotFound: the host does not count.
        """
        body = {**encode.counted(request, self.dialect(request.model)), **request.extra_body}
        said = await self.ask(self.host.post(self.path("/responses/input_tokens", request.model), body, request), io)
        value = said.get("input_tokens") if isinstance(said, dict) else None
        if type(value) is not int or value < 0:
            raise InvalidBody("the host did not say how many tokens the input has")
        yield Output(TokenCount(value, "exact"))
