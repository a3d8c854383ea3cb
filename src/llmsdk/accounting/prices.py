"""What an attempt costs in US dollars, by the price tables of genai-prices; unknown stays unknown.

The tables are those that were installed: nothing is fetched. They take 0.1 s to import, so they load with the first
``.cost`` that is read. They know vendors by their addresses: what another host does under a vendor's name has no known
price, unless the settings of the provider say whose prices hold.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmsdk.accounting.rates import Counts, Tables

if TYPE_CHECKING:
    from llmsdk.results import Attempt
    from llmsdk.types import Usage

_known: Tables | None = None
LOCAL = "local"
loaded: bool = False
"""Whether the tables are there."""


def price(attempt: Attempt) -> Decimal | None:
    """Dollars for one settled attempt; zero for what surely did not run or ran on this machine."""
    if attempt.settled == "none" or attempt.cached:
        return Decimal(0)
    return dollars(attempt.tariff or attempt.provider, attempt.model, attempt.usage, attempt.at)


def load() -> None:
    """Load the tables, which takes a quarter of a second: not on a loop."""
    global loaded
    import genai_prices  # noqa: F401

    loaded = True


def dollars(tariff: str, model: str, usage: Usage | None, at: float) -> Decimal | None:
    """Dollars for usage at a moment (seconds since the epoch); zero for what runs on this machine.

    ``tariff`` is the address of a host, or the name of a vendor.
    """
    if tariff == LOCAL:
        return Decimal(0)
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    counts = Counts(
        usage.input_tokens, usage.output_tokens, usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    )
    vendor = _vendor(tariff) if "://" in tariff else tariff
    if vendor is None:
        return None
    return _tables().dollars(vendor, model, counts, datetime.fromtimestamp(at, UTC))


def _tables() -> Tables:
    """What is known of the tables as they are now; whoever uses genai-prices too may have set others."""
    from genai_prices.data_snapshot import get_snapshot

    global _known
    snapshot, known = get_snapshot(), _known
    if known is None or known.snapshot is not snapshot:
        known = _known = Tables(snapshot)
    return known


@lru_cache(maxsize=256)
def _vendor(url: str) -> str | None:
    """Whose address it is; ``None`` for nobody's that has prices.

    The tables compare no more than the beginning of an address, in which a stranger's may look like a vendor's
    (``api.openai.com.evil.example``, ``evil.example/x.googleapis.com``). Here what matches must end where the name of
    the host does, or behind it, and no dot of a path is read as one of a host.
    """
    from genai_prices.data_snapshot import get_snapshot

    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.hostname or ''}"
    place = host + parts.path.replace(".", "_")
    for vendor in get_snapshot().providers:
        if (match := re.match(vendor.api_pattern, place)) and _is_whole(host, match.end()):
            return vendor.id
    return None


def _is_whole(host: str, end: int) -> bool:
    """Whether a match up to ``end`` is all of a host. One vendor's stops before the last label, ``.ai`` or ``.cn``."""
    rest = host[end:]
    return not rest or (host[end - 1] == "." and "." not in rest)
