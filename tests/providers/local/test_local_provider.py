"""The provider's face: what a model can do, counting, listing, opening once, both loops, deadlines, forks."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import anyio.from_thread
import anyio.lowlevel
import pytest
from local_kit import CORPUS, ask, chat, collect, complete, make_model, text_of, usage_of

from llmsdk.errors import (
    ConfigError,
    ContextTooLong,
    DeadlineExceeded,
    EngineDead,
    LLMError,
    ModelFileError,
    TimedOut,
    UnknownModel,
    Unsupported,
)
from llmsdk.io import Clock, Timeouts, wakeups
from llmsdk.io.drive import iterate
from llmsdk.io.loop import LoopIO
from llmsdk.io.sync import SyncIO
from llmsdk.provider import Counts, Lists, Scores
from llmsdk.types import Message, Model, Output, Request
from llmsdk_providers.local import Local, halved
from llmsdk_providers.local import hub as hub_module
from llmsdk_providers.local import loader as loader_module
from llmsdk_providers.local.folder import POCKET_FOLDER, open_folder

pytest.importorskip("torch", reason="the local runtime needs torch")


# --- what it can do -----------------------------------------------------------------------------------------------


def test_it_shows_what_it_can_do_by_its_methods(local: Local) -> None:
    assert isinstance(local, Scores) and isinstance(local, Counts) and isinstance(local, Lists)  # noqa: PT018


def test_capabilities_come_from_the_files(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh()
    can = provider.capabilities(str(tiny("llama")))
    assert (can.complete, can.chat, can.suffix, can.tools, can.schema) == (True, True, False, False, "strict")
    assert (can.context, can.logprobs) == (256, 20)
    assert not provider._shelf.get(str(tiny("llama"))).started


def test_every_option_that_is_claimed_is_a_field_of_a_request(fresh: Callable[..., Local]) -> None:
    assert fresh().capabilities("org/not-here").options <= set(Request.__dataclass_fields__)


def test_counting_is_exact_and_loads_no_model(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh()
    request = Request(str(tiny("llama")), (Message("user", CORPUS[0]),))
    counted = provider.count(request)
    assert (counted.method, counted.margin) == ("local", 0.0)
    assert not provider._shelf.get(request.model).started
    used = usage_of(ask(provider, Request(request.model, request.input, max_tokens=1)))
    assert used.input_tokens == counted.value


def listed(provider: Local) -> tuple[Model, ...]:
    with closing(iterate(provider.models(SyncIO()))) as events:
        (output,) = list(events)
    assert isinstance(output, Output)
    models: tuple[Model, ...] = output.value
    return models


def test_listing(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh()
    before = {model.id for model in listed(provider)}
    assert ("pocket" in before) == POCKET_FOLDER.is_dir()
    complete(provider, tiny("gpt2"), "dog", max_tokens=1)
    (new,) = [model for model in listed(provider) if model.id not in before]
    assert new == Model(str(tiny("gpt2")), "local", 256)


# --- opening ------------------------------------------------------------------------------------------------------


def test_a_model_is_loaded_once_however_many_ask(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []
    load = loader_module.load_runner

    def counted(folder: Any, settings: Any) -> Any:
        loads.append(folder.path)
        return load(folder, settings)

    monkeypatch.setattr(loader_module, "load_runner", counted)
    provider = fresh()
    with ThreadPoolExecutor(6) as pool:
        texts = list(pool.map(lambda _: complete(provider, tiny("llama"), "dog", max_tokens=3), range(6)))
    assert len(set(texts)) == 1
    assert loads == [tiny("llama")]


@pytest.mark.parametrize("prefix", ["./", "../{here}/"])
def test_relative_paths(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny("llama")
    monkeypatch.chdir(folder.parent)
    name = prefix.format(here=folder.parent.name) + folder.name
    assert complete(fresh(), name, "dog", max_tokens=3) == complete(fresh(), folder, "dog", max_tokens=3)


def test_an_engine_that_died_is_replaced(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh()
    text = complete(provider, tiny("llama"), "dog", max_tokens=3)

    class Kills:
        cancelled = over = False
        context = sampler = None

        def begin(self, model: object) -> None:
            raise SystemExit

        def fail(self, error: LLMError) -> None:
            self.error = error

        def deliver(self) -> None: ...

    engine = provider._shelf.get(str(tiny("llama"))).engine()
    engine.submit([Kills()])
    engine._thread.join(10)
    assert not engine.alive
    assert complete(provider, tiny("llama"), "dog", max_tokens=3) == text


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ({"device": "gpu"}, "cuda"),
        ({"device": "GPU:1"}, "cuda:1"),
        ({"device": "nvidia"}, "cuda"),
        ({"device": "cdua"}, "cuda"),
        ({"device": "CPU"}, "cpu"),
        ({"device": "mps"}, None),
        ({"device": "npu"}, None),
        ({"dtype": "bf16"}, "bfloat16"),
        ({"dtype": "gpu"}, None),
        ({"quantize": "int4"}, "int8"),
    ],
)
def test_a_name_that_means_nothing_here(
    fresh: Callable[..., Local], setting: dict[str, str], meant: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        fresh(**setting)
    found = re.match(r"Did you mean '(.+)'\? Known: ", caught.value.hint)
    assert (found and found[1]) == meant


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there(fresh: Callable[..., Local], tiny: Callable[[str], Path], device: str) -> None:
    with pytest.raises(ConfigError, match="CUDA") as caught:
        complete(fresh(device=device), tiny("llama"), "dog")
    assert "cpu" in caught.value.hint


def test_the_way_in_words_is_the_way(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    settings = fresh().settings
    for kind, way in (("qwen3", "Native"), ("gpt2", "Runner")):
        folder = open_folder(tiny(kind), kind)
        assert loader_module.described(folder, settings).startswith("our own decoder") == (way == "Native")
        assert type(loader_module.load_runner(folder, settings)).__name__ == way


def test_the_way_in_words(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    assert fresh().describe(str(tiny("qwen3"))) == "our own decoder, in float32 on cpu"
    if halved.here():
        assert fresh().describe("pocket") == "our own decoder, in float32 on cpu, its weights in 16 bits"
    assert fresh(quantize="int8").describe("pocket") == "our own decoder, in float32 on cpu, its layers in 8 bits"
    assert fresh(dtype="bfloat16").describe(str(tiny("gpt2"))) == (
        "the module of transformers, in bfloat16 on cpu, each request by itself: the architecture is gpt2"
    )
    assert fresh().describe("org/not-here") is None
    with pytest.raises(Unsupported, match="the architecture is gpt2"):
        fresh(quantize="int8").describe(str(tiny("gpt2")))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_dtypes(fresh: Callable[..., Local], tiny: Callable[[str], Path], dtype: str) -> None:
    provider = fresh(dtype=dtype)
    assert complete(provider, tiny("llama"), "dog", max_tokens=5)


def changed(folder: Path, tmp_path: Path, **keys: Any) -> Path:
    """A copy of a model folder with another configuration."""
    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, **keys}), "utf-8")
    return copy


@pytest.mark.parametrize(
    ("keys", "kind", "word"),
    [
        ({"model_type": "no-such-thing"}, Unsupported, "no-such-thing"),
        ({"architectures": ["BertForTokenClassification"], "model_type": "bert"}, Unsupported, "no model that local"),
        (
            {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "is_encoder_decoder": True},
            Unsupported,
            "no model that local",
        ),
        ({"architectures": None, "is_encoder_decoder": True}, Unsupported, "no model that local"),
        ({"architectures": ["LlamaForSequenceClassification"]}, Unsupported, "does not support"),
        ({"model_type": None}, ModelFileError, "what model"),
        ({"hidden_size": 60, "head_dim": 15}, ModelFileError, "makes no sense"),
        ({"intermediate_size": 100}, ModelFileError, "another shape: .*mlp"),
        ({"num_hidden_layers": 3}, ModelFileError, "lacks weights"),
        ({"hidden_act": "no-such-act"}, ModelFileError, "no-such-act"),
    ],
)
def test_configurations_that_do_not_work(
    fresh: Callable[..., Local],
    tiny: Callable[[str], Path],
    tmp_path: Path,
    keys: dict[str, Any],
    kind: type[LLMError],
    word: str,
) -> None:
    with pytest.raises(kind, match=word):
        complete(fresh(), changed(tiny("llama"), tmp_path, **keys), "dog")


@pytest.mark.parametrize("text", ["", "{}", '{"model": {"type": "BPE"}}'])
def test_a_broken_tokenizer(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], tmp_path: Path, text: str
) -> None:
    folder = changed(tiny("llama"), tmp_path)
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(ModelFileError, match="tokenizer"):
        complete(fresh(), folder, "dog")


def test_a_sentencepiece_file_alone(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], tmp_path: Path, shared_data: Path
) -> None:
    pytest.importorskip("torch")
    if __import__("importlib.util").util.find_spec("sentencepiece"):
        pytest.skip("sentencepiece is installed and reads it")
    folder = changed(tiny("llama"), tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    shutil.copy(shared_data / "data" / "tokenizer-mistral-v3" / "tokenizer.model", folder)
    with pytest.raises(ModelFileError, match="sentencepiece"):
        complete(fresh(), folder, "dog")


def test_loading_shows_no_bar_where_stderr_is_no_terminal(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    tiny("llama")
    capfd.readouterr()
    complete(fresh(), tiny("llama"), "dog", max_tokens=1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_loading_shows_a_bar_on_a_terminal(
    kind: str,
    fresh: Callable[..., Local],
    tiny: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(loader_module, "BAR_AFTER", 0.0)
    complete(fresh(), tiny(kind), "dog", max_tokens=1)
    assert "Loading weights" in capsys.readouterr().err


def test_a_quick_load_shows_no_bar(
    fresh: Callable[..., Local],
    tiny: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(loader_module, "BAR_AFTER", 600.0)
    complete(fresh(), tiny("llama"), "dog", max_tokens=1)
    assert capsys.readouterr().err == ""


def test_a_prompt_beyond_the_window_is_one_error_and_no_noise(
    fresh: Callable[..., Local],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    import logging

    make_model(tmp_path, "llama")
    capfd.readouterr()
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    settings_file = tmp_path / "tokenizer_config.json"
    settings_file.write_text(json.dumps({**json.loads(settings_file.read_text()), "model_max_length": 256}))
    with pytest.raises(ContextTooLong):
        complete(fresh(), tmp_path, "dog " * 1000)
    assert (capfd.readouterr().err, caplog.messages) == ("", [])


# --- hub ids ------------------------------------------------------------------------------------------------------


def cache_model(monkeypatch: pytest.MonkeyPatch, root: Path, model: Path) -> None:
    """A hub cache that holds ``model`` as org/tiny."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    repository = root / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(model, repository / "snapshots" / ("0" * 40))


def test_a_hub_id_in_the_cache(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_model(monkeypatch, tmp_path, tiny("llama"))
    provider = fresh()
    assert provider.capabilities("org/tiny").context == 256
    assert complete(provider, "org/tiny", "dog", max_tokens=3) == complete(provider, tiny("llama"), "dog", max_tokens=3)
    assert Model("org/tiny", "local", 256) in listed(fresh())


def test_a_hub_id_that_is_not_here(
    fresh: Callable[..., Local], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    provider = fresh()
    assert provider.capabilities("org/tiny").chat
    with pytest.raises(UnknownModel, match="not been downloaded"):
        provider.count(Request("org/tiny", "dog"))
    with pytest.raises(UnknownModel, match="HF_HUB_OFFLINE") as caught:
        complete(provider, "org/tiny", "dog")
    assert "local:/path" in caught.value.hint


def test_pickles_and_code_are_never_fetched() -> None:
    from huggingface_hub.utils import filter_repo_objects

    names = [
        "config.json",
        "model-1.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "chat_template.jinja",
    ]
    bad = ["pytorch_model.bin", "modeling_x.py", "model.pt", "onnx/model.safetensors", "flax_model.msgpack", "x.gguf"]
    kept = filter_repo_objects([*names, *bad], allow_patterns=hub_module.FILES, ignore_patterns=hub_module.NESTED)
    assert list(kept) == names


# --- both loops ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_many_at_once_on_a_loop(local: Local, tiny: Callable[[str], Path]) -> None:
    request = Request(str(tiny("llama")), "dog", max_tokens=12)
    alone = text_of(await collect(local.generate(request, LoopIO())))
    texts: list[str] = []

    async def one() -> None:
        texts.append(text_of(await collect(local.generate(request, LoopIO()))))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(one)
    assert texts == [alone] * 8


@pytest.mark.anyio
async def test_a_step_wakes_a_loop_once_however_many_wait_on_it(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, model, tells = fresh(), str(tiny("llama")), []
    tell = wakeups._tell
    monkeypatch.setattr(wakeups, "_tell", lambda *given: (tells.append(given), tell(*given))[1])
    async with anyio.create_task_group() as group:
        for n in range(8):
            request = Request(model, "dog " * (n + 1), max_tokens=60)
            group.start_soon(collect, provider.generate(request, LoopIO()))
    # One more for each request that waited for the model to be loaded.
    assert len(tells) <= provider._shelf.get(model).load.steps + 8 < 150


@pytest.mark.anyio
async def test_cancelling_on_a_loop_stops_the_engine(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh()
    model = str(tiny("llama"))
    await collect(provider.generate(Request(model, "dog", max_tokens=1), LoopIO()))
    with anyio.CancelScope() as scope:
        async with aclosing(provider.generate(Request(model, "dog", max_tokens=240), LoopIO())) as events:
            async for _ in events:
                scope.cancel()
    steps = provider._shelf.get(model).load.steps
    await collect(provider.generate(Request(model, "dog", max_tokens=1), LoopIO()))
    assert provider._shelf.get(model).load.steps <= steps + 3
    assert provider._shelf.get(model).load.running == 0


@pytest.mark.anyio
async def test_the_loop_goes_on_while_a_model_is_loaded(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load waits for the loop to take a turn: if loading held the loop up, neither would go on."""
    go, load = threading.Event(), loader_module.load_runner
    request = Request(str(tiny("llama")), "dog", max_tokens=2)

    def slow(folder: Any, settings: Any) -> Any:
        anyio.from_thread.run_sync(go.set, token=loop)
        assert go.wait(10)
        return load(folder, settings)

    loop = anyio.lowlevel.current_token()
    monkeypatch.setattr(loader_module, "load_runner", slow)
    assert text_of(await collect(fresh().generate(request, LoopIO())))


# --- deadlines ----------------------------------------------------------------------------------------------------


def stalled(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Makes every step wait until the event is set."""
    from llmsdk_providers.local.native import Native

    go, forward = threading.Event(), Native.forward

    def slow(self: Native, pieces: Any) -> Any:
        assert go.wait(10)
        return forward(self, pieces)

    monkeypatch.setattr(Native, "forward", slow)
    return go


def test_a_deadline_ends_the_wait_and_the_work(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, model = fresh(), str(tiny("llama"))
    text = complete(provider, model, "dog", max_tokens=3)
    go = stalled(monkeypatch)
    clock = Clock(time.monotonic, deadline=time.monotonic() + 0.05)
    with (
        pytest.raises(DeadlineExceeded),
        closing(iterate(provider.generate(Request(model, "dog"), SyncIO(clock=clock)))) as events,
    ):
        list(events)
    go.set()
    assert complete(provider, model, "dog", max_tokens=3) == text
    assert provider._shelf.get(model).load.running == 0


@pytest.mark.parametrize(
    ("limit", "kind"),
    [({"deadline": 0.05}, DeadlineExceeded), ({"timeouts": Timeouts(total=0.05)}, TimedOut)],
    ids=["deadline", "timeout"],
)
def test_limits_hold_while_a_model_is_loaded_and_say_so(
    fresh: Callable[..., Local],
    tiny: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, Any],
    kind: type[LLMError],
) -> None:
    go = threading.Event()
    load = loader_module.load_runner
    monkeypatch.setattr(loader_module, "load_runner", lambda folder, settings: go.wait(10) and load(folder, settings))
    provider, model = fresh(), str(tiny("llama"))
    if "deadline" in limit:
        limit = {"deadline": time.monotonic() + limit["deadline"]}
    clock = Clock(time.monotonic, **limit)
    with (
        pytest.raises(kind, match="was still loading") as caught,
        closing(iterate(provider.generate(Request(model, "dog"), SyncIO(clock=clock)))) as events,
    ):
        list(events)
    assert "Ask again" in caught.value.hint
    assert not getattr(caught.value, "sent", False), "nothing ran, so it may be asked again"
    go.set()
    assert complete(provider, model, "dog", max_tokens=3), "the load went on for whoever comes next"


# --- forks --------------------------------------------------------------------------------------------------------


def in_child(provider: Local, model: str, answers: Any) -> None:
    try:
        answers.send(complete(provider, model, "dog", max_tokens=2))
    except EngineDead as error:
        answers.send(f"EngineDead: {error.hint}")


def forked(target: Callable[..., None], *args: Any) -> Any:
    """What ``target`` sends from a forked child."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=target, args=(*args, theirs))
    child.start()
    answered = ours.poll(30)
    if not answered:
        child.kill()
    child.join()
    assert answered, "the child hangs"
    answer = ours.recv()
    for end in (ours, theirs):
        end.close()
    assert child.exitcode == 0
    return answer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_told_to_make_its_own_client(
    fresh: Callable[..., Local], tiny: Callable[[str], Path]
) -> None:
    provider = fresh()
    complete(provider, tiny("llama"), "dog", max_tokens=1)
    assert "after the fork" in forked(in_child, provider, str(tiny("llama")))
    assert complete(provider, tiny("llama"), "dog", max_tokens=1)


# --- pocket -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (POCKET_FOLDER / "config.json").exists(), reason="the model is not in this checkout")
def test_pocket_talks(local: Local) -> None:
    can = local.capabilities("pocket")
    assert can.chat and can.complete  # noqa: PT018
    assert sum(file.stat().st_size for file in POCKET_FOLDER.iterdir()) <= 8 * 2**20
    reply = chat(local, "pocket", "Hello!")
    assert reply.strip()
    assert not reply.startswith(" ")
    assert "<|" not in reply


def test_a_fresh_model_for_the_test_of_the_kit(tmp_path: Path) -> None:
    """The tests stand on models that have a window, a template and an end."""
    config = json.loads((make_model(tmp_path / "m") / "config.json").read_text("utf-8"))
    assert (config["eos_token_id"], config["tie_word_embeddings"]) == (config["vocab_size"] - 4, False)
