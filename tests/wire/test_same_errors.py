"""What goes wrong is the same class on every dialect and host, in the words of each.

The bodies are recorded ones in short, or stand in the hosts' documentation and in reports of their users. A host
without words of its own here is held to the dialect's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import recorded
from recorded import Exchange
from servers.backends import BACKENDS, HostBackend

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    LLMError,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Unauthorized,
)
from llmsdk.registry import BUILT_IN
from llmsdk_providers.openai.hosts import HOSTS

KEY = "sk-canary-0123456789abcdef"
KINDS: Mapping[str, type[LLMError]] = {
    "wrong key": Unauthorized, "unknown model": NotFound, "too long": ContextTooLong, "filtered": ContentFiltered,
    "rate limit": RateLimited, "overload": Overloaded, "no money": QuotaExhausted,
}  # fmt: skip
Told = tuple[int, Any]
"""A status and a body."""


def error(message: str, kind: str | None = None, code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


INVALID = "invalid_request_error"
LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
CHAT: Mapping[str, Told] = {
    "wrong key": (401, error(f"Incorrect API key provided: {KEY}.", INVALID, "invalid_api_key")),
    "unknown model": (404, error("The model `m` does not exist or you do not have access to it.", INVALID,
                                 "model_not_found")),
    "too long": (400, error(LONG, INVALID, "context_length_exceeded")),
    "filtered": (400, error("Your request was rejected by our safety system.", INVALID, "content_policy_violation")),
    "rate limit": (429, error("Rate limit reached. Please try again in 20s.", "requests", "rate_limit_exceeded")),
    "overload": (503, error("The engine is currently overloaded, please try again later", "server_error")),
    "no money": (429, error("You exceeded your current quota, please check your plan and billing details.",
                            "insufficient_quota", "insufficient_quota")),
}  # fmt: skip
"""As OpenAI says it, and whoever does as OpenAI."""


def anthropic(status: int, kind: str, message: str) -> Told:
    return status, {"type": "error", "error": {"type": kind, "message": message}}


def google(status: int, word: str, message: str, *details: Any) -> Told:
    return status, {"error": {"code": status, "message": message, "status": word, "details": details}}


GEMINI: Mapping[str, Told] = {
    "wrong key": google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
                        {"reason": "API_KEY_INVALID"}),
    "unknown model": google(404, "NOT_FOUND", "models/m is not found for API version v1beta, or is not supported."),
    "too long": google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens "
                       "allowed (8)."),
    "filtered": (200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}),
    "rate limit": google(429, "RESOURCE_EXHAUSTED", "Resource exhausted.", {"retryDelay": "20s"}),
    "overload": google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "no money": google(403, "PERMISSION_DENIED", "This API method requires billing.", {"reason": "BILLING_DISABLED"}),
}  # fmt: skip
OWN: Mapping[str, Mapping[str, Told]] = {
    "anthropic": {
        "wrong key": anthropic(401, "authentication_error", "invalid x-api-key"),
        "unknown model": anthropic(404, "not_found_error", "model: m"),
        "too long": anthropic(400, INVALID, "prompt is too long: 210000 tokens > 200000 maximum"),
        "filtered": anthropic(400, INVALID, "Output blocked by content filtering policy"),
        "rate limit": anthropic(429, "rate_limit_error", "This request would exceed your organization's rate limit"),
        "overload": anthropic(529, "overloaded_error", "Overloaded"),
        "no money": anthropic(400, INVALID, "Your credit balance is too low to access the Anthropic API."),
    },
    "azure": {
        "wrong key": (401, error("Access denied due to invalid subscription key or wrong API endpoint.", code="401")),
        "unknown model": (404, error("The API deployment for this resource does not exist.",
                                     code="DeploymentNotFound")),
        "filtered": (400, error("The response was filtered", code="content_filter",
                                innererror={"code": "ResponsibleAIPolicyViolation"})),
        "rate limit": (429, error("Requests have exceeded the call rate limit. Retry after 20 seconds.", code="429")),
    },
    "bedrock": {
        "wrong key": (403, {"__type": "UnrecognizedClientException",
                            "message": "The security token included in the request is invalid."}),
        "unknown model": (400, {"__type": "ValidationException",
                                "message": "The provided model identifier is invalid."}),
        "too long": (400, {"message": "Input Tokens Exceeded: Number of input tokens exceeds maximum length."}),
        "rate limit": (429, {"__type": "ThrottlingException", "message": "Too many requests, please wait."}),
        "overload": (503, {"__type": "ServiceUnavailableException", "message": "The system is unavailable."}),
        "no money": (400, {"__type": "ServiceQuotaExceededException", "message": "Over the service quota."}),
    },
    "cohere": {
        "wrong key": (401, {"id": "e", "message": f"Incorrect API key provided: {KEY}."}),
        "unknown model": (404, {"id": "e", "message": "model 'm' not found, make sure the model ID is correct"}),
        "too long": (400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}),
        "filtered": (498, {"message": "the request contains blocked terms"}),
        "rate limit": (429, {"message": "You are using a Trial key, which is limited to 20 API calls / minute."}),
        "overload": (503, {"message": "the service is unavailable"}),
        "no money": (402, {"message": "please add a payment method"}),
    },
    "deepseek": {
        "wrong key": (401, error("Authentication Fails, Your api key: ****-key is invalid", "authentication_error",
                                 INVALID)),
        "unknown model": (400, error("Model Not Exist", INVALID, INVALID)),
        "too long": (400, error(LONG, INVALID, INVALID)),
        "filtered": (400, error("Content Exists Risk", INVALID, INVALID)),
        "overload": (503, error("Service is too busy.", "service_unavailable_error", "service_unavailable_error")),
        "no money": (402, error("Insufficient Balance", "unknown_error", INVALID)),
    },
    "gemini": GEMINI,
    "groq": {"unknown model": (400, error("The model `m` has been decommissioned and is no longer supported.", INVALID,
                                          "model_decommissioned"))},
    "huggingface": {"unknown model": (400, error("The requested model 'm' is not supported by any provider you have "
                                                 "enabled.", INVALID, "model_not_supported"))},
    "litellm": {
        "wrong key": (400, error("No connected db.", "no_db_connection", "400")),
        "unknown model": (400, error("/chat/completions: Invalid model name passed in model=m. Call `/v1/models` to "
                                     "view available models for your key.", INVALID, "400")),
        "rate limit": (429, error("No deployments available for selected model, Try again in 20 seconds.",
                                  "all_deployments_in_cooldown", "429")),
    },
    "llamacpp": {"too long": (400, error("the request exceeds the available context size", "exceed_context_size_error",
                                         400, n_ctx=4096, n_prompt_tokens=5000))},
    "mistral": {
        "wrong key": (401, {"detail": "Unauthorized"}),
        "unknown model": (400, {"object": "error", "message": "Invalid model: m", "type": "invalid_model",
                                "param": None, "code": "1500"}),
        "too long": (400, {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large "
                           "for model with 32768 maximum context length", "type": INVALID, "code": "3051"}),
        "rate limit": (429, {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited"}),
    },
    "moonshot": {
        "wrong key": (401, error("Invalid Authentication", "invalid_authentication_error")),
        "unknown model": (404, error("Not found the model m or Permission denied", "resource_not_found_error")),
        "filtered": (400, error("The request was rejected because it was considered high risk", "content_filter")),
        "rate limit": (429, error("Your account has reached its max RPM", "rate_limit_reached_error")),
        "overload": (429, error("The engine is currently overloaded, please try again later",
                                "engine_overloaded_error")),
        "no money": (429, error("Your account is suspended, please check your plan", "exceeded_current_quota_error")),
    },
    "ollama": {
        "wrong key": (401, {"error": "Unauthorized"}),
        "unknown model": (404, {"error": "model 'm' not found"}),
        "too long": (400, {"error": "the input length exceeds the context length"}),
        "rate limit": (429, {"error": "too many requests"}),
        "overload": (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
    },
    "openrouter": {
        "wrong key": (401, {"error": {"message": "Missing Authentication header", "code": 401}}),
        "unknown model": (400, {"error": {"message": "m is not a valid model ID", "code": 400}}),
        "rate limit": (429, {"error": {"message": "Provider returned error", "code": 429,
                                       "metadata": {"raw": "m is temporarily rate-limited upstream."}}}),
        "no money": (402, {"error": {"message": "Insufficient credits. Add more.", "code": 402}}),
    },
    "perplexity": {
        "unknown model": (400, error("Invalid model 'm'. Permitted models can be found in the documentation.",
                                     "invalid_model", 400)),
        "too long": (400, error("The total length of all messages is too long.", "bad_request", 400)),
    },
    "qwen": {"filtered": (400, error("Input data may contain inappropriate content.", "data_inspection_failed",
                                     "data_inspection_failed"))},
    "tgi": {"too long": (422, {"error": "Input validation error: `inputs` must have less than 8 tokens. Given: 9",
                               "error_type": "validation"}),
            "overload": (429, {"error": "Model is overloaded", "error_type": "overloaded"})},
    "transformers": {"unknown model": (400, {"detail": "Server is pinned to 'pocket'; requested 'm'."})},
    "vertex": {**GEMINI, "wrong key": google(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.",
                                             {"reason": "ACCESS_TOKEN_EXPIRED"})},
    "vllm": {
        "unknown model": (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError",
                                "code": 404}),
        "too long": (400, {"object": "error", "message": LONG, "type": "BadRequestError", "code": 400}),
    },
    "xai": {
        "wrong key": (400, {"code": "invalid-argument", "error": f"Incorrect API key provided: {KEY}."}),
        "unknown model": (404, {"code": "Some requested entity was not found",
                                "error": "The model m does not exist or your team does not have access to it."}),
        "too long": (400, {"code": "invalid-argument", "error": "This model's maximum prompt length is 8 but the "
                           "request contains 9 tokens."}),
        "filtered": (403, {"code": "The caller does not have permission to execute the specified operation",
                           "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}),
    },
    "zhipu": {
        "unknown model": (400, {"error": {"code": "1211", "message": "模型不存在，请检查模型代码。"}}),
        "rate limit": (429, {"error": {"code": "1302", "message": "您的账户已达到速率限制"}}),
        "no money": (429, {"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试。"}}),
    },
}  # fmt: skip
WORDLESS = {("bedrock", "filtered"), ("ollama", "filtered"), ("ollama", "no money")}
"""Bedrock's filter ends a reply (``guardrail_intervened``); Ollama has neither filters nor bills."""


def cases() -> Iterator[tuple[str, str, Told]]:
    for name in sorted({*BUILT_IN} - {"local"}):
        chat = name in HOSTS or name in ("openai", "openai-responses", "azure", "mistral", "huggingface")
        told = {**(CHAT if chat else {}), **OWN.get(name, {})}
        assert {*told} == {fault for fault in KINDS if (name, fault) not in WORDLESS}, name
        yield from ((name, fault, told[fault]) for fault in KINDS if fault in told)


def provider(name: str) -> Any:
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    settings = BACKENDS.get(name, HostBackend)().settings("http://127.0.0.1:1", KEY)
    return kind(name, kind.Settings(**settings))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("name", "fault", "told"), [pytest.param(*case, id="-".join(case[:2])) for case in cases()])
def test_it_is_the_same_class_on_every_host(name: str, fault: str, told: Told, streamed: bool) -> None:
    status, body = told
    data = json.dumps(body).encode()
    if streamed and status == 200:
        data = b"data: " + data + b"\n\n"
    asked = Exchange(name, fault, status, [("content-type", "application/json")], data, streamed, {})
    with pytest.raises(LLMError) as caught:
        recorded.fold(provider(name), asked)
    found = caught.value
    assert type(found) is KINDS[fault]
    assert KEY not in repr(found) + str(found) + repr(vars(found))
