"""The logs of HTTP libraries without secrets: it tells the headers of replies, and a peer may echo a key there."""

from __future__ import annotations

import logging

from llmsdk.io.redact import redact

_LOGGERS = tuple(
    logging.getLogger(name)
    for name in (
        "httpcore2.connection",
        "httpcore2.http11",
        "httpcore2.http2",
        "httpcore2.proxy",
        "httpcore2.socks",
        "hpack.hpack",
        "hpack.table",
        *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),  # a client of the user's
        "httpx",
        "httpx2",
    )
)
_seen: set[str] = set()


class _Hush(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), tuple(_seen)), ()
        return True


_HUSH = _Hush()


def hush(secrets: tuple[str, ...]) -> None:
    """Keep some strings out of the log. Costs nothing unless somebody reads it."""
    if any(logger.isEnabledFor(logging.INFO) for logger in _LOGGERS) and not _seen.issuperset(secrets):
        _seen.update(secrets)
        for logger in _LOGGERS:
            logger.addFilter(_HUSH)  # once: the same filter is not added again


__all__ = ["hush"]
