"""Prices drawn from the tables once are those that the tables give for each attempt by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot, set_custom_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.accounting.prices import dollars
from llmsdk.accounting.rates import Counts, Rates, Tables
from llmsdk.types import Usage

MODELS = [(vendor.id, model.id) for vendor in get_snapshot().providers for model in vendor.models]
COUNTS = st.integers(0, 3) | st.sampled_from([127_999, 128_000, 128_001, 199_999, 200_000, 200_001, 272_000, 272_001])
ANY = COUNTS | st.integers(0, 2_000_000)
MOMENTS = st.sampled_from([1_600_000_000, 1_746_000_000, 1_764_000_000, 1_764_030_000, 1_900_000_000])


def theirs(vendor: str, model: str, usage: Usage, at: float) -> Decimal | None:
    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    when = datetime.fromtimestamp(at, UTC)
    try:
        return genai_prices.calc_price(counted, model, provider_id=vendor, genai_request_timestamp=when).total_price
    except (LookupError, ValueError):
        return None


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MODELS), ANY, ANY, st.none() | ANY, st.none() | ANY, MOMENTS)
def test_every_model_at_any_time(
    model: tuple[str, str], read: int, output: int, cached: int | None, written: int | None, at: float
) -> None:
    usage = Usage(read, output, cached, written)
    assert dollars(*model, usage, at) == theirs(*model, usage, at)


@pytest.mark.parametrize("usage", [Usage(0, 0), Usage(10**6, 10**6), Usage(10**6, 10**6, 10**5, 10**5)])
def test_each_of_them(usage: Usage) -> None:
    for model in MODELS:
        assert dollars(*model, usage, 1_764_000_000) == theirs(*model, usage, 1_764_000_000), model


def test_nobody_knows_what_nobody_has_priced() -> None:
    for vendor, model in (("openai", "nope"), ("nobody", "gpt-4.1-mini"), ("http://127.0.0.1:1/v1", "gpt-4.1-mini")):
        for _ in range(2):
            assert dollars(vendor, model, Usage(1, 1), 1_764_000_000) is None


def test_other_tables_are_noticed() -> None:
    class Empty:
        providers: tuple[Any, ...] = ()

        def find_provider_model(self, *asked: Any) -> Any:
            raise LookupError

    assert dollars("openai", "gpt-4.1-mini", Usage(1, 1), 1_764_000_000)
    set_custom_snapshot(Empty())  # type: ignore[arg-type]
    try:
        assert dollars("openai", "gpt-4.1-mini", Usage(1, 1), 1_764_000_000) is None
    finally:
        set_custom_snapshot(None)
    assert dollars("openai", "gpt-4.1-mini", Usage(1, 1), 1_764_000_000)


def test_names_of_models_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmsdk.accounting.rates.MOST", 5)
    tables = Tables(get_snapshot())
    for number in range(30):
        tables.dollars("openai", f"m{number}", Counts(1, 1), datetime.now(UTC))
    assert len(tables._models) <= 5


def test_rates_add_up() -> None:
    rates = Rates(*map(Decimal, (1, 2, 3, -1, 5)))
    assert rates.dollars(Counts(10, 4, 3, 2)) == 1 + 20 + 12 - 3 + 10
