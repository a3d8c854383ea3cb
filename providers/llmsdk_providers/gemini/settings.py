"""Settings of the dialect, and what is checked of them before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from llmsdk.errors import ConfigError
from llmsdk.provider import HTTPSettings, Secret, setting

BASE_URL = "https://generativelanguage.googleapis.com"
VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
Thinking = Literal["none", "budget", "level"]
TokenSource = Callable[[], str | tuple[str, datetime | float | None]]
"""Gives a token, or a token and when it ends: a ``datetime`` (UTC, as google-auth has it) or seconds of the epoch."""
_VERSION = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?$")
_NAME = r"[a-z0-9][a-z0-9:.-]*"


class Settings(HTTPSettings):
    """What ``[providers.NAME]`` may hold with ``kind = "gemini"``.

    ``base_url`` is the bare root: ``/v1beta`` is added, unless it ends in a version already. What models can do is
    known by their names; the rest is for hosts and models that differ.
    """

    logprobs: int | None = setting(None, ge=0, le=20)
    """How many alternatives a token may report; 0 is none."""
    thinking: Thinking | None = None
    """How the model is told how long to think: not at all, by a budget of tokens, or by a level."""
    schema_form: Literal["json_schema", "openapi"] = "json_schema"
    """``responseJsonSchema`` as it is, or the older ``responseSchema``, a subset of OpenAPI's."""
    context: int | None = setting(None, gt=0)
    """The window in tokens, where all models of the host share one."""


class VertexSettings(Settings):
    """What ``[providers.NAME]`` may hold with ``kind = "vertex"``."""

    project: str | None = setting(None, pattern=f"^{_NAME}$")
    """Default: ``GOOGLE_CLOUD_PROJECT``."""
    location: str | None = setting(None, pattern="^[a-z0-9-]+$")
    """Default: ``GOOGLE_CLOUD_LOCATION``, else ``global``."""
    token: Secret | None = None
    """An access token. It holds for an hour, so a program that lives longer gives ``token_provider``."""
    token_provider: TokenSource | None = setting(None, shown=False)
    """In code only: gives a fresh token when there is none, when the last one is about to end, or was refused."""


def versioned(name: str, url: str, version: str) -> str:
    """The root with a version behind it: the one that stands there, or ``version``.

    Raises:
        ConfigError: the dialect's own path was pasted with it.
    """
    url = url.rstrip("/")
    place = f"[providers.{name}] base_url"
    if found := re.search(r"/(?:models|projects|publishers)(?:/|$)", url.partition("://")[2]):
        hint = f"Leave {found[0].rstrip('/')} and what follows it out: base_url is the bare root, such as {BASE_URL}."
        raise ConfigError(f"{place} has the dialect's own path in it", hint=hint)
    if url.endswith("/openai"):
        hint = 'Leave /openai out, or write kind = "openai" to speak that dialect.'
        raise ConfigError(f"{place} is Google's address for OpenAI's dialect", hint=hint)
    return url if _VERSION.search(url) else f"{url}/{version}"
