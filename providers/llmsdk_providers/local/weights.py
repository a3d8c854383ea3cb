"""The weights of the own decoder, straight from safetensors into the fused tensors it computes with.

One tensor of the files is in memory at a time, beside what has been made of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmsdk_providers.local import halved
from llmsdk_providers.local.halved import Stacked, halve
from llmsdk_providers.local.hugepages import Slab, collapsed
from llmsdk_providers.local.quantized import quantize
from llmsdk_providers.local.shape import Shape

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DTYPES = ("F32", "F16", "BF16", "F64")
NARROW = ("F16", "BF16")
"""Those of 16 bits."""
FEW = 4
"""Rows from which on it pays to widen the weights."""
CACHED = 2**19
"""Numbers of a piece that is widened."""
PACKED = 2**24
"""Numbers of a piece of the head that is packed: of a whole one the float32 would be more than all layers in 8 bits."""
EMBEDDINGS, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"


@dataclass(frozen=True, slots=True)
class Linear:
    """``x @ weight + bias``; ``weight`` is ``[in, out]``, or ``[out, in]`` where ``rows`` says so."""

    weight: Tensor
    bias: Tensor | None = None
    rows: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        if self.rows:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        return x @ self.weight if self.bias is None else torch.addmm(self.bias, x, self.weight)


@dataclass(frozen=True, slots=True)
class Widened:
    """``x @ weight.T + bias`` in bfloat16, for processors without instructions for it.

    There torch takes one row after another. From a few rows on it is two to four times as fast to make a piece of the
    weights float32, as much as the cache holds, and multiply that. Sums are rounded once, at the end.
    """

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        if len(x) < FEW:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        wide = x.float()
        parts = self.weight.split(max(1, CACHED // self.weight.shape[1]))
        found = torch.cat([wide @ part.float().t() for part in parts], -1)
        return (found if self.bias is None else found + self.bias).to(x.dtype)


def slow_in_bfloat16(like: Tensor) -> bool:
    """Whether products of bfloat16 on the device of ``like`` are made without instructions for them."""
    import torch

    if like.dtype != torch.bfloat16 or like.device.type != "cpu":
        return False
    fast: Callable[[], bool] = torch.ops.mkldnn._is_mkldnn_bf16_supported  # torch tells it nowhere else
    return not (torch.backends.mkldnn.is_available() and fast())


Map = Callable[["Tensor"], "Tensor"]
"""A linear map of rows: plain, widened, in 16 bits, or in 8."""


@dataclass(frozen=True, slots=True)
class Layer:
    attention_norm: Tensor
    qkv: Map
    qk_norm: Tensor | None
    """``[heads + kv_heads, head_dim]``"""
    out: Map
    mlp_norm: Tensor
    gate_up: Map
    down: Map


@dataclass(frozen=True, slots=True)
class Weights:
    embeddings: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Map


class Files:
    """The tensors in the safetensors files of a folder, by name."""

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        index = path / "model.safetensors.index.json"
        if index.exists():
            names: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
            files = sorted({path / name for name in names.values()})
        else:
            files = sorted(path.glob("*.safetensors"))
        self._homes: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        for file in files:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                    found = tensors.get_slice(name)
                    self._homes[name], self.shapes[name] = file, tuple(found.get_shape())
                    self.dtypes[name] = found.get_dtype()

    def read(self, name: str) -> Tensor:
        """One tensor as it is stored. Its file is open only meanwhile, lest its pages count as ours."""
        from safetensors import safe_open

        with safe_open(self._homes[name], framework="pt") as tensors:
            found: Tensor = tensors.get_tensor(name)
        return found


def why_not_files(files: Files, shape: Shape) -> str | None:
    """Why the own decoder cannot take these weights; ``None`` if it can."""
    if others := sorted({*files.dtypes.values()}.difference(DTYPES)):
        return f"weights are {', '.join(others)}"
    for name, size in expected(shape).items():
        if name not in files.shapes:
            return f"there is no {name}"
        if files.shapes[name] != size:
            return f"{name} is {list(files.shapes[name])}, not {list(size)}"
    return None


def expected(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The names and sizes of all tensors of a model."""
    found = {EMBEDDINGS: (shape.vocabulary, shape.hidden), NORM: (shape.hidden,)}
    if not shape.tied:
        found[HEAD] = (shape.vocabulary, shape.hidden)
    for number in range(len(shape.windows)):
        found |= {f"model.layers.{number}.{name}": size for name, size in _sizes(shape).items()}
    return found


def _sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    found: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (shape.hidden,),
        "post_attention_layernorm.weight": (shape.hidden,),
    }
    linear = {
        "self_attn.q_proj": (query, shape.hidden, shape.qkv_bias),
        "self_attn.k_proj": (key, shape.hidden, shape.qkv_bias),
        "self_attn.v_proj": (key, shape.hidden, shape.qkv_bias),
        "self_attn.o_proj": (shape.hidden, query, shape.out_bias),
        "mlp.gate_proj": (shape.inner, shape.hidden, shape.mlp_bias),
        "mlp.up_proj": (shape.inner, shape.hidden, shape.mlp_bias),
        "mlp.down_proj": (shape.hidden, shape.inner, shape.mlp_bias),
    }
    for name, (out, width, bias) in linear.items():
        found[f"{name}.weight"] = (out, width)
        if bias:
            found[f"{name}.bias"] = (out,)
    if shape.qk_norm:
        found |= {"self_attn.q_norm.weight": (shape.head_dim,), "self_attn.k_norm.weight": (shape.head_dim,)}
    return found


Progress = Callable[[Sequence[int]], Iterable[int]]


def load_weights(
    files: Files,
    shape: Shape,
    dtype: torch.dtype,
    show: Progress = iter,
    *,
    int8: bool = False,
    device: torch.device | None = None,
) -> Weights:
    """All weights, for files that ``why_not_files`` has nothing against, to compute with in ``dtype``.

    Where torch multiplies weights of 16 bits faster, such are kept so to compute in float32, and embeddings as they are
    stored. ``int8``, a way to compute in float32, keeps what is inside the layers in 8 bits, if they hold it, and the
    head in 16.
    """
    import torch

    device = device or torch.device("cpu")
    like = torch.empty(0, dtype=dtype, device=device)
    packs = int8 or in_16_bits(files, shape, dtype, device)
    # What is packed is made of float32, one map after the other; what is not stays where it is put.
    room = Slab([] if packs else expected(shape).values(), dtype, device)
    fuse = partial(_quantized if int8 else _halved if packs else _plain, files, room)
    with collapsed() if packs else nullcontext():
        embeddings, head = (_packed_ends if packs else _plain_ends)(files, shape, room)
        numbers = show(range(len(shape.windows)))
        layers = tuple(_layer(files, shape, f"model.layers.{number}", like, fuse) for number in numbers)
    return Weights(embeddings, layers, files.read(NORM).to(like, copy=True), head)


def in_16_bits(files: Files, shape: Shape, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether weights are kept in 16 bits to compute in float32."""
    import torch

    if dtype != torch.float32 or device.type != "cpu" or not halved.here():
        return False
    matrices = {name for name, size in expected(shape).items() if len(size) > 1} | {HEAD}
    return all(files.dtypes[name] in NARROW for name in matrices & files.dtypes.keys())


def _plain_ends(files: Files, shape: Shape, room: Slab) -> tuple[Tensor, Map]:
    """Embeddings and head, which share memory where they are the same."""
    embeddings = room.empty(files.shapes[EMBEDDINGS]).copy_(files.read(EMBEDDINGS))
    own = _head_of_its_own(files, shape)
    return embeddings, _plain(files, room, ["lm_head"]) if own else _fastest(Linear(embeddings, rows=True))


def _packed_ends(files: Files, shape: Shape, room: Slab) -> tuple[Tensor, Map]:
    """Embeddings as they are stored, and the head in 16 bits: apart even where they are the same."""
    import torch

    head = _packed(files.read(HEAD if _head_of_its_own(files, shape) else EMBEDDINGS), room)
    dtype = None if files.dtypes[EMBEDDINGS] in NARROW else torch.float32
    return files.read(EMBEDDINGS).to(dtype=dtype, copy=True), head


def _packed(weight: Tensor, room: Slab) -> Map:
    import torch

    pieces = weight.split(max(1, PACKED // weight.shape[1]))
    parts = [part for piece in pieces if (part := halve(room.empty(piece.shape).copy_(piece), None)) is not None]
    if len(parts) < len(pieces):
        return Linear(weight.to(torch.float32, copy=True), rows=True)
    return Stacked(parts)


def _head_of_its_own(files: Files, shape: Shape) -> bool:
    """A model that says it is tied and brings a head as well is tied only if the two are the same."""
    import torch

    if HEAD not in files.shapes or not shape.tied or files.dtypes[HEAD] != files.dtypes[EMBEDDINGS]:
        return HEAD in files.shapes
    return not torch.equal(files.read(HEAD), files.read(EMBEDDINGS))


def _layer(files: Files, shape: Shape, prefix: str, like: Tensor, fuse: Callable[..., Map]) -> Layer:
    def read(name: str) -> Tensor:
        return files.read(f"{prefix}.{name}.weight").to(like, copy=True)

    def linear(names: str, *, bias: bool) -> Map:
        return fuse([f"{prefix}.{name}_proj" for name in names.split()], bias=bias)

    return Layer(
        attention_norm=read("input_layernorm"),
        qkv=linear("self_attn.q self_attn.k self_attn.v", bias=shape.qkv_bias),
        qk_norm=_qk_norm(read("self_attn.q_norm"), read("self_attn.k_norm"), shape) if shape.qk_norm else None,
        out=linear("self_attn.o", bias=shape.out_bias),
        mlp_norm=read("post_attention_layernorm"),
        gate_up=linear("mlp.gate mlp.up", bias=shape.mlp_bias),
        down=linear("mlp.down", bias=shape.mlp_bias),
    )


def _qk_norm(query: Tensor, key: Tensor, shape: Shape) -> Tensor:
    import torch

    return torch.cat([query.expand(shape.heads, -1), key.expand(shape.kv_heads, -1)])


def _plain(files: Files, room: Slab, names: Sequence[str], *, bias: bool = False) -> Map:
    """Several linear maps of the same input as one, as ``room`` has them.

    float32 that is wide is kept as ``[in, out]``: for a single row torch reads it a third faster that way. What is tall
    it reads faster as ``[out, in]``, and bfloat16 too.
    """
    import torch

    sizes = [files.shapes[f"{name}.weight"] for name in names]
    rows = room.dtype != torch.float32 or sizes[0][1] > sum(size[0] for size in sizes)
    return _fastest(_fused(files, room, names, bias=bias, rows=rows))


def _fastest(plain: Linear) -> Map:
    return Widened(plain.weight, plain.bias) if slow_in_bfloat16(plain.weight) else plain


def _halved(files: Files, room: Slab, names: Sequence[str], *, bias: bool = False) -> Map:
    """The same in 16 bits, if that can be."""
    plain = _fused(files, room, names, bias=bias)
    return halve(plain.weight, plain.bias) or plain


def _quantized(files: Files, room: Slab, names: Sequence[str], *, bias: bool = False) -> Map:
    """The same in 8 bits, unless that would lose too much."""
    plain = _fused(files, room, names, bias=bias)
    return quantize(plain.weight, plain.bias) or halve(plain.weight, plain.bias) or plain


def _fused(files: Files, room: Slab, names: Sequence[str], *, bias: bool, rows: bool = True) -> Linear:
    import torch

    sizes = [files.shapes[f"{name}.weight"] for name in names]
    out, width = sum(size[0] for size in sizes), sizes[0][1]
    weight = room.empty((out, width) if rows else (width, out))
    parts = (weight if rows else weight.t()).split([size[0] for size in sizes])
    for part, name in zip(parts, names, strict=True):
        part.copy_(files.read(f"{name}.weight"))
    biases = torch.cat([files.read(f"{name}.bias") for name in names]).to(weight) if bias else None
    return Linear(weight, biases, rows)
