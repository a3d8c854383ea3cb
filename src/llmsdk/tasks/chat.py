"""Conversation, free or bound to a type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmsdk import options
from llmsdk.direct import direct
from llmsdk.errors import InputError, InvalidToolArguments, Refused, SchemaMismatch, brief
from llmsdk.pipeline.line import Line
from llmsdk.reply import Reply
from llmsdk.results import Chat
from llmsdk.tasks import last
from llmsdk.tasks.schema import Schema, faults
from llmsdk.types import Message, Request, ToolCall, ToolResult

if TYPE_CHECKING:
    from llmsdk.functions import Function

AGAIN = "{fault}\nReply again with the whole JSON object, corrected, and with nothing else."
CUT = "The reply was cut off: raise max_tokens."
SAID = "What the model said is in .text."


@direct
@dataclass(frozen=True, slots=True)
class ChatTask:
    """The next turn of one conversation."""

    messages: tuple[Message, ...]
    schema: Schema | None
    """What the reply is bound to."""
    functions: Mapping[str, Function]
    """Python functions that the model may call, by name."""
    steps: int
    """Turns that the model may take."""
    turns: tuple[Message, ...] = ()
    """What calls and their results have added to the conversation."""
    misfit: tuple[Message, ...] = ()
    """A reply that did not fit the schema, and what was wrong with it."""

    def ask(self, line: Line) -> Request:
        messages = (*self.messages, *self.turns, *self.misfit)
        if self.schema is None:
            return line.request(messages)
        rung = line.rung
        if rung in ("json", "asked") or (rung == "tool" and self.misfit):
            messages = self.schema.instruct(messages)
        fields = {} if rung == "asked" else {"schema": self.schema.json, "schema_name": self.schema.name}
        return line.request(messages, **fields)

    def show(self, line: Line) -> None:
        """Everything is part of the reply."""

    def read(self, reply: Reply, line: Line) -> Chat[Any]:
        """The reply; under ``output`` its value too, unless the model asks for tools first.

        Raises:
            Refused: the model declined.
            SchemaMismatch: the reply is no such value.
        """
        choices = reply.choices
        message = choices[0].message if choices else Message("assistant", "")
        return Chat(
            record=line.record(self.route(line), reply),
            text=choices[0].text if choices else "",
            value=parse(reply, self.schema) if self.schema and not message.tool_calls else None,
            message=message,
            messages=(*self.turns, message),
            reasoning=reply.reasoning,
            choices=choices,
            logprobs=choices[0].logprobs if choices else None,
        )

    def route(self, line: Line) -> str:
        if self.schema is None:
            return "chat"
        return f"chat+{line.rung}+again" if self.misfit else f"chat+{line.rung}"

    async def run(self, line: Line) -> Chat[Any]:
        """Ask, and once more where the reply does not fit the schema and could have. A stream is never asked again."""
        question, reply = await last(self, line)
        try:
            return question.read(reply, line)
        except SchemaMismatch as error:
            if not isinstance(question, ChatTask) or not _may_ask_again(reply, line):
                raise
            question = question.corrected(reply, error.message)
        return question.read(await line.ask(question.ask(line)), line)

    def corrected(self, reply: Reply, fault: str) -> ChatTask:
        """The same question with the reply and its fault; a reply without text is no turn that hosts take."""
        said = (reply.choices[0].message,) if reply.text.strip() else ()
        return replace(self, misfit=(*said, Message("user", AGAIN.format(fault=fault))))

    async def follow(self, reply: Reply, line: Line) -> ChatTask | None:
        """The same conversation with the calls of the reply and what they returned, if there are steps left."""
        choices = () if self.steps == 1 else reply.choices
        message = choices[0].message if choices else None
        if message is None or not message.tool_calls:
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


def parse(reply: Reply, schema: Schema) -> Any:
    """The value that a reply spells.

    Raises:
        Refused, SchemaMismatch: it spells none.
    """
    finish = reply.finish.reason if reply.finish else None
    if finish in ("refusal", "content_filter"):
        raise Refused("the model declined to answer", text=reply.text)
    try:
        return schema.read(reply.text)
    except ValueError as error:
        hint = CUT if finish == "length" else SAID
        message = f"the reply does not fit the schema: {faults(error)}"
        raise SchemaMismatch(message, text=reply.text, hint=hint) from None


def _may_ask_again(reply: Reply, line: Line) -> bool:
    """Whether the reply was whole, and the caller allows more than one attempt."""
    return reply.finish is not None and reply.finish.reason in ("stop", "other") and line.settings.retry.attempts > 1


def opening(
    *, system: Any = None, output: Any = None, tools: Sequence[Any] = (), steps: Any = 1, awaits: bool = True
) -> Callable[[Any], ChatTask]:
    """What makes the task of a conversation: the rest, which may serve many, is checked here and once.

    Without ``awaits`` async functions cannot be called.

    Raises:
        InputError: a type without a JSON schema; steps without functions. Later, of the conversation: an empty one, an
            unknown role, text that cannot be sent.
    """
    schema = None if output is None else Schema.of(output)
    functions, steps = _check_steps(tools, steps, awaits)

    def check(conversation: Any) -> ChatTask:
        return ChatTask(options.messages("messages", conversation, system), schema, functions, steps)

    return check


def _check_steps(tools: Sequence[Any], steps: Any, awaits: bool) -> tuple[Mapping[str, Function], int]:
    """The functions to call and how often, which is never without ``steps``."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        hint = "1 is one turn of the model; more let it call functions."
        raise InputError(f"steps={brief(steps)} is no whole number of at least 1", argument="steps", hint=hint)
    if steps == 1:
        return {}, 1
    from llmsdk.functions import functions

    options.checked({"tools": tools})
    found = functions(tools)
    if len(found) < max(1, len(tools)):
        hint = "Pass Python functions in tools=, or leave steps= out and make the calls yourself."
        raise InputError("steps= calls functions, and a tool is none", argument="tools", hint=hint)
    if name := next((name for name, function in found.items() if function.is_async and not awaits), None):
        raise InputError(f"{name}() is async, and Client awaits nothing", argument="tools", hint="Use AsyncClient.")
    return found, steps
