"""Settings of the dialect."""

from __future__ import annotations

from llmsdk.provider import HTTPSettings, setting

BASE_URL = "https://api.anthropic.com"
VARIABLE = "ANTHROPIC_API_KEY"
VERSION = "2023-06-01"
ENDPOINTS = ("/messages", "/messages/count_tokens", "/complete", "/models")


class Settings(HTTPSettings):
    """What ``[providers.NAME]`` may hold with ``kind = "anthropic"``.

    ``base_url`` is what precedes ``/v1/messages``, with the ``/v1`` or without it.
    """

    key_required: bool | None = None
    """Default: only where ``base_url`` is not this machine."""
    max_tokens: int | None = setting(None, gt=0)
    """What is sent where a call names no limit, which the dialect requires. Default: by model, see the docs."""
    version: str = VERSION
    """The header ``anthropic-version``."""
    beta: tuple[str, ...] = ()
    """Names for the header ``anthropic-beta``."""
