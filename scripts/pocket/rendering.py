"""How an example looks: a rendered prompt with the reply to learn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from world import Tongue

from llmsdk.types import Message

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TONGUES: tuple[Tongue, Tongue] = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Example:
    """A rendered prompt and the reply to learn. ``accept`` are all right replies; ``labels`` are what can be scored."""

    task: str
    prompt: str
    reply: str
    accept: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def render(messages: Sequence[Message]) -> str:
    """A conversation as the chat template writes it, up to where the reply begins."""
    turns = "".join(f"<|{message.role}|>{message.text}{END}" for message in messages)
    return f"{BEGIN}{turns}<|assistant|>"
