"""Refusals and faults of AWS as typed errors: named in a header, in the body, or by the frame of a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from llmsdk.errors import (
    LLMError,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    Unauthorized,
)
from llmsdk.wire import faults
from llmsdk.wire.faults import Said

CODES: Mapping[str, type[LLMError]] = {
    "throttlingexception": RateLimited, "toomanyrequestsexception": RateLimited,
    "servicequotaexceededexception": QuotaExhausted,
    "unrecognizedclientexception": Unauthorized, "expiredtokenexception": Unauthorized,
    "invalidsignatureexception": Unauthorized, "missingauthenticationtokenexception": Unauthorized,
    "incompletesignatureexception": Unauthorized, "bad key": Unauthorized,
    "accessdeniedexception": PermissionDenied, "resourcenotfoundexception": NotFound, "unknown model": NotFound,
    "modelnotreadyexception": Overloaded, "serviceunavailableexception": Overloaded,
    "modeltimeoutexception": ServerFault, "modelerrorexception": ServerFault,
    "modelstreamerrorexception": ServerFault, "internalserverexception": ServerFault,
}  # fmt: skip
_STATUS = {
    "validationexception": 400, "throttlingexception": 429, "serviceunavailableexception": 503,
    "modelstreamerrorexception": 424, "accessdeniedexception": 403, "resourcenotfoundexception": 404,
}  # fmt: skip
"""The status that a fault in a stream would have had by itself."""
_BAD_KEY = re.compile(r"bearer token|api key|security token", re.I)


def from_reply(status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> LLMError:
    """The error for a reply with a status that is not 2xx."""
    said = faults.read(body)
    name = headers.get("x-amzn-errortype") or str(said.details.get("__type") or "")
    return faults.from_said(_named(said, name), status, headers, secrets, CODES)


def in_stream(name: str, data: bytes, secrets: Sequence[str]) -> LLMError:
    """The error for a frame that is an exception."""
    said = _named(faults.read(data), name)
    return faults.from_said(said, _STATUS.get(name.lower(), 500), {}, secrets, CODES)


def _named(said: Said, name: str) -> Said:
    """With the name of the fault, which stands between a namespace and an address."""
    short = name.partition(":")[0].rpartition("#")[2]
    words = tuple(_words(said.message, short.lower()))
    return replace(said, words=(*words, *said.words), code=short or said.code)


def _words(message: str, name: str) -> Iterator[str]:
    """What the name alone does not tell."""
    if "model identifier is invalid" in message:
        yield "unknown model"
    if "getting throttled" in message:
        yield "throttlingexception"
    if name == "accessdeniedexception" and _BAD_KEY.search(message):
        yield "bad key"
    yield name
