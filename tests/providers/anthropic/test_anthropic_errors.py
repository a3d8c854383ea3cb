"""Refusals, each to its class, with the host's words, how long to wait, and without the key."""

from __future__ import annotations

import json

import pytest

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    LLMError,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    Transient,
    Unauthorized,
)
from llmsdk_providers.anthropic import Anthropic, Settings

KEY = "sk-ant-canary-0123456789"
PROVIDER = Anthropic("anthropic", Settings(api_key=KEY))  # type: ignore[arg-type]


def error(status: int, kind: str, message: str = "Sorry", **headers: str) -> LLMError:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return PROVIDER.error(status, named, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "kind", "message", "fault"),
    [
        (401, "authentication_error", "invalid x-api-key", Unauthorized),
        (403, "permission_error", "Your API key may not use this", PermissionDenied),
        (404, "not_found_error", "model: nobody", NotFound),
        (413, "request_too_large", "Request exceeds the maximum size", PayloadTooLarge),
        (402, "billing_error", "Your payment failed", QuotaExhausted),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", QuotaExhausted),
        (400, "invalid_request_error", "messages.0.role: wrong", InvalidRequest),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ContentFiltered),
        (429, "rate_limit_error", "Too many", RateLimited),
        (500, "api_error", "Internal server error", ServerFault),
        (504, "timeout_error", "The request timed out", ServerFault),
        (529, "overloaded_error", "Overloaded", Overloaded),
    ],
)
def test_kinds(status: int, kind: str, message: str, fault: type[LLMError]) -> None:
    found = error(status, kind, message, request_id="req_9")
    assert type(found) is fault
    assert found.retryable is issubclass(fault, Transient)
    assert (found.status, found.code, found.request_id) == (status, kind, "req_9")
    assert found.message == message


@pytest.mark.parametrize(
    ("message", "limit", "needed"),
    [
        ("prompt is too long: 215000 tokens > 200000 maximum", 200_000, 215_000),
        ("input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease either", 200_000, None),
    ],
)
def test_a_prompt_that_is_too_long(message: str, limit: int, needed: int | None) -> None:
    found = error(400, "invalid_request_error", message)
    assert isinstance(found, ContextTooLong)
    assert (found.limit, found.needed) == (limit, needed)


def test_how_long_to_wait() -> None:
    asked = error(429, "rate_limit_error", retry_after="7", anthropic_ratelimit_requests_reset="2000-01-01T00:00:00Z")
    assert isinstance(asked, RateLimited)
    assert asked.retry_after == 7


def test_no_error_shows_the_key() -> None:
    found = error(401, "authentication_error", f"the key {KEY} is wrong")
    assert KEY not in repr(found) + str(found) + repr(vars(found))
