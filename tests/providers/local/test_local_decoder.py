"""Our own decoder against the module of transformers: the same tokens, and nearly the same logits; with its keys and
values in arenas, and in pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from local_kit import load_reference, make_model, poison, reference_text
from paged_kit import Harsh

from llmsdk_providers.local import attention, weights
from llmsdk_providers.local.arena import PAGE
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.native import Blueprint, Native, draw_up
from llmsdk_providers.local.paged import Paged
from llmsdk_providers.local.weights import FEW

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")
torch.set_num_threads(1)
CPU = torch.device("cpu")

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, one head of keys": ("llama", {"num_key_value_heads": 1}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, bfloat16": ("llama", {"stored": "bfloat16"}),
    "llama, tied, bfloat16": ("llama", {"tie_word_embeddings": True, "stored": "bfloat16"}),
    "llama, linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}}),
    "llama 3": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
                "rope_theta": 5e5,
            }
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen2, late windows": ("qwen2", {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}),
    "qwen2, float16": ("qwen2", {"stored": "float16"}),
    "qwen3": ("qwen3", {}),
    "qwen3, bfloat16": ("qwen3", {"stored": "bfloat16"}),
    "qwen3, biased": ("qwen3", {"attention_bias": True}),
    "qwen3, yarn": (
        "qwen3",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 64,
                "rope_theta": 1e4,
            }
        },
    ),
    "mistral": ("mistral", {}),
    "mistral, bfloat16": ("mistral", {"stored": "bfloat16"}),
    "mistral, no window": ("mistral", {"sliding_window": None}),
}
PROMPTS = ["Once upon", "def add(a, b", "dog " * 30, "今天是星期五，"]


@pytest.fixture(scope="module", params=VARIANTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, changes = VARIANTS[request.param]
    return make_model(tmp_path_factory.mktemp("variant") / "model", kind, **changes)


def native(folder: Path, dtype: Any = torch.float32) -> Native:
    plan = draw_up(folder, dtype, CPU)
    assert isinstance(plan, Blueprint), plan
    return Native(plan.build(dtype), 2**26)


def paged(folder: Path, dtype: Any = torch.float32) -> Paged:
    plan = draw_up(folder, dtype, CPU)
    assert isinstance(plan, Blueprint), plan
    return Harsh(plan.build(dtype))


Make = Callable[..., Native | Paged]
both = pytest.mark.parametrize("make", [native, paged])


def step(model: Native | Paged, context: Context, size: int) -> Any:
    assert model.place(context)
    rows = model.forward([Piece(context, size)])
    return rows[0] if len(rows) else None


def greedy(model: Native | Paged, prompts: Sequence[list[int]], count: int, end: int, chunk: int) -> list[list[int]]:
    """All prompts in chunks, then all replies together."""
    contexts = [Context(list(ids)) for ids in prompts]
    while running := [c for c, ids in zip(contexts, prompts, strict=True) if len(c.ids) < len(ids) + count and c.todo]:
        assert all(model.place(context) for context in running)
        pieces = [Piece(context, min(chunk, context.todo)) for context in running]
        whole = [piece.context for piece in pieces if piece.last]
        for context, logits in zip(whole, model.forward(pieces), strict=True):
            if context.ids[-1] != end:
                context.ids.append(int(logits.argmax()))
    return [context.ids[len(ids) :] for context, ids in zip(contexts, prompts, strict=True)]


@both
def test_greedy_is_that_of_generate(folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, _ = load_reference(folder)
    wanted = [reference_text(folder, prompt, 40)[1] for prompt in PROMPTS]
    if "tied" not in folder.name:
        assert len({token for row in wanted for token in row}) > 10, "a model that repeats itself proves nothing"
    prompts = [tokenizer.encode(prompt) for prompt in PROMPTS]
    for chunk, rows in ((7, 3), (200, 5), (200, attention.ROWS)):
        monkeypatch.setattr(attention, "ROWS", rows)
        assert greedy(make(folder), prompts, 40, tokenizer.eos_token_id, chunk) == wanted


@both
def test_logits_are_those_of_the_module(folder: Path, make: Make) -> None:
    tokenizer, module = load_reference(folder)
    ids = tokenizer.encode("The children are happy. " * 6)
    with torch.inference_mode():
        theirs = module(torch.tensor([ids])).logits[0]
    model, context = make(folder), Context(ids)
    for n in (1, 5, len(ids)):
        size = min(n, context.todo)
        model.place(context)
        model.forward([Piece(context, size)])
    (ours,) = model.branches(Context([], 0, context.home), [ids])
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


@both
def test_branches_are_continuations(folder: Path, make: Make) -> None:
    """Packed in one row after another, each has the logits that it has alone."""
    tokenizer, module = load_reference(folder)
    ids = tokenizer.encode("The weather is good today. " * 3)
    rows = [tokenizer.encode(text) for text in ("dog", "a big red ball " * 4, "x", "dog play")]
    model, context = make(folder), Context(ids)
    step(model, context, len(ids))
    for row, ours in zip(rows, model.branches(context, rows), strict=True):
        with torch.inference_mode():
            theirs = module(torch.tensor([[*ids, *row]])).logits[0, len(ids) :]
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
    assert context.ids == ids


@both
def test_bfloat16_differs_by_rounding_only(tiny: Callable[[str], Path], make: Make) -> None:
    tokenizer, module = load_reference(tiny("qwen3"))
    ids = tokenizer.encode("Once upon a time there was a dog")
    with torch.inference_mode():
        exact = module(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        theirs = module.to(torch.bfloat16)(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
    module.to(torch.float32)
    load_reference.cache_clear()
    ours = step(make(tiny("qwen3"), torch.bfloat16), Context(ids), len(ids)).log_softmax(-1)
    assert (ours - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean() + 0.01


@both
def test_a_real_model_is_close_to_its_module(stories: Path, make: Make) -> None:
    tokenizer, module = load_reference(stories)
    ids = tokenizer.encode("Once upon a time, there was a little girl named Lily. " * 3)
    with torch.inference_mode():
        theirs = module(torch.tensor([ids])).logits[0, -1]
    ours = step(make(stories), Context(ids), len(ids))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


# --- what the own decoder leaves to transformers --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("gpt2", {}, "the architecture is gpt2"),
        ("llama", {"hidden_act": "gelu"}, "the activation is gelu"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "the rotary embedding is dynamic",
        ),
    ],
)
def test_what_it_cannot_do_exactly_it_says(tmp_path: Path, kind: str, changes: dict[str, Any], reason: str) -> None:
    assert draw_up(make_model(tmp_path / "model", kind, **changes), torch.float32, CPU) == reason


def test_other_dtypes_and_devices(tiny: Callable[[str], Path]) -> None:
    assert draw_up(tiny("llama"), torch.float16, CPU) == "the dtype is float16"
    assert draw_up(tiny("llama"), torch.float32, torch.device("meta")) == "the device is meta"


def test_weights_that_are_not_as_expected(tmp_path: Path) -> None:
    folder, name = make_model(tmp_path / "model"), "model.layers.1.self_attn.q_proj.weight"
    poison(folder, lambda weights: weights.update({name: weights[name][:-1].contiguous()}))
    assert draw_up(folder, torch.float32, CPU) == f"{name} is [47, 48], not [48, 48]"
    poison(folder, lambda weights: weights.__delitem__(name))
    assert draw_up(folder, torch.float32, CPU) == f"there is no {name}"
    make_model(folder)
    poison(folder, lambda weights: weights.update({name: weights[name].to(torch.float8_e4m3fn)}))
    assert draw_up(folder, torch.float32, CPU) == "weights are F8_E4M3"


def other_way_round(weights: dict[str, Any]) -> None:
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0)


def a_little_more(weights: dict[str, Any]) -> None:
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].float() * (1 + 2.0**-10)


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", [other_way_round, a_little_more])
def test_a_tied_model_with_a_head_of_its_own(tmp_path: Path, change: Callable[..., None], stored: str) -> None:
    """As transformers has it: tied only where both are the same."""
    folder = make_model(tmp_path / "model", tie_word_embeddings=True, stored=stored)
    poison(folder, change)
    tokenizer, module = load_reference(folder)
    ids = tokenizer.encode("Once upon a time")
    with torch.inference_mode():
        theirs = module(torch.tensor([ids])).logits[0, -1]
    torch.testing.assert_close(step(native(folder), Context(ids), len(ids)), theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("stored", "int8", "words"), [("float32", 0, 8192), ("bfloat16", 0, 8192), ("bfloat16", 1, 65536)]
)
def test_loading_takes_little_more_than_the_weights(tmp_path: Path, stored: str, int8: int, words: int) -> None:
    """In a process of its own, whose peak so far is what importing takes."""
    import subprocess
    import sys

    from safetensors.torch import save_file
    from transformers import Qwen3Config

    from llmsdk_providers.local.shape import Shape
    from llmsdk_providers.local.weights import expected

    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 8}
    config = Qwen3Config(vocab_size=words, head_dim=64, num_key_value_heads=4, tie_word_embeddings=bool(int8), **sizes)
    config.save_pretrained(tmp_path)
    weights = {
        name: torch.zeros(size, dtype=getattr(torch, stored)) for name, size in expected(Shape.of(config)).items()
    }
    save_file(weights, tmp_path / "model.safetensors")
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from llmsdk_providers.local.native import draw_up\n"
        "def status(key):\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024\n"
        "plan = draw_up(Path(sys.argv[1]), torch.float32, torch.device('cpu'))\n"
        "Path('/proc/self/clear_refs').write_text('5')\n"  # the peak begins anew
        "before = status('VmRSS')\n"
        "decoder = plan.build(torch.float32, int8=sys.argv[2] == '1')\n"
        "print(status('VmRSS') - before, status('VmHWM') - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(int8)], capture_output=True, text=True, check=True
    )
    now, peak = map(int, done.stdout.split())
    table, total = weights["model.embed_tokens.weight"].nbytes, sum(weight.nbytes for weight in weights.values())
    kept = 2 * table + (total - table) / 2 if int8 else total
    assert 0.9 * kept < now
    # What 8 bits are made of comes and goes by malloc, which keeps some of it: up to a quarter, another time nothing.
    assert peak < (1.5 * kept if int8 else 1.15 * kept)
    assert peak < 1.15 * now


# --- memory -------------------------------------------------------------------------------------------------------


def test_what_one_sequence_leaves_never_reaches_another(tiny: Callable[[str], Path]) -> None:
    """Not even a number that is none."""
    tokenizer, _ = load_reference(tiny("llama"))
    ids = tokenizer.encode("Once upon a time")
    model = native(tiny("llama"))
    alone = step(model, clean := Context(list(ids)), len(ids))
    model.release(clean)
    bad, good = Context([*ids, *ids]), Context(list(ids))
    for context in (good, bad):
        step(model, context, context.todo)
    for layer in bad.home.layers():
        layer.fill_(torch.nan)
    assert bad.home.arena is good.home.arena
    model.release(bad)
    step(model, other := Context(list(ids)), len(ids))
    for context in (good, other):
        context.ids.append(ids[0])
    one, two = model.forward([Piece(good, 1), Piece(other, 1)])
    torch.testing.assert_close(one, two)
    assert torch.isfinite(alone).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("resting", [(), (0,), (2, 4)])
def test_a_shared_beginning_is_attended_to_once(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, dtype: Any, resting: tuple[int, ...]
) -> None:
    """The same numbers as when each attends to its own, whoever of the company has no row in the pass."""
    calls = 0

    def weighed(*given: Any) -> tuple[Any, Any]:
        nonlocal calls
        calls += 1
        return plain(*given)

    plain = attention.weighed
    monkeypatch.setattr(attention, "weighed", weighed)
    start = [n % 90 for n in range(70)]
    made = []
    for spared in (1, 10**6):
        monkeypatch.setattr(attention, "SPARED", spared)
        model = native(tiny("llama"), dtype)
        contexts = [Context([*start, *range(n, 3 * n + 1), 7]) for n in range(6)]
        for context in contexts:
            step(model, context, context.todo - 1)
        company = [context for n, context in enumerate(contexts) if n not in resting]
        before = calls
        made.append(model.forward([Piece(context, 1) for context in company]))
        assert calls - before == (2 * len(model._decoder.shape.windows) if spared == 1 else 0)
    slack = {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 0.25, "rtol": 0.05}
    torch.testing.assert_close(*made, **slack)


def test_a_beginning_that_ends_with_the_company(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joins with another beginning is not taken for one of them, nor who takes the place of one that has left."""
    monkeypatch.setattr(attention, "SPARED", 1)
    model, start = native(tiny("llama")), [n % 90 for n in range(50)]
    texts = [[*start, 1, 2], [*start, 3, 4], [5, *start, 6], [*start[:40], *range(12)]]
    alone = []
    for text in texts:
        context = Context(list(text))
        alone.append(step(model, context, len(text)))
        model.release(context)
    first, second = Context(list(texts[0])), Context(list(texts[1]))
    for text, wanted in zip(texts[1:], alone[1:], strict=True):
        second.ids, second.computed = list(text), 0
        for context in (first, second):
            if context.todo > 1:
                step(model, context, context.todo - 1)
            first.computed = min(first.computed, len(first.ids) - 1)
        rows = model.forward([Piece(first, 1), Piece(second, 1)])
        torch.testing.assert_close(rows, torch.stack([alone[0], wanted]), atol=2e-4, rtol=1e-4)
        model.release(second)


def test_a_sequence_moves_to_a_larger_slot(tiny: Callable[[str], Path]) -> None:
    model = native(tiny("llama"))
    contexts = [Context([1] * PAGE) for _ in range(5)]
    assert all(model.place(context) for context in contexts)
    contexts[1].ids.append(1)
    assert model.place(contexts[1])
    assert [context.home.arena.capacity for context in contexts] == [PAGE, 2 * PAGE, PAGE, PAGE, PAGE]
    assert sorted(context.home.index for n, context in enumerate(contexts) if n != 1) == [0, 1, 2, 3]
    for context in contexts:
        model.release(context)
    model.arenas.trim()
    assert model.arenas.memory.taken == 0


@pytest.mark.parametrize("rows", [1, FEW - 1, FEW, 40])
@pytest.mark.parametrize("out", [1, 900])
def test_bfloat16_by_way_of_float32(rows: int, out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of the weights one after another are the whole, rounded once."""
    monkeypatch.setattr(weights, "CACHED", 64 * 100)
    generator = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(rows, 64, generator=generator), torch.randn(out, 64, generator=generator)
    bias = torch.randn(out, generator=generator)
    x, weight, bias = x.bfloat16(), weight.bfloat16(), bias.bfloat16()
    found = weights.Widened(weight, bias)(x)
    exact = x.double() @ weight.double().t() + bias.double()
    assert found.dtype == torch.bfloat16
    # torch's own way for a few rows rounds before it adds the bias.
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=2**-5 if rows < FEW else 2**-20)


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_without_bfloat16(
    native: bool, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "slow_in_bfloat16", lambda like: not native)
    plan = draw_up(tiny("llama"), torch.bfloat16, torch.device("cpu"))
    assert isinstance(plan, Blueprint)
    found = plan.build(torch.bfloat16)._weights
    kind = weights.Linear if native else weights.Widened
    maps = [found.head, *(m for layer in found.layers for m in (layer.qkv, layer.out, layer.gate_up, layer.down))]
    assert {type(each) for each in maps} == {kind}
