"""Where a deployment is: Azure's three forms of an address, and that of Foundry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from llmsdk.errors import ConfigError

_DEPLOYMENT = re.compile(r"(?P<root>.*)/openai/deployments/(?P<name>[^/]+)")
_HINT = 'It looks like base_url = "https://NAME.openai.azure.com" and api_version = "2024-10-21".'


@dataclass(frozen=True, slots=True)
class Address:
    """A resource, and how its deployments are named to it."""

    root: str
    """What precedes ``/openai`` or ``/models``."""
    form: Literal["deployments", "v1", "models"]
    deployment: str | None = None
    version: str | None = None

    def path(self, endpoint: str, model: str) -> str:
        """The path, after ``root``, of an endpoint such as ``/chat/completions``."""
        query = f"?api-version={quote(self.version, safe='')}" if self.version else ""
        if self.form == "v1":
            return f"/openai/v1{endpoint}{query}"
        if endpoint == "/models":
            return f"/openai/models{query}"
        if self.form == "models":
            return f"/models{endpoint}{query}"
        return f"/openai/deployments/{quote(self.deployment or model, safe='')}{endpoint}{query}"


def read(place: str, url: str | None, deployment: str | None, version: str | None) -> Address:
    """The address that ``base_url``, ``deployment`` and ``api_version`` make together. ``place`` is for errors.

    Raises:
        ConfigError: there is no ``base_url``, or the three do not go together.
    """
    if not url:
        raise ConfigError(f"{place} has no base_url", hint=_HINT)
    if "?" in url:
        hint = "Take away what begins with '?', and give the version as api_version."
        raise ConfigError(f"{place} base_url has a query", hint=hint)
    url = url.rstrip("/")
    if match := _DEPLOYMENT.fullmatch(url):
        return _of_deployment(place, match["root"], match["name"], deployment, version)
    if url.endswith("/openai/v1"):
        return Address(url.removesuffix("/openai/v1"), "v1", deployment, version)
    if url.endswith("/models"):
        return Address(url.removesuffix("/models"), "models", deployment, _needed(place, version))
    root = url.removesuffix("/openai")
    return Address(root, "deployments" if version else "v1", deployment, version)


def _of_deployment(place: str, root: str, named: str, deployment: str | None, version: str | None) -> Address:
    if deployment not in (None, named):
        hint = "Give the deployment once: in base_url or as deployment."
        raise ConfigError(f"{place} names two deployments: {named!r} and {deployment!r}", hint=hint)
    return Address(root, "deployments", named, _needed(place, version))


def _needed(place: str, version: str | None) -> str:
    if not version:
        raise ConfigError(f"{place} has no api_version, which this form of base_url needs", hint=_HINT)
    return version
