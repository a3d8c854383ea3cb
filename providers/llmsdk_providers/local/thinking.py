"""What a model thinks before it answers: the marks around it, and telling it apart from the answer.

There is no list of models. The marks are a pair of tags whose name says what they are for, such as ``<think>`` and
``</think>``, in the chat template or among the tokenizer's own tokens; the switch is a variable of the template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from llmsdk.types import Message, Reasoning
from llmsdk_providers.local.grammar import Rules

STATE = "local.thinking"
"""What says of a part of a message that a model thought it here."""
GAP = 4
"""White space between thoughts and an answer that is held to a grammar, in characters."""
_TAG = re.compile(
    r"<[^<>{}\s]*(?:think|thought|reason)[^<>{}\s]*>|\[[^\[\]{}\s]*(?:think|thought|reason)[^\[\]{}\s]*\]", re.I
)
_BEGIN = re.compile("start|begin", re.I)
_SWITCH = re.compile(r"\{[{%][^{}%]*?(?<![\w.'\"])(enable_thinking|thinking)(?![\w'\"])")
"""A variable in an expression or a statement, not in a text or of a message."""


def switch(template: str) -> str | None:
    """The variable by which a chat template may let the model think, or not. Whether it does shows when it is set."""
    found = _SWITCH.search(template)
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands before and behind thoughts."""

    begin: str
    end: str

    def opened(self, prompt: str) -> bool:
        """Whether a prompt ends where the model is to think."""
        return prompt.rstrip().endswith(self.begin)

    def unopened(self, prompt: str) -> str:
        """A prompt without thoughts of nothing at its end, which may have just begun."""
        begin, end = re.escape(self.begin), re.escape(self.end)
        return re.sub(rf"{begin}\s*({end}\s*)?$", "", prompt)


def marks(template: str, tokens: Iterable[str]) -> Marks | None:
    """The first pair of marks in a chat template, else among a tokenizer's own tokens."""
    for text in (template, "\n".join(tokens)):
        tags = dict.fromkeys(_TAG.findall(text))
        for begin in tags:
            ends = [begin[0] + "/" + begin[1:], _BEGIN.sub("end", begin), _BEGIN.sub("END", begin)]
            if (end := next((end for end in ends if end in tags and end != begin), None)) is not None:
                return Marks(begin, end)
    return None


@dataclass(frozen=True, slots=True)
class Thinking:
    """How one reply begins: with thoughts, or maybe with some."""

    marks: Marks
    opened: bool
    """The prompt ends with the mark that begins them."""

    def before(self, rules: Rules) -> Rules:
        """The grammar of thoughts and then what ``rules`` say."""
        end = re.escape(self.marks.end).replace("/", r"\/")
        lines = [
            "thought gap answer" if self.opened else "(begin thought gap)? answer",
            f"begin: {json.dumps(self.marks.begin)}",
            f"thought[lazy]: /(?s:.*){end}/",
            f"gap: /\\s{{0,{GAP}}}/",
            f"answer: {rules.body}",
        ]
        return Rules("\n".join(lines), rules.left_out)


def of(message: Message) -> str:
    """What a model thought here for a message."""
    thoughts = [part for part in message.parts if isinstance(part, Reasoning)]
    return "".join(
        part.text for part in thoughts if isinstance(part.provider_state, Mapping) and STATE in part.provider_state
    )


class Thoughts:
    """Tells the thoughts at the beginning of one reply from its text, as both come. White space around both goes."""

    def __init__(self, thinking: Thinking | None) -> None:
        self._marks = thinking.marks if thinking is not None else Marks("", "")
        self._at: Literal["begin", "thought", "gap", "answer"] = "answer"
        if thinking is not None:
            self._at = "thought" if thinking.opened else "begin"
        self._held = ""
        self._silent = True
        """Nothing has been thought yet."""

    @property
    def inside(self) -> bool:
        """The answer has not begun, and what comes does not belong to it."""
        return self._at in ("thought", "gap")

    @property
    def waiting(self) -> int:
        """Characters that are held back and may yet belong to the answer."""
        return len(self._held) if self._at == "begin" else 0

    def push(self, text: str) -> tuple[str, str]:
        """What is certain now of the thoughts, and of the answer."""
        if self._at == "answer":
            return "", text
        self._held += text
        if self._at == "begin":
            self._begin()
        thought = self._think() if self._at == "thought" else ""
        if self._at == "gap":
            self._held = self._held.lstrip()
            self._at = "answer" if self._held else "gap"
        return thought, self._take(len(self._held)) if self._at == "answer" else ""

    def finish(self) -> tuple[str, str]:
        """What was held back, when no more text comes."""
        rest = self._take(len(self._held))
        return (rest.rstrip(), "") if self.inside else ("", rest)

    def _begin(self) -> None:
        rest, begin = self._held.lstrip(), self._marks.begin
        if rest.startswith(begin):
            self._held, self._at = rest[len(begin) :], "thought"
        elif not begin.startswith(rest):
            self._at = "answer"

    def _think(self) -> str:
        if self._silent:
            self._held = self._held.lstrip()
        end = self._marks.end
        at = self._held.find(end)
        if at < 0:
            held = next((n for n in range(len(end) - 1, 0, -1) if self._held.endswith(end[:n])), 0)
            thought = self._take(len(self._held[: len(self._held) - held].rstrip()))
        else:
            thought = self._take(at).rstrip()
            self._held, self._at = self._held[len(end) :], "gap"
        self._silent = self._silent and not thought
        return thought

    def _take(self, size: int) -> str:
        taken, self._held = self._held[:size], self._held[size:]
        return taken


__all__ = ["STATE", "Marks", "Thinking", "Thoughts", "marks", "of", "switch"]
