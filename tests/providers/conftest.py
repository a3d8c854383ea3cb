"""What the tests of all dialects share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def no_server_stays() -> Iterator[None]:
    """The server of recorded replies is shared by a module's tests, and ends with them."""
    yield
    if (replay := sys.modules.get("servers.replay_server")) is not None:
        replay.close()
