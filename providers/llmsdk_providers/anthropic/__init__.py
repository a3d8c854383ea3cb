"""Anthropic, and every host that speaks its Messages dialect."""

from llmsdk_providers.anthropic.provider import Anthropic
from llmsdk_providers.anthropic.settings import Settings

__all__ = ["Anthropic", "Settings"]
