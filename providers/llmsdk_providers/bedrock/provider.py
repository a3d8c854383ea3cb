"""The provider: the dialect's pure functions, bound to one region and one key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import ClassVar
from urllib.parse import quote

from pydantic import BaseModel

from llmsdk.errors import InvalidBody, LLMError
from llmsdk.io import IO, HTTPRequest
from llmsdk.io.eventstream import FrameDecoder
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Output, Request, TokenCount
from llmsdk.wire import Hosted
from llmsdk.wire.counts import count
from llmsdk_providers.bedrock import decode, encode, faults
from llmsdk_providers.bedrock.decode import Decoder
from llmsdk_providers.bedrock.settings import ENDPOINTS, VARIABLE, url_of
from llmsdk_providers.bedrock.settings import Settings as BedrockSettings


class Bedrock(Hosted):
    """Amazon Bedrock by its Converse API, with an API key of Bedrock's own.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[BaseModel]] = BedrockSettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS
    codes: ClassVar[Mapping[str, type[LLMError]]] = faults.CODES

    def __init__(self, name: str, settings: BedrockSettings) -> None:
        url = settings.base_url or url_of(name, settings.region)
        self._of_vendor = settings.base_url is None
        super().__init__(name, settings.model_copy(update={"base_url": url}))
        self._known = Capabilities(
            schema=settings.schema_support, tools=True, options=encode.BASIC, context=settings.context
        )
        self._claude = Capabilities(
            schema=settings.schema_support, tools=True, options=encode.BASIC | {"top_k"}, context=settings.context
        )

    def vendor_names(self) -> tuple[str, ...]:
        return ("bedrock", self.name) if self._of_vendor else ("bedrock",)

    def capabilities(self, model: str) -> Capabilities:
        return self._claude if encode.is_claude(model) else self._known

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        verb = "converse-stream" if request.stream else "converse"
        return self.host.post(_path(request.model, verb), {**encode.converse(request), **request.extra_body}, request)

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self.host.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self.host.secrets)

    def frames(self) -> FrameDecoder:
        return FrameDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        return faults.from_reply(status, headers, body, self.host.secrets)

    # --- the rest -----------------------------------------------------------------------------------------------

    async def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Ask how many input tokens a request has; some models only."""
        fields = {"input": {"converse": encode.prompt(request)}}
        body = await self.ask(self.host.post(_path(request.model, "count-tokens"), fields), io)
        value = count("inputTokens", body.get("inputTokens") if isinstance(body, dict) else None, [])
        if value is None:
            raise InvalidBody("the host did not say how many tokens there are")
        yield Output(TokenCount(value, "exact"))


def _path(model: str, verb: str) -> str:
    """Names of models have colons, and those of profiles slashes too."""
    return f"/model/{quote(model, safe='')}/{verb}"
