"""Conversation, free or bound to a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmsdk import options
from llmsdk.errors import InputError, InvalidToolArguments, OutputError, Refused, SchemaMismatch
from llmsdk.pipeline.line import Line
from llmsdk.reply import Reply
from llmsdk.results import Chat
from llmsdk.tasks import run
from llmsdk.types import Message, Request, ToolCall, ToolResult

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from llmsdk.functions import Function

AS_JSON = "Reply with a JSON object that satisfies this JSON schema, and with nothing else:\n{schema}"

FAULTS = 3
"""How many of a reply's faults an error tells."""


@dataclass(frozen=True, slots=True)
class ChatTask:
    """The next turn of one conversation."""

    messages: tuple[Message, ...]
    output: Any = None
    functions: Mapping[str, Function] = field(default_factory=dict)
    """Python functions that the model may call, by name."""
    steps: int = 1
    """Turns that the model may take."""
    turns: tuple[Message, ...] = ()
    """What calls and their results have added to the conversation."""

    def ask(self, line: Line) -> Request:
        if self.output is None:
            return line.request((*self.messages, *self.turns))
        schema = _adapter(self.output).json_schema()
        can = line.capabilities.schema
        messages = (*self.messages, *self.turns)
        messages = messages if can == "strict" else instruct(messages, schema)
        name = getattr(self.output, "__name__", "reply")
        fields = {} if can == "none" else {"schema": schema, "schema_name": name}
        return line.request(messages, **fields)

    def show(self, line: Line) -> None:
        """Everything is part of the reply."""

    def read(self, reply: Reply, line: Line) -> Chat[Any]:
        """The reply; under ``output`` its value too.

        Raises:
            Refused: the model declined.
            SchemaMismatch: the reply is no such value.
        """
        choices = reply.choices
        message = choices[0].message if choices else Message("assistant", "")
        bound = self.output is not None
        return Chat(
            record=line.record(f"chat+{_rung(line)}" if bound else "chat", reply),
            text=reply.text,
            value=parse(reply, self.output) if bound else None,
            message=message,
            messages=(*self.turns, message),
            reasoning=reply.reasoning,
            choices=choices,
            logprobs=choices[0].logprobs if choices else None,
        )

    async def run(self, line: Line) -> Chat[Any]:
        result: Chat[Any] = await run(self, line)
        return result

    async def follow(self, reply: Reply, line: Line) -> ChatTask | None:
        """The same conversation with the calls of the reply and what they returned, if there are steps left."""
        message = reply.choices[0].message if reply.choices else None
        if self.steps == 1 or message is None or not message.tool_calls:
            return None
        results = await line.gather([partial(self._called, call, line) for call in message.tool_calls])
        turns = (*self.turns, message, Message("tool", tuple(results)))
        return replace(self, turns=turns, steps=self.steps - 1)

    async def _called(self, call: ToolCall, line: Line) -> ToolResult:
        from llmsdk import functions

        function = self.functions.get(call.name)
        if function is None:
            return functions.unknown(call, self.functions)
        try:
            given = function.arguments(call)
            awaited = function.call(**given) if function.is_async else line.io.run(partial(function.call, **given))
            return ToolResult(call.id, functions.written(await awaited), call.name)
        except (functions.ToolError, InvalidToolArguments) as error:
            return functions.failed(call, error)


def _rung(line: Line) -> str:
    return {"strict": "schema", "json": "json", "none": "asked"}[line.capabilities.schema]


def _adapter(output: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(output)


def instruct(messages: tuple[Message, ...], schema: Mapping[str, Any]) -> tuple[Message, ...]:
    """The conversation with the schema asked for in its system message."""
    from pydantic_core import to_json

    rule = AS_JSON.format(schema=to_json(schema).decode())
    if messages and messages[0].role == "system":
        return Message("system", f"{messages[0].text}\n\n{rule}"), *messages[1:]
    return Message("system", rule), *messages


def parse(reply: Reply, output: Any) -> Any:
    """The value that a reply spells in JSON, in a code fence or not."""
    finish = reply.finish.reason if reply.finish else None
    if finish in ("refusal", "content_filter"):
        raise Refused("the model declined to answer", text=reply.text)
    try:
        return _adapter(output).validate_json(unfenced(reply.text))
    except ValueError as error:
        hint = "The reply was cut off: raise max_tokens." if finish == "length" else "What the model said is in .text."
        raise _mismatch(reply.text, error, hint) from None


def _mismatch(text: str, error: ValueError, hint: str) -> OutputError:
    return SchemaMismatch(f"the reply does not fit the schema: {_faults(error)}", text=text, hint=hint)


def _faults(error: ValueError) -> str:
    """Where a reply does not fit, and why. Not its values: they may be long, and stand in ``.text``."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_url=False, include_input=False, include_context=False)
    faults = [": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in found]
    more = f" (and {len(faults) - FAULTS} more)" if len(faults) > FAULTS else ""
    return "; ".join(faults[:FAULTS]) + more


def unfenced(text: str) -> str:
    """``text`` without a Markdown code fence around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    return text


def check(
    conversation: Any,
    *,
    system: Any = None,
    output: Any = None,
    tools: Sequence[Any] = (),
    steps: Any = 1,
    awaits: bool = True,
) -> ChatTask:
    """The task, from what the caller passed. Without ``awaits`` async functions cannot be called.

    Raises:
        InputError: an empty conversation, an unknown role, text that cannot be sent; steps without functions.
    """
    if output is not None:
        _check_output(output)
    return ChatTask(options.messages("messages", conversation, system), output, *_check_steps(tools, steps, awaits))


def _check_steps(tools: Sequence[Any], steps: Any, awaits: bool) -> tuple[Mapping[str, Function], int]:
    """The functions to call and how often, which is never without ``steps``."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        hint = "1 is one turn of the model; more let it call functions."
        raise InputError(f"steps={steps!r} is no whole number of at least 1", argument="steps", hint=hint)
    if steps == 1:
        return {}, 1
    from llmsdk.functions import functions

    found = functions(tools)
    if len(found) < max(1, len(tools)):
        hint = "Pass Python functions in tools=, or leave steps= out and make the calls yourself."
        raise InputError("steps= calls functions, and a tool is none", argument="tools", hint=hint)
    if name := next((name for name, function in found.items() if function.is_async and not awaits), None):
        raise InputError(f"{name}() is async, and Client awaits nothing", argument="tools", hint="Use AsyncClient.")
    return found, steps


def _check_output(output: Any) -> None:
    from pydantic.errors import PydanticUserError

    try:
        if isinstance(output, str | int | float | Mapping):
            raise TypeError(f"{output!r} is a value")
        _adapter(output).json_schema()
    except (PydanticUserError, TypeError, ValueError) as error:
        hint = "Pass a pydantic model class, a dataclass, or a type such as list[str]."
        what = getattr(error, "message", error)  # pydantic's own, without the address of a page
        raise InputError(f"output is no type with a JSON schema: {what}", argument="output", hint=hint) from None
