"""Replies as events, buffered and streamed. Events of a stream that are not known are passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import ContentFiltered, InvalidBody, InvalidRequest, LLMError
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info
from llmsdk.wire import faults, parse
from llmsdk.wire.json import string, under
from llmsdk_providers.openai_responses import usage
from llmsdk_providers.openai_responses.output import Output

CODES: Mapping[str, type[LLMError]] = {
    "invalid_prompt": ContentFiltered, "bio_policy": ContentFiltered, "image_content_policy_violation": ContentFiltered,
    **dict.fromkeys((
        "data_residency_mismatch", "invalid_image", "invalid_image_format", "invalid_base64_image",
        "invalid_image_url", "image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode",
        "image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
        "image_file_not_found", "invalid_encrypted_content",
    ), InvalidRequest),
}  # fmt: skip
"""Codes of a reply that failed, which has no status to go by."""
STOPPED: Mapping[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why a reply is incomplete."""
WAITING = frozenset({"queued", "in_progress"})
"""States of a reply that the host makes in the background and gives out later, by its id."""
_ENDS = frozenset({"response.completed", "response.incomplete"})
_HINT = "Check base_url: it is what precedes /responses, such as https://host.example/v1."


class Decoder:
    """Reads one reply. Holds the state of that reply and nothing else.

    ``host`` is written on what is to go back to it; ``warning`` is told with the reply.
    """

    __slots__ = ("_done", "_known", "_output", "_secrets", "_warning")

    def __init__(self, host: str, secrets: Sequence[str] = (), warning: str | None = None) -> None:
        self._secrets = secrets
        self._output = Output(host)
        self._known: tuple[str, str] = ("", "")
        self._warning = warning
        self._done = False

    # --- streamed -----------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows."""
        return self._done

    def feed(self, event: ServerSentEvent) -> Iterable[Event]:
        """The events in one event of the stream.

        Raises:
            InvalidBody: no JSON.
            LLMError: the typed error that the event holds.
        """
        data = event.data.strip()
        if self._done or data in (b"", b"[DONE]"):
            return ()
        body = parse(data, self._secrets, "an event of the stream", _HINT)
        if not isinstance(body, dict):
            return ()
        if event.event == "error" or body.get("type") == "error" or faults.is_error(body):
            raise self._error(body)
        return self._event(string(body.get("type")), body)

    def _event(self, kind: str, body: dict[str, Any]) -> Iterator[Event]:
        response = under(body, "response")
        if response:
            yield from self._note(response)
        if kind == "response.failed":
            yield from self._count(response)
            raise self._error(_failure(response))
        if kind in _ENDS:
            self._done = True
            yield from self._end(response)
        else:
            yield from self._piece(kind, _index(body, "output_index"), body)

    def _piece(self, kind: str, index: int, body: dict[str, Any]) -> Iterable[Event]:
        output, piece = self._output, body.get("delta")
        match kind:
            case "response.output_text.delta":
                return output.text(index, piece, body.get("logprobs"))
            case "response.refusal.delta":
                return output.refusal(index, piece)
            case "response.reasoning_summary_text.delta":
                return output.thought(index, ("summary", _index(body, "summary_index")), piece)
            case "response.reasoning_text.delta":
                return output.thought(index, ("content", _index(body, "content_index")), piece)
            case "response.function_call_arguments.delta":
                return output.arguments(index, piece)
            case "response.output_item.added":
                return output.begin(index, under(body, "item"))
            case "response.output_item.done":
                return output.finish(index, under(body, "item"))
        return ()

    # --- buffered -----------------------------------------------------------------------------------------------

    def whole(self, body: Any) -> Iterator[Event]:
        """The events of a whole reply.

        Raises:
            InvalidBody: no reply.
            LLMError: the typed error that the body holds.
        """
        if isinstance(body, dict) and (faults.is_error(body) or body.get("status") == "failed"):
            yield from self._count(body)
            raise self._error(_failure(body))
        if not isinstance(body, dict) or not isinstance(body.get("output"), list):
            raise InvalidBody("the reply has no output", hint=_HINT)
        yield from self._note(body)
        yield from self._end(body)

    # --- both ---------------------------------------------------------------------------------------------------

    def _note(self, response: dict[str, Any]) -> Iterator[Event]:
        """Who answers, once it is known and whenever it changes."""
        named = (string(response.get("id")) or self._known[0], string(response.get("model")) or self._known[1])
        if named != self._known:
            self._known = named
            yield Info(id=named[0] or None, model=named[1] or None, warning=self._warning)
            self._warning = None

    def _end(self, response: dict[str, Any]) -> Iterator[Event]:
        yield from self._output.rest(response.get("output"))
        yield from self._count(response)
        yield self._finish(response)

    def _count(self, response: dict[str, Any]) -> Iterator[Event]:
        if figures := under(response, "usage"):
            counted, warnings = usage.read(figures)
            for text in warnings:
                yield Info(warning=text)
            yield counted

    def _finish(self, response: dict[str, Any]) -> Finish:
        status = string(response.get("status"))
        why = string(under(response, "incomplete_details").get("reason"))
        return Finish(self._reason(status, why), why or status or None)

    def _reason(self, status: str, why: str) -> FinishReason:
        """Our word. That tools are to be called shows in the calls, and a refusal in its part."""
        if status in ("completed", "complete"):
            return "tool_call" if self._output.calls else "refusal" if self._output.refused else "stop"
        return STOPPED.get(why, "other") if why else "pause" if status in WAITING else "other"

    def _error(self, body: dict[str, Any]) -> LLMError:
        return faults.from_body(body, self._secrets, CODES)


def decode(body: bytes, host: str, secrets: Sequence[str] = (), warning: str | None = None) -> Iterator[Event]:
    """The events of a buffered reply.

    Raises:
        InvalidBody, LLMError: as for ``Decoder.whole``.
    """
    return Decoder(host, secrets, warning).whole(parse(body, secrets, hint=_HINT))


def _index(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    return value if type(value) is int and value >= 0 else 0


def _failure(response: dict[str, Any]) -> dict[str, Any]:
    """The part of a failed reply that says why."""
    return {"error": response.get("error") or {"message": "the reply failed, and the host did not say why"}}
