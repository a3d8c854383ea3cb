"""Settings of the dialect."""

from __future__ import annotations

from llmsdk.provider import HTTPSettings, setting

BASE_URL = "http://127.0.0.1:11434"
VARIABLE = "OLLAMA_API_KEY"
ENDPOINTS = ("/api/chat", "/api/generate", "/api/embed", "/api/tags", "/api", "/v1")


class Settings(HTTPSettings):
    """What ``[providers.ollama]`` may hold. ``base_url`` is the root of the server; a key is for ollama.com."""

    num_ctx: int | None = setting(None, gt=0)
    """The window in tokens that the server is to give the model; its own default is small."""
    keep_alive: str | int | None = None
    """How long the model stays loaded: a duration such as ``5m``, or seconds, -1 for ever."""
    suffix: bool = False
    """Whether the models can fill in before a suffix."""
