"""The provider: the router's chat, and the task endpoints behind the same key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from llmsdk.errors import LLMError, NotFound
from llmsdk.io import IO, HTTPRequest, closing
from llmsdk.provider import Capabilities
from llmsdk.types import Event, Finish, Info, Output, Request, Span, TextDelta
from llmsdk_providers.huggingface import models, tasks
from llmsdk_providers.huggingface.settings import BASE_URL, VARIABLES
from llmsdk_providers.huggingface.settings import Settings as HuggingFaceSettings
from llmsdk_providers.openai import OpenAI
from llmsdk_providers.openai.capabilities import BASIC
from llmsdk_providers.openai.reasoning import effort
from llmsdk_providers.openai.row import Row


class HuggingFace(OpenAI):
    """Hugging Face's router for chat, and its models that translate, answer or classify by themselves.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = HuggingFaceSettings
    key_variables: ClassVar[tuple[str, ...]] = VARIABLES
    base_url: ClassVar[str] = BASE_URL
    codes: ClassVar[Mapping[str, type[LLMError]]] = {"model_not_supported": NotFound}
    row: ClassVar[Row] = Row(BASE_URL, VARIABLES, BASIC | {"tool_choice"}, effort)
    vendor: ClassVar[str] = "huggingface"

    def __init__(self, name: str, settings: HuggingFaceSettings) -> None:
        super().__init__(name, settings)
        self._settings = settings
        self._tasks = self.host.url.removesuffix("/v1") + settings.task_path

    def capabilities(self, model: str) -> Capabilities:
        task = models.task(model, self._settings)
        return super().capabilities(model) if task == "chat" else models.capabilities(task, self._settings)

    # --- tasks --------------------------------------------------------------------------------------------------

    async def translate(self, request: Request, to: str, source: str | None, io: IO) -> AsyncIterator[Event]:
        """Yield the translation in one piece: the host has no streams of them.

        Raises:
            InputError: a language that the model does not know, or ``source`` missing where it has to be told.
            ConfigError: nothing says which languages the model knows.
        """
        known = models.languages(request.model, self._settings)
        parameters = known.parameters(to, source)
        yield Info(warning=known.doubt(to))
        body = await self.fetch(self._post(request, tasks.body(request.input, parameters, request)), io)
        yield TextDelta(tasks.translation(self.parsed(body, io)))
        yield Finish("stop")
        yield Info(raw=body)

    async def answer(self, request: Request, documents: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the best passage of each document that has one, asking for one document at a time."""
        found: list[Span] = []
        for index, document in enumerate(documents):
            sent = self._post(request, tasks.question(str(request.input), document, request))
            found += tasks.spans(await self.ask(sent, io), index, document)
        yield Output(tuple(sorted(found, key=lambda span: -(span.score or 0.0))))

    async def classify(self, request: Request, labels: Sequence[str], multi: bool, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with the probability of each label, or of each that the model has where these are fixed."""
        text = str(request.input)
        if models.task(request.model, self._settings) == "text-classification":
            body = tasks.head(text, multi, request)
        else:
            body = tasks.zero_shot(text, labels, multi, request)
        yield Output(tasks.shares(await self.ask(self._post(request, body), io)))

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Output`` with one vector a text, in order.

        Raises:
            Unsupported: the model is for something else.
        """
        if models.task(model, self._settings) != "feature-extraction":
            async with closing(super().embed(model, texts, io)) as events:
                async for event in events:
                    yield event
            return
        request = Request(model, "")
        body = {"inputs": list(texts), "truncate": False}
        sent = self._post(request, body, "/pipeline/feature-extraction" if self._settings.task_path else "")
        yield Output(tasks.vectors(await self.ask(sent, io), len(texts)))

    def _post(self, request: Request, body: Mapping[str, Any], more: str = "") -> HTTPRequest:
        url = self._tasks.replace("{model}", quote(request.model, safe="/")) + more
        return replace(self.host.post("", body, request), url=url)
