"""The host of a case: it answers with what the case says, as the case says."""

from __future__ import annotations

from collections.abc import Callable

from llmsdk.testing.faults import HTTPAnswer
from llmsdk.testing.server import HTTPServer, Received

PATIENCE = 10.0
"""Seconds after which what should have happened is taken not to happen."""


class Server(HTTPServer):
    """Answers with what ``answer`` gives. A context manager that leaves no thread and no socket behind."""

    def __init__(self, answer: Callable[[Received], HTTPAnswer]) -> None:
        super().__init__()
        self.answer: Callable[[Received], HTTPAnswer] = answer
        self.fault: Exception | None = None
        """What ``answer`` raised."""

    def handle(self, request: Received) -> HTTPAnswer:
        """The answer to a request; a fault of whoever makes it is kept, and answered with a status of its own."""
        try:
            return self.answer(request)
        except Exception as fault:  # noqa: BLE001 - kept for the case, which raises it
            self.fault = fault
            return HTTPAnswer(500, b"the backend failed")

    def left(self, within: float) -> bool:
        """Whether the client leaves, in time, a reply that is held."""
        return self.wait(lambda: any(request.aborted for request in self.requests), within)


__all__ = ["PATIENCE", "Server"]
