"""Cohere, by the second version of its API."""

from llmsdk_providers.cohere.provider import Cohere
from llmsdk_providers.cohere.settings import Settings

__all__ = ["Cohere", "Settings"]
