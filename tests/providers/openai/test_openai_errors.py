"""Refusals and faults: each to its class, with the host's words, what to do, how long to wait, and without the key."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from llmsdk_providers.openai import OpenAI, Settings

KEY = "sk-test-0123456789abcdefXYZ"
HOST = OpenAI("openai", Settings(api_key=KEY))


def error(status: int, body: Any = b"", **headers: str) -> LLMError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HOST.error(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def said(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest), (401, Unauthorized), (402, QuotaExhausted), (403, PermissionDenied), (404, NotFound),
        (405, InvalidRequest), (408, ServerFault), (409, ServerFault), (413, PayloadTooLarge), (415, InvalidRequest),
        (418, InvalidRequest), (422, InvalidRequest), (425, ServerFault), (429, RateLimited), (451, InvalidRequest),
        (500, ServerFault), (502, ServerFault), (503, Overloaded), (504, ServerFault), (520, ServerFault),
        (524, ServerFault), (529, Overloaded), (599, ServerFault),
    ],
)  # fmt: skip
def test_by_status(status: int, kind: type[LLMError]) -> None:
    fault = error(status, said("no"))
    assert type(fault) is kind
    assert fault.message == "no"
    assert fault.status == status
    assert type(error(status)) is kind
    assert str(status) in error(status).message
    if isinstance(fault, Transient):
        assert fault.sent is (status in (504, 524))


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, said("x", type="insufficient_quota", code="insufficient_quota"), QuotaExhausted, "insufficient_quota"),
        (403, said("x", code="billing_hard_limit_reached"), QuotaExhausted, "billing_hard_limit_reached"),
        (400, said("x", code="context_length_exceeded"), ContextTooLong, "context_length_exceeded"),
        (400, said("x", code="content_filter"), ContentFiltered, "content_filter"),
        (400, said("x", code="content_policy_violation"), ContentFiltered, "content_policy_violation"),
        (400, said("x", innererror={"code": "ResponsibleAIPolicyViolation"}, code="no"), ContentFiltered, "no"),
        (400, said("x", code="data_inspection_failed"), ContentFiltered, "data_inspection_failed"),
        (400, said("x", code="model_not_found"), NotFound, "model_not_found"),
        (400, said("x", code="model_decommissioned"), NotFound, "model_decommissioned"),
        (400, said("Incorrect API key provided: ..."), Unauthorized, None),
        (400, {"code": "invalid-argument", "error": "API key expired."}, Unauthorized, "invalid-argument"),
        (400, said("API key not valid. Please pass a valid API key."), Unauthorized, None),
        (413, said("Request too large for tokens per minute (TPM): Limit 6000", code="rate_limit_exceeded"),
         PayloadTooLarge, "rate_limit_exceeded"),
    ],
)  # fmt: skip
def test_by_code_and_words(status: int, body: Any, kind: type[LLMError], code: str | None) -> None:
    fault = error(status, body)
    assert type(fault) is kind
    assert fault.code == code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (said("plain"), "plain"),
        ({"error": "text", "code": "c"}, "text"),
        ({"object": "error", "message": "vllm", "code": 400}, "vllm"),
        ({"detail": "fastapi"}, "fastapi"),
        ({"detail": [{"loc": ["body", "n"], "msg": "too big"}, {"msg": "odd"}]}, "body.n: too big; odd"),
        ({"Message": "aws"}, "aws"),
        ([said("in a list")], "in a list"),
        (
            said("Provider returned error", metadata={"raw": '{"error": {"message": "deep"}}'}),
            "Provider returned error: deep",
        ),
        (said("Provider returned error", metadata={"raw": "flat"}), "Provider returned error: flat"),
        (b"<html><head><title>502 Bad Gateway</title></head><body>x</body></html>", "502 Bad Gateway"),
        (b"<p>Some\n  <b>words</b></p>", "Some words"),
        (b"upstream  connect\nerror", "upstream connect error"),
        (b'"just text"', "just text"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_words_of_the_host(body: Any, message: str) -> None:
    assert error(400, body).message == message


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"5", b"{}", b'{"error": null}', b'{"error": {"message": 5}}'])
def test_no_words(body: bytes) -> None:
    assert error(500, body).message


# --- context ------------------------------------------------------------------------------------------------------


OPENAI = "This model's maximum context length is 8192 tokens. However,"


@pytest.mark.parametrize(
    ("message", "limit", "needed"),
    [
        (f"{OPENAI} you requested 9000 tokens (8000 in the messages, 1000 in the completion).", 8192, 9000),
        (f"{OPENAI} your messages resulted in 10,000 tokens.", 8192, 10_000),
        ("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
         272_000, 300_000),
        ("Your input exceeds the context window of this model.", None, None),
        ("prompt is too long: 210000 tokens > 200000 maximum", 200_000, 210_000),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", 200_000, None),
        ("You passed 5000 input tokens. However, the model's context length is only 4096 tokens", 4096, 5000),
        ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 4096, 5000),
        ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 4096, 5000),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
         1_048_576, 1_200_000),
        ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32_768, 40_000),
        ("Input is too long for requested model.", None, None),
        ("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.", 4081, 5000),
        ("This model's maximum prompt length is 131072 but the request contains 140000 tokens.", 131_072, 140_000),
        ("This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 tokens", 8192, 9000),
        ("The total length of all messages is too long.", None, None),
        ("Over the model's maximum context length of 4096 tokens. You requested a total of 5000 tokens", 4096, 5000),
        ("`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens", 4097, 5000),
        ("Please reduce the length of the messages or completion.", None, None),
    ],
)  # fmt: skip
def test_a_context_that_is_too_long(message: str, limit: int | None, needed: int | None) -> None:
    fault = error(400, said(message))
    assert isinstance(fault, ContextTooLong)
    assert (fault.limit, fault.needed) == (limit, needed)
    assert fault.hint


def test_llama_cpp_has_the_figures_as_fields() -> None:
    fault = error(400, said("too big", type="exceed_context_size_error", n_prompt_tokens=5000, n_ctx=4096))
    assert isinstance(fault, ContextTooLong)
    assert (fault.limit, fault.needed) == (4096, 5000)


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached for gpt-4 on tokens per minute (TPM): Limit 10000, Requested 12000.",
        "Invalid value for 'context'.",
        "max_tokens is too large: 9000.",
        "The prompt is empty.",
    ],
)
def test_what_only_sounds_like_it(message: str) -> None:
    assert type(error(400, said(message))) is InvalidRequest


# --- waiting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "3"}, {}, 3.0),
        ({"retry_after": "1", "retry_after_ms": "0"}, {}, 1.0),
        ({"retry_after": "1", "retry_after_ms": "1500"}, {}, 1.5),
        ({"retry_after": "nan"}, {}, None),
        ({"retry_after": "1", "x_ratelimit_reset_requests": "17m"}, {}, 1.0),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "6ms",
          "x_ratelimit_remaining_requests": "5", "x_ratelimit_reset_requests": "17m15.5s"}, {}, 0.006),
        ({"x_ratelimit_reset_tokens": "2s"}, said("Please try again in 20s."), 20.0),
        ({"retry_after": "1"}, said("Please try again in 20s."), 1.0),
        ({}, said("Please try again in 1m2.5s. Contact us."), 62.5),
        ({}, said("x", details=[{"@type": "Info"}, {"retryDelay": "34.4s"}]), 34.4),
        ({}, said("x", retry_after=7), 7.0),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    fault = error(429, body, **headers)
    assert isinstance(fault, RateLimited)
    assert fault.retry_after == (None if seconds is None else pytest.approx(seconds))


def test_the_wish_of_a_router_in_the_body() -> None:
    at = str(int((time.time() + 60) * 1000))
    fault = error(
        429, said("slow", code=429, metadata={"headers": {"X-RateLimit-Reset": at, "X-RateLimit-Remaining": "0"}})
    )
    assert isinstance(fault, RateLimited)
    assert fault.retry_after == pytest.approx(60, abs=5)


def test_whether_to_ask_again_is_the_hosts_to_say() -> None:
    assert error(429, x_should_retry="false").retryable is False
    assert error(400, x_should_retry="true").retryable is True
    assert error(500, x_should_retry="maybe").retryable is True
    assert RateLimited.retryable is True
    assert InvalidRequest.retryable is False


# --- what else it says --------------------------------------------------------------------------------------------


def test_the_request_id() -> None:
    assert error(500, x_request_id="req_1", cf_ray="x").request_id == "req_1"
    assert error(500, apim_request_id="a").request_id == "a"
    assert error(500).request_id is None


@pytest.mark.parametrize(
    ("message", "setting"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            "max_tokens_field",
        ),
        ("This model does not support response_format json_schema", "schema"),
        ("logprobs are not supported", "logprobs"),
        ("unknown field stream_options", "stream_usage"),
    ],
)
def test_a_setting_that_would_help(message: str, setting: str) -> None:
    assert f" {setting} " in error(400, said(message)).hint


def test_words_are_bounded() -> None:
    began = time.process_time()
    fault = error(500, said("x" * 5_000_000))
    assert len(str(fault)) < 2100
    assert len(str(error(500, b"<" * 5_000_000))) < 2100
    assert len(str(error(500, b"\xff" * 5_000_000))) < 2100
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "echo",
    [KEY, f"Bearer {KEY}", f"{KEY[:8]}***wxyz", f"...{KEY[-8:]}", f"'{KEY[:12]}…'", f"key={KEY}&x=1", f"{KEY}{KEY}"],
)
def test_an_echoed_key_is_not_shown(echo: str) -> None:
    for fault in (
        error(401, said(f"Incorrect API key provided: {echo}. Go away.", code=echo)),
        error(500, f"<html><title>{echo} failed</title>".encode()),
        error(400, said("x" * 995 + KEY)),
    ):
        shown = f"{fault} {fault!r} {fault.args} {fault.__dict__}"
        assert KEY[:8] not in shown
        assert KEY[-8:] not in shown


@given(st.integers(400, 599), st.binary(max_size=200) | st.recursive(
    st.none() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["error", "message", "code", "type", "status", "detail", "metadata", "headers", "raw", "loc",
                         "details", "retryDelay", "innererror", "choices", "status_code", "retry_after"]), inner),
    max_leaves=12,
), st.text(max_size=12))  # fmt: skip
def test_whatever_comes_makes_an_error(status: int, body: Any, hint: str) -> None:
    fault = error(status, body, retry_after=hint, x_ratelimit_reset_tokens=hint)
    assert isinstance(fault, LLMError)
    assert fault.message
    if isinstance(fault, Transient) and fault.retry_after is not None:
        assert 0 <= fault.retry_after < float("inf")
