"""Signature Version 4 of AWS: headers that prove who sends a request, without the secret key. Pure functions.

It is our own, and not botocore's, which writes the whole signed request to the debug log, with the session token.
"""

from __future__ import annotations

import hmac
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from hashlib import sha256
from urllib.parse import quote, urlsplit

from llmsdk.io import HTTPRequest
from llmsdk.io.route import address
from llmsdk.wire.host import Header, merged
from llmsdk_providers.bedrock.credentials import Credentials

SERVICE = "bedrock"
_ALGORITHM = "AWS4-HMAC-SHA256"


def signed(request: HTTPRequest, credentials: Credentials, region: str, now: datetime) -> HTTPRequest:
    """``request`` with the headers of a signature that holds for some minutes from ``now`` (UTC) on."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    headers = merged(request.headers, _own(credentials, stamp))
    covered = _covered(request, headers)
    names = ";".join(covered)
    text = "\n".join((_ALGORITHM, stamp, scope, _hash(_canonical(request, covered, names).encode())))
    proof = _hmac(reduce(_hmac, scope.split("/"), f"AWS4{credentials.secret_key}".encode()), text).hex()
    told = f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={proof}"
    return replace(
        request,
        headers=merged(headers, ((b"authorization", told.encode()),)),
        secrets=(*request.secrets, *credentials.secrets),
    )


def _own(credentials: Credentials, stamp: str) -> Sequence[Header]:
    date = (b"x-amz-date", stamp.encode())
    return (date, (b"x-amz-security-token", credentials.token.encode())) if credentials.token else (date,)


def _covered(request: HTTPRequest, headers: Sequence[Header]) -> dict[str, str]:
    """What AWS wants signed, by name and in order. Other headers may be changed on the way, by a proxy or by us."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name in (b"host", b"content-type") or name.startswith(b"x-amz-"):
            found.setdefault(name.decode(), []).append(" ".join(value.decode().split()))
    found.setdefault("host", [address(request.url).authority.decode()])
    return {name: ",".join(found[name]) for name in sorted(found)}


def _canonical(request: HTTPRequest, covered: dict[str, str], names: str) -> str:
    lines = "".join(f"{name}:{value}\n" for name, value in covered.items())
    return "\n".join((request.method, _path(request.url), "", lines, names, _hash(request.body)))


def _path(url: str) -> str:
    """The path, without dots and empty parts, and encoded once more: a colon that went as %3A is signed as %253A."""
    path = posixpath.normpath(urlsplit(url).path or "/")
    return quote(f"/{path.lstrip('/')}", safe="/~")


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), sha256)
