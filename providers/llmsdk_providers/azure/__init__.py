"""Azure OpenAI: OpenAI's chat dialect under Azure's addresses and keys."""

from llmsdk_providers.azure.provider import Azure
from llmsdk_providers.azure.settings import Settings

__all__ = ["Azure", "Settings"]
