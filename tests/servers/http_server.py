"""The server of ``llmsdk.testing`` under the names that the servers here use, and a short form for one-off faults."""

from __future__ import annotations

from typing import Any

from llmsdk.testing import server
from llmsdk.testing.faults import Fault
from llmsdk.testing.faults import HTTPAnswer as Answer
from llmsdk.testing.server import Received as Recorded
from llmsdk.testing.server import events


class HTTPServer(server.HTTPServer):
    def script(self, **how: Any) -> None:
        """Answer the next request (the next ``times``) in a special way; see ``Fault``."""
        self.inject(Fault(**how))


__all__ = ["Answer", "HTTPServer", "Recorded", "events"]
