"""From the tokens of one sequence to the deltas that its caller gets: stop strings held back, logprobs attached."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from llmsdk.types import TextDelta, TokenLogprob
from llmsdk_providers.local.detokenizer import Detokenizer


class Stops:
    """Finds stop strings in a text that comes in pieces, and holds back what may be the beginning of one.

    The string that is complete first wins, so that the result does not depend on how the text was cut.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """What of the text so far is certain to stand before any stop string."""
        self._held += text
        hits = [(at + len(stop), at, stop) for stop in self._strings if (at := self._held.find(stop)) >= 0]
        if hits:
            _, at, self.found = min(hits)
            certain, self._held = self._held[:at], ""
            return certain
        return self._give(len(self._held) - max((self._overlap(stop) for stop in self._strings), default=0))

    def finish(self) -> str:
        """What was held back, when no more text comes."""
        return self._give(len(self._held))

    def _give(self, size: int) -> str:
        certain, self._held = self._held[:size], self._held[size:]
        return certain

    def _overlap(self, stop: str) -> int:
        """How many characters at the end may be the beginning of ``stop``."""
        longest = min(len(stop) - 1, len(self._held))
        return next((size for size in range(longest, 0, -1) if self._held.endswith(stop[:size])), 0)


class Writer:
    """Takes tokens and gives deltas. ``stopped`` is the stop string that ended the text, if one did."""

    def __init__(self, detokenizer: Detokenizer, stops: Sequence[str], *, index: int = 0) -> None:
        self._detokenizer = detokenizer
        self._stops = Stops(stops)
        self._index = index
        self._length = 0
        self._given = 0
        self._pending: deque[tuple[int, TokenLogprob]] = deque()

    @property
    def stopped(self) -> str | None:
        return self._stops.found

    def push(self, token: int, logprob: TokenLogprob | None = None) -> TextDelta | None:
        """The next delta, or ``None`` while nothing is certain."""
        if logprob is not None:
            self._pending.append((self._length, logprob))
        text = self._detokenizer.push(token)
        self._length += len(text)
        return self._delta(self._stops.push(text), last=False)

    def finish(self) -> TextDelta | None:
        """What was held back, when no more tokens come."""
        if self.stopped is not None:
            return None
        text = self._stops.push(self._detokenizer.finish())
        if self.stopped is None:
            text += self._stops.finish()
        return self._delta(text, last=True)

    def _delta(self, text: str, *, last: bool) -> TextDelta | None:
        """A delta with the logprobs of the tokens that begin in its text or before."""
        self._given += len(text)
        whole = last and self.stopped is None
        logprobs = []
        while self._pending and (whole or self._pending[0][0] < self._given):
            logprobs.append(self._pending.popleft()[1])
        return TextDelta(text, self._index, tuple(logprobs)) if text or logprobs else None
