"""The local rows of the fault matrix, F084 to F098, through the provider: a fault is a typed error of its own request.

Beside every fault that meets a running engine others write, each of which ends with the text that it has alone, and the
engine has nothing left of anybody.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_kit import TEMPLATE, ask, chat, complete, load_reference, make_model, make_tokenizer, poison, text_of

from llmsdk.errors import (
    ConfigError,
    ContextTooLong,
    EngineDead,
    InputError,
    LLMError,
    ModelFileError,
    NumericalFault,
    OutOfMemory,
    TemplateError,
    UnsafeModel,
)
from llmsdk.io.drive import iterate
from llmsdk.io.sync import SyncIO
from llmsdk.types import Request, TextDelta
from llmsdk_providers.local import Local, loader
from llmsdk_providers.local import text as text_module
from llmsdk_providers.local.detokenizer import Codec, Detokenizer
from llmsdk_providers.local.native import Blueprint, Native
from llmsdk_providers.local.restarts import Restarts

torch = pytest.importorskip("torch", reason="the local runtime needs torch")

COMPANY = ("The dog", "Once upon a time", "def add(a, b)")


@contextmanager
def company(provider: Local, model: Path) -> Iterator[None]:
    """Others that write meanwhile, and what must be true of them and of the engine afterwards."""
    alone = [complete(provider, model, prompt, max_tokens=60) for prompt in COMPANY]
    with ThreadPoolExecutor(len(COMPANY)) as pool:
        running = [pool.submit(complete, provider, model, prompt, max_tokens=60) for prompt in COMPANY]
        yield
        assert [each.result() for each in running] == alone
    load = provider._shelf.get(str(model)).load
    assert (load.running, load.waiting) == (0, 0)
    assert complete(provider, model, COMPANY[0], max_tokens=60) == alone[0], "the engine lives on"


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("llmsdk-local")}


@pytest.fixture
def folder(tmp_path: Path, tiny: Callable[[str], Path]) -> Path:
    """A copy of a good model, to be spoilt."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "model"))


# --- files --------------------------------------------------------------------------------------------------------


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(change(file.read_bytes()))

    return spoil


def reshaped(folder: Path) -> None:
    poison(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(7)}))


def outside(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "../../x.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "kind", "word"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), ModelFileError, "no weights"),
        (rewritten(lambda data: data[:-100]), ModelFileError, "model.safetensors"),
        (rewritten(lambda data: struct.pack("<Q", 2**63) + data[8:]), ModelFileError, "model.safetensors"),
        (reshaped, ModelFileError, "model.norm.weight"),
        (outside, UnsafeModel, "outside"),
    ],
    ids=["gone", "truncated", "lying", "of another shape", "pointing outside"],
)
def test_f084_weights_that_are_not_what_they_say(
    local: Local,
    tiny: Callable[[str], Path],
    folder: Path,
    spoil: Callable[[Path], object],
    kind: type[LLMError],
    word: str,
) -> None:
    spoil(folder)
    with company(local, tiny("qwen3")):
        before = threads()
        with pytest.raises(kind, match=word):
            complete(local, folder, "dog")
        deadline = time.monotonic() + 10
        while threads() - before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threads() <= before, "nothing half-loaded stays"


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_f085_pickles(local: Local, folder: Path, file: str) -> None:
    (folder / "model.safetensors").rename(folder / file)
    with pytest.raises(UnsafeModel, match=file) as caught:
        complete(local, folder, "dog")
    assert "save_pretrained" in caught.value.hint


@pytest.mark.parametrize(
    "keys",
    [
        {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}},
        {"_attn_implementation_internal": "somebody/kernel"},
        {"attn_implementation": "somebody/kernel"},
    ],
)
def test_f086_foreign_code_in_the_configuration(local: Local, folder: Path, keys: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **keys}))
    with pytest.raises(UnsafeModel, match=next(iter(keys))):
        complete(local, folder, "dog")


@pytest.mark.parametrize(
    ("file", "content", "word"),
    [
        ("config.json", "{", "config.json"),
        ("config.json", None, "config.json"),
        ("tokenizer.json", "{}", "tokenizer"),
        ("tokenizer.json", None, "tokenizer"),
    ],
)
def test_f087_files_that_are_broken_or_missing(
    local: Local, folder: Path, file: str, content: str | None, word: str
) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ModelFileError, match=word):
        complete(local, folder, "dog")


def test_f087_without_a_template_a_model_completes(local: Local, folder: Path) -> None:
    make_tokenizer(folder, template=None)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(TemplateError, match="no chat template"):
        chat(local, folder, "dog")
    assert complete(local, folder, "dog", max_tokens=3)


# --- templates ----------------------------------------------------------------------------------------------------

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
RECURSION = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}"


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (LOOP, "still running"),
        (RECURSION, "still running"),
        (
            "{% for a in range(99999) %}x{% endfor %}",
            "characters|still running",
        ),  # whichever a busy machine meets first
        ("{{ messages.__class__.__mro__ }}", "unsafe|undefined"),
        ("{{ messages.append(messages[0]) }}", "append"),
        ("{% set x = messages[0].update({'role': 'system'}) %}", "update"),
    ],
    ids=["loop", "recursion", "output", "escape", "change", "another change"],
)
def test_f088_templates_that_do_not_end_or_break_out(
    fresh: Callable[..., Local],
    tiny: Callable[[str], Path],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    bad: str,
    word: str,
) -> None:
    """The conversation is refused, the engine never sees it, and whoever completes is served."""
    monkeypatch.setattr(text_module, "PATIENCE", 0.2)
    make_tokenizer(folder, template="{% if messages[0]['content'] == 'bad' %}" + bad + "{% endif %}" + TEMPLATE)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    provider = fresh()
    assert chat(provider, folder, "good", max_tokens=3)
    with company(provider, folder), pytest.raises(TemplateError, match=word) as caught:
        chat(provider, folder, "bad")
    assert "complete()" in caught.value.hint


def test_f088_a_template_that_never_ends_for_anybody(
    fresh: Callable[..., Local], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Already opening the model renders it once."""
    monkeypatch.setattr(text_module, "PATIENCE", 0.2)
    make_tokenizer(folder, template=LOOP)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    provider = fresh()
    assert complete(provider, folder, "dog", max_tokens=3)
    with pytest.raises(TemplateError, match="still running"):
        chat(provider, folder, "dog")


# --- memory -------------------------------------------------------------------------------------------------------


def hungry(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, when: Callable[..., bool]) -> None:
    """The allocator's real error, where ``when`` says so."""
    original = getattr(kind, name)

    def asking(self: Any, *given: Any, **named: Any) -> Any:
        if when(*given):
            torch.empty(2**50)
        return original(self, *given, **named)

    monkeypatch.setattr(kind, name, asking)


def test_f089_memory_runs_out_at_load(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, before = fresh(), threads()
    with monkeypatch.context() as patch:
        hungry(patch, Blueprint, "build", lambda *_: True)
        with pytest.raises(OutOfMemory, match="does not fit"):
            complete(provider, tiny("llama"), "dog")
    assert complete(provider, tiny("llama"), "dog", max_tokens=3), "a load that failed is tried again"
    assert len(threads() - before) <= 1


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_f089_memory_runs_out_in_a_pass(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """Of one request, whoever shares the pass with it."""
    prompt = "x" * 50
    size = len(load_reference(tiny("llama"))[0].encode(prompt))

    def too_much(pieces: Any) -> bool:
        at = 0 if phase == "prefill" else size + 2
        return any(len(piece.context.ids) >= size and piece.context.computed >= at and mine(piece) for piece in pieces)

    def mine(piece: Any) -> bool:
        return bool(piece.context.ids[:5] == load_reference(tiny("llama"))[0].encode(prompt)[:5])

    provider = fresh()
    with company(provider, tiny("llama")):
        hungry(monkeypatch, Native, "forward", too_much)
        with pytest.raises(OutOfMemory) as caught:
            complete(provider, tiny("llama"), prompt, max_tokens=30)
    assert "max_batch" in caught.value.hint


def test_f089_what_does_not_fit_together_is_computed_one_by_one(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hungry(monkeypatch, Native, "forward", lambda pieces: len(pieces) > 1)
    with company(fresh(), tiny("llama")):
        pass


def test_f090_a_request_beyond_all_memory_and_more_requests_than_fit(
    fresh: Callable[..., Local], tiny: Callable[[str], Path]
) -> None:
    """The first is refused before anything is computed, the others take turns: the latest is computed anew."""
    large = make_model(tiny("llama").parent / "wide", "llama", hidden_size=256, max_position_embeddings=4096)
    provider = fresh(kv_memory=1, max_tokens=8)  # 512 tokens
    with company(provider, large):
        with pytest.raises(OutOfMemory, match="there is memory for"):
            complete(provider, large, "dog " * 900, max_tokens=8)
        prompts = [f"{n} " + "dog " * 200 for n in range(4)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda prompt: complete(provider, large, prompt), prompts))
        assert together == [complete(provider, large, prompt) for prompt in prompts]


def test_f091_prompts_beyond_the_window(local: Local, tiny: Callable[[str], Path]) -> None:
    with company(local, tiny("llama")):
        with pytest.raises(ContextTooLong) as caught:
            chat(local, tiny("llama"), "dog " * 900)
        assert caught.value.limit == 256
        assert caught.value.needed > 256
    reply = ask(local, Request(str(tiny("llama")), "dog", max_tokens=100_000))
    assert any("was cut to" in (getattr(event, "warning", None) or "") for event in reply)


# --- numbers and tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_f092_what_is_no_number(fresh: Callable[..., Local], folder: Path, number: float) -> None:
    """As soon as one token is read, whether in a prompt's middle or at its end."""
    (bad,) = load_reference(folder)[0].encode("@")
    poison(folder, lambda weights: weights["model.embed_tokens.weight"][bad].fill_(number))
    provider = fresh()
    with company(provider, folder):
        for prompt in ("@", "The @ dog"):
            with pytest.raises(NumericalFault) as caught:
                complete(provider, folder, prompt, max_tokens=20)
            assert "float32" in caught.value.hint


@pytest.mark.parametrize("stops", [("ttle g",), ("little girl", "girl n"), ("é", ". She"), ("zzz", " girl")])
def test_f093_stop_strings_over_token_borders(local: Local, stories: Path, stops: tuple[str, ...]) -> None:
    """What is streamed never holds a piece of one, and ends where the first complete one begins."""
    whole = complete(local, stories, "Once upon a time", max_tokens=60)
    ends = [(at + len(stop), at) for stop in stops if (at := whole.find(stop)) >= 0]
    events = ask(local, Request(str(stories), "Once upon a time", max_tokens=60, stop=stops))
    assert text_of(events) == whole[: min(ends)[1]]
    shown = ""
    for event in events:
        shown += event.text if isinstance(event, TextDelta) else ""
        assert whole.startswith(shown)


@pytest.mark.parametrize("seed", range(20))
def test_f094_half_characters_are_held_back(tiny: Callable[[str], Path], seed: int) -> None:
    """Bytes at random, among them whole characters and broken ones: joined they are what all mean together."""
    tokenizer, _ = load_reference(tiny("llama"))
    rng = random.Random(seed)  # noqa: S311
    halves = [token for letter in "你é😀" for token in tokenizer.encode(letter)]
    ids = [rng.choice([*halves, *halves, rng.randrange(395)]) for _ in range(40)]
    detokenizer = Detokenizer(Codec(tokenizer))
    pieces = [detokenizer.push(token) for token in ids]
    assert "".join([*pieces, detokenizer.finish()]) == tokenizer.decode(ids, skip_special_tokens=True)
    whole = Detokenizer(Codec(tokenizer))
    assert [whole.push(token) for token in tokenizer.encode("😀")][:-1] == [""] * (len(tokenizer.encode("😀")) - 1)


# --- machines, threads, processes ---------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_f095_a_device_that_is_not_there(fresh: Callable[..., Local], tiny: Callable[[str], Path], device: str) -> None:
    with pytest.raises(ConfigError, match="CUDA") as caught:
        complete(fresh(device=device), tiny("llama"), "dog")
    assert 'device = "cpu"' in caught.value.hint


def test_f096_the_thread_of_the_engine_ends(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who wait are told within a second, and the next request loads the model anew."""
    provider, model = fresh(max_batch=2), tiny("llama")
    expected = complete(provider, model, "The dog", max_tokens=60)
    forward = Native.forward

    def dies(self: Native, pieces: Any) -> Any:
        raise SystemExit(9)

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(complete, provider, model, "The dog", max_tokens=200) for _ in range(5)]
        while provider._shelf.get(str(model)).load.running < 2:
            time.sleep(0.001)
        monkeypatch.setattr(Native, "forward", dies)
        began = time.monotonic()
        errors = [each.exception(10) for each in running]
        took = time.monotonic() - began
    assert {type(error) for error in errors} == {EngineDead}
    assert len({id(error) for error in errors}) == 5, "an error of its own for each"
    assert took < 5  # a second of a machine that has nothing else to do
    monkeypatch.setattr(Native, "forward", forward)
    assert complete(provider, model, "The dog", max_tokens=60) == expected


def test_f096_an_engine_that_only_dies_is_not_loaded_for_ever(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again at once, then after 1, 2, 4 and so on up to 60 s, until some work is finished."""
    provider, model, now = fresh(), tiny("llama"), 100.0
    provider._shelf.get(str(model)).restarts = Restarts(lambda: now)
    loads, load, forward = 0, loader.load_runner, Native.forward

    def counted(*given: Any) -> Any:
        nonlocal loads
        loads += 1
        return load(*given)

    def dies(self: Native, pieces: Any) -> Any:
        raise SystemExit(9)

    def ask() -> str:
        """How a request ends whose model dies, or may not be loaded."""
        with pytest.raises(EngineDead, match="SystemExit: 9") as caught:
            complete(provider, model, "The dog")
        return caught.value.hint

    monkeypatch.setattr(loader, "load_runner", counted)
    monkeypatch.setattr(Native, "forward", dies)
    assert "Ask again" in ask()
    assert "Ask again" in ask()
    for wait in (1, 2, 4, 8, 16, 32, 60, 60):
        before = loads
        assert f"in {wait} s" in ask()
        now += wait - 0.5
        assert "in 0.5 s" in ask()
        assert loads == before
        now += 0.5
        assert "Ask again" in ask()
        assert loads == before + 1
    now += 60
    monkeypatch.setattr(Native, "forward", forward)
    assert complete(provider, model, "The dog")
    monkeypatch.setattr(Native, "forward", dies)
    assert "Ask again" in ask()
    assert "Ask again" in ask(), "what has served is loaded anew at once"


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"logit_bias": {10**6: 1.0}}, "logit_bias"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias"),
        ({"logit_bias": {1: 1e39}}, "logit_bias"),
        ({"frequency_penalty": -1e39}, "frequency_penalty"),
        ({"repetition_penalty": 1e39}, "repetition_penalty"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 10**6}, "logprobs"),
    ],
)
def test_f097_tokens_out_of_the_vocabulary_and_counts_of_nothing(
    local: Local, tiny: Callable[[str], Path], fields: dict[str, Any], argument: str
) -> None:
    with company(local, tiny("llama")):
        with pytest.raises(InputError) as caught:
            ask(local, Request(str(tiny("llama")), "dog", **fields))
        assert caught.value.argument == argument


def test_f097_a_tokenizer_with_more_tokens_than_the_model(fresh: Callable[..., Local], folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"]["@"] = 9999
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    provider = fresh()
    with company(provider, folder), pytest.raises(ModelFileError, match="embeddings"):
        complete(provider, folder, "@", max_tokens=2)


def in_child(provider: Local, model: Path, answers: Any) -> None:
    try:
        answers.send(complete(provider, model, "dog", max_tokens=2))
    except LLMError as error:
        answers.send((type(error).__name__, error.hint))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_f098_a_fork(local: Local, tiny: Callable[[str], Path]) -> None:
    """While the parent writes; the child is refused at once, and the parent's text is what it is."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    request = Request(str(tiny("llama")), "The dog", max_tokens=60)
    expected = text_of(ask(local, request))
    with closing(iterate(local.generate(request, SyncIO()))) as events:
        got = [next(events)]
        child = context.Process(target=in_child, args=(local, tiny("llama"), theirs))
        child.start()
        answered = ours.poll(30)
        if not answered:
            child.kill()
        child.join()
        got += list(events)
    assert answered
    name, hint = ours.recv()
    for end in (ours, theirs):
        end.close()
    assert (name, "spawn" in hint) == ("EngineDead", True)
    assert text_of(got) == expected
