"""OpenAI's Responses API, and other hosts that speak it."""

from llmsdk_providers.openai_responses.provider import Responses
from llmsdk_providers.openai_responses.settings import Settings

__all__ = ["Responses", "Settings"]
