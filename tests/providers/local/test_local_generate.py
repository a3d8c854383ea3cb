"""Replies of real and random models: exact, whatever else runs, and ended by what should end them."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_kit import (
    ask,
    complete,
    finish_of,
    load_reference,
    make_model,
    poison,
    reference_text,
    text_of,
    usage_of,
)

from llmsdk.errors import ContextTooLong, InputError, LLMError, ModelFileError, NumericalFault, Unsupported
from llmsdk.io.drive import drive, iterate
from llmsdk.io.sync import SyncIO
from llmsdk.types import Event, Finish, Info, Media, Message, Request, Text, TextDelta, Tool, Usage
from llmsdk_providers.local import Local

pytest.importorskip("torch", reason="the local runtime needs torch")

PROMPT = "Once upon a time"
PROMPTS = ["Once upon", "The weather is", "def add(", "今天是星期五，", "A", "dog " * 30]


def told(stories: Path, prompt: str) -> str:
    """The greedy text that the model's own notes give for a prompt, prompt included."""
    notes = (stories / "SOURCE.md").read_text("utf-8").split(f'"{prompt}"')[1]
    quoted = [line for line in notes.split("\n\n")[1].splitlines() if line.startswith(">")]
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in quoted)


# --- exactness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prompt", "count"), [(PROMPT, 196), ("Tom had a big dog.", 100)])
def test_a_real_model_tells_its_known_story(local: Local, stories: Path, prompt: str, count: int) -> None:
    events = ask(local, Request(str(stories), prompt, max_tokens=count))
    assert prompt + text_of(events) == told(stories, prompt)
    assert finish_of(events) == Finish("length", "max_tokens")
    assert usage_of(events).output_tokens == count


def test_the_same_story_with_sixteen_others_running(local: Local, stories: Path) -> None:
    others = [
        Request(str(stories), f"{PROMPTS[n % 3]} {n}", max_tokens=10 + 2 * n, seed=n, temperature=n % 2)
        for n in range(16)
    ]
    alone = [text_of(ask(local, request)) for request in others[:4]]
    with ThreadPoolExecutor(17) as pool:
        story = pool.submit(complete, local, stories, PROMPT, max_tokens=196)
        beside = [pool.submit(lambda request=request: text_of(ask(local, request))) for request in others]
        assert PROMPT + story.result() == told(stories, PROMPT)
        assert [future.result() for future in beside[:4]] == alone


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gpt2", "mistral", "rwkv", "mamba2"])
def test_greedy_is_that_of_transformers(local: Local, tiny: Callable[[str], Path], kind: str) -> None:
    folder = tiny(kind)
    distinct = set()
    for prompt in PROMPTS[: 2 if kind in {"rwkv", "mamba2"} else 5]:
        text, ids = reference_text(folder, prompt, 20)
        events = ask(local, Request(str(folder), prompt, max_tokens=20))
        assert (text_of(events), usage_of(events).output_tokens) == (text, len(ids))
        distinct.update(ids)
    assert len(distinct) > 10, "a model that repeats itself proves nothing"


def test_a_prompt_in_chunks_is_the_same_prompt(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "Once upon a time there was a dog. " * 5
    for kind in ("llama", "mistral", "gpt2"):
        whole, _ = reference_text(tiny(kind), prompt, 12)
        monkeypatch.setattr("llmsdk_providers.local.scheduler.BUDGET", 7)
        assert complete(fresh(), tiny(kind), prompt, max_tokens=12) == whole


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    plan=st.lists(
        st.tuples(st.sampled_from(PROMPTS), st.integers(1, 12), st.sampled_from([0, 1]), st.booleans()),
        min_size=2,
        max_size=8,
    )
)
def test_any_company_leaves_a_reply_as_it_is(
    local: Local, tiny: Callable[[str], Path], plan: list[tuple[str, int, int, bool]]
) -> None:
    """Several at once, some leaving early: each that stays has the text that it has alone."""
    requests = [
        Request(str(tiny("llama")), prompt, max_tokens=count, temperature=heat, seed=5)
        for prompt, count, heat, _ in plan
    ]
    alone = [text_of(ask(local, request)) for request in requests]

    def run(request: Request, leaves: bool) -> str:
        with closing(iterate(local.generate(request, SyncIO()))) as events:
            if leaves:
                return next(events).text
            return text_of(list(events))

    with ThreadPoolExecutor(len(plan)) as pool:
        together = list(pool.map(run, requests, [leaves for *_, leaves in plan]))
    stayed = [n for n, (*_, leaves) in enumerate(plan) if not leaves]
    assert [together[n] for n in stayed] == [alone[n] for n in stayed]


def test_two_models_at_once(local: Local, tiny: Callable[[str], Path]) -> None:
    alone = {kind: complete(local, tiny(kind), PROMPT, max_tokens=20) for kind in ("llama", "gpt2")}
    with ThreadPoolExecutor(2) as pool:
        together = {kind: pool.submit(complete, local, tiny(kind), PROMPT, max_tokens=20) for kind in alone}
        assert {kind: future.result() for kind, future in together.items()} == alone


# --- the order of events ------------------------------------------------------------------------------------------


def test_usage_comes_before_the_finish_and_the_name_last(
    fresh: Callable[..., Local], tiny: Callable[[str], Path]
) -> None:
    events = ask(fresh(), Request(str(tiny("llama")), "dog", max_tokens=3))
    assert [type(event) for event in events[-3:]] == [Usage, Finish, Info]
    assert all(isinstance(event, TextDelta) for event in events[:-3])
    count = len(load_reference(tiny("llama"))[0].encode("dog"))
    assert events[-3] == Usage(input_tokens=count, output_tokens=3, cached_input_tokens=0, source="local")
    assert events[-1] == Info(model=str(tiny("llama")))


def test_text_comes_a_token_at_a_time(local: Local, stories: Path) -> None:
    events = ask(local, Request(str(stories), PROMPT, max_tokens=8))
    assert [event.text for event in events[:8]] == [",", " there", " was", " a", " little", " g", "ir", "l"]


# --- what ends a reply --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["girl", "rl nam", " a little", "Lily. She", "e"])
def test_a_stop_string_over_token_borders(local: Local, stories: Path, stop: str) -> None:
    events = ask(local, Request(str(stories), PROMPT, max_tokens=40, stop=("no such text", stop)))
    assert text_of(events) == told(stories, PROMPT).removeprefix(PROMPT).partition(stop)[0]
    assert finish_of(events) == Finish("stop", "stop_string")


def test_a_stop_string_in_the_prompt_stops_nothing(local: Local, stories: Path) -> None:
    text = complete(local, stories, PROMPT, max_tokens=10, stop=("upon a time",))
    assert told(stories, PROMPT).startswith(PROMPT + text)


def test_the_models_own_end(local: Local, tiny: Callable[[str], Path]) -> None:
    folder = tiny("llama")
    tokenizer, _ = load_reference(folder)
    end = tokenizer.eos_token_id
    events = ask(local, Request(str(folder), PROMPT, max_tokens=9, logit_bias={end: 1000.0}))
    assert (text_of(events), finish_of(events)) == ("", Finish("stop", "eos"))
    assert usage_of(events).output_tokens == 1


def test_the_default_length_is_a_setting(fresh: Callable[..., Local], stories: Path) -> None:
    events = ask(fresh(max_tokens=4), Request(str(stories), PROMPT))
    assert (usage_of(events).output_tokens, finish_of(events).reason) == (4, "length")


# --- the window ---------------------------------------------------------------------------------------------------


def test_a_reply_is_cut_to_the_window(local: Local, tiny: Callable[[str], Path]) -> None:
    prompt = " dog" * 250
    size = local.count(Request(str(tiny("llama")), prompt)).value
    assert 240 < size < 256
    events = ask(local, Request(str(tiny("llama")), prompt, max_tokens=40))
    assert usage_of(events).output_tokens == 256 - size
    assert finish_of(events).reason == "length"
    assert any("max_tokens" in (event.warning or "") for event in events if isinstance(event, Info))


def test_a_prompt_that_does_not_fit(local: Local, tiny: Callable[[str], Path]) -> None:
    request = Request(str(tiny("llama")), " dog" * 400)
    size = local.count(request).value
    with pytest.raises(ContextTooLong) as caught:
        ask(local, request)
    assert (caught.value.limit, caught.value.needed) == (256, size + 1)


def test_a_window_made_smaller(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh(max_len=12)
    assert provider.capabilities(str(tiny("llama"))).context == 12
    size = provider.count(Request(str(tiny("llama")), "dog")).value
    events = ask(provider, Request(str(tiny("llama")), "dog"))
    assert usage_of(events).output_tokens == 12 - size


# --- sampling -----------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_text_and_another_seed_another(local: Local, tiny: Callable[[str], Path]) -> None:
    def drawn(seed: int | None) -> str:
        return complete(local, tiny("qwen3"), "dog", max_tokens=16, temperature=1.0, seed=seed)

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in (1, 2, 3, None, None)}) == 5


def test_several_replies_have_seeds_of_their_own(local: Local, tiny: Callable[[str], Path]) -> None:
    fields: dict[str, Any] = {"max_tokens": 8, "temperature": 1.0}
    prompt_size = local.count(Request(str(tiny("llama")), "dog")).value
    events = ask(local, Request(str(tiny("llama")), "dog", n=3, seed=10, **fields))
    one_by_one = [complete(local, tiny("llama"), "dog", seed=10 + n, **fields) for n in range(3)]
    assert [text_of(events, n) for n in range(3)] == one_by_one
    assert {finish_of(events, n).reason for n in range(3)} == {"length"}
    usage = usage_of(events)
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (prompt_size, 24, "local")


def test_several_greedy_replies_are_called_what_they_are(local: Local, tiny: Callable[[str], Path]) -> None:
    events = ask(local, Request(str(tiny("llama")), "dog", n=2, max_tokens=2))
    assert text_of(events, 0) == text_of(events, 1)
    assert any("the same" in (event.warning or "") for event in events if isinstance(event, Info))


def test_echo_gives_the_prompt_back_first(local: Local, stories: Path) -> None:
    prompt = "  Tom had\n\n"
    events = ask(local, Request(str(stories), prompt, max_tokens=3, echo=True))
    plain = complete(local, stories, prompt, max_tokens=3)
    assert isinstance(events[0], TextDelta)
    assert events[0].text == prompt
    assert text_of(events) == prompt + plain


def test_logprobs_are_those_of_the_module(local: Local, stories: Path) -> None:
    import torch

    tokenizer, model = load_reference(stories)
    events = ask(local, Request(str(stories), PROMPT, max_tokens=5, logprobs=3, temperature=0.7, seed=1))
    found = [item for event in events if isinstance(event, TextDelta) for item in event.logprobs]
    assert "".join(item.token for item in found) == text_of(events)
    ids = tokenizer.encode(PROMPT)
    for item in found:
        with torch.inference_mode():
            chances = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        best = chances.topk(3)
        assert [chance for _, chance in item.top] == pytest.approx(best.values.tolist(), abs=1e-4)
        names = [tokenizer.convert_ids_to_tokens(token).replace("▁", " ") for token in best.indices.tolist()]
        assert [name for name, _ in item.top] == names
        token = tokenizer.convert_tokens_to_ids(item.token.replace(" ", "▁"))
        assert item.logprob == pytest.approx(float(chances[token]), abs=1e-4)
        ids.append(token)


def test_logprobs_without_alternatives(local: Local, stories: Path) -> None:
    (delta,) = [event for event in ask(local, Request(str(stories), PROMPT, max_tokens=1, logprobs=0)) if event.text]
    assert isinstance(delta, TextDelta)
    assert [(item.token, item.top) for item in delta.logprobs] == [(",", ())]
    assert delta.logprobs[0].logprob == pytest.approx(-0.0317, abs=1e-3)


# --- what cannot be served ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"stop": ("",)}, "stop"),
        ({"logprobs": 21}, "logprobs"),
        ({"temperature": math.nan}, "temperature"),
        ({"logit_bias": {10_000: 1.0}}, "logit_bias"),
        ({"input": ""}, "prompt"),
        ({"input": ()}, "prompt"),
        ({"input": "\ud800"}, "prompt"),
        ({"input": (Message("user", "x"),), "echo": True}, "echo"),
    ],
)
def test_arguments_that_mean_nothing(
    local: Local, tiny: Callable[[str], Path], fields: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InputError) as caught:
        ask(local, Request(str(tiny("llama")), **{"input": "dog", **fields}))
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("fields", "capability"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"tools": (Tool("f", {}),)}, "tools"),
        ({"tool_choice": "required"}, "tools"),
        ({"reasoning": "high"}, "reasoning"),
        ({"extra_body": {"x": 1}}, "extra"),
        ({"input": (Message("user", (Text("What?"), Media("image/png", b"x"))),)}, "media"),
    ],
)
def test_features_that_are_not_there(
    local: Local, tiny: Callable[[str], Path], fields: dict[str, Any], capability: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        ask(local, Request(str(tiny("llama")), **{"input": "dog", **fields}))
    assert caught.value.capability == capability


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that computes no number as soon as it reads the token of "@"."""
    folder = tmp_path_factory.mktemp("broken") / "model"
    shutil.copytree(tiny("llama"), folder)
    (bad,) = load_reference(folder)[0].encode("@")

    def spoil(weights: dict[str, Any]) -> None:
        weights["model.embed_tokens.weight"][bad] = math.nan

    poison(folder, spoil)
    return folder


def test_a_number_that_is_none_ends_its_own_request(fresh: Callable[..., Local], broken: Path) -> None:
    provider = fresh()
    alone = complete(provider, broken, "The dog", max_tokens=20)
    with ThreadPoolExecutor(3) as pool:
        good = [pool.submit(complete, provider, broken, "The dog", max_tokens=20) for _ in range(2)]
        bad = pool.submit(complete, provider, broken, "The @ dog", max_tokens=20)
        assert [future.result() for future in good] == [alone, alone]
        error = bad.exception()
    assert isinstance(error, NumericalFault)
    assert "float32" in error.hint
    assert complete(provider, broken, "The dog", max_tokens=20) == alone


def test_usage_says_what_was_known_before(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider, request = fresh(), Request(str(tiny("llama")), "The weather is good today. " * 9, max_tokens=3)
    first, second = (usage_of(ask(provider, request)) for _ in range(2))
    assert first.cached_input_tokens == 0
    assert first.input_tokens == second.input_tokens
    assert second.cached_input_tokens is not None
    assert first.input_tokens is not None
    assert first.input_tokens - 40 < second.cached_input_tokens < first.input_tokens


def test_usage_is_known_when_a_reply_fails(fresh: Callable[..., Local], broken: Path) -> None:
    tokenizer, _ = load_reference(broken)
    (bad,) = tokenizer.encode("@")
    request = Request(str(broken), "dog", logit_bias={bad: 1000.0})
    seen: list[Event] = []
    with pytest.raises(NumericalFault), closing(iterate(fresh().generate(request, SyncIO()))) as events:
        seen.extend(events)
    size = len(tokenizer.encode("dog"))
    assert usage_of(seen) == Usage(input_tokens=size, output_tokens=1, cached_input_tokens=0, source="local")
    assert text_of(seen) == "@"


def test_a_tokenizer_of_another_model(tmp_path: Path, fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny("llama"), folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"]["@"] = 9999
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    provider = fresh()
    assert complete(provider, folder, "dog", max_tokens=2)
    with pytest.raises(ModelFileError, match="embeddings"):
        complete(provider, folder, "@", max_tokens=2)
    assert complete(provider, folder, "dog", max_tokens=2)


def test_running_out_of_memory_ends_one_request(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator's real error, asked for in the forward pass of long prompts only, whoever else is in it."""
    import torch

    from llmsdk.errors import OutOfMemory
    from llmsdk_providers.local.native import Native

    forward = Native.forward

    def hungry(self: Native, pieces: Any) -> Any:
        if any(piece.size > 20 for piece in pieces):
            torch.empty(2**50)
        return forward(self, pieces)

    monkeypatch.setattr(Native, "forward", hungry)
    provider = fresh()
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(complete, provider, tiny("llama"), "dog", max_tokens=20)
        bad = pool.submit(complete, provider, tiny("llama"), "x" * 50, max_tokens=5)
        assert isinstance(bad.exception(), OutOfMemory)
        assert good.result() == complete(provider, tiny("llama"), "dog", max_tokens=20)


# --- leaving ------------------------------------------------------------------------------------------------------


def test_leaving_a_reply_stops_it_within_one_step(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    provider = fresh()
    complete(provider, tiny("llama"), "dog", max_tokens=1)
    model = provider._shelf.get(str(tiny("llama")))
    with closing(iterate(provider.generate(Request(str(tiny("llama")), "dog", max_tokens=200), SyncIO()))) as events:
        next(events)
        assert model.load.running == 1
    steps = model.load.steps
    complete(provider, tiny("llama"), "dog", max_tokens=1)  # waits for its turn behind the one that was left
    # One step may have been under way, and two belong to the request that came after.
    assert model.load.steps <= steps + 3
    assert (model.load.running, model.load.waiting) == (0, 0)


def test_closing_the_provider_ends_the_reply(tiny: Callable[[str], Path]) -> None:
    from llmsdk.errors import ClientClosed

    before = set(threading.enumerate())
    provider = Local("local", Local.Settings(threads=1))
    events = iterate(provider.generate(Request(str(tiny("llama")), "dog", max_tokens=200), SyncIO()))
    next(events)
    drive(provider.aclose())
    with pytest.raises(ClientClosed):
        list(events)
    with pytest.raises(ClientClosed):
        ask(provider, Request(str(tiny("llama")), "dog"))
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) == before


def test_a_provider_that_is_dropped_ends_its_thread(tiny: Callable[[str], Path]) -> None:
    import gc

    before = set(threading.enumerate())
    complete(Local("local", Local.Settings(threads=1)), tiny("llama"), "dog", max_tokens=1)
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) == before


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path, fresh: Callable[..., Local]) -> None:
    folder = make_model(tmp_path / "model")
    poison(folder, lambda weights: weights.__delitem__("model.layers.1.self_attn.q_proj.weight"))
    provider = fresh()
    for _ in range(2):
        with pytest.raises(ModelFileError, match="q_proj"):
            complete(provider, folder, "dog")
    make_model(folder)
    assert complete(provider, folder, "dog", max_tokens=2), "a load that failed is tried again"


def test_an_error_is_the_callers_own(fresh: Callable[..., Local], broken: Path) -> None:
    provider = fresh()
    errors: list[LLMError] = []
    for _ in range(2):
        with pytest.raises(NumericalFault) as caught:
            complete(provider, broken, "@")
        errors.append(caught.value)
    assert errors[0] is not errors[1]
