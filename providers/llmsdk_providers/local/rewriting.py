"""One text on its way through an encoder and a decoder: a token a step, until something ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llmsdk.errors import LLMError, ModelFileError
from llmsdk.types import Event, Finish, FinishReason
from llmsdk_providers.local.beams import Beams, Top, Width
from llmsdk_providers.local.detokenizer import Codec, Detokenizer
from llmsdk_providers.local.errand import Errand
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.writer import Writer


@dataclass(frozen=True, slots=True)
class Source:
    """A text as the model reads it, and the ids that its reply begins with."""

    ids: tuple[int, ...]
    first: tuple[int, ...] = ()


class Rewrites(Protocol):
    """What a text has to know of the model."""

    embeddings: int
    """Ids that it can read."""
    start: int
    """The id before every reply."""
    ends: frozenset[int]
    width: Width | None
    """How it searches; ``None`` takes the most probable token of each step."""


class Rewriting(Errand):
    """One text under way."""

    def __init__(
        self,
        source: Source,
        limit: int,
        stop: Sequence[str],
        codec: Codec,
        mailbox: Mailbox[Event | LLMError],
    ) -> None:
        super().__init__(mailbox)
        self.source = source
        self.tokens = 0
        """Tokens of the reply so far, the one that ends it included."""
        self.paths: list[list[int]] = []
        """The ids of the replies that are tried, all of the same length; one where none is searched for."""
        self.limit = limit
        """Tokens that the reply may have."""
        self._writer = Writer(Detokenizer(codec), stop)
        self._beams: Beams | None = None
        self._ends: frozenset[int] = frozenset()

    @property
    def scores(self) -> Sequence[float]:
        """The log-probability of each path."""
        return [0.0] if self._beams is None else self._beams.scores

    def begin(self, model: Rewrites) -> None:
        """Check that the model can read it.

        Raises:
            ModelFileError: the text has ids that the model does not know.
        """
        check_ids(self.source.ids, model.embeddings)
        self._ends = model.ends
        start = [model.start, *self.source.first]
        self.paths = [start]
        if model.width is not None:
            self._beams = Beams(start, self.limit, model.ends, model.width)

    def accept(self, tops: Sequence[Top]) -> list[int]:
        """Go on by one token. ``tops`` is what may follow each path, the best first.

        Returns:
            For each path that goes on the number of the path that it continues; none where the reply has ended.
        """
        if self._beams is None:
            token = tops[0][1][0]
            self.paths[0].append(token)
            self._write(token)
            return [] if self.over else [0]
        parents = self._beams.advance(tops)
        self.paths = self._beams.paths
        if not self._beams.done:
            return parents
        for token in self._beams.reply:
            if not self.over:
                self._write(token)
        return []

    def _write(self, token: int) -> None:
        self.tokens += 1
        if token in self._ends:
            return self._finish("stop", "eos")
        self._out.extend(self._writer.push(token))
        if self._writer.stopped is not None:
            return self._finish("stop", "stop_string")
        if self.tokens >= self.limit:
            return self._finish("length", "max_tokens")
        return None

    def _finish(self, reason: FinishReason, raw_reason: str) -> None:
        self._end(*self._writer.finish(), Finish(reason, raw_reason))


def check_ids(ids: Sequence[int], embeddings: int) -> None:
    """Check that a model can read ``ids``.

    Raises:
        ModelFileError: the tokenizer and the model do not belong together.
    """
    if max(ids) >= embeddings or min(ids) < 0:
        hint = "The folder's tokenizer and weights do not belong together."
        raise ModelFileError(f"token {max(ids)} is beyond the model's {embeddings} embeddings", hint=hint)
