"""Refusals and faults as typed errors, from a status, from the body, or from an error inside a successful reply.

What counts, in this order: the host's code and type, where they are unmistakable; the status; the wording, for what
hosts only say in words (a context that is too long, a bad key behind a 400).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    InvalidToolArguments,
    LLMError,
    NotFound,
    OutputError,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    SchemaMismatch,
    ServerFault,
    Transient,
    Unauthorized,
)
from llmsdk.io import retry_after
from llmsdk.io.redact import redact
from llmsdk.wire import context
from llmsdk.wire.json import items

MAX_MESSAGE = 1000
"""Characters of the provider's words that are kept."""
MAX_BODY = 2**16
"""Bytes of a body that are looked at."""

BY_STATUS: Mapping[int, type[LLMError]] = {
    401: Unauthorized, 402: QuotaExhausted, 403: PermissionDenied, 404: NotFound, 413: PayloadTooLarge,
    408: ServerFault, 409: ServerFault, 425: ServerFault, 429: RateLimited, 503: Overloaded, 529: Overloaded,
}  # fmt: skip
BY_CODE: Mapping[str, type[LLMError]] = {
    "invalid_api_key": Unauthorized, "api_key_invalid": Unauthorized, "authentication_error": Unauthorized,
    "insufficient_quota": QuotaExhausted, "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted, "insufficient_balance": QuotaExhausted,
    "exceeded_current_quota_error": QuotaExhausted, "engine_overloaded_error": Overloaded,
    "overloaded": Overloaded,
    "content_filter": ContentFiltered, "content_policy_violation": ContentFiltered,
    "data_inspection_failed": ContentFiltered, "responsibleaipolicyviolation": ContentFiltered,
    "moderation_blocked": ContentFiltered,
    "context_length_exceeded": ContextTooLong, "exceed_context_size_error": ContextTooLong,
    "too_many_prompt_tokens": ContextTooLong, "string_above_max_length": ContextTooLong,
    "model_not_found": NotFound, "model_decommissioned": NotFound, "deploymentnotfound": NotFound,
    "invalid_model": NotFound,
    "no_db_connection": Unauthorized,  # LiteLLM's proxy, of a key that is not its own, where it keeps no others
    "tool_use_failed": InvalidToolArguments, "json_validate_failed": SchemaMismatch,
}  # fmt: skip
"""Codes and types that mean the same whatever the status."""
STATUS_OF: Mapping[str, int] = {
    "rate_limit_exceeded": 429, "rate_limit_error": 429, "too_many_requests": 429, "tokens": 429, "requests": 429,
    "server_error": 500, "internal_server_error": 500, "internal_error": 500, "api_error": 500,
    "overloaded": 503, "overloaded_error": 503, "service_unavailable": 503, "unavailable": 503,
    "service_unavailable_error": 503, "engine_overloaded": 503, "timeout": 504, "timeout_error": 504,
    "permission_error": 403, "permission_denied": 403, "not_found_error": 404, "not_found": 404,
    "invalid_request_error": 400, "badrequesterror": 400, "bad_request": 400, "invalid_argument": 400,
    "tool_use_failed": 400, "invalid_value": 400,
}  # fmt: skip
"""The status that a code or type stands for, for errors inside a successful reply."""
_BAD_KEY = re.compile(
    r"(incorrect|invalid|wrong|malformed|expired) api[ _-]?key|api[ _-]?key (is |has )?(not valid|invalid|expired)",
    re.I,
)
_NO_MODEL = re.compile(
    r"model not exist|invalid model (name|id)\b|is not a valid model|server is pinned to|模型不存在"
    r"|\bmodel\s+\S{1,100}\s+(does not exist|(is |was )?not found)",
    re.I,
)
_NO_MONEY = re.compile(r"insufficient (account )?balance|余额不足|欠费", re.I)
_FILTERED = re.compile(
    r"content (management )?policy|content filter|safety (system|policy)|violates usage guidelines|content exists risk",
    re.I,
)
_REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "cf-ray")
_MAY_HAVE_RUN = frozenset({504, 524})
HINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"max_completion_tokens|max_tokens' is not supported"), "max_tokens_field"),
    (re.compile(r"response_format|json_schema|structured output", re.I), "schema"),
    (re.compile(r"logprobs"), "logprobs"),
    (re.compile(r"stream_options|include_usage"), "stream_usage"),
)
"""What a host complains of, and the setting that says it cannot."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a body says went wrong."""

    message: str = ""
    words: tuple[str, ...] = ()
    """Its code and its type, in lower case."""
    code: str | None = None
    status: int | None = None
    """The status that the body itself names."""
    details: Mapping[str, Any] = field(default_factory=dict)


Codes = Mapping[str, type[LLMError]]
"""A dialect's own codes and types, in lower case, which weigh more than those that all hosts share."""
NO_CODES: Codes = {}


def from_reply(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str] = (), codes: Codes = NO_CODES
) -> LLMError:
    """The error for a reply with a status that is not 2xx."""
    return from_said(read(body), status, headers, secrets, codes)


def from_said(
    said: Said, status: int, headers: Mapping[str, str], secrets: Sequence[str] = (), codes: Codes = NO_CODES
) -> LLMError:
    """The same, of what the dialect has read out of the body by itself."""
    error = _build(said, status, secrets, codes)
    named = next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None)
    error.request_id = named and redact(named[:MAX_MESSAGE], secrets)
    if isinstance(error, Transient):
        asked = retry_after.from_headers(headers)
        asked = _asked(said) if asked is None else asked
        error.retry_after = retry_after.from_reset_headers(headers) if asked is None else asked
    wish = headers.get("x-should-retry", "").strip().lower()
    if wish in ("true", "false"):
        error.__dict__["retryable"] = wish == "true"
    return error


def from_body(body: Mapping[str, Any], secrets: Sequence[str] = (), codes: Codes = NO_CODES) -> LLMError:
    """The error inside a reply whose status was 200."""
    said = _said(body)
    error = _build(said, _status(said), secrets, codes)
    if isinstance(error, Transient):
        error.retry_after = _asked(said)
    return error


def from_event(data: bytes, secrets: Sequence[str] = (), codes: Codes = NO_CODES) -> LLMError:
    """The error in a stream's ``event: error``, whatever its form."""
    said = read(data)
    return _build(said, _status(said), secrets, codes)


def is_error(body: dict[str, Any]) -> bool:
    """Whether a successful reply, or a chunk of one, is an error in disguise."""
    if body.get("error") or body.get("object") == "error":
        return True
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("error"):
            return True
    return False


# --- from what was said to a class --------------------------------------------------------------------------------


def _build(said: Said, status: int, secrets: Sequence[str], codes: Codes) -> LLMError:
    kind = _kind(said, status, codes)
    message = redact(said.message[:MAX_MESSAGE], secrets) or f"the provider answered with the status {status}"
    error = kind(message, status=status, code=said.code and redact(said.code[:MAX_MESSAGE], secrets))
    if isinstance(error, ContextTooLong):
        error.limit, error.needed = context.figures(said.message, said.details)
    elif isinstance(error, InvalidRequest):
        error.hint = next((_setting(name) for pattern, name in HINTS if pattern.search(said.message)), error.hint)
    elif isinstance(error, Transient):
        error.sent = status in _MAY_HAVE_RUN
    elif isinstance(error, OutputError):  # a host that checks what its model writes (Groq); the model did run
        text = said.details.get("failed_generation")
        vars(error).update(text=redact(text[:MAX_BODY], secrets) if isinstance(text, str) else "", sent=True)
    return error


def _kind(said: Said, status: int, codes: Codes) -> type[LLMError]:
    known = next((table[word] for table in (codes, BY_CODE) for word in said.words if word in table), None)
    if known is not None:
        return known
    if status in (400, 413, 422, 500) and context.is_too_long(said.message):
        return ContextTooLong
    if status == 400 and _BAD_KEY.search(said.message):
        return Unauthorized
    if status in (400, 401, 403, 429) and _NO_MONEY.search(said.message):
        return QuotaExhausted
    if status == 400 and _NO_MODEL.search(said.message):
        return NotFound
    if status in (400, 403) and _FILTERED.search(said.message):
        return ContentFiltered
    return BY_STATUS.get(status, ServerFault if status >= 500 else InvalidRequest)


def _status(said: Said) -> int:
    """The status that an error inside a successful reply stands for. One that says nothing is the server's fault."""
    if said.status is not None:
        return said.status
    return next((STATUS_OF[word] for word in said.words if word in STATUS_OF), 400 if _is_ours(said) else 500)


def _is_ours(said: Said) -> bool:
    return any(word in BY_CODE for word in said.words) or context.is_too_long(said.message)


def _setting(name: str) -> str:
    return f"If this host cannot, say so by {name} in its [providers.NAME] table."


def _asked(said: Said) -> float | None:
    """How long the body asks to wait: a number, Google's RetryInfo, headers that a router passes on, or a sentence.

    Hugging Face says in how many seconds a model will be loaded.
    """
    headers = said.details.get("metadata")
    headers = headers.get("headers") if isinstance(headers, Mapping) else None
    passed = {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, Mapping) else {}
    found = [
        retry_after.seconds(said.details.get("retry_after")),
        retry_after.seconds(said.details.get("estimated_time")),
        *(retry_after.seconds(item.get("retryDelay")) for item in items(said.details.get("details"))),
        retry_after.from_headers(passed),
        retry_after.from_reset_headers(passed),
        retry_after.from_text(said.message),
    ]
    return next((value for value in found if value is not None), None)


# --- from bytes to what was said ----------------------------------------------------------------------------------


def read(body: bytes) -> Said:
    """What a body of any kind says: JSON of one of the usual shapes, a page of HTML, or plain text."""
    try:
        value = from_json(body[:MAX_BODY], allow_inf_nan=False)
    except ValueError:
        return Said(_plain(body[:MAX_BODY].decode("utf-8", "replace")))
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return Said(value.strip())
    return _said(value) if isinstance(value, Mapping) else Said()


def _said(body: Mapping[str, Any]) -> Said:
    inner = body.get("error") or next((item["error"] for item in items(body.get("choices")) if item.get("error")), None)
    if isinstance(inner, list):
        inner = "; ".join(item for item in inner if isinstance(item, str)) or None
    if isinstance(inner, str):
        return _collected(body, inner)
    if isinstance(inner, Mapping):
        return _collected(inner, _message(inner))
    return _collected(body, _message(body))


def _collected(value: Mapping[str, Any], message: str) -> Said:
    codes = [value.get("code"), value.get("type"), value.get("error_type"), value.get("status")]
    inner = value.get("innererror")
    if isinstance(inner, Mapping):
        codes.append(inner.get("code"))
    words = tuple(code.lower() for code in codes if isinstance(code, str) and code)
    named = next((str(code) for code in codes if code and isinstance(code, str | int)), None)
    return Said(message, words, named, _named_status(value), value)


def _named_status(value: Mapping[str, Any]) -> int | None:
    for candidate in (value.get("status_code"), value.get("code"), value.get("status")):
        if isinstance(candidate, int | str) and re.fullmatch(r"[45]\d\d", str(candidate)):
            return int(candidate)
    return None


def _message(value: Mapping[str, Any]) -> str:
    """The words of an error, and those of the provider behind a router."""
    words = next((value[key] for key in ("message", "Message", "detail", "error_msg", "msg") if value.get(key)), "")
    text = words if isinstance(words, str) else "; ".join(_details(words))
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"{text}: {read(raw.encode()).message}" if isinstance(raw, str) and raw.strip() else text


def _details(value: Any) -> Iterator[str]:
    """The faults in a list of them, as FastAPI writes it."""
    for item in items(value if isinstance(value, list) else [value]):
        place = ".".join(str(step) for step in item["loc"]) if isinstance(item.get("loc"), list) else ""
        yield f"{place}: {item.get('msg', item)}" if place else str(item.get("msg", item))


def _plain(text: str) -> str:
    """Text out of a page: its title if it is HTML, without line breaks."""
    if re.match(r"\s*<", text):
        title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.I)
        text = title[1] if title else re.sub(r"<[^<>]{0,500}>", " ", text[:4000])
    return " ".join(text.split())[:MAX_MESSAGE]
