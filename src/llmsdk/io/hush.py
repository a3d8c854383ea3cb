"""The HTTP library's debug log without secrets: it tells the headers of replies, and a peer may echo a key there."""

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
    if _LOGGERS[1].isEnabledFor(logging.DEBUG) and not _seen.issuperset(secrets):
        _seen.update(secrets)
        for logger in _LOGGERS:
            logger.addFilter(_HUSH)  # once: the same filter is not added again


__all__ = ["hush"]
