"""Completion: raw where the provider continues text, asked for in a conversation where it only chats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmsdk import options
from llmsdk.pipeline.line import Line
from llmsdk.reply import Reply
from llmsdk.results import Completion
from llmsdk.tasks import Show
from llmsdk.types import Message, Request

CONTINUE = "Continue the text. Reply with the continuation only; do not repeat the text."
FILL_IN = "Write the text that is missing between the two parts. Reply with the missing text only."


def prompt(text: str, suffix: str | None = None) -> tuple[Message, ...]:
    """The conversation that asks for a completion, for a provider that only chats."""
    if suffix is None:
        return Message("system", CONTINUE), Message("user", text)
    return Message("system", FILL_IN), Message("user", f"<before>\n{text}\n</before>\n<after>\n{suffix}\n</after>")


@dataclass(frozen=True, slots=True)
class Complete:
    """Continue one prompt, or fill in between it and ``suffix``."""

    text: str
    suffix: str | None = None
    echo: bool = False

    def ask(self, line: Line) -> Request:
        if _is_raw(line, self.suffix):
            return line.request(self.text, suffix=self.suffix)
        if not line.capabilities.chat:
            raise line.unsupported("suffix" if line.capabilities.complete else "chat")
        return line.request(prompt(self.text, self.suffix))

    def show(self, line: Line) -> Show | None:
        """With ``echo`` the prompt comes first."""
        return _Echo(self.text) if self.echo else None

    def read(self, reply: Reply, line: Line) -> Completion:
        before, choices = self.text if self.echo else "", reply.choices
        if before:
            choices = tuple(replace(choice, text=before + choice.text) for choice in choices)
        return Completion(
            record=line.record(self.route(line), reply),
            text=choices[0].text if choices else before,
            choices=choices,
            logprobs=choices[0].logprobs if choices else None,
        )

    def route(self, line: Line) -> str:
        return "complete" if _is_raw(line, self.suffix) else "chat"

    async def run(self, line: Line) -> Completion:
        return self.read(await line.ask(self.ask(line)), line)


def _is_raw(line: Line, suffix: str | None) -> bool:
    can = line.capabilities
    return can.complete and (suffix is None or can.suffix)


class _Echo:
    """Shows the prompt before the first piece."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, piece: str) -> str:
        shown, self._text = self._text + piece, ""
        return shown


def check(text: Any, *, suffix: Any = None, echo: bool = False) -> Complete:
    """The task, from what the caller passed.

    Raises:
        InputError: an empty prompt, or text that cannot be sent.
    """
    return Complete(
        options.text("prompt", text), None if suffix is None else options.text("suffix", suffix, empty=True), echo
    )
