"""Recorded exchanges as ``botocore`` reads them: its parsers, on the bytes that came."""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EventStreamError
from recorded import Exchange, Reading, parsed


class Witness:
    """A client of ``botocore`` whose requests are answered before they are sent."""

    def __init__(self) -> None:
        session = botocore.session.Session()
        session.set_credentials("test", "test")
        self._client: Any = session.create_client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url="http://127.0.0.1:1",
            config=botocore.config.Config(retries={"max_attempts": 0}, signature_version="v4"),
        )  # fmt: skip
        self._exchange: Exchange | None = None
        self._client.meta.events.register("before-send", self._reply)

    def close(self) -> None:
        self._client.close()

    def _reply(self, request: Any, **_: Any) -> AWSResponse:
        assert self._exchange is not None
        headers = dict(self._exchange.plain_headers)
        return AWSResponse(request.url, self._exchange.status, _Headers(headers), _Raw(self._exchange.body))

    def read(self, exchange: Exchange) -> Reading:
        self._exchange = exchange
        ask: Any = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "x"}]}]}
        try:
            if exchange.streamed:
                return _streamed(self._client.converse_stream(**ask)["stream"])
            return _whole(self._client.converse(**ask))
        except (ClientError, EventStreamError) as error:
            return Reading(error=error.response["Error"]["Code"], status=exchange.status)


class _Headers(dict[str, str]):
    """Headers whose names have no case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


class _Raw:
    """The body, as a connection gives it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        body, self._body = self._body, b""
        yield body

    def read(self, *_: Any) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        pass


def _whole(reply: Any) -> Reading:
    blocks = reply["output"]["message"]["content"]
    thoughts = [block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "") for block in blocks]
    return Reading(
        text="".join(_text(block) for block in blocks),
        reasoning="".join(thoughts),
        calls=tuple(
            (call["toolUseId"], call["name"], call["input"])
            for block in blocks
            if (call := block.get("toolUse")) and call.get("type") != "server_tool_use"
        ),
        finish=reply["stopReason"],
        usage=_figures(reply["usage"]),
    )


def _text(block: Any) -> str:
    cited = block.get("citationsContent", {}).get("content", ())
    return block.get("text", "") or "".join(part["text"] for part in cited)


def _streamed(events: Any) -> Reading:
    reading, calls = Reading(), {}
    for event in events:
        if call := event.get("contentBlockStart", {}).get("start", {}).get("toolUse"):
            if call.get("type") != "server_tool_use":
                calls[event["contentBlockStart"]["contentBlockIndex"]] = [call["toolUseId"], call["name"], ""]
        elif "contentBlockDelta" in event:
            delta, slot = event["contentBlockDelta"]["delta"], event["contentBlockDelta"]["contentBlockIndex"]
            reading.text += delta.get("text", "")
            reading.reasoning += delta.get("reasoningContent", {}).get("text", "")
            if slot in calls:
                calls[slot][2] += delta.get("toolUse", {}).get("input", "")
        elif "messageStop" in event:
            reading.finish = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            reading.usage = _figures(event["metadata"]["usage"])
    reading.calls = tuple((call[0], call[1], parsed(call[2])) for call in calls.values())
    return reading


def _figures(usage: Any) -> tuple[int | None, ...]:
    """The five figures, with what the host counts apart in the input."""
    read, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
    return usage["inputTokens"] + (read or 0) + (written or 0), usage["outputTokens"], read, written, None
