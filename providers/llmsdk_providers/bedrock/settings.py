"""Settings of the dialect, and where the host of a region is."""

from __future__ import annotations

import os
import re
from typing import Literal

from pydantic import ConfigDict, Field

from llmsdk.errors import ConfigError
from llmsdk.provider import HTTPSettings

VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINTS = ("/model", "/converse", "/converse-stream")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")


class Settings(HTTPSettings):
    """What ``[providers.bedrock]`` may hold. ``base_url`` is what precedes ``/model/...``, instead of a region's."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    region: str | None = None
    """Such as ``us-east-1``; default: ``AWS_REGION``, else ``AWS_DEFAULT_REGION``."""
    schema_support: Literal["none", "strict"] = Field(default="strict", alias="schema")
    """``none`` for models that cannot be held to a JSON schema: it is then asked for in words."""
    context: int | None = Field(default=None, gt=0)
    """The window in tokens, where all models that are used share one."""


def url_of(name: str, region: str | None) -> str:
    """The host of a region.

    Raises:
        ConfigError: there is no region, or none of that form.
    """
    found = region or next((value for variable in REGION_VARIABLES if (value := os.environ.get(variable))), None)
    if found is None:
        hint = f'Set AWS_REGION, or write region = "us-east-1" into [providers.{name}], or set its base_url.'
        raise ConfigError(f"no AWS region for {name!r}", hint=hint)
    if not _REGION.fullmatch(found):
        raise ConfigError(f"{found!r:.60} is no AWS region", hint="Write it as us-east-1.")
    suffix = ".cn" if found.startswith("cn-") else ""
    return f"https://bedrock-runtime.{found}.amazonaws.com{suffix}"
