"""Question answering: from documents with verified quotes, or from what the model knows.

A model that is made for it finds the passage that is the answer; any other writes the answer and copies what proves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from llmsdk import options
from llmsdk.errors import InputError
from llmsdk.pipeline import native
from llmsdk.pipeline.line import Line
from llmsdk.provider import Answers
from llmsdk.reply import Reply
from llmsdk.results import Answer, Evidence
from llmsdk.tasks import Show
from llmsdk.types import Message, Request, Span

NOT_FOUND = "NOT FOUND"

PLAIN = "Answer the question briefly."
FROM_DOCUMENTS = f"""\
Answer the question briefly, from the documents only.
Then copy each sentence that proves the answer, word for word, on a line of its own after the number of its document:
[1] sentence
If the documents do not answer the question, reply only: {NOT_FOUND}"""


def prompt(question: str, documents: Sequence[str] = ()) -> tuple[Message, ...]:
    """The conversation that asks one question, of the documents where there are any."""
    if not documents:
        return Message("system", PLAIN), Message("user", question)
    pages = [f"<document {n}>\n{text}\n</document {n}>" for n, text in enumerate(documents, start=1)]
    return Message("system", FROM_DOCUMENTS), Message("user", "\n".join([*pages, f"Question: {question}"]))


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """Answer one question, from ``documents`` where there are any."""

    question: str
    documents: tuple[str, ...] = ()

    def ask(self, line: Line) -> Request:
        if "answer" in line.capabilities.native and line.does(Answers):
            return self._natively(line)
        return line.request(prompt(self.question, self.documents))

    def _natively(self, line: Line) -> Request:
        if self.documents:
            line.natively("answer", native.answer(self.question, self.documents), self.question, *self.documents)
            return line.request("\n".join([self.question, *self.documents]))
        if not line.capabilities.chat:
            raise line.unsupported("answers without context")
        return line.request(prompt(self.question))

    def show(self, line: Line) -> Show | None:
        """From documents only the answer shows, not the protocol around it."""
        return _Shown() if self.documents and line.operation != "answer" else None

    def read(self, reply: Reply, line: Line) -> Answer:
        """The answer, with those of its quotes that really stand in the documents."""
        if line.operation == "answer":
            return self._found(reply, line)
        if not self.documents:
            return Answer(record=line.record(self.route(line), reply), text=reply.text)
        if _is_not_found(reply.text):
            return Answer(record=line.record(self.route(line), reply), text="", answerable=False)
        evidence = []
        for number, quote in _quotes(reply.text):
            found = find(quote, self.documents, number - 1)
            if found is None:
                line.warnings.append(f"a quote does not stand in the documents and was left out: {quote[:80]!r}")
            elif found not in evidence:
                evidence.append(found)
        if not evidence:
            line.warnings.append("no quote proves the answer")
        text = visible(reply.text, whole=True)
        return Answer(record=line.record(self.route(line), reply), text=text, answerable=True, evidence=tuple(evidence))

    def _found(self, reply: Reply, line: Line) -> Answer:
        evidence = tuple(_same(cast("tuple[Span, ...]", reply.output or ()), self.documents))
        text = evidence[0].quote if evidence else ""
        return Answer(
            record=line.record(self.route(line), reply), text=text, answerable=bool(evidence), evidence=evidence
        )

    def route(self, line: Line) -> str:
        if line.operation == "answer":
            return "native"
        return "chat+quotes" if self.documents else "chat"

    async def run(self, line: Line) -> Answer:
        return self.read(await line.ask(self.ask(line)), line)


def check(question: Any, *, context: Any = None) -> AnswerTask:
    """The task, from what the caller passed.

    Raises:
        InputError: an empty question or document.
    """
    documents = () if context is None else (context,) if isinstance(context, str) else _listed(context)
    if context is not None and not documents:
        hint = "Leave context out to ask without documents."
        raise InputError("context is an empty list", argument="context", hint=hint)
    for index, document in enumerate(documents):
        options.text("context" if isinstance(context, str) else f"context[{index}]", document)
    return AnswerTask(options.text("question", question, blank=False), documents)


def _listed(context: Any) -> tuple[Any, ...]:
    if not isinstance(context, Sequence):
        hint = "Pass a str, or a list of str."
        raise InputError(f"context is a {type(context).__name__}", argument="context", hint=hint)
    return tuple(context)


def _same(spans: Sequence[Span], documents: Sequence[str]) -> Iterator[Evidence]:
    """The best passage, and every other that says the same."""
    for span in spans:
        quote = documents[span.source][span.start : span.end]
        best = documents[spans[0].source][spans[0].start : spans[0].end]
        if _core(quote) == _core(best):
            yield Evidence(quote, span.source, span.start, span.end, span.score)


# --- reading the reply ------------------------------------------------------------------------------------------

_QUOTE = re.compile(r"^[ \t]*\[(\d+)\][ \t]*(.*?)[ \t]*$", re.MULTILINE)
_QUOTES_BEGIN = re.compile(r"^[ \t]*\[\d+\]", re.MULTILINE)
_MAY_BEGIN = re.compile(r"(?:^|\n)[ \t]*(?:\[\d*)?\Z")
_MARKS = "\"'“”‘’「」『』«»"
_ALIKE = {mark: f"[{re.escape(group)}]" for group in ('"“”„«»', "'‘’‚`", "-‐‑–—") for mark in group}
"""Characters that a model swaps for one another when it copies."""


def _core(text: str) -> str:
    return text.strip().strip(_MARKS).rstrip(".。!").strip(_MARKS).casefold()


def _is_not_found(text: str) -> bool:
    return _core(text) == NOT_FOUND.casefold()


def _may_be_not_found(text: str) -> bool:
    """Whether a part of a reply may still turn out to be that."""
    return NOT_FOUND.casefold().startswith(_core(text))


def _quotes(text: str) -> list[tuple[int, str]]:
    return [(int(number), quote) for number, quote in _QUOTE.findall(text) if quote]


def visible(text: str, *, whole: bool) -> str:
    """The answer in a reply: what stands before its quotes. A part of a reply shows only what is sure to stay."""
    begin = _QUOTES_BEGIN.search(text)
    if begin is None and not whole:
        begin = _MAY_BEGIN.search(text)
        if _may_be_not_found(text):
            return ""
    answer = text[: begin.start()] if begin else text
    if whole and _is_not_found(text):
        return ""
    if whole and not answer.strip():
        quotes = _quotes(text)
        return quotes[0][1] if quotes else ""
    return answer.strip()


class _Shown:
    """The visible part of a stream, piece by piece."""

    def __init__(self) -> None:
        self._text = ""
        self._shown = 0
        self._closed = False

    def __call__(self, piece: str) -> str:
        self._text += piece
        if self._closed and piece:
            return ""
        self._closed = _QUOTES_BEGIN.search(self._text) is not None
        answer = visible(self._text, whole=not piece)
        shown, self._shown = answer[self._shown :], max(self._shown, len(answer))
        return shown


def find(quote: str, documents: Sequence[str], first: int) -> Evidence | None:
    """Where a quote stands, looking in document ``first`` before the others.

    White space, kinds of quotation marks and dashes, and a full stop at the end may differ; what is returned is the
    document's own text.
    """
    order = [first] if 0 <= first < len(documents) else []
    order += [index for index in range(len(documents)) if index != first]
    for wording in (quote, quote.strip(_MARKS), quote.strip(_MARKS).rstrip(".。…").strip(_MARKS)):
        if not wording:
            continue
        pattern = re.compile(r"\s+".join(_word(word) for word in wording.split()))
        for index in order:
            if match := pattern.search(documents[index]):
                return Evidence(match[0], index, match.start(), match.end())
    return None


def _word(word: str) -> str:
    return "".join(_ALIKE.get(char) or re.escape(char) for char in word)
