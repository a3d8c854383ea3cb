"""Amazon Bedrock, by its Converse API."""

from llmsdk_providers.bedrock.provider import Bedrock
from llmsdk_providers.bedrock.settings import Settings

__all__ = ["Bedrock", "Settings"]
