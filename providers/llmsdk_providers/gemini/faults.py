"""Google's errors as typed ones: the reason and the quota stand in ``details``, the status alone says too little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmsdk.errors import LLMError, PermissionDenied, QuotaExhausted, Unauthorized
from llmsdk.wire import faults
from llmsdk.wire.json import items, string, under

CODES: Mapping[str, type[LLMError]] = {
    "api_key_invalid": Unauthorized, "api_key_expired": Unauthorized, "access_token_expired": Unauthorized,
    "credentials_missing": Unauthorized, "access_token_type_unsupported": Unauthorized,
    "billing_disabled": QuotaExhausted, "quota_used_up": QuotaExhausted,
    "service_disabled": PermissionDenied, "consumer_invalid": PermissionDenied,
    "api_key_service_blocked": PermissionDenied,
}  # fmt: skip
"""Reasons in ``details``, in lower case."""


def error(status: int | None, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> LLMError:
    """The error in a body. ``status`` is ``None`` for one inside a reply that seemed well."""
    said = faults.read(body)
    reasons = [*_reasons(said.details)]
    words = (*(reason.lower() for reason in reasons), *said.words)
    named = next(iter(reasons), None) or string(said.details.get("status")) or said.code
    meant = replace(said, words=words, code=named)
    return faults.from_said(meant, said.status or 500 if status is None else status, headers, secrets, CODES)


def _reasons(said: Mapping[str, Any]) -> Iterator[str]:
    for detail in items(said.get("details")):
        if reason := string(detail.get("reason")):
            yield reason
        for violation in items(detail.get("violations")):
            if _is_spent(violation, said):
                yield "QUOTA_USED_UP"


def _is_spent(violation: dict[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether waiting does not help: the day's share is used up, or there never was one."""
    none = violation.get("quotaValue") in ("0", 0) or "limit: 0" in string(said.get("message"))
    return none or "PerDay" in string(violation.get("quotaId"))


def is_error(body: dict[str, Any]) -> bool:
    return bool(under(body, "error")) or isinstance(body.get("error"), str)
