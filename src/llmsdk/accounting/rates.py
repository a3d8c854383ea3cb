"""What a token of a model costs, drawn from the price tables once: to ask those for each attempt takes 0.1 ms.

Prices there are linear in the counts, between the sizes of prompt at which some of them change. So the tables are asked
for a prompt of each range, and for one token more of each kind; all else is arithmetic, in exact decimals.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice

MOST = 1000
"""Models that are remembered."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens that have prices. ``input`` includes the other two of its kind."""

    input: int
    output: int = 0
    cached: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars in one range of prompts: of each request, and of each token more."""

    request: Decimal
    input: Decimal
    output: Decimal
    cached: Decimal
    """Beside what it costs as input, so mostly less than nothing."""
    written: Decimal

    @classmethod
    def around(cls, prompt: int, price: ModelPrice) -> Rates:
        """The rates for prompts of about that size."""
        here = asked(price, Counts(prompt))
        token = asked(price, Counts(prompt + 1)) - here
        output, cached, written = (
            asked(price, Counts(prompt, *more)) - here for more in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        )
        return cls(here - token * prompt, token, output, cached, written)

    def dollars(self, counts: Counts) -> Decimal:
        plain = self.request + self.input * counts.input + self.output * counts.output
        return plain + self.cached * counts.cached + self.written * counts.written


class Tables:
    """One snapshot of the price tables, and what was drawn from it."""

    def __init__(self, snapshot: DataSnapshot) -> None:
        self.snapshot: DataSnapshot = snapshot
        self._models: dict[tuple[str, str], ModelInfo | None] = {}
        self._ranges: dict[int, tuple[ModelPrice, Sequence[int], Sequence[Rates]]] = {}
        """By the identity of the price, which is kept so that it stays its own."""

    def dollars(self, vendor: str, model: str, counts: Counts, when: datetime) -> Decimal | None:
        """The price of so many tokens; ``None`` where the tables know none, or say that there are no such counts."""
        found = self._model(vendor, model)
        if found is None:
            return None
        price = found.get_prices(when)
        try:
            if counts.cached + counts.written > counts.input:
                return asked(price, counts)
            _, starts, rates = self._ranges.get(id(price)) or self._drawn(price)
        except ValueError:
            return None
        return rates[bisect_left(starts, counts.input)].dollars(counts)

    def _model(self, vendor: str, model: str) -> ModelInfo | None:
        try:
            return self._models[vendor, model]
        except KeyError:
            pass
        try:
            found = self.snapshot.find_provider_model(model, None, vendor, None)[1]
        except LookupError:
            found = None
        if len(self._models) >= MOST:
            self._models.clear()
        self._models[vendor, model] = found
        return found

    def _drawn(self, price: ModelPrice) -> tuple[ModelPrice, Sequence[int], Sequence[Rates]]:
        tiers = {tier.start for value in vars(price).values() for tier in getattr(value, "tiers", ())}
        starts = sorted(tiers)
        drawn = price, starts, [Rates.around(start + 1, price) for start in (0, *starts)]
        self._ranges[id(price)] = drawn
        return drawn


def asked(price: ModelPrice, counts: Counts) -> Decimal:
    """What the tables themselves say.

    Raises:
        ValueError: they price no such counts.
    """
    from genai_prices import Usage

    usage = Usage(
        input_tokens=counts.input,
        output_tokens=counts.output,
        cache_read_tokens=counts.cached,
        cache_write_tokens=counts.written,
    )
    return price.calc_price(usage)["total_price"]


__all__ = ["Counts", "Rates", "Tables"]
