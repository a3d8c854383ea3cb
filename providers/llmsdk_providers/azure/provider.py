"""The provider: OpenAI's chat dialect, with Azure's addresses, keys and tokens."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from llmsdk.errors import ConfigError
from llmsdk.io import IO, HTTPRequest
from llmsdk.provider import Secret
from llmsdk.types import Event, Request
from llmsdk.wire.host import check_base_url, fault_of
from llmsdk_providers.azure import address
from llmsdk_providers.azure.settings import ENDPOINT, VARIABLE, VERSION
from llmsdk_providers.azure.settings import Settings as AzureSettings
from llmsdk_providers.openai import OpenAI
from llmsdk_providers.openai.settings import ENDPOINTS


class Azure(OpenAI):
    """Azure OpenAI: chat, completions and vectors of a resource's deployments.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    Settings: ClassVar[type[Any]] = AzureSettings
    key_variables: ClassVar[tuple[str, ...]] = (VARIABLE,)
    endpoints: ClassVar[tuple[str, ...]] = tuple(end for end in ENDPOINTS if end != "/models")

    def __init__(self, name: str, settings: AzureSettings) -> None:
        url = settings.base_url or os.environ.get(ENDPOINT)
        version = settings.api_version or os.environ.get(VERSION)
        self._address = address.read(f"[providers.{name}]", url, settings.deployment, version)
        self._azure = settings
        guarded = settings.replaced(base_url=self._address.root, api_key=_secret(settings))
        check_base_url(name, self._address.root, guarded)  # a token is as little for a plain wire as a key
        super().__init__(name, settings.replaced(base_url=self._address.root))

    @property
    def is_openai(self) -> bool:
        """Only behind ``/models`` there are models of others too."""
        return self._address.form != "models"

    def vendor_names(self) -> tuple[str, ...]:
        return ("azure",)

    # --- key and token ------------------------------------------------------------------------------------------

    def _key(self, url: str) -> str | None:
        if self._azure.token_provider is not None:
            return None
        if self._azure.token is None:
            return super()._key(url)
        token = self._azure.token.reveal()
        if fault := fault_of(token) if token else "is empty":
            raise ConfigError(f"the token of {self.name!r} {fault}", hint="Copy the token again, and nothing else.")
        return token

    def headers(self, key: str | None) -> Mapping[str, str | None]:
        if self._azure.token is not None:
            return {"authorization": f"Bearer {key}"}
        return {"api-key": key}

    # --- addresses ----------------------------------------------------------------------------------------------

    def path(self, endpoint: str, model: str) -> str:
        return self._address.path(endpoint, model)

    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire. Where no path names the deployment, the body does."""
        named = {"model": self._address.deployment} if self._address.deployment else {}
        return super().encode(replace(request, extra_body={**named, **request.extra_body}))

    def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output`` with one vector a text, in order."""
        return super().embed(self._address.deployment or model, texts, io)


def _secret(settings: AzureSettings) -> Secret | None:
    """What would travel: the key, or what takes its place."""
    return settings.api_key or settings.token or (Secret("a token") if settings.token_provider else None)
