"""8-bit weights: nearly the same numbers, each row by itself, and what a model loses by them and by bfloat16."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_kit import complete, make_model, poison

from llmsdk.errors import ConfigError, Unsupported
from llmsdk_providers.local import Local
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.folder import POCKET_FOLDER
from llmsdk_providers.local.native import Blueprint, Native, draw_up
from llmsdk_providers.local.quantized import Quantized, quantize
from llmsdk_providers.local.weights import Linear

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")
torch.set_num_threads(1)


def random(*size: int, seed: int = 0) -> Any:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def quantized(out: int = 24, width: int = 40, *, bias: bool = False) -> tuple[Quantized, Linear]:
    weight, added = random(out, width), random(out, seed=1) if bias else None
    found = quantize(weight, added)
    assert found is not None
    return found, Linear(weight.t().contiguous(), added)


# --- one map ------------------------------------------------------------------------------------------------------


@given(
    rows=st.integers(1, 9),
    width=st.integers(1, 70),
    out=st.integers(1, 70),
    seed=st.integers(0, 99),
    bias=st.booleans(),
)
def test_it_is_nearly_the_same_map(rows: int, width: int, out: int, seed: int, bias: bool) -> None:
    found, plain = quantized(out, width, bias=bias)
    x = random(rows, width, seed=seed) * 10.0 ** (seed % 7 - 3)
    # Of each product the input is off by half a step, and the weight by half a step of its own.
    steps = (1 / found.levels + 1 / 127) / 2
    slack = (x.abs().amax(-1, keepdim=True) @ plain.weight.abs().amax(0, keepdim=True)) * width * steps
    assert ((found(x) - plain(x)).abs() <= slack + 1e-5).all()


@given(rows=st.integers(2, 9), seed=st.integers(0, 99))
def test_a_row_does_not_see_the_others(rows: int, seed: int) -> None:
    found, _ = quantized()
    x = random(rows, 40, seed=seed) * torch.logspace(-4, 4, rows)[:, None]
    assert torch.equal(found(x), torch.cat([found(row[None]) for row in x]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_in_its_row(bad: float) -> None:
    found, _ = quantized(bias=True)
    x = random(3, 40)
    x[1, 7] = bad
    made = found(x)
    assert torch.equal(made[::2], found(x[::2]))
    assert not made[1].isfinite().any()


def test_a_row_of_zeros_gives_the_bias() -> None:
    found, plain = quantized(bias=True)
    assert torch.equal(found(torch.zeros(2, 40)), plain.bias.expand(2, -1))


def test_a_matrix_with_outliers_stays_wide() -> None:
    weight = random(8, 200)
    assert quantize(weight, None) is not None
    weight[:, 5] = 60.0
    assert quantize(weight, None) is None
    weight[0, 0] = math.nan
    assert quantize(weight, None) is None


# --- whole models ---------------------------------------------------------------------------------------------------


def opened(folder: Path, dtype: Any = torch.float32, *, int8: bool = False) -> Native:
    plan = draw_up(folder, dtype, torch.device("cpu"))
    assert isinstance(plan, Blueprint), plan
    return Native(plan.build(dtype, int8=int8), 2**26)


def texts(model: Native, begin: int, count: int, size: int) -> list[list[int]]:
    """What the model itself says, sampled."""
    chance, contexts = torch.Generator().manual_seed(5), [Context([begin]) for _ in range(count)]
    for _ in range(size):
        assert all(model.place(context) for context in contexts)
        logits = model.forward([Piece(context, 1) for context in contexts])
        for context, row in zip(contexts, logits, strict=True):
            context.ids.append(int(torch.multinomial(row.softmax(-1), 1, generator=chance)))
    return [context.ids for context in contexts]


def perplexity(model: Native, rows: Sequence[list[int]]) -> float:
    """e to the mean loss of a token."""
    losses = []
    for row in rows:
        context = Context(row[:1])
        assert model.place(context)
        model.forward([Piece(context, 1)])
        (logits,) = model.branches(Context([], 0, context.home), [row[:-1]])
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(row[1:]), reduction="none"))
        model.release(context)
    return math.exp(float(torch.cat(losses).mean()))


@pytest.mark.parametrize("name", ["tinystories", "pocket"])
def test_perplexity(name: str, request: pytest.FixtureRequest) -> None:
    """The gates: 1 % for bfloat16, 3 % for int8."""
    folder = POCKET_FOLDER if name == "pocket" else request.getfixturevalue("stories")
    exact = opened(folder)
    rows = texts(exact, 1, 24, 120)
    base = perplexity(exact, rows)
    assert 1.2 < base < 50, "a model that knows nothing proves nothing"
    assert abs(perplexity(opened(folder, torch.bfloat16), rows) / base - 1) < 0.01
    assert abs(perplexity(opened(folder, int8=True), rows) / base - 1) < 0.03


def test_it_is_8_bits_that_run(stories: Path) -> None:
    layers = opened(stories, int8=True)._decoder._weights.layers
    assert all(
        isinstance(part, Quantized) for layer in layers for part in (layer.qkv, layer.out, layer.gate_up, layer.down)
    )


def test_a_reply_in_8_bits(fresh: Callable[..., Local], stories: Path) -> None:
    reply = complete(fresh(quantize="int8"), stories, "Once upon a time", max_tokens=20)
    assert reply.startswith(", there was a little")


def test_a_model_that_the_own_decoder_does_not_run(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    with pytest.raises(Unsupported, match="architecture is gpt2") as caught:
        complete(fresh(quantize="int8"), tiny("gpt2"), "dog")
    assert "bfloat16" in caught.value.hint


def test_damaged_weights_end_their_request(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")

    def damage(weights: dict[str, Any]) -> None:
        weights["model.layers.1.mlp.down_proj.weight"][0, 0] = math.nan

    poison(folder, damage)
    with pytest.raises(Exception, match="no number"):
        complete(fresh(quantize="int8"), folder, "dog")


@pytest.mark.parametrize(
    ("settings", "words"), [({"quantize": "int9"}, "int9"), ({"quantize": "int8", "dtype": "bfloat16"}, "both")]
)
def test_settings_that_mean_nothing(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Local("local", Local.Settings(**settings))


# --- where replies part ---------------------------------------------------------------------------------------------


def greedy(model: Native, rows: Sequence[Sequence[int]], count: int) -> tuple[list[list[int]], list[Any]]:
    """So many tokens behind each row, and the logits that each was chosen from: ``[tokens, vocabulary]`` a row."""
    contexts, seen = [Context(list(row)) for row in rows], []
    for _ in range(count):
        assert all(model.place(context) for context in contexts)
        seen.append(model.forward([Piece(context, context.todo) for context in contexts]))
        for context, token in zip(contexts, seen[-1].argmax(-1).tolist(), strict=True):
            context.ids.append(token)
    for context in contexts:
        model.release(context)
    return [context.ids[-count:] for context in contexts], list(torch.stack(seen, 1))


@pytest.mark.parametrize(("kind", "near"), [("bfloat16", 0.25), ("int8", 1.0)])
@pytest.mark.parametrize("name", ["tinystories", "pocket"])
def test_replies_part_at_near_ties_only(name: str, kind: str, near: float, request: pytest.FixtureRequest) -> None:
    """Where float32 says another token for the first time, it finds it at most e**near times as probable."""
    folder = POCKET_FOLDER if name == "pocket" else request.getfixturevalue("stories")
    exact = opened(folder)
    other = opened(folder, int8=True) if kind == "int8" else opened(folder, torch.bfloat16)
    prompts = [row[:12] for row in texts(exact, 1, 16, 12)]
    (ours, logits), (theirs, _) = greedy(exact, prompts, 40), greedy(other, prompts, 40)
    gaps = []
    for one, two, rows in zip(ours, theirs, logits, strict=True):
        at = next((n for n in range(40) if one[n] != two[n]), None)
        if at is not None:
            gaps.append(float(rows[at, one[at]] - rows[at, two[at]]))
    assert gaps, "none that parts proves nothing"
    assert max(gaps) < near
