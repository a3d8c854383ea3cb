"""Calls of tools in the text of a model: how its chat template writes one, and reading those that the model writes.

There is no common form, but nearly every template writes a JSON object with a name and arguments, between two texts of
its own. So one call is put through the template, and what it looks like there is what is looked for in replies. A reply
that must call a tool is held to that form.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from llmsdk.types import Event, Finish, Info, Message, TextDelta, Tool, ToolCallDelta, ToolResult
from llmsdk.wire.calls import arguments
from llmsdk_providers.local import thinking
from llmsdk_providers.local.grammar import Rules, composed, translated

PROBE = "call_me"
PROBE_ARGUMENTS = {"first": "one"}
ID_SIZE = 9
"""Characters of a call's id. Mistral's templates take no other."""
BETWEEN = " \t\r\n;,"
"""What may stand between two calls."""
THOUGHTS = "reasoning_content"
"""Where chat templates look for what was thought in an earlier turn, if they do."""
_ID = re.compile(rf"[A-Za-z0-9]{{{ID_SIZE}}}")
_DECODER = json.JSONDecoder()


# --- conversations --------------------------------------------------------------------------------------------------


def turns(messages: Iterable[Message], *, thoughts: bool = False) -> Iterator[dict[str, Any]]:
    """Messages as chat templates know them; each result of a tool is a turn.

    What was thought here goes along if ``thoughts``: the template says in which turns it is shown.
    """
    names: dict[str, str] = {}
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            name = result.name or names.get(result.id, "")
            yield {"role": "tool", "name": name, "tool_call_id": _template_id(result.id), "content": result.content}
        thought = {THOUGHTS: text} if thoughts and (text := thinking.of(message)) else {}
        if message.tool_calls:
            yield {"role": message.role, "content": message.text, **thought, "tool_calls": _calls(message)}
        elif not results:
            yield {"role": message.role, "content": message.text, **thought}


def _calls(message: Message) -> list[dict[str, Any]]:
    return [_call(call.name, arguments(call), _template_id(call.id)) for call in message.tool_calls]


def _call(name: str, arguments: Mapping[str, Any], ident: str) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def _template_id(ident: str) -> str:
    """The id of a call, of another provider maybe, in the form that templates take."""
    return ident if _ID.fullmatch(ident) else sha256(ident.encode("utf-8", "surrogatepass")).hexdigest()[:ID_SIZE]


def probe() -> dict[str, Any]:
    """A turn that calls one tool."""
    return {"role": "assistant", "content": "", "tool_calls": [_call(PROBE, PROBE_ARGUMENTS, "a" * ID_SIZE)]}


def described(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Tools as chat templates know them."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]


# --- the form -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallForm:
    """How a model writes a call: an object of two keys, between two texts."""

    before: str
    """Empty where a reply that calls begins with the object. Control tokens do not count: replies do not show them."""
    after: str
    name: str
    arguments: str
    listed: bool
    """The object stands in a list, which may hold several."""

    def read(self, value: Any) -> list[tuple[str, str]] | None:
        """Names and arguments of the calls that a JSON value is; ``None`` if it is something else."""
        found = [self._one(item) for item in (value if isinstance(value, list) else [value])]
        calls = [call for call in found if call is not None]
        return calls if calls and len(calls) == len(found) else None

    def _one(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, dict) or not isinstance(value.get(self.name), str) or not value[self.name]:
            return None
        given = value.get(self.arguments, {})
        if isinstance(given, str):  # some models write the arguments as a text that is JSON
            return value[self.name], given
        return (value[self.name], json.dumps(given, ensure_ascii=False)) if isinstance(given, dict) else None


def learned(text: str, unseen: Iterable[str]) -> CallForm | None:
    """The form of the call that ``probe`` has become, between the parts of ``text`` that belong to no call.

    ``unseen`` are the control tokens, which no reply shows. ``None`` for a form that is no JSON.
    """
    at = text.find(PROBE)
    starts = [found.start() for found in re.finditer(r"\{", text[: max(at, 0)])]
    for start in reversed(starts):
        value, end = _decoded(text, start)
        if isinstance(value, dict) and end > at and PROBE_ARGUMENTS in value.values():
            break
    else:
        return None
    keys = {item if isinstance(item, str) else "": key for key, item in value.items()}
    arguments = next(key for key, item in value.items() if item == PROBE_ARGUMENTS)
    before, after = text[:start], text[end:]
    listed = before.rstrip().endswith("[") and after.lstrip().startswith("]")
    if listed:
        before, after = before.rstrip()[:-1], after.lstrip()[1:]
    if PROBE not in keys:
        return None
    return CallForm(_seen(before, unseen), _seen(after, unseen), keys[PROBE], arguments, listed)


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at ``start``, and where it ends; ``None`` and -1 if none does."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, -1


def _seen(text: str, unseen: Iterable[str]) -> str:
    for token in unseen:
        text = text.replace(token, "")
    return text.strip()


# --- replies --------------------------------------------------------------------------------------------------------


def held(form: CallForm, tools: Sequence[Tool], choice: str | None, reply: Rules | None) -> Rules | None:
    """The grammar of a reply that has to call a tool, or that has to be a call or else what ``reply`` says.

    Raises:
        InputError: the parameters of a tool are no schema.
        Unsupported: they have a pattern that no grammar expresses.
    """
    forced = choice not in (None, "auto")
    if not forced and reply is None:
        return None
    allowed = [tool for tool in tools if choice in (None, "auto", "required", tool.name)]
    return composed(
        form.before,
        [(_opening(form, tool), translated(tool.parameters or {"type": "object"}, "tools")) for tool in allowed],
        "}" + ("]" if form.listed else "") + form.after,
        None if forced else reply,
    )


def _opening(form: CallForm, tool: Tool) -> str:
    whole = json.dumps({form.name: tool.name, form.arguments: 0}, ensure_ascii=False)
    return ("[" if form.listed else "") + whole[: -len("0}")]


async def told_apart(events: AsyncIterator[Event], form: CallForm) -> AsyncIterator[Event]:
    """The events of replies with the calls told apart from the text."""
    readers: dict[int, Calls] = {}
    async for event in events:
        if isinstance(event, TextDelta | Finish):
            reader = readers.setdefault(event.index, Calls(form, event.index))
            for found in reader.read(event):
                yield found
        else:
            yield event


class Calls:
    """Tells the calls in one reply from its text, as both come. What looks like a call and is none stays text."""

    def __init__(self, form: CallForm, index: int) -> None:
        self._form = form
        self._index = index
        self._held = ""
        self._found = 0
        self._open = False
        """What is held follows the beginning of a call."""
        self._closing = False
        """What is held follows a call, and may begin with the text behind it."""
        self._fresh = True
        """Nothing has come, or nothing since the last call."""

    def read(self, event: TextDelta | Finish) -> Iterator[Event]:
        """The events in the place of ``event``."""
        if isinstance(event, TextDelta):
            yield from self._shown(list(self._push(event.text, last=False)), event)
            return
        yield from self._shown(list(self._push("", last=True)), TextDelta("", self._index))
        yield replace(event, reason="tool_call") if self._found and event.reason == "stop" else event

    def _shown(self, found: list[str | ToolCallDelta | Info], event: TextDelta) -> Iterator[Event]:
        """Text goes out as one delta, which keeps what is known of the tokens."""
        text = "".join(part for part in found if isinstance(part, str))
        if text or event.logprobs:
            yield replace(event, text=text)
        yield from (part for part in found if not isinstance(part, str))

    def _push(self, text: str, *, last: bool) -> Iterator[str | ToolCallDelta | Info]:
        self._held += text
        while self._held or last:
            before = self._held, self._open, self._closing
            if self._closing:
                self._close(last)
            elif self._open:
                yield from self._call(text, last)
            else:
                yield self._plain(last)
            if (self._held, self._open, self._closing) == before:
                return

    def _close(self, last: bool) -> None:
        """Take away the text behind a call, if it is there."""
        rest, after = self._held.lstrip(), self._form.after
        if rest.startswith(after):
            self._held, self._closing = rest[len(after) :], False
        elif last or not after.startswith(rest):
            self._closing = False

    def _plain(self, last: bool) -> str:
        """The text up to where a call begins, or may begin."""
        if self._fresh and self._found:
            self._held = self._held.lstrip(BETWEEN)
        return self._spaced(last) if self._form.before else self._bare(last)

    def _bare(self, last: bool) -> str:
        """A call is the first that comes, or the first behind another."""
        begin = self._held.lstrip()[:1]
        if self._fresh and not begin and not last:
            return ""
        self._open = self._fresh and begin in ("{", "[") and begin != ""
        return "" if self._open else self._take(len(self._held))

    def _spaced(self, last: bool) -> str:
        """A call is what follows a text that comes before calls."""
        before = self._form.before
        at = self._held.find(before)
        if at >= 0:
            shown = self._take(at)
            self._held, self._open = self._held[len(before) :], True
            return shown
        size = 0 if last else next((n for n in range(len(before) - 1, 0, -1) if self._held.endswith(before[:n])), 0)
        return self._take(len(self._held) - size)

    def _take(self, size: int) -> str:
        shown, self._held = self._held[:size], self._held[size:]
        self._fresh = self._fresh and not shown.strip()
        return shown

    def _call(self, new: str, last: bool) -> Iterator[str | ToolCallDelta | Info]:
        if not last and not any(end in new for end in "}]"):
            return  # no object has ended
        start = len(self._held) - len(self._held.lstrip())
        value, end = _decoded(self._held, start)
        calls = None if end < 0 else self._form.read(value)
        if calls is not None:
            self._held, self._open, self._closing, self._fresh = self._held[end:], False, True, True
            for name, arguments in calls:
                yield ToolCallDelta(self._found, secrets.token_hex(ID_SIZE)[:ID_SIZE], name, arguments, self._index)
                self._found += 1
        elif end >= 0 or last:
            self._open = False
            yield self._form.before + self._take(len(self._held))
            if last and self._form.before:
                yield Info(warning="the reply has the beginning of a tool call that is none; it was left in the text")


__all__ = ["PROBE", "THOUGHTS", "CallForm", "Calls", "described", "held", "learned", "probe", "told_apart", "turns"]
