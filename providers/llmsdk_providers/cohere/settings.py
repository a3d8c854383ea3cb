"""Settings of the dialect."""

from __future__ import annotations

from typing import Literal

from llmsdk.provider import HTTPSettings, setting

BASE_URL = "https://api.cohere.com"
VARIABLES = ("CO_API_KEY", "COHERE_API_KEY")
ENDPOINTS = ("/v2/chat", "/v2/embed", "/v1/models", "/v2", "/v1")


class Settings(HTTPSettings):
    """What ``[providers.cohere]`` may hold. ``base_url`` is what precedes ``/v2/chat``."""

    input_type: Literal["search_document", "search_query", "classification", "clustering"] = "search_document"
    """What vectors are for: the host makes other ones of the same text for a document and for a query."""
    context: int | None = setting(None, gt=0)
    """The window in tokens, where all models that are used share one."""
