"""Translation: what to ask, and how to read the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmsdk import options
from llmsdk.errors import InputError, brief
from llmsdk.options import Formality
from llmsdk.pipeline import native
from llmsdk.pipeline.line import Line
from llmsdk.provider import Translates
from llmsdk.reply import Reply
from llmsdk.results import Translation
from llmsdk.tasks.languages import Language, language
from llmsdk.types import Message, Request


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


@dataclass(frozen=True, slots=True)
class Translate:
    """Translate one text."""

    text: str
    to: Language
    source: Language | None = None
    glossary: Mapping[str, str] | None = None
    formality: Formality | None = None

    def ask(self, line: Line) -> Request:
        if "translate" in line.capabilities.native and line.does(Translates):
            return self._natively(line)
        return line.request(prompt(self.text, self.to, self.source, self.glossary, self.formality))

    def _natively(self, line: Line) -> Request:
        for name in ("glossary", "formality"):
            if getattr(self, name):
                line.leave_out(name)
        source = self.source.tag if self.source else None
        line.natively("translate", native.translation(self.to.tag, source), self.to.tag, source)
        return line.request(self.text)

    def show(self, line: Line) -> None:
        """Everything is part of the translation."""

    def read(self, reply: Reply, line: Line) -> Translation:
        """The translation. A glossary term that is missing from it is warned of."""
        for term, translation in (self.glossary or {}).items():
            if term in self.text and translation not in reply.text:
                line.warnings.append(f"the glossary gives {translation!r} for {term!r}, but the translation lacks it")
        return Translation(
            record=line.record(self.route(line), reply),
            text=reply.text,
            to=self.to.tag,
            source=self.source.tag if self.source else None,
        )

    def route(self, line: Line) -> str:
        return "native" if line.operation == "translate" else "chat"

    async def run(self, line: Line) -> Translation:
        return self.read(await line.ask(self.ask(line)), line)


def check(text: Any, *, to: Any, source: Any = None, glossary: Any = None, formality: Any = None) -> Translate:
    """The task, from what the caller passed.

    Raises:
        InputError: an unknown language, the same language twice, an empty text.
    """
    target, origin = language(to, "to"), language(source, "source") if source is not None else None
    if origin == target:
        hint = "Leave source out, or name another."
        raise InputError(f"to and source are both {target.tag!r}", argument="source", hint=hint)
    if formality not in (None, "formal", "informal"):
        hint = 'Pass "formal" or "informal".'
        raise InputError(f"formality={brief(formality)} is not known", argument="formality", hint=hint)
    if glossary is not None and not isinstance(glossary, Mapping):
        hint = 'Pass a mapping: {"term": "translation"}.'
        raise InputError("glossary is not a mapping", argument="glossary", hint=hint)
    for term, translation in (glossary or {}).items():
        options.text("glossary", term)
        options.text("glossary", translation)
    return Translate(
        options.text("text", text, blank=False), target, origin, dict(glossary) if glossary else None, formality
    )
