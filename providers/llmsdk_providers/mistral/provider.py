"""The provider: OpenAI's chat dialect, in the form and with the endpoints of Mistral."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

from llmsdk.io import HTTPRequest
from llmsdk.provider import Capabilities
from llmsdk.types import Request
from llmsdk_providers.mistral import encode
from llmsdk_providers.mistral.settings import BASE_URL, VARIABLE
from llmsdk_providers.mistral.settings import Settings as MistralSettings
from llmsdk_providers.openai import OpenAI
from llmsdk_providers.openai.capabilities import BASIC, TOOLS
from llmsdk_providers.openai.encode import chat
from llmsdk_providers.openai.row import Row
from llmsdk_providers.openai.settings import ENDPOINTS

_FILLS_IN = re.compile(r"(ft:)?codestral-(?!embed)")


class Mistral(OpenAI):
    """Mistral, by its own form of the chat-completions dialect.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = MistralSettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    base_url: ClassVar[str] = BASE_URL
    endpoints: ClassVar[tuple[str, ...]] = ("/fim/completions", *ENDPOINTS)
    vendor: ClassVar[str] = "mistral"
    row: ClassVar[Row] = Row(
        BASE_URL, (VARIABLE,), BASIC | TOOLS | {"n"}, encode.effort, returns_reasoning=encode.THINKING,
        embeddings=True, stream_usage=False, fetches_files=True,
    )  # fmt: skip

    def __init__(self, name: str, settings: MistralSettings) -> None:
        super().__init__(name, settings)
        self._safe_prompt = settings.safe_prompt

    def capabilities(self, model: str) -> Capabilities:
        known = super().capabilities(model)
        return replace(known, complete=True, suffix=True) if _FILLS_IN.match(model) else known

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire.

        Raises:
            InputError, Unsupported: what the dialect cannot express.
        """
        if self._is_raw(request):
            return self.host.post("/fim/completions", {**encode.fim(request), **request.extra_body}, request)
        body = encode.chat(chat(request, self._form(request.model)))
        if self._safe_prompt:
            body["safe_prompt"] = True
        return self.host.post("/chat/completions", {**body, **request.extra_body}, request)
