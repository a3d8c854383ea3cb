"""Settings of the dialect, and what is checked of them before anything is sent."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from llmsdk.errors import ConfigError, MissingKey
from llmsdk.io.route import address
from llmsdk.provider import HTTPSettings

BASE_URL = "https://api.openai.com/v1"
VARIABLE = "OPENAI_API_KEY"
_ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")

Option = Literal[
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "n", "echo", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "logit_bias", "reasoning", "tool_choice", "parallel_tool_calls",
]  # fmt: skip


class Settings(HTTPSettings):
    """What ``[providers.NAME]`` may hold with ``kind = "openai"``.

    ``base_url`` is what precedes ``/chat/completions``. For api.openai.com the rest is known; for another host these
    are the defaults: ``max_tokens`` is sent under that name, a reply can be held to a JSON schema, tools can be
    called, and there are no logprobs and no raw completions. A host that can do less answers an honest 400; one that
    can do more is told here, for instance a vLLM server::

        [providers.vllm]
        kind = "openai"
        base_url = "http://127.0.0.1:8000/v1"
        complete = true
        logprobs = 20
        options = ["n", "top_k", "min_p", "repetition_penalty"]
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    organization: str | None = None
    project: str | None = None
    key_required: bool | None = None
    """Default: only where ``base_url`` is not this machine."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    schema_support: Literal["none", "json", "strict"] | None = Field(default=None, alias="schema")
    """How far a reply can be bound: to a JSON schema, to some JSON object, or not at all."""
    tools: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=100)
    """How many alternatives a token may report; 0 is none."""
    complete: bool | None = None
    """Whether ``/completions`` continues a raw prompt."""
    suffix: bool | None = None
    """Whether ``/completions`` fills in before a suffix."""
    embeddings: bool = True
    stream_usage: bool = True
    """Ask for token counts at the end of a stream (``stream_options``)."""
    options: frozenset[Option] = frozenset()
    """Options that the host honours besides the usual ones."""
    context: int | None = Field(default=None, gt=0)
    """The window in tokens, where all models of the host share one."""


def check_base_url(name: str, settings: Settings) -> str:
    """The base URL without a slash at its end.

    Raises:
        ConfigError: no http(s) URL, or one with a query, credentials or the dialect's own path; or one that would
            send the key unencrypted to another machine.
    """
    url = settings.base_url or BASE_URL
    place = f"[providers.{name}] base_url"
    to = address(url)
    if "?" in url or "#" in url:
        raise ConfigError(f"{place} must have neither query nor fragment", hint="Give the rest as headers.")
    path = to.target.decode().rstrip("/")
    if endpoint := next((end for end in _ENDPOINTS if path.endswith(end)), None):
        hint = f"Leave {endpoint} out: base_url is what precedes the dialect's own path."
        raise ConfigError(f"{place} ends in {endpoint}", hint=hint)
    if to.scheme == "http" and settings.api_key and not (to.loopback or settings.allow_plain_http):
        hint = "Use https, or set allow_plain_http = true if that network may read the key."
        raise ConfigError(f"{place} would send the key unencrypted to {to.label}", hint=hint)
    return url.rstrip("/")


def check_key(name: str, settings: Settings, base_url: str) -> str | None:
    """The key, or ``None`` where none is needed.

    Raises:
        MissingKey: there is none, or an empty one.
        ConfigError: one that cannot be sent. No text shows it.
    """
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    required = settings.key_required
    if required is None:
        required = not address(base_url).loopback
    if key is None and not required:
        return None
    if key is None or not key.strip():
        raise _missing(name, settings, empty=key is not None)
    if fault := _fault(key):
        raise ConfigError(f"the API key of {name!r} {fault}", hint="Copy the key again, and nothing but the key.")
    return key


def _missing(name: str, settings: Settings, *, empty: bool) -> MissingKey:
    """The vendor's own variable counts by itself where the host is the vendor's; another host's must be named."""
    vendor = name == "openai" or settings.base_url is None
    variable = VARIABLE if vendor else f"{name.upper().replace('-', '_')}_API_KEY"
    line = f'[providers.{name}] api_key = {{ env = "{variable}" }} in llmsdk.toml'
    what = f"{'an empty' if empty else 'no'} API key for {name!r}"
    ways = f"Set {variable}, or write {line}" if vendor else f"Set {variable}, and write {line}"
    return MissingKey(what, hint=f'{ways}; to try without a key use "local:pocket"')


def _fault(key: str) -> str | None:
    if key.lower().startswith("bearer "):
        return 'begins with "Bearer ", which is added for you'
    if not key.isascii():
        return "has characters outside ASCII"
    if any(mark in key for mark in "\r\n\0"):
        return "has a line break or a NUL character in it"
    if not key.isprintable() or " " in key:
        return "has white space or control characters in it"
    if key[0] in "\"'" or key[-1] in "\"'":
        return "has quotation marks around it"
    return None
