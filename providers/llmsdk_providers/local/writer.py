"""From the tokens of one sequence to the deltas that its caller gets: thoughts told apart, stop strings held back,
logprobs attached."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from llmsdk.types import ReasoningDelta, TextDelta, TokenLogprob
from llmsdk_providers.local.detokenizer import Detokenizer
from llmsdk_providers.local.thinking import STATE, Thinking, Thoughts

Delta = TextDelta | ReasoningDelta


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
    """Takes tokens and gives deltas. Stop strings and logprobs are of the answer, not of what was thought before."""

    def __init__(
        self, detokenizer: Detokenizer, stops: Sequence[str], *, thinking: Thinking | None = None, index: int = 0
    ) -> None:
        self.thoughtful = 0
        """Tokens of thoughts, with the marks around them."""
        self._detokenizer = detokenizer
        self._thoughts = Thoughts(thinking)
        self._stops = Stops(stops)
        self._index = index
        self._tokens = 0
        self._length = 0
        self._given = 0
        self._pending: deque[tuple[int, TokenLogprob]] = deque()

    @property
    def stopped(self) -> str | None:
        """The stop string that ended the text, if one did."""
        return self._stops.found

    @property
    def thinking(self) -> bool:
        """The answer has not begun."""
        return self._thoughts.inside

    def push(self, token: int, logprob: TokenLogprob | None = None) -> list[Delta]:
        """The next deltas; none while nothing is certain."""
        if logprob is not None:
            self._pending.append((self._length + self._thoughts.waiting, logprob))
        self._tokens += 1
        thought, answer = self._thoughts.push(self._detokenizer.push(token))
        if self._thoughts.inside:
            self.thoughtful = self._tokens
            self._pending.clear()
        self._length += len(answer)
        return self._deltas(thought, self._stops.push(answer))

    def finish(self) -> list[Delta]:
        """What was held back, when no more tokens come."""
        if self.stopped is not None:
            return []
        thought, answer = self._thoughts.push(self._detokenizer.finish())
        held_thought, held_answer = self._thoughts.finish()
        text = self._stops.push(answer + held_answer)
        if self.stopped is None:
            text += self._stops.finish()
        return self._deltas(thought + held_thought, text, last=self.stopped is None)

    def _deltas(self, thought: str, text: str, *, last: bool = False) -> list[Delta]:
        """Deltas, that of the text with the logprobs of the tokens that begin in it or before."""
        found: list[Delta] = [ReasoningDelta(thought, self._index, {STATE: True})] if thought else []
        self._given += len(text)
        logprobs = []
        while self._pending and (last or self._pending[0][0] < self._given):
            logprobs.append(self._pending.popleft()[1])
        if text or logprobs:
            found.append(TextDelta(text, self._index, tuple(logprobs)))
        return found
