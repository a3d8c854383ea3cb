"""A server that speaks Bedrock's Converse, for tests. What it says is in ``brain``.

It computes signatures by ``botocore``, from what came over the wire.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from servers.brain import Knowledge, Said, pieces, say
from servers.http_server import Answer, HTTPServer, Recorded

REGION = "us-east-1"
MODELS = ("test.model-v1:0", "arn:aws:bedrock:us-east-1:1:inference-profile/test")


def frame(event: str, payload: bytes, kind: str = "event") -> bytes:
    """One frame of AWS's event stream."""
    named = {":event-type": event, ":content-type": "application/json", ":message-type": kind}
    if kind == "exception":
        named = {":exception-type": event, ":content-type": "application/json", ":message-type": kind}
    if kind == "error":
        named = {":error-code": event, ":error-message": payload.decode(), ":message-type": kind}
        payload = b""
    return framed(b"".join(header(*item) for item in named.items()), payload)


def header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + len(value.encode()).to_bytes(2) + value.encode()


def framed(headers: bytes, payload: bytes) -> bytes:
    prelude = (16 + len(headers) + len(payload)).to_bytes(4) + len(headers).to_bytes(4)
    body = prelude + zlib.crc32(prelude).to_bytes(4) + headers + payload
    return body + zlib.crc32(body).to_bytes(4)


def frames(*events: tuple[str, Any]) -> bytes:
    return b"".join(frame(name, json.dumps(payload).encode()) for name, payload in events)


class BedrockServer(HTTPServer):
    """Takes an API key, and requests that are signed with an access key of ``secrets``."""

    def __init__(self, key: str, secrets: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.key = key
        self.secrets = dict(secrets or {})
        """The secret key of each access key."""
        self.token: str | None = None
        """The token of the sessions that hold; another one has expired."""

    def handle(self, request: Recorded) -> Answer:
        if (refused := self._refused(request)) is not None:
            return refused
        model, _, verb = request.path.removeprefix("/model/").rpartition("/")
        if model not in MODELS:
            return _refused(400, "ValidationException", "The provided model identifier is invalid.")
        body = request.json["input"]["converse"] if verb == "count-tokens" else request.json
        prompt = sum(3 + len(pieces(_text(turn))) for turn in [*body["messages"], *_system(body)])
        if verb == "count-tokens":
            return Answer(200, {"inputTokens": prompt})
        said = say(_as_openai(body), Knowledge())
        limit = body.get("inferenceConfig", {}).get("maxTokens", 10_000)
        words = pieces(said.text)[:limit]
        reason = "tool_use" if said.calls else "max_tokens" if len(words) < len(pieces(said.text)) else "end_turn"
        usage = {"inputTokens": prompt, "outputTokens": len(words), "totalTokens": prompt + len(words)}
        if verb == "converse-stream":
            events = [frames(event) for event in _events(words, said, reason, usage)]
            return Answer(200, events, {"content-type": "application/vnd.amazon.eventstream"})
        content: list[Any] = [{"toolUse": call} for call in _calls(said)] or [{"text": "".join(words)}]
        message = {"role": "assistant", "content": content}
        return Answer(200, {"output": {"message": message}, "stopReason": reason, "usage": usage})

    def _refused(self, request: Recorded) -> Answer | None:
        told = _SIGNED.fullmatch(request.headers.get("authorization", ""))
        if told is not None:
            return self._wrongly_signed(request, told)
        if request.headers.get("authorization") != f"Bearer {self.key}":
            message = "Invalid API Key format: Must start with pre-defined prefix"
            return _refused(403, "AccessDeniedException", message)
        return None

    def _wrongly_signed(self, request: Recorded, told: re.Match[str]) -> Answer | None:
        token = request.headers.get("x-amz-security-token")
        if told["key"] not in self.secrets:
            message = "The security token included in the request is invalid."
            return _refused(403, "UnrecognizedClientException", message)
        if token != self.token:
            return _refused(403, "ExpiredTokenException", "The security token included in the request is expired")
        text, signature = signature_of(request, told, self.secrets[told["key"]])
        if told["signature"] != signature or not _is_fresh(request):
            message = f"The request signature we calculated does not match. The Canonical String is\n{text}"
            return _refused(403, "InvalidSignatureException", message)
        return None


_SIGNED = re.compile(
    rf"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/\d{{8}}/{REGION}/bedrock/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def signature_of(request: Recorded, told: re.Match[str], secret: str) -> tuple[str, str]:
    """What ``botocore`` would have signed, with the headers that were, and its signature."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    names = told["names"].split(";")
    assert {"host", "content-type", "x-amz-date"} <= set(names)
    assert {name for name in request.headers if name.startswith("x-amz-")} <= set(names)
    url = f"http://{request.headers['host']}{request.target}"
    came = AWSRequest(request.method, url, {name: request.headers[name] for name in names}, request.body)
    came.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(told["key"], secret), "bedrock", REGION)
    text = signer.canonical_request(came)
    return text, signer.signature(signer.string_to_sign(came, text), came)


def _is_fresh(request: Recorded) -> bool:
    """Signatures hold for five minutes."""
    signed = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return abs((datetime.now(UTC) - signed).total_seconds()) < 300


def _refused(status: int, name: str, message: str) -> Answer:
    return Answer(
        status, {"message": message}, {"x-amzn-errortype": f"{name}:http://internal", "x-amzn-requestid": "r"}
    )


def _system(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "system", "content": [block]} for block in body.get("system", ())]


def _text(turn: Mapping[str, Any]) -> str:
    return "".join(block.get("text", "") for block in turn["content"])


def _as_openai(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the brain takes it."""
    turns = [{"role": turn["role"], "content": _text(turn)} for turn in [*_system(body), *body["messages"]]]
    specs = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", ())]
    tools = [{"function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}} for spec in specs]
    fields: dict[str, Any] = {"messages": turns, "tools": tools}
    if "outputConfig" in body:
        schema = json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
        fields["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return fields


def _calls(said: Said) -> list[dict[str, Any]]:
    return [{"toolUseId": f"t{n}", "name": name, "input": given} for n, (name, given) in enumerate(said.calls)]


def _events(words: list[str], said: Said, reason: str, usage: Any) -> Iterator[tuple[str, Any]]:
    yield "messageStart", {"role": "assistant"}
    for word in words:
        yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}
    for index, call in enumerate(_calls(said)):
        started = {"toolUseId": call["toolUseId"], "name": call["name"]}
        yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": started}}
        for piece in pieces(json.dumps(call["input"], separators=(",", ":"), ensure_ascii=False)):
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}}
    yield "contentBlockStop", {"contentBlockIndex": 0}
    yield "messageStop", {"stopReason": reason}
    yield "metadata", {"usage": usage, "metrics": {"latencyMs": 1}}
