"""The provider: the dialect's pure functions, bound to one host and one key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from llmsdk.errors import ContentFiltered, InvalidBody, LLMError, QuotaExhausted
from llmsdk.io import IO, HTTPRequest
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Model, Output, Request, Usage
from llmsdk.wire import Hosted, faults
from llmsdk.wire.json import items, string, under
from llmsdk_providers.cohere import decode, encode, usage
from llmsdk_providers.cohere.decode import Decoder
from llmsdk_providers.cohere.settings import BASE_URL, ENDPOINTS, VARIABLES
from llmsdk_providers.cohere.settings import Settings as CohereSettings

MAX_TEXTS = 96
"""Texts that the host takes at once for their vectors."""
MAX_PAGES = 20
"""Pages of models that are read; one has up to a thousand."""
_CODES: Mapping[str, type[LLMError]] = {"monthly limit": QuotaExhausted, "deny-listed": ContentFiltered}


class Cohere(Hosted):
    """Cohere, by the second version of its API.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = CohereSettings
    key_variables: ClassVar[tuple[str, ...]] = VARIABLES
    base_url: ClassVar[str] = BASE_URL
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS
    codes: ClassVar[Mapping[str, type[LLMError]]] = _CODES

    def __init__(self, name: str, settings: CohereSettings) -> None:
        super().__init__(name, settings)
        self._input_type = settings.input_type
        self._capabilities = Capabilities(schema="strict", tools=True, options=encode.OPTIONS, context=settings.context)

    def vendor_names(self) -> tuple[str, ...]:
        return ("cohere",)

    def capabilities(self, model: str) -> Capabilities:
        return self._capabilities

    # --- generate -----------------------------------------------------------------------------------------------

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        return self.host.post("/v2/chat", {**encode.chat(request), **request.extra_body}, request)

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self.host.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self.host.secrets)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        said = faults.read(body)
        words = (*said.words, *_words(status, said.message))
        return faults.from_said(replace(said, words=words), status, headers, self.host.secrets, self.codes)

    # --- the rest -----------------------------------------------------------------------------------------------

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order."""
        vectors: list[tuple[float, ...]] = []
        used = Usage(0, 0)
        for at in range(0, len(texts), MAX_TEXTS):
            some = list(texts[at : at + MAX_TEXTS])
            fields = {"model": model, "texts": some, "input_type": self._input_type, "embedding_types": ["float"]}
            body = await self.ask(self.host.post("/v2/embed", fields), io)
            used += usage.billed(under(body, "meta"))
            yield used
            vectors += _vectors(body, len(some))
        yield Output(tuple(vectors))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the host lists."""
        found: list[Model] = []
        page = ""
        for _ in range(MAX_PAGES):
            body = await self.ask(self.host.get(f"/v1/models?page_size=1000{page}"), io)
            rows = body.get("models") if isinstance(body, dict) else None
            if not isinstance(rows, list):
                raise InvalidBody("the list of models is no list")
            found += _models(rows, self.name)
            token = string(body.get("next_page_token"))
            if not token:
                break
            page = f"&page_token={quote(token, safe='')}"
        yield Output(tuple(found))


def _words(status: int, message: str) -> Iterator[str]:
    """What Cohere says by a status of its own, or in words only."""
    if status == 498:
        yield "deny-listed"
    if status == 429 and "/ month" in message:
        yield "monthly limit"


def _vectors(body: Any, expected: int) -> list[tuple[float, ...]]:
    rows = under(body, "embeddings").get("float")
    if not isinstance(rows, list) or len(rows) != expected:
        found = len(rows) if isinstance(rows, list) else "no"
        raise InvalidBody(f"the host gave {found} vectors for {expected} texts")
    try:
        return [tuple(float(number) for number in row) for row in rows]
    except (TypeError, ValueError) as error:
        raise InvalidBody(f"the host gave a vector that is none: {error!r:.200}") from None


def _models(rows: list[Any], provider: str) -> Iterator[Model]:
    for row in items(rows):
        if name := string(row.get("name")):
            length = row.get("context_length")
            yield Model(name, provider, int(length) if isinstance(length, int | float) and length > 0 else None)
