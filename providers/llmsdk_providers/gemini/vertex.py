"""Gemini on Vertex AI: the same bodies under a project and a location, with a token that expires."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from llmsdk.errors import ConfigError, MissingKey, Unauthorized
from llmsdk.io import IO, HTTPRequest, closing
from llmsdk.io.route import address
from llmsdk.provider import Secret
from llmsdk.types import Event, Output, Request, Usage
from llmsdk.wire.host import check_base_url, fault_of
from llmsdk_providers.gemini import vectors
from llmsdk_providers.gemini.provider import SAFE, Google
from llmsdk_providers.gemini.settings import VertexSettings
from llmsdk_providers.gemini.token import Tokens

_REGIONS = ("us", "eu")
"""Locations of several regions, which have addresses of their own."""
BATCH = 250
"""Texts that ``:predict`` takes at once; the Gemini embedding models take one."""
_WAYS = (
    'Set token = { env = "..." } to what `gcloud auth print-access-token` says, or pass token_provider in code: '
    "docs/providers/vertex.md shows it with google-auth in three lines."
)


class Vertex(Google):
    """Gemini on Vertex AI.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = VertexSettings
    version: ClassVar[str] = "v1"
    vertex: ClassVar[bool] = True

    def __init__(self, name: str, settings: VertexSettings) -> None:
        location = settings.location or os.environ.get("GOOGLE_CLOUD_LOCATION") or "global"
        self._parent = f"projects/{_project(name, settings)}/locations/{location}"
        self._token_settings = settings
        url = settings.base_url or _root(location)
        guarded = settings.replaced(api_key=Secret("a token"))
        check_base_url(name, url, guarded)  # a token is as little for a plain wire as a key
        super().__init__(name, settings.replaced(base_url=url))
        source = settings.token_provider
        self._tokens = None if source is None else Tokens(source)
        self._token = self._tokens

    def _key(self, url: str) -> str | None:
        settings, name = self._token_settings, self.name
        if settings.api_key is not None:
            raise ConfigError(f"{name!r} takes a token, not an API key", hint=f"{_WAYS} Keys are for gemini:MODEL.")
        if settings.token is not None and settings.token_provider is not None:
            raise ConfigError(f"{name!r} has both token and token_provider", hint="Leave one of them out.")
        if settings.token is None:
            if settings.token_provider is None and not address(url).loopback:
                raise MissingKey(f"no token for {name!r}", hint=_WAYS)
            return None
        token = settings.token.reveal()
        if fault := fault_of(token) if token else "is empty":
            raise ConfigError(f"the token of {name!r} {fault}", hint="Copy the token again, and nothing but the token.")
        return token

    def path(self, model: str) -> str:
        """A model of Google's by its name; ``publisher/model``, or a path from ``projects/`` or ``publishers/`` on."""
        if model.startswith("projects/"):
            return quote(model, safe=SAFE)
        if not model.startswith("publishers/"):
            publisher, slash, name = model.rpartition("/")
            model = f"publishers/{publisher if slash else 'google'}/models/{name}"
        return f"{self._parent}/{quote(model, safe=SAFE)}"

    def counted(self, request: Request) -> dict[str, Any]:
        known = ("contents", "systemInstruction", "tools", "generationConfig")
        return {name: value for name, value in self.body(request).items() if name in known}

    # --- the token ----------------------------------------------------------------------------------------------

    async def prepare(self, request: HTTPRequest, io: IO) -> HTTPRequest:
        """The request with a token, asked for only where the last one is missing or about to end."""
        if self._tokens is not None and (token := self._tokens.current()) is not None:
            return self.host.bearing(request, token)
        return await super().prepare(request, io)

    async def _renewing(self, events: Callable[[], AsyncIterator[Event]]) -> AsyncIterator[Event]:
        """``events``, once more with a fresh token if the host refuses the one that was kept."""
        kept = self._tokens.current() if self._tokens is not None else None
        begun = False
        try:
            async with closing(events()) as stream:
                async for event in stream:
                    begun = True
                    yield event
            return
        except Unauthorized:
            if begun or kept is None or self._tokens is None:
                raise
            self._tokens.forget(kept)
        async with closing(events()) as stream:
            async for event in stream:
                yield event

    # --- operations ---------------------------------------------------------------------------------------------

    def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """The reply as events."""
        generate = super().generate
        return self._renewing(lambda: generate(request, io))

    def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the tokens that the host counts in a request."""
        counted = super().count_exactly
        return self._renewing(lambda: counted(request, io))

    def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order."""
        return self._renewing(lambda: self._embed(model, texts, io))

    async def _embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        found: list[vectors.Vector] = []
        used: Usage | None = None
        for piece in vectors.portions(texts, 1 if "gemini-embedding" in model else BATCH):
            body = await self.ask(self.host.post(f"/{self.path(model)}:predict", vectors.instances(piece)), io)
            more, usage = vectors.read_predictions(body, len(piece))
            found += more
            if usage is not None:
                used = usage if used is None else used + usage
                yield used
        yield Output(tuple(found))


def _project(name: str, settings: VertexSettings) -> str:
    project = settings.project or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not project:
        hint = f'Write project = "..." into [providers.{name}], or set GOOGLE_CLOUD_PROJECT.'
        raise ConfigError(f"no project for {name!r}", hint=hint)
    return project


def _root(location: str) -> str:
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"
