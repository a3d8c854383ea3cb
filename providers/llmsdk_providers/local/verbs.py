"""The verbs of models that were made for one task: requests become works of an engine, what it finds becomes events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from llmsdk.errors import LLMError, Unsupported
from llmsdk.io import IO, closing
from llmsdk.types import Event, Finish, Info, Output, Request, Usage
from llmsdk_providers.local import spans
from llmsdk_providers.local.encoders import Reading, Row
from llmsdk_providers.local.engine import Engine
from llmsdk_providers.local.errand import begun
from llmsdk_providers.local.languages import Framing
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.purpose import entailment, labels
from llmsdk_providers.local.reader import HYPOTHESIS, Reader
from llmsdk_providers.local.rewriting import Rewriting
from llmsdk_providers.local.settings import LocalSettings

if TYPE_CHECKING:
    from torch import Tensor

    from llmsdk_providers.local.models import OpenModel

NATIVE_OPTIONS = frozenset({"max_tokens", "stop"})
"""Of a request for a text that is rewritten."""


class Verbs(ABC):
    """What a provider does with models that were made for one task."""

    settings: LocalSettings

    @abstractmethod
    async def _open(self, name: str, io: IO, verb: str) -> tuple[OpenModel, Engine]:
        """The model, loaded.

        Raises:
            Unsupported: it was not made for ``verb``.
        """

    async def translate(self, request: Request, to: str, source: str | None, io: IO) -> AsyncIterator[Event]:
        """The translation as it is written: a token a step, or whole where the model searches for the best."""
        model, engine = await self._open(request.model, io, "translate")
        reader = model.reader()
        framing = await io.run(partial(reader.framing, to, source))
        async with closing(self._rewrite(request, framing, reader, engine, io)) as events:
            async for event in events:
                yield event

    async def rewrite(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """What the model makes of a raw text, such as a summary."""
        raw = isinstance(request.input, str)
        model, engine = await self._open(request.model, io, "complete" if raw else "chat")
        async with closing(self._rewrite(request, Framing(), model.reader(), engine, io)) as events:
            async for event in events:
                yield event

    async def classify(self, request: Request, labels: Sequence[str], multi: bool, io: IO) -> AsyncIterator[Event]:
        """The probability of each label, or of each class that the model has."""
        model, engine = await self._open(request.model, io, "classify")
        reader = model.reader()
        if reader.purpose.kind == "entailment":
            rows, made = await io.run(partial(_hypotheses, reader, str(request.input), labels, multi))
        else:
            for warning in _unfit(reader, multi):
                yield Info(warning=warning)
            rows = [await io.run(partial(reader.row, str(request.input)))]
            made = partial(_classes, reader, multi)
        async with closing(_read(request.model, engine, rows, made, io)) as events:
            async for event in events:
                yield event

    async def answer(self, request: Request, documents: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Where the answer stands: the best passage of each document that has one, the most probable first."""
        model, engine = await self._open(request.model, io, "answer")
        reader, question = model.reader(), str(request.input)
        windows = await io.run(lambda: [reader.windows(question, document) for document in documents])
        rows = [window.row for group in windows for window in group]
        ends = [0, *accumulate(map(len, windows))]

        def made(found: Sequence[Tensor]) -> tuple[Any, ...]:
            groups = [found[start:end] for start, end in pairwise(ends)]
            each = [
                spans.best(document, source, group, scores) if group else None
                for source, (document, group, scores) in enumerate(zip(documents, windows, groups, strict=True))
            ]
            return tuple(sorted((span for span in each if span is not None), key=lambda span: -(span.score or 0.0)))

        async with closing(_read(request.model, engine, rows, made, io)) as events:
            async for event in events:
                yield event

    async def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """One vector a text, in order."""
        opened, engine = await self._open(model, io, "embed")
        reader = opened.reader()
        assert reader.pooling is not None
        if reader.pooling.warning is not None:
            yield Info(warning=reader.pooling.warning)
        prompt = reader.pooling.prompt
        rows = await io.run(lambda: [reader.row(prompt + text) for text in texts])
        async with closing(_read(model, engine, rows, _vectors, io)) as events:
            async for event in events:
                yield event

    async def _rewrite(
        self, request: Request, framing: Framing, reader: Reader, engine: Engine, io: IO
    ) -> AsyncIterator[Event]:
        if framing.warning is not None:
            yield Info(warning=framing.warning)
        source = await io.run(partial(reader.source, str(request.input), framing))
        wanted, room = request.max_tokens or self.settings.max_tokens, reader.room(source)
        if request.max_tokens is not None and wanted > room:
            yield Info(warning=f"max_tokens = {wanted} was cut to {room}, which is what the model can write")
        mailbox: Mailbox[Event | LLMError] = Mailbox()
        work = Rewriting(source, min(wanted, room), request.stop, reader.codec, mailbox)
        try:
            engine.submit([work])
            begun(io)
            while True:
                for item in await io.wait(mailbox.take()):
                    if isinstance(item, LLMError | Finish):
                        yield Usage(input_tokens=len(source.ids), output_tokens=work.tokens, source="local")
                        yield Info(model=request.model)
                    if isinstance(item, LLMError):
                        raise item
                    yield item
                    if isinstance(item, Finish):
                        return
        finally:
            work.cancelled = True


async def _read(
    model: str, engine: Engine, rows: Sequence[Row], made: Callable[[list[Tensor]], Any], io: IO
) -> AsyncIterator[Event]:
    """The usage of rows, and what was made of them."""
    if not rows:
        yield Output(made([]))
        return
    mailbox: Mailbox[Event | LLMError] = Mailbox()
    work = Reading(rows, made, mailbox)
    try:
        engine.submit([work])
        begun(io)
        for item in await io.wait(mailbox.take()):
            yield Usage(input_tokens=sum(len(row.ids) for row in rows), output_tokens=0, source="local")
            if isinstance(item, LLMError):
                raise item
            yield item
    finally:
        work.cancelled = True
    yield Info(model=model)


# --- what is made of the outputs ----------------------------------------------------------------------------------


def _unfit(reader: Reader, multi: bool) -> list[str]:
    """What to say of a question that the model's head is not trained for.

    Raises:
        Unsupported: its outputs are no probabilities at all.
    """
    trained = reader.folder.config.get("problem_type")
    if trained == "regression":
        hint = "Its outputs are figures, not probabilities of labels."
        raise Unsupported("the model was made for regression", capability="classify", hint=hint)
    if multi and trained != "multi_label_classification" and len(labels(reader.folder)) > 1:
        return ["the model was trained to choose one label: its probabilities add up to 1, with multi=True too"]
    return []


def _classes(reader: Reader, multi: bool, found: Sequence[Tensor]) -> dict[str, float]:
    """Each class with its probability. A head that judges each by itself gives, as a choice, what a softmax does."""
    names = labels(reader.folder)
    alone = len(names) == 1 or (multi and reader.folder.config.get("problem_type") == "multi_label_classification")
    shares = found[0].sigmoid() if alone else found[0].softmax(-1)
    return dict(zip(names, shares.tolist(), strict=True))


def _hypotheses(
    reader: Reader, text: str, wanted: Sequence[str], multi: bool
) -> tuple[list[Row], Callable[[Sequence[Tensor]], dict[str, float]]]:
    """Whether a sentence about each label follows from the text."""
    outputs = entailment(reader.folder)
    assert outputs is not None
    yes, no = outputs

    def made(found: Sequence[Tensor]) -> dict[str, float]:
        import torch

        scores = torch.stack(list(found))
        shares = scores[:, [no, yes]].softmax(-1)[:, 1] if multi else scores[:, yes].softmax(-1)
        return dict(zip(wanted, shares.tolist(), strict=True))

    return [reader.row(text, HYPOTHESIS.format(label)) for label in wanted], made


def _vectors(found: Sequence[Tensor]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(vector.tolist()) for vector in found)
