"""Translation: what to ask, and how to read the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from llmsdk.tasks.languages import Language
from llmsdk.types import Message

Formality = Literal["formal", "informal"]


def prompt(
    text: str,
    to: Language,
    source: Language | None = None,
    glossary: Mapping[str, str] | None = None,
    formality: Formality | None = None,
) -> tuple[Message, ...]:
    """The conversation that asks for one translation."""
    origin = f"from {source.name} " if source else ""
    rules = [f"Translate the text {origin}to {to.name}. Reply with the translation only."]
    if formality:
        rules.append(f"Use {formality} language.")
    if glossary:
        rules.append("Translate these terms as given:")
        rules += [f"- {term} = {translation}" for term, translation in glossary.items()]
    return Message("system", "\n".join(rules)), Message("user", text)
