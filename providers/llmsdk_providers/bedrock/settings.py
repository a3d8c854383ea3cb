"""Settings of the dialect, and where the host of a region is."""

from __future__ import annotations

import os
import re
from typing import Literal
from urllib.parse import urlsplit

from llmsdk.errors import ConfigError
from llmsdk.provider import HTTPSettings, Secret, setting

VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINTS = ("/model", "/converse", "/converse-stream")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")
_IN_HOST = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


class Settings(HTTPSettings):
    """What ``[providers.bedrock]`` may hold. ``base_url`` is what precedes ``/model/...``, instead of a region's."""

    region: str | None = None
    """Such as ``us-east-1``; default: that of ``base_url``, else ``AWS_REGION``, else ``AWS_DEFAULT_REGION``."""
    profile: str | None = setting(None, min_length=1)
    """A profile of AWS's own configuration, for its credentials."""
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    schema: Literal["none", "strict"] = "strict"
    """``none`` for models that cannot be held to a JSON schema: it is then asked for in words."""
    context: int | None = setting(None, gt=0)
    """The window in tokens, where all models that are used share one."""


def region_of(name: str, settings: Settings) -> str:
    """The region that is called, and for which requests are signed.

    Raises:
        ConfigError: there is none, or none of that form.
    """
    host = urlsplit(settings.base_url or "").hostname or ""
    named = settings.region or next(iter(_IN_HOST.findall(host)), None)
    found = named or next((value for variable in REGION_VARIABLES if (value := os.environ.get(variable))), None)
    if found is None:
        hint = f'Set AWS_REGION, or write region = "us-east-1" into [providers.{name}].'
        raise ConfigError(f"no AWS region for {name!r}", hint=hint)
    if not _REGION.fullmatch(found):
        raise ConfigError(f"{found!r:.60} is no AWS region", hint="Write it as us-east-1.")
    return found


def url_of(region: str) -> str:
    """The host of a region."""
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://bedrock-runtime.{region}.amazonaws.com{suffix}"
