"""The provider: the dialect's pure functions, bound to one region, and to one key or one source of credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

from llmsdk.errors import InvalidBody, LLMError, Unauthorized
from llmsdk.io import IO, HTTPReply, HTTPRequest
from llmsdk.io.eventstream import FrameDecoder
from llmsdk.io.route import address
from llmsdk.provider import Capabilities, Secret
from llmsdk.types import Event, Output, Request, TokenCount
from llmsdk.wire import Hosted
from llmsdk.wire.counts import count
from llmsdk.wire.host import check_base_url
from llmsdk_providers.bedrock import credentials, decode, encode, faults, sigv4
from llmsdk_providers.bedrock.decode import Decoder
from llmsdk_providers.bedrock.settings import ENDPOINTS, VARIABLE, region_of, url_of
from llmsdk_providers.bedrock.settings import Settings as BedrockSettings


class Bedrock(Hosted):
    """Amazon Bedrock by its Converse API, with an API key of Bedrock's own, or with requests that are signed.

    Raises:
        MissingKey, MissingExtra, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = BedrockSettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS
    codes: ClassVar[Mapping[str, type[LLMError]]] = faults.CODES
    finds_credentials: ClassVar[bool] = True

    def __init__(self, name: str, settings: BedrockSettings) -> None:
        self._own = settings
        self._source: credentials.Source | None = None
        self._region = ""
        url = settings.base_url or url_of(region_of(name, settings))
        super().__init__(name, settings.replaced(base_url=url))
        self._known = Capabilities(schema=settings.schema, tools=True, options=encode.BASIC, context=settings.context)
        self._claude = Capabilities(
            schema=settings.schema, tools=True, options=encode.BASIC | {"top_k"}, context=settings.context
        )

    # --- the key, or a signature --------------------------------------------------------------------------------

    def vendor_names(self) -> tuple[str, ...]:
        return ("bedrock", self.name) if self._own.base_url is None else ("bedrock",)

    def key_required(self) -> bool | None:
        return None if self._source is None else False

    def _key(self, url: str) -> str | None:
        if self.settings.api_key is None and self._signs(url):
            guarded = self.settings.replaced(api_key=Secret("a signature"))
            check_base_url(self.name, url, guarded)  # what is signed is as little for a plain wire as a key
            self._region = region_of(self.name, self._own)
            self._source = credentials.source(self.name, self._own, self._region)
        return super()._key(url)

    def _signs(self, url: str) -> bool:
        """Whether credentials are named, or this is Amazon's, so that those which the machine has may go there."""
        own = self._own
        named = (own.profile, own.access_key_id, own.secret_access_key, own.session_token)
        return any(item is not None for item in named) or (
            self.name in self.vendor_names() and not address(url).loopback
        )

    async def prepare(self, request: HTTPRequest, io: IO) -> HTTPRequest:
        """The request signed, where there is no API key.

        Raises:
            MissingKey, ConfigError, Unauthorized: there are no credentials, or they cannot be had.
        """
        if self._source is None:
            return request
        held = await credentials.fetch(self._source, io)
        self.host.hide(*held.secrets)
        return sigv4.signed(request, held, self._region, datetime.now(UTC))

    async def failure(self, reply: HTTPReply) -> LLMError:
        error = await super().failure(reply)
        if isinstance(error, Unauthorized) and isinstance(self._source, credentials.Chain):
            self._source.forget()
        return error

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
        return FrameDecoder(self.max_event)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        error = faults.from_reply(status, headers, body, self.host.secrets)
        if self._source is not None and isinstance(error, Unauthorized):
            error.hint = credentials.HINT
        return error

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
