"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from llmsdk.errors import InvalidBody, LLMError
from llmsdk.io import IO, HTTPRequest
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Model, Output, Request, TokenCount
from llmsdk.wire import Hosted, faults, parse
from llmsdk_providers.anthropic import encode, schema
from llmsdk_providers.anthropic.decode import CODES, Answer, Decoder
from llmsdk_providers.anthropic.models import SAMPLING, known
from llmsdk_providers.anthropic.settings import BASE_URL, ENDPOINTS, VARIABLE
from llmsdk_providers.anthropic.settings import Settings as AnthropicSettings

WITHOUT_SAMPLING = "2026-10-21"
"""From this version of the API on, no model takes them."""
MAX_PAGES = 20
"""Pages of the list of models that are read."""
_NOT_COUNTED = frozenset({
    "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream", "metadata", "service_tier",
    "container", "inference_geo",
})  # fmt: skip
"""Fields of a request that have no part in its length, and are refused where it is counted."""
_NO_CREDIT = re.compile(r"credit balance is too low", re.I)


class Anthropic(Hosted):
    """Anthropic, and every host that speaks its Messages dialect.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = AnthropicSettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    base_url: ClassVar[str] = BASE_URL
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS
    codes: ClassVar[Mapping[str, type[LLMError]]] = CODES

    def __init__(self, name: str, settings: AnthropicSettings) -> None:
        self._anthropic = settings
        super().__init__(name, settings)
        self._root = "" if self.host.url.endswith("/v1") else "/v1"

    def headers(self, key: str | None) -> Mapping[str, str | None]:
        beta = ",".join(self._anthropic.beta) or None
        return {"x-api-key": key, "anthropic-version": self._anthropic.version, "anthropic-beta": beta}

    def key_required(self) -> bool | None:
        return self._anthropic.key_required

    def vendor_names(self) -> tuple[str, ...]:
        return ("anthropic",)

    def capabilities(self, model: str) -> Capabilities:
        can = known(model).capabilities
        return replace(can, options=can.options - SAMPLING) if self._anthropic.version >= WITHOUT_SAMPLING else can

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect or the model cannot express.
        """
        return self.host.post(f"{self._root}/messages", self._body(request), request)

    def _body(self, request: Request) -> dict[str, Any]:
        body = encode.message(request, known(request.model), self._anthropic.max_tokens)
        return {**body, **request.extra_body}

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return self.decoder(request).whole(parse(body, self.host.secrets))

    def decoder(self, request: Request) -> Decoder:
        tool = encode.answer_tool(request, known(request.model))
        if tool is None or request.schema is None:
            return Decoder(self.host.secrets)
        return Decoder(self.host.secrets, Answer(tool, wrapped=not schema.is_object(request.schema)))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        """The typed error. That an account is empty is only said in words here, behind a 400."""
        said = faults.read(body)
        if status == 400 and _NO_CREDIT.search(said.message):
            said = replace(said, words=("billing_error", *said.words))
        return faults.from_said(said, status, headers, self.host.secrets, CODES)

    # --- the rest -----------------------------------------------------------------------------------------------

    async def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the host's own count of the input tokens, tools and thoughts included."""
        fields = {name: value for name, value in self._body(request).items() if name not in _NOT_COUNTED}
        body = await self.ask(self.host.post(f"{self._root}/messages/count_tokens", fields, request), io)
        count = body.get("input_tokens") if isinstance(body, dict) else None
        if type(count) is not int or count < 0:
            raise InvalidBody("the host's count of tokens is no number")
        yield Output(TokenCount(count, "exact"))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the host lists, of all pages."""
        found: list[Model] = []
        path = page = f"{self._root}/models?limit=1000"
        for _ in range(MAX_PAGES):
            body = await self.ask(self.host.get(page), io)
            rows = body.get("data") if isinstance(body, dict) else None
            if not isinstance(rows, list):
                raise InvalidBody("the list of models is no list")
            found += self._models(rows)
            last = body.get("last_id")
            if not (body.get("has_more") and isinstance(last, str)):
                break
            page = f"{path}&after_id={quote(last, safe='')}"
        yield Output(tuple(found))

    def _models(self, rows: list[Any]) -> Iterator[Model]:
        for row in rows:
            if isinstance(row, dict) and isinstance(row.get("id"), str):
                context = row.get("max_input_tokens")
                yield Model(row["id"], self.name, context if type(context) is int else known(row["id"]).context)
