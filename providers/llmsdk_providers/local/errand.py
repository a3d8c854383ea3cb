"""What every request of a model that was made for one task has: an end that is told exactly once."""

from __future__ import annotations

from llmsdk.errors import LLMError
from llmsdk.io import IO
from llmsdk.types import Event, Finish
from llmsdk_providers.local.mailbox import Mailbox


def begun(io: IO) -> None:
    """Something is with an engine: from here on tokens may have been computed, whatever becomes of it."""
    if io.clock is not None:
        io.clock.sent = True


class Errand:
    """Something under way in an engine. Only ``cancelled`` may be set from another thread than the engine's."""

    def __init__(self, mailbox: Mailbox[Event | LLMError]) -> None:
        self.cancelled = self.over = False
        self._mailbox = mailbox
        self._out: list[Event | LLMError] = []

    def fail(self, error: LLMError) -> None:
        """End with an error, unless it has ended."""
        self._end(error)

    def drop(self) -> None:
        """End because nobody wants it any more."""
        self._end(Finish("other", "cancelled"))

    def deliver(self) -> None:
        """Give the caller what the step brought."""
        if self._out:
            out, self._out = self._out, []
            self._mailbox.put(*out)

    def _end(self, *deliveries: Event | LLMError) -> None:
        if not self.over:
            self.over = True
            self._out.extend(deliveries)
