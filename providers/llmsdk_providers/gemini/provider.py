"""The providers: the dialect's pure functions, bound to one host. ``Google`` is what both hosts share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from llmsdk.errors import InvalidBody, LLMError
from llmsdk.io import IO, HTTPRequest
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Model, Output, Request, TokenCount, Usage
from llmsdk.wire import Hosted
from llmsdk.wire.counts import count
from llmsdk.wire.json import items, string
from llmsdk_providers.gemini import decode, encode, faults, vectors
from llmsdk_providers.gemini.capabilities import ModelTable
from llmsdk_providers.gemini.decode import Decoder
from llmsdk_providers.gemini.settings import BASE_URL, VARIABLES, Settings, versioned

SAFE = "/:@"
"""Marks that stand in the path of a model as they are."""
BATCH = 100
"""Texts that ``:batchEmbedContents`` takes at once."""
PAGES = 100
"""Pages of the list of models that are asked for at most."""


class Google(Hosted):
    """One of Google's two hosts: the same bodies, another address and another key."""

    vertex: ClassVar[bool]
    version: ClassVar[str]

    def __init__(self, name: str, settings: Settings) -> None:
        url = versioned(name, settings.base_url or self.base_url, self.version)
        self._google = settings
        super().__init__(name, settings.replaced(base_url=url))
        self._table = ModelTable(settings, vertex=self.vertex)

    @abstractmethod
    def path(self, model: str) -> str:
        """Where a model lies, below the version."""

    def capabilities(self, model: str) -> Capabilities:
        return self._table.capabilities(model)

    def body(self, request: Request) -> dict[str, Any]:
        """The body of a request.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        return encode.body(request, self._table.family(request.model), self._google.schema_form)

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        method = ":streamGenerateContent?alt=sse" if request.stream else ":generateContent"
        return self.host.post(f"/{self.path(request.model)}{method}", self.body(request), request)

    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        return decode.decode(body, self.host.secrets)

    def decoder(self, request: Request) -> Decoder:
        return Decoder(self.host.secrets)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        return faults.error(status, headers, body, self.host.secrets)

    @abstractmethod
    def counted(self, request: Request) -> dict[str, Any]:
        """The body of ``:countTokens``."""

    async def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the tokens that the host counts in a request: its messages, tools and schema.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
            InvalidBody: the host gave no number.
        """
        asked = self.host.post(f"/{self.path(request.model)}:countTokens", self.counted(request), request)
        body = await self.ask(asked, io)
        # nothing to count is 0, which Google leaves out
        value = count("totalTokens", body.get("totalTokens", 0), []) if isinstance(body, dict) else None
        if value is None:
            raise InvalidBody("the host did not say how many tokens there are")
        yield Output(TokenCount(value, "exact"))


class Gemini(Google):
    """The Gemini API.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = Settings
    key_variables: ClassVar[tuple[str, ...]] = VARIABLES
    base_url: ClassVar[str] = BASE_URL
    version: ClassVar[str] = "v1beta"
    vertex: ClassVar[bool] = False

    def headers(self, key: str | None) -> Mapping[str, str | None]:
        return {"x-goog-api-key": key}

    def vendor_names(self) -> tuple[str, ...]:
        return ("gemini",) if self._google.base_url is not None else ("gemini", self.name)

    def path(self, model: str) -> str:
        return quote(model if model.startswith(("models/", "tunedModels/")) else f"models/{model}", safe=SAFE)

    def counted(self, request: Request) -> dict[str, Any]:
        return {"generateContentRequest": {"model": self.path(request.model), **self.body(request)}}

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with one vector a text, in order, after ``Usage`` where the model reports it."""
        found: list[vectors.Vector] = []
        used: Usage | None = None
        for piece in vectors.portions(texts, BATCH):
            asked = vectors.batch(self.path(model), piece)
            body = await self.ask(self.host.post(f"/{self.path(model)}:batchEmbedContents", asked), io)
            more, usage = vectors.read_batch(body, len(piece))
            found += more
            if usage is not None:
                used = usage if used is None else used + usage
                yield used
        yield Output(tuple(found))

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the models that the host lists, with their windows."""
        rows: list[dict[str, Any]] = []
        token = ""
        for _ in range(PAGES):
            page = await self.ask(self.host.get(f"/models?pageSize=1000{token}"), io)
            if not isinstance(page, dict) or not isinstance(page.get("models", []), list):
                raise InvalidBody("the list of models is no list")
            rows += items(page.get("models"))
            following = string(page.get("nextPageToken"))
            if not following:
                break
            token = f"&pageToken={quote(following, safe='')}"
        named = [row for row in rows if string(row.get("name"))]
        yield Output(tuple(Model(_id(row), self.name, _window(row)) for row in named))


def _id(row: dict[str, Any]) -> str:
    return string(row["name"]).removeprefix("models/")


def _window(row: dict[str, Any]) -> int | None:
    return count("inputTokenLimit", row.get("inputTokenLimit"), [])
