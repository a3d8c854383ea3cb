"""What some models do without being asked in words, each as an operation that goes down the line like any other.

The request that goes down the line has all text of the task as its input, for the accounts; the provider gets it with
the one that is meant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from llmsdk.io import IO, closing
from llmsdk.pipeline import Invoke
from llmsdk.provider import Answers, Classifies, Translates
from llmsdk.types import Event, Output, Request, Span, TextDelta


def translation(to: str, source: str | None) -> Invoke:
    """Translate the request's text between two languages, as BCP-47 tags."""

    def invoke(provider: Translates, request: Request, io: IO) -> AsyncIterator[Event]:
        return provider.translate(request, to, source, io)

    return invoke


def classification(text: str, labels: Sequence[str], multi: bool) -> Invoke:
    """The probability of each label for a text."""

    def invoke(provider: Classifies, request: Request, io: IO) -> AsyncIterator[Event]:
        return provider.classify(replace(request, input=text), labels, multi, io)

    return invoke


def answer(question: str, documents: Sequence[str]) -> Invoke:
    """Find the answer in the documents. The best passage comes as text too, so that it streams like any reply."""

    async def invoke(provider: Answers, request: Request, io: IO) -> AsyncIterator[Event]:
        async with closing(provider.answer(replace(request, input=question), documents, io)) as events:
            async for event in events:
                yield event
                if isinstance(event, Output) and event.value:
                    best: Span = event.value[0]
                    document: str = documents[best.source]
                    yield TextDelta(document[best.start : best.end])

    return invoke
