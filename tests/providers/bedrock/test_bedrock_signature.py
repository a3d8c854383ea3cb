"""Signatures of requests to Bedrock equal those of botocore, which is the witness."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmsdk.io import HTTPRequest
from llmsdk.types import Message, Request
from llmsdk_providers.bedrock import Bedrock, Settings
from llmsdk_providers.bedrock.credentials import Credentials
from llmsdk_providers.bedrock.sigv4 import signed

pytest.importorskip("botocore", reason="the witness is AWS's own package")

NOW = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
KEY, SECRET = "AKIAEXAMPLE000000001", "canary/Secret+0123456789abcdefghijklmnop"
HELD = Credentials(KEY, SECRET, "canary-token/=+" * 5)
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a b"
PLACES = (
    "https://bedrock-runtime.eu-west-1.amazonaws.com",
    "https://gate.example:8443/a//b/./c~/",
    "http://127.0.0.1:1",
)


def encoded(model: str, text: str, place: str = PLACES[0], **extra: str) -> HTTPRequest:
    provider = Bedrock("bedrock", Settings(api_key="k", base_url=place))  # type: ignore[arg-type]
    return provider.encode(Request(model, (Message("user", text),), extra_headers=extra))


def by_botocore(request: HTTPRequest, held: Credentials, region: str) -> str:
    """The header with the signature that botocore gives a request."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Official

    headers = {name.decode(): value.decode() for name, value in request.headers}
    theirs: Any = AWSRequest(request.method, request.url, headers, request.body)
    with patch("botocore.auth.get_current_datetime", lambda: NOW):
        SigV4Auth(Official(held.access_key, held.secret_key, held.token), "bedrock", region).add_auth(theirs)
    return str(theirs.headers["Authorization"])


@settings(max_examples=150)
@given(
    st.text(min_size=1, max_size=30), st.text(min_size=1), st.sampled_from(PLACES),
    st.sampled_from(["us-east-1", "us-gov-west-1"]), st.sampled_from([HELD, Credentials(KEY, SECRET)]),
    st.text("abc 12", max_size=9).map(str.strip),
)  # fmt: skip
@example("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Hi!", PLACES[0], "us-east-1", HELD, "x")
@example(ARN, "今天", PLACES[1], "us-east-1", HELD, "a   b")
@example("..", "x", PLACES[2], "us-east-1", HELD, "")
def test_it_is_the_signature_of_botocore(
    model: str, text: str, place: str, region: str, held: Credentials, header: str
) -> None:
    request = encoded(model, text, place, **{"X-Amz-Meta": header} if header else {})
    ours = signed(request, held, region, NOW)
    assert dict(ours.headers)[b"authorization"].decode() == by_botocore(request, held, region)
    assert (ours.body, ours.url, ours.method) == (request.body, request.url, request.method)
    assert {KEY, SECRET} <= set(ours.secrets)


@pytest.fixture(scope="module")
def official() -> Iterator[Any]:
    """Where botocore's own client would send a request for a model."""
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET)
    client: Any = session.create_client(
        "bedrock-runtime", region_name="eu-west-1", config=Config(signature_version="v4")
    )
    sent: list[str] = []

    def keep(request: Any, **_: Any) -> None:
        sent.append(request.url)
        raise InterruptedError

    client.meta.events.register("before-send", keep)

    def url(model: str) -> str:
        with pytest.raises(InterruptedError):
            client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "x"}]}])
        return sent.pop()

    yield url
    client.close()


@settings(max_examples=30)
@given(model=st.text(min_size=1, max_size=30))
@example(model=ARN)
@example(model="us.anthropic.claude-sonnet-4-5-20250929-v1:0")
def test_it_goes_where_botocore_sends_it(official: Any, model: str) -> None:
    assert encoded(model, "x").url == official(model)


def test_what_is_signed() -> None:
    """What may change on the way is not, and what somebody put in the place of the proof is gone."""
    request = encoded("m", "x", **{"Authorization": "Basic x", "X-Amz-Date": "never", "X-Trace": "1"})
    headers = dict(signed(request, HELD, "us-east-1", NOW).headers)
    assert headers[b"x-amz-date"] == b"20261123T040506Z"
    assert headers[b"x-amz-security-token"].decode() == HELD.token
    names = headers[b"authorization"].decode().split("SignedHeaders=")[1].split(",")[0]
    assert names == "content-type;host;x-amz-date;x-amz-security-token"
    assert headers[b"x-trace"] == b"1"
    assert SECRET not in repr((headers, HELD, request))


def test_another_body_another_signature() -> None:
    one, other = (signed(encoded("m", text), HELD, "us-east-1", NOW) for text in ("x", "y"))
    assert dict(one.headers)[b"authorization"] != dict(other.headers)[b"authorization"]
