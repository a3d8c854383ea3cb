"""Classification: three ways to ask, by what the provider can tell of its probabilities.

- ``pick`` asks for one label by name; a provider that scores candidates is given every label to score.
- ``pick_letter`` asks for one letter, so that every label is one token apart in the first token's logprobs.
- ``state`` asks the model to state the probabilities itself, in JSON.

With several labels at once (``multi``) each label is a question of its own with the answer yes or no (``fits``).
"""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase

from llmsdk.types import Message

LETTERS = ascii_uppercase
YES, NO = "yes", "no"


def pick(text: str, labels: Mapping[str, str]) -> tuple[Message, ...]:
    """Ask for one label by name. ``labels`` maps each label to its description, which may be empty."""
    rule = "Which label fits the text? Reply with one label only."
    return Message("system", "\n".join([rule, "Labels:", *_bullets(labels)])), Message("user", text)


def pick_letter(text: str, labels: Mapping[str, str]) -> tuple[Message, ...]:
    """Ask for one label by its letter, ``A`` for the first."""
    rule = "Which label fits the text? Reply with its letter only."
    lines = [f"{letter}. {_described(*item)}" for letter, item in zip(LETTERS, labels.items(), strict=False)]
    return Message("system", "\n".join([rule, *lines])), Message("user", text)


def fits(text: str, label: str, description: str = "") -> tuple[Message, ...]:
    """Ask whether one label fits, whatever the others do."""
    rule = f"Does the label fit the text? Reply with {YES} or {NO} only."
    return Message("system", f"{rule}\nLabel: {_described(label, description)}"), Message("user", text)


def state(text: str, labels: Mapping[str, str], multi: bool = False) -> tuple[Message, ...]:
    """Ask for the probability of every label, as JSON."""
    sums = "each between 0 and 1, independent of the others" if multi else "adding up to 1"
    rule = f"How probable is it that each label fits the text? Reply with a JSON object from label to probability, {sums}."
    return Message("system", "\n".join([rule, "Labels:", *_bullets(labels)])), Message("user", text)


def _bullets(labels: Mapping[str, str]) -> list[str]:
    return [f"- {_described(*item)}" for item in labels.items()]


def _described(label: str, description: str) -> str:
    return f"{label}: {description}" if description else label
