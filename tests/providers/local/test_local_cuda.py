"""The few lines that only a GPU can run: on the CPU against what is written of them, and on a GPU, where there is one.

The tests marked ``cuda`` are ``scripts/test -m cuda``; where there is no CUDA device they are skipped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_kit import SHAPES, ask, load_reference, make_model, text_of
from paged_kit import Tape

from llmsdk.errors import Unsupported
from llmsdk.types import Request
from llmsdk_providers.local import Local, loader
from llmsdk_providers.local import graphs as graphs_module
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.folder import open_folder
from llmsdk_providers.local.graphs import CudaGraphs, again
from llmsdk_providers.local.native import Blueprint, Native, draw_up
from llmsdk_providers.local.paged import Paged
from llmsdk_providers.local.passes import Gathered, Run, Told, Varlen, best
from llmsdk_providers.local.sampler import Sampler, Sampling
from llmsdk_providers.local.settings import LocalSettings
from llmsdk_providers.local.transfers import Download, upload, uploaded

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")
torch.set_num_threads(1)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of random models whose heads the kernel takes."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_model(tmp_path_factory.mktemp(kind) / "model", kind, **{**SHAPES[kind], "head_dim": 16})
        return made[kind]

    return get


def built(folder: Path, dtype: Any, device: Any) -> Any:
    plan = draw_up(folder, dtype, CUDA)
    assert isinstance(plan, Blueprint), plan
    return plan.build(dtype, device=device)


# --- on the CPU: the kernel as it is documented -------------------------------------------------------------------


def documented(
    query: Any,
    key: Any,
    value: Any,
    cu_seq_q: Any,
    cu_seq_k: Any,
    max_q: int,
    max_k: int,
    *,
    window_size: tuple[int, int],
    enable_gqa: bool,
    seqused_k: Any,
    block_table: Any,
    num_splits: int,
) -> Any:
    """``varlen_attn`` written out by its docstring, and refusing what the kernel refuses by its source."""
    count = len(cu_seq_q) - 1
    assert query.dtype in (torch.bfloat16, torch.float16)
    assert query.dtype == key.dtype == value.dtype
    assert {each.dtype for each in (cu_seq_q, cu_seq_k, seqused_k, block_table)} == {torch.int32}
    assert all(each.stride(-1) == 1 for each in (query, key, value, block_table))
    assert all(each.is_contiguous() for each in (cu_seq_q, cu_seq_k, seqused_k))
    assert key.shape == value.shape
    assert key.shape[1] % 256 == 0
    assert query.shape[-1] % 8 == 0
    assert query.shape[-1] <= 256
    assert enable_gqa
    assert cu_seq_k.shape == (count + 1,)
    assert seqused_k.shape == (count,)
    assert block_table.shape[0] == count
    assert block_table.shape[1] * key.shape[1] == max_k
    assert num_splits == 1
    rows = []
    for n in range(count):
        start, end, used = int(cu_seq_q[n]), int(cu_seq_q[n + 1]), int(seqused_k[n])
        assert end - start <= max_q
        pages = block_table[n].long()
        keys, values = (each[pages].flatten(0, 1)[:used].repeat_interleave(query.shape[1] // each.shape[2], 1)
                        for each in (key, value))  # fmt: skip
        for row in range(start, end):
            place, (left, right) = used - end + row, window_size
            first = 0 if left < 0 else max(0, place - left)
            seen = slice(first, min(used, place + right + 1))
            scores = torch.einsum("hd,thd->ht", query[row].float(), keys[seen].float()) / query.shape[-1] ** 0.5
            rows.append(torch.einsum("ht,thd->hd", scores.softmax(-1), values[seen].float()))
    return torch.stack(rows).to(query.dtype)


@given(
    sizes=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 5)), min_size=1, max_size=3),
    window=st.one_of(st.none(), st.integers(1, 300)),
    single=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_the_kernel_is_asked_for_what_is_gathered(
    sizes: list[tuple[int, int]], window: int | None, single: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    numbers = iter((torch.randperm(20) + 1).tolist())
    cache = torch.randn(21, 256, 2, 2, 8, dtype=torch.bfloat16)
    runs = [Run([0] * rows, past, [next(numbers) for _ in range(-(-(past + rows) // 256))]) for past, rows in sizes]
    runs = [row for run in runs for row in run.rows()] if single else runs
    query = torch.randn(sum(rows for _, rows in sizes), 2, 3, 8, dtype=torch.bfloat16)
    found = []
    for attention in (Gathered(256), Varlen()):
        told = Told.blank([len(run.ids) for run in runs], attention.width(max(len(run.table) for run in runs)), CPU)
        told.tell(runs, 256)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("torch.nn.attention.varlen.varlen_attn", documented)
            found.append(attention(query, cache, told, window))
    torch.testing.assert_close(*found, atol=0.03, rtol=0.03)


def test_torch_has_the_kernel_with_these_arguments() -> None:
    import inspect

    from torch.nn.attention.varlen import varlen_attn

    ours, theirs = inspect.signature(documented).parameters, inspect.signature(varlen_attn).parameters
    assert set(ours) <= set(theirs)
    assert list(ours)[:7] == list(theirs)[:7]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3"])
def test_no_pass_mixes_devices_or_waits(wide: Callable[[str], Path], kind: str) -> None:
    """On ``meta``, a device that knows shapes only: numbers of the CPU do not go with its own, and it tells none."""
    decoder = built(wide(kind), torch.bfloat16, torch.device("meta"))
    model = Paged(decoder, 2**24, attention=Varlen(), capture=again)
    long, short = Context([1] * 40), Context([2, 3])
    assert model.place(long)
    assert model.place(short)
    assert model.forward([Piece(long, 30), Piece(short, 2)]).shape == (1, decoder.shape.vocabulary)
    logits = model.forward([Piece(long, 10)])
    assert (logits.device.type, logits.dtype) == ("meta", torch.float32)
    rows = model.branches(long, [[1, 2], [3]])
    assert [tuple(row.shape) for row in rows] == [(2, decoder.shape.vocabulary), (1, decoder.shape.vocabulary)]
    model.keep(long)
    again_, rules = Context([*long.ids, 5]), [Sampling(), Sampling(temperature=1.0, top_p=0.5, top_k=9, min_p=0.1)]
    assert model.place(again_)
    assert again_.computed == 40
    samplers = [Sampler(rule, (), decoder.shape.vocabulary) for rule in rules]
    with pytest.raises(NotImplementedError, match="no data"):  # only here: the token itself
        model.pick([long, short], samplers, logits.expand(2, -1).clone())
    assert model._ahead is not None
    assert model._ahead.logits.shape == (2, decoder.shape.vocabulary)


# --- on the CPU: graphs -------------------------------------------------------------------------------------------


class Recorded:
    """What ``torch.cuda`` does to make and repeat a graph, by a tape."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.pools: list[Any] = []
        stream = SimpleNamespace(wait_stream=lambda other: self.events.append("wait"))
        patch.setattr(torch.cuda, "device", lambda device: nullcontext())
        patch.setattr(torch.cuda, "current_stream", lambda: stream)
        patch.setattr(torch.cuda, "Stream", lambda: stream)
        patch.setattr(torch.cuda, "stream", lambda other: nullcontext())
        patch.setattr(torch.cuda, "CUDAGraph", self.graph)
        patch.setattr(torch.cuda, "graph", self.capture)

    def graph(self) -> Any:
        made = SimpleNamespace(tape=Tape(), pool=lambda: "pool")
        made.replay = lambda: made.tape.play()
        return made

    def capture(self, graph: Any, *, pool: Any, capture_error_mode: str) -> Any:
        self.pools.append(pool)
        assert capture_error_mode == "thread_local"
        self.events.append("capture")
        return graph.tape


def test_graphs_are_warmed_up_captured_and_share_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, x = Recorded(monkeypatch), torch.zeros(2)

    def work() -> Any:
        recorded.events.append("work")
        return x * 2 + 1

    capture = CudaGraphs(CUDA)
    first, second = capture(work), capture(lambda: x - 1)
    assert recorded.events[:6] == ["wait", "work", "work", "wait", "capture", "work"]
    assert recorded.pools == [None, "pool"]
    x.fill_(3)
    assert first().tolist() == [7, 7]
    assert second().tolist() == [2, 2]
    assert recorded.events.count("work") == 3, "replayed, not run"


def test_what_cannot_be_captured_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    Recorded(monkeypatch)
    x = torch.ones(2)
    with pytest.warns(RuntimeWarning, match="without CUDA graphs"):
        work = CudaGraphs(CUDA)(lambda: x[x > 0] if x.sum() else x)
    assert work().tolist() == [1, 1]

    def short() -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        CudaGraphs(CUDA)(short)


def test_each_device_has_its_way() -> None:
    assert graphs_module.capture_on(CPU) is again
    assert isinstance(graphs_module.capture_on(CUDA), CudaGraphs)


# --- on the CPU: who runs where -----------------------------------------------------------------------------------


def test_the_memory_fits_the_device(tiny: Callable[[str], Path]) -> None:
    folder = tiny("llama")
    assert isinstance(loader.with_memory(built(folder, torch.float32, CPU), 2**20), Native)
    assert isinstance(loader.with_memory(built(folder, torch.float32, torch.device("meta")), 2**20), Paged)


def test_on_cuda_our_families_run_in_our_decoder(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "choose_device", lambda name: CUDA)
    folder = open_folder(tiny("qwen3"), "qwen3")
    assert loader.described(folder, LocalSettings()) == "our own decoder, in bfloat16 on cuda"
    assert "the architecture is gpt2" in loader.described(open_folder(tiny("gpt2"), "gpt2"), LocalSettings())
    with pytest.raises(Unsupported, match="the device is cuda"):
        loader.described(folder, LocalSettings(quantize="int8"))


@pytest.mark.parametrize(("head_dim", "dtype"), [(12, torch.bfloat16), (264, torch.bfloat16), (64, torch.float32)])
def test_what_the_kernel_does_not_take_is_gathered(head_dim: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert isinstance(best(head_dim, dtype, CUDA), Gathered)
    assert isinstance(best(64, torch.bfloat16, CUDA), Varlen)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert isinstance(best(64, torch.bfloat16, CUDA), Gathered)


# --- on a GPU -----------------------------------------------------------------------------------------------------


class TestOnAGpu:
    """What could not be seen without one."""

    pytestmark = needs_cuda

    def said(self, model: Paged, prompts: Sequence[list[int]], count: int) -> list[list[int]]:
        contexts = [Context(list(prompt)) for prompt in prompts]
        samplers = [Sampler(Sampling(), prompt, model.vocabulary) for prompt in prompts]
        for _ in range(count):
            assert all(model.place(context) for context in contexts)
            logits = model.forward([Piece(context, context.todo) for context in contexts])
            for context, token in zip(contexts, model.pick(contexts, samplers, logits), strict=True):
                assert token is not None
                context.ids.append(token)
        for context in contexts:
            model.release(context)
        return [context.ids[len(prompt) :] for context, prompt in zip(contexts, prompts, strict=True)]

    @pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3"])
    def test_float32_says_what_the_cpu_says(self, wide: Callable[[str], Path], kind: str) -> None:
        """Captured and run ahead, in the plain way of attention."""
        folder = wide(kind)
        prompts = [load_reference(folder)[0].encode(text) for text in ("Once upon", "x", "dog " * 40)]
        plain = Paged(built(folder, torch.float32, CPU), 2**24, overlap=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that it runs without graphs, for one
            ours = Paged(built(folder, torch.float32, CUDA), 2**24)
            assert self.said(ours, prompts, 60) == self.said(plain, prompts, 60)
        assert len(ours._passes) > 1

    @pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3"])
    def test_the_kernel_attends_as_the_plain_way_does(self, wide: Callable[[str], Path], kind: str) -> None:
        decoder = built(wide(kind), torch.bfloat16, CUDA)
        prompt = [1 + n % 300 for n in range(600)]
        found = []
        for attention in (Gathered(256), Varlen()):
            model, context = Paged(decoder, 2**26, attention=attention), Context(list(prompt))
            assert model.place(context)
            model.forward([Piece(context, 500)])
            logits = [model.forward([Piece(context, 100)])]
            for token in (5, 6, 7):
                context.ids.append(token)
                assert model.place(context)
                logits.append(model.forward([Piece(context, 1)]))
            found.append(torch.cat(logits).log_softmax(-1))
        torch.testing.assert_close(*found, atol=0.3, rtol=0.05)

    def test_who_else_runs_changes_nothing_that_the_kernel_attends_to(self) -> None:
        """Bit for bit, which is what ``num_splits=1`` is for."""
        cache = torch.randn(9, 256, 2, 2, 64, dtype=torch.bfloat16, device=CUDA)
        query = torch.randn(3, 2, 4, 64, dtype=torch.bfloat16, device=CUDA)
        runs = [Run([0], 700, [3, 4, 5]), Run([0], 10, [6]), Run([0], 1000, [1, 2, 7, 8])]

        def attended(some: list[int]) -> Any:
            told = Told.blank([1] * len(some), 16, CUDA)
            told.tell([runs[n] for n in some], 256)
            return Varlen()(query[some], cache, told, None)

        assert torch.equal(attended([0, 1, 2])[:1], attended([0]))

    def test_a_request_through_the_provider(self, wide: Callable[[str], Path]) -> None:
        provider = Local("local", Local.Settings(device="cuda", dtype="float32"))
        plain = Local("local", Local.Settings(device="cpu", dtype="float32", threads=1))
        request = Request(str(wide("qwen3")), "Once upon a time", max_tokens=30, temperature=1.0, top_p=0.9, seed=4)
        assert text_of(ask(provider, request)) == text_of(ask(plain, request))

    def test_what_is_moved_arrives(self) -> None:
        into = torch.zeros(5, dtype=torch.int32, device=CUDA)
        upload(torch.arange(5, dtype=torch.int32), into)
        assert Download(into * 2).wait() == [0, 2, 4, 6, 8]
        assert uploaded([[1.5], [2.5]], CUDA).tolist() == [[1.5], [2.5]]
