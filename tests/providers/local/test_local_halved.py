"""Weights in 16 bits: the digits of published ones, every one of them, and what float32 makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_kit import make_model, poison

from llmsdk_providers.local import halved
from llmsdk_providers.local import weights as weights_module
from llmsdk_providers.local.folder import POCKET_FOLDER
from llmsdk_providers.local.halved import Halved, Stacked, halve
from llmsdk_providers.local.native import Blueprint, draw_up
from llmsdk_providers.local.quantized import Quantized
from llmsdk_providers.local.weights import Linear, Weights

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")
torch.set_num_threads(1)
CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not halved.here(), reason="torch has the kernel for x86 alone")

sizes = st.integers(1, 70)
powers = st.integers(-40, 40)
narrow = st.sampled_from([torch.bfloat16, torch.float16])


def random(*size: int, seed: int = 0) -> Any:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def made(weight: Any, bias: Any = None) -> Halved:
    found = halve(weight.to(torch.float32, copy=True), bias)
    assert found is not None
    return found


# --- one map ------------------------------------------------------------------------------------------------------


@given(out=sizes, width=sizes, seed=st.integers(0, 99), power=powers, kind=narrow)
def test_every_digit_is_kept(out: int, width: int, seed: int, power: int, kind: Any) -> None:
    """Of rows that name one weight each, what comes out are the weights: whatever their size."""
    weight = random(out, width, seed=seed) * 2.0 ** (power if kind == torch.bfloat16 else power // 10)
    stored = weight.to(kind)
    assert torch.equal(made(stored)(torch.eye(width)), stored.float().t())


@given(rows=st.integers(1, 20), out=sizes, width=sizes, seed=st.integers(0, 99), bias=st.booleans(), power=powers)
def test_it_computes_in_float32(rows: int, out: int, width: int, seed: int, bias: bool, power: int) -> None:
    weight = (random(out, width, seed=seed) * 2.0**power).bfloat16().float()
    added = random(out, seed=seed + 1) * 2.0**power if bias else torch.zeros(out)
    x = random(rows, width, seed=seed + 2)
    exact = x.double() @ weight.double().t() + added.double()
    # Each of the additions loses half a digit of what there is by then, at most.
    slack = (x.abs().double() @ weight.abs().double().t() + added.abs().double()) * (width + 1) * 2.0**-24
    assert ((made(weight, added if bias else None)(x).double() - exact).abs() <= slack).all()


def test_numbers_too_small_beside_the_others() -> None:
    weight = torch.tensor([[1.0, 2.0**-60, -(2.0**-38), 0.0]])
    torch.testing.assert_close(made(weight)(torch.eye(4))[:, 0], weight[0], rtol=0, atol=2.0**-39)


@given(seed=st.integers(0, 99), power=powers)
def test_eleven_digits_of_anything(seed: int, power: int) -> None:
    weight = random(24, 40, seed=seed) * 2.0**power
    torch.testing.assert_close(made(weight)(torch.eye(40)).t(), weight, rtol=2.0**-11, atol=2.0 ** (power - 30))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_left(bad: float) -> None:
    weight = torch.ones(8, 8)
    weight[3, 4] = bad
    before = weight.clone()
    assert halve(weight, None) is None
    torch.testing.assert_close(weight, before, rtol=0, atol=0, equal_nan=True)


def test_a_matrix_of_next_to_nothing_has_its_bias() -> None:
    found = made(torch.full((3, 4), 2.0**-110), torch.full((3,), 1000.0))
    assert torch.equal(found(torch.ones(2, 4)), torch.full((2, 3), 1000.0))


def test_weights_of_zero() -> None:
    assert torch.equal(made(torch.zeros(3, 4), torch.ones(3))(torch.randn(2, 4)), torch.ones(2, 3))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_stays_in_its_row(bad: float) -> None:
    found, x = made(random(24, 40).bfloat16()), random(3, 40)
    x[1, 7] = bad
    rows = found(x)
    assert torch.equal(rows[::2], found(torch.cat([x[:1], torch.zeros(1, 40), x[2:]]))[::2])
    assert not rows[1].isfinite().any()


# --- whole models -------------------------------------------------------------------------------------------------


def loaded(folder: Path, dtype: Any = torch.float32, *, int8: bool = False) -> Weights:
    plan = draw_up(folder, dtype, CPU)
    assert isinstance(plan, Blueprint), plan
    return plan.build(dtype, int8=int8)._weights


def kinds(weights: Weights) -> set[type]:
    """Of the maps within the layers."""
    return {type(each) for layer in weights.layers for each in (layer.qkv, layer.out, layer.gate_up, layer.down)}


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_published_weights_take_16_bits(tmp_path: Path, stored: str) -> None:
    weights = loaded(make_model(tmp_path / "model", stored=stored))
    assert (kinds(weights), type(weights.head)) == ({Halved}, Stacked)
    assert weights.embeddings.dtype == getattr(torch, stored)
    assert weights.norm.dtype == torch.float32


def test_a_head_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "model", stored="bfloat16")
    x = random(3, 48)
    whole = loaded(folder).head(x)
    monkeypatch.setattr(weights_module, "PACKED", 48 * 100)
    head = loaded(folder).head
    assert isinstance(head, Stacked)
    assert len(head.parts) > 3
    torch.testing.assert_close(head(x), whole)


def test_the_bundled_model_does() -> None:
    assert kinds(loaded(POCKET_FOLDER)) == {Halved}


def test_weights_of_32_bits_stay_as_they_are(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    assert kinds(loaded(folder)) == {Linear}
    make_model(folder, stored="bfloat16")
    poison(folder, lambda weights: weights.update({"unknown.weight": torch.ones(3, 3)}))
    assert kinds(loaded(folder)) == {Halved}, "nobody computes with it"
    poison(folder, lambda weights: weights.update({"lm_head.weight": weights["lm_head.weight"].float()}))
    assert kinds(loaded(folder)) == {Linear}


def test_around_layers_of_8_bits_there_are_16(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    weights = loaded(folder, int8=True)
    assert (kinds(weights), type(weights.head), weights.embeddings.dtype) == ({Quantized}, Stacked, torch.float32)

    def stretch(weights: dict[str, Any]) -> None:
        weights["model.layers.0.mlp.down_proj.weight"][:, 0] = 60

    poison(folder, stretch)
    first, *others = loaded(folder, int8=True).layers
    assert isinstance(first.down, Halved), "8 bits would lose too much of it"
    assert all(isinstance(layer.down, Quantized) for layer in others)


def test_a_processor_without_the_kernel(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(halved, "ENGINES", ())
    weights = loaded(make_model(tmp_path / "model", stored="bfloat16"))
    assert (kinds(weights), weights.embeddings.dtype) == ({Linear}, torch.float32)
    assert kinds(loaded(tiny("llama"), int8=True)) == {Quantized}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what is open is read from Linux's /proc")
def test_no_file_stays_open(tmp_path: Path) -> None:
    """What is kept is a copy: the file may be cut or written anew."""
    folder = make_model(tmp_path / "model", stored="bfloat16")
    weights = loaded(folder)
    assert str(folder) not in Path("/proc/self/maps").read_text("utf-8")
    assert not any(str(folder) in str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.exists())
    assert weights.embeddings.isfinite().all()
