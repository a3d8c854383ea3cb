"""Settings of the dialect."""

from __future__ import annotations

from collections.abc import Callable

from llmsdk.provider import Secret, setting
from llmsdk_providers.openai.settings import Settings as OpenAISettings

VARIABLE = "AZURE_OPENAI_API_KEY"
ENDPOINT = "AZURE_OPENAI_ENDPOINT"
VERSION = "OPENAI_API_VERSION"


class Settings(OpenAISettings):
    """What ``[providers.azure]`` may hold.

    ``base_url`` is the resource's endpoint (``https://NAME.openai.azure.com``), with or without ``/openai/v1``, or the
    URL of one deployment, or a Foundry endpoint with ``/models``; by default what AZURE_OPENAI_ENDPOINT says. Without
    ``api_version`` (by default OPENAI_API_VERSION) an endpoint is spoken to under ``/openai/v1``, which needs none.
    """

    deployment: str | None = setting(None, min_length=1)
    """The deployment to ask, whatever the model is called. Default: it has the model's name."""
    api_version: str | None = setting(None, min_length=1)
    """Such as ``2024-10-21``."""
    token: Secret | None = None
    """An Entra ID token, which takes the place of the key."""
    token_provider: Callable[[], str] | None = setting(None, shown=False)
    """Gives such tokens, one for each request; ``azure.identity.get_bearer_token_provider`` makes one that keeps them.
    Only in Python: a file cannot hold a function."""
