"""A token that is kept as long as it holds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Lock

from llmsdk_providers.gemini.settings import TokenSource

MARGIN = 240.0
"""Seconds before its end at which a token is renewed: a request may wait that long in a queue."""


class Tokens:
    """A source of tokens for ``llmsdk.wire.token``, which asks its own source only for a fresh one.

    One that does not say when it ends is kept until it is refused.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._lock = Lock()
        self._token: str | None = None
        self._ends: float | None = None

    def __repr__(self) -> str:
        return "Tokens()"

    def __call__(self) -> str:
        """A token that holds. Blocks where the source does; threads that wait for it share what one of them gets."""
        with self._lock:
            token = self.current()
            if token is None:
                token = self._renewed()
            return token

    def current(self) -> str | None:
        """The token that is kept, unless it is about to end."""
        token, ends = self._token, self._ends
        return None if ends is not None and time.time() > ends - MARGIN else token

    def forget(self, token: str) -> None:
        """Keep ``token`` no longer: it was refused. One that is newer stays."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _renewed(self) -> str:
        given = self._source()
        token, ends = given if isinstance(given, tuple) else (given, None)
        self._ends = _seconds(ends)
        self._token = token if isinstance(token, str) and token else None
        return token


def _seconds(ends: datetime | float | None) -> float | None:
    """The end in seconds of the epoch. google-auth's times are UTC and do not say so."""
    if isinstance(ends, datetime):
        return (ends if ends.tzinfo else ends.replace(tzinfo=UTC)).timestamp()
    return ends
