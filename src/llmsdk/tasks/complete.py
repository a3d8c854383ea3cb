"""Completion: raw where the provider continues text, asked for in a conversation where it only chats."""

from __future__ import annotations

from llmsdk.types import Message

CONTINUE = "Continue the text. Reply with the continuation only; do not repeat the text."
FILL_IN = "Write the text that is missing between the two parts. Reply with the missing text only."


def prompt(text: str, suffix: str | None = None) -> tuple[Message, ...]:
    """The conversation that asks for a completion, for a provider that only chats."""
    if suffix is None:
        return Message("system", CONTINUE), Message("user", text)
    return Message("system", FILL_IN), Message("user", f"<before>\n{text}\n</before>\n<after>\n{suffix}\n</after>")
