"""Holds translation models to what ``generate`` of transformers makes of a text, whoever else is in the batch."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_kit import finish_of, poison, text_of, usage_of
from task_kit import CODES, T5_TASKS, events_of, generated, load_seq2seq, make_seq2seq

from llmsdk import AsyncClient, Client
from llmsdk.errors import (
    ClientClosed,
    ContextTooLong,
    InputError,
    ModelFileError,
    NumericalFault,
    OutOfMemory,
    Unsupported,
)
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.types import Event, Info, Message, Request
from llmsdk_providers.local import Local
from llmsdk_providers.local import heads as heads_module
from llmsdk_providers.local.beams import Beams, Width
from llmsdk_providers.local.seq2seq import Seq2Seq

pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")

TEXTS = [
    "The weather is good today.",
    "dog",
    "Once upon a time there was a little dog who liked to play in the garden with a big red ball.",
    "今天是星期五",
    "Is it good or bad?",
    "a b c d e f g",
    "happy children",
    "It is very good! It is very good!",
]
NAMES = {
    "آتزمون": "atzmon", "آتشيسون": "achison", "محمد": "mahmad", "ابراهيم": "abrahim", "فاطمة": "fatma",
    "جورج": "jorg", "كلينتون": "clenton", "شكسبير": "schaxber",
}  # fmt: skip
"""What CTranslate2 writes with the original file of the model."""
LENGTH = 16


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of random models, each architecture made once."""
    import torch

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("seq2seq")
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            extra: dict[str, Any] = {"task_specific_params": T5_TASKS} if kind == "t5" else {}
            made[kind] = make_seq2seq(root / kind, kind, **extra)
        return made[kind]

    return get


@pytest.fixture(scope="module")
def searching() -> Iterator[Local]:
    """A provider that searches among three replies."""
    provider = Local("local", Local.Settings(threads=1, beams=3))
    yield provider
    drive(provider.aclose())


@pytest.fixture
def aren(shared_data: Path) -> Path:
    return shared_data / "data" / "model-aren-transliteration"


def translate(
    provider: Local, folder: Path, text: str, to: str = "de", source: str | None = "en", **fields: Any
) -> list[Event]:
    return events_of(provider.translate(Request(str(folder), text, **fields), to, source, SyncIO()))


def expected(folder: Path, text: str, kind: str, **settings: Any) -> tuple[str, int]:
    """The text of ``generate``'s own reply, and its tokens behind the one of the language."""
    tokenizer, _ = load_seq2seq(folder)
    plain = tokenizer.encode(text, add_special_tokens=False)
    if kind in CODES:
        english, german = (tokenizer.convert_tokens_to_ids(code) for code in CODES[kind][:2])
        ids = [*plain, 1, english] if kind == "mbart" else [english, *plain, 1]
        found = generated(folder, ids, LENGTH + 1, forced_bos_token_id=german, **settings)[1:]
    else:
        ids = tokenizer.encode("translate English to German: " + text) if kind == "t5" else [*plain, 1]
        found = generated(folder, ids, LENGTH, **settings)
    return tokenizer.decode(found, skip_special_tokens=True), len(found)


# --- the same as generate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["marian", "m2m_100", "mbart", "t5"])
def test_greedy_is_what_generate_writes(local: Local, models: Callable[[str], Path], kind: str) -> None:
    folder, seen = models(kind), set()
    for text in TEXTS:
        events = translate(local, folder, text, max_tokens=LENGTH)
        assert (text_of(events), usage_of(events).output_tokens) == expected(folder, text, kind)
        seen.add(text_of(events))
    assert len(seen) > len(TEXTS) // 2, "the model says the same of everything, and proves nothing"


@pytest.mark.parametrize("kind", ["marian", "m2m_100", "t5"])
def test_a_search_finds_what_generate_finds(searching: Local, models: Callable[[str], Path], kind: str) -> None:
    folder = models(kind)
    for text in TEXTS[:5]:
        events = translate(searching, folder, text, max_tokens=LENGTH)
        assert (text_of(events), usage_of(events).output_tokens) == expected(folder, text, kind, num_beams=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 2, "length_penalty": 0.0, "early_stopping": "never"},
        {"num_beams": 4, "length_penalty": 2.0, "early_stopping": "never"},
        {"num_beams": 4, "length_penalty": -1.0},
        {"num_beams": 3, "early_stopping": True},
        {"num_beams": 3, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2, "min_length": 6, "bad_words_ids": [[0], [20]]},
        {"encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.2, "suppress_tokens": [30, 31]},
        {"begin_suppress_tokens": list(range(40, 200)), "min_new_tokens": 4},
    ],
    ids=str,
)
def test_the_models_own_settings_hold(fresh: Callable[..., Local], tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = make_seq2seq(tmp_path / "model", "marian", seed=3, generation=settings)
    provider = fresh()
    for text in TEXTS[:4]:
        events = translate(provider, folder, text, max_tokens=LENGTH)
        assert (text_of(events), usage_of(events).output_tokens) == expected(folder, text, "marian")


@given(data=st.data(), paths=st.integers(1, 3), limit=st.integers(1, 6), early=st.sampled_from([True, False, "never"]))
def test_a_search_always_ends_with_a_reply(data: st.DataObject, paths: int, limit: int, early: Any) -> None:
    search = Beams([9], limit, {0}, Width(paths, 1.0, early))
    steps = 0
    while not search.done:
        steps += 1
        tops = []
        for score in search.scores:
            more = data.draw(st.lists(st.floats(-9, -0.1), min_size=4, max_size=4))
            tops.append((sorted((score + value for value in more), reverse=True), [0, 1, 2, 3]))
        parents = search.advance(tops)
        assert search.done or (len(parents) == len(search.paths) <= paths)
    assert 1 <= len(search.reply) <= limit
    assert steps <= limit
    assert 0 not in search.reply[:-1]
    assert len(search.reply) == limit or search.reply[-1] == 0


# --- a real model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beams", [1, 2])
def test_the_real_model_writes_names_as_its_makers_engine_does(
    fresh: Callable[..., Local], aren: Path, beams: int
) -> None:
    provider = fresh(beams=beams)
    assert {name: text_of(translate(provider, aren, name, "en", "ar")) for name in NAMES} == NAMES


def test_a_list_is_translated_in_batches_by_the_client(aren: Path) -> None:
    with Client(f"local:{aren}", config={"providers": {"local": {"threads": 1}}}) as client:
        found = client.translate(list(NAMES), to="en", source="ar")
        assert [item.text for item in found] == list(NAMES.values())
        one = found[0]
        assert (one.route, one.usage.source, one.finish_reason) == ("native", "local", "stop")
        assert "do not say to which language" in one.warnings[0]


def test_the_async_client_streams_what_the_model_writes(aren: Path) -> None:
    async def main() -> tuple[list[str], list[str]]:
        async with AsyncClient(f"local:{aren}", config={"providers": {"local": {"threads": 1}}}) as client:
            async with client.translate("محمد", to="en", stream=True) as stream:
                pieces = [event.text async for event in stream if event.text]
            found = await client.translate(list(NAMES), to="en")
            return pieces, [item.text for item in found]

    pieces, texts = asyncio.run(main())
    assert (pieces, texts) == (list("mahmad"), list(NAMES.values()))


# --- batches ------------------------------------------------------------------------------------------------------


def test_who_else_is_in_the_batch_changes_nothing(
    local: Local, searching: Local, models: Callable[[str], Path]
) -> None:
    for provider, kind in ((local, "m2m_100"), (searching, "marian")):
        folder = models(kind)
        alone = [text_of(translate(provider, folder, text, max_tokens=LENGTH)) for text in TEXTS]
        io = SyncIO()
        together = drive(
            io.gather([_job(provider, folder, text, LENGTH - n % 3) for n, text in enumerate(TEXTS)], len(TEXTS))
        )
        for n, (one, other) in enumerate(zip(alone, together, strict=True)):
            cut = text_of(translate(provider, folder, TEXTS[n], max_tokens=LENGTH - n % 3))
            assert other == cut
            assert one.startswith(other) or provider is searching


def _job(provider: Local, folder: Path, text: str, limit: int) -> Callable[[], Any]:
    async def job() -> str:
        request = Request(str(folder), text, max_tokens=limit)
        return text_of([event async for event in provider.translate(request, "de", "en", SyncIO())])

    return job


@pytest.mark.parametrize("kind", ["marian", "t5"])
@pytest.mark.parametrize("beams", [1, 2])
def test_texts_take_turns_where_memory_is_short(
    fresh: Callable[..., Local],
    local: Local,
    models: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    beams: int,
) -> None:
    """Each has its own text, never more is kept than there is room for, and who can never fit is refused at once."""
    folder, made, most = models(kind), [], []
    load, compute = heads_module.load, Seq2Seq._compute

    def noting(self: Seq2Seq, batch: Any) -> Any:
        most.append(sum(self._bytes(work) for each in self._batches for work in each.works))
        return compute(self, batch)

    def small(*given: Any) -> Any:
        made.append(load(*given))
        made[-1]._memory = 2 * 2 * beams * (32 + LENGTH + 2) * made[-1]._per_token  # two texts, or three short ones
        return made[-1]

    monkeypatch.setattr(heads_module, "load", small)
    monkeypatch.setattr(Seq2Seq, "_compute", noting)
    provider = fresh(beams=beams)
    jobs = [_job(provider, folder, text, LENGTH) for text in TEXTS]
    found = drive(SyncIO().gather(jobs, len(jobs)))
    plain = fresh(beams=beams)
    monkeypatch.setattr(heads_module, "load", load)
    assert found == [text_of(translate(plain, folder, text, max_tokens=LENGTH)) for text in TEXTS]
    assert max(most) <= made[0]._memory
    made[0]._memory = 1000
    with pytest.raises(OutOfMemory, match="MiB") as caught:
        translate(provider, folder, "dog", max_tokens=LENGTH)
    assert "kv_memory" in caught.value.hint


def test_a_text_with_a_fault_ends_alone(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_seq2seq(tmp_path / "model", "m2m_100", tie_word_embeddings=False)
    whole = {text: expected(folder, text, "m2m_100")[0] for text in ("dog", "happy")}
    load_seq2seq.cache_clear()
    tokenizer, _ = load_seq2seq(folder)
    (bad,) = set(tokenizer.encode("bad", add_special_tokens=False)[:1])
    shared = "model.shared.weight"

    def break_it(weights: dict[str, Any]) -> None:
        for name in (shared, "model.encoder.embed_tokens.weight"):
            if name in weights:
                weights[name] = weights[name].clone()
                weights[name][bad] = math.nan

    poison(folder, break_it)
    provider = fresh()

    def job(text: str) -> Callable[[], Any]:
        async def run() -> Any:
            try:
                return await _job(provider, folder, text, LENGTH)()
            except NumericalFault as error:
                return error

        return run

    found = drive(SyncIO().gather([job(text) for text in ("dog", "bad", "happy")], 3))
    assert isinstance(found[1], NumericalFault)
    assert [found[0], found[2]] == [whole["dog"], whole["happy"]]


def test_a_stream_that_is_left_stops_the_model(fresh: Callable[..., Local], models: Callable[[str], Path]) -> None:
    provider, folder = fresh(), models("marian")

    async def main() -> None:
        request = Request(str(folder), TEXTS[0], max_tokens=80)
        events = provider.translate(request, "de", "en", SyncIO())
        await anext(events)
        await events.aclose()

    drive(main())
    assert text_of(translate(provider, folder, "dog", max_tokens=4))
    load = provider._shelf.get(str(folder)).load
    assert (load.running, load.waiting) == (0, 0)
    assert load.steps < 80


def test_a_closed_provider_says_so(fresh: Callable[..., Local], models: Callable[[str], Path]) -> None:
    provider = fresh()
    translate(provider, models("marian"), "dog", max_tokens=2)
    drive(provider.aclose())
    with pytest.raises(ClientClosed):
        translate(provider, models("marian"), "dog")


# --- ends ---------------------------------------------------------------------------------------------------------


def test_stop_strings_and_limits(local: Local, models: Callable[[str], Path]) -> None:
    folder = models("m2m_100")
    whole = text_of(translate(local, folder, TEXTS[0], max_tokens=LENGTH))
    stop = whole[3:5]
    events = translate(local, folder, TEXTS[0], max_tokens=LENGTH, stop=(stop,))
    assert text_of(events) == whole[: whole.index(stop)]
    assert (finish_of(events).reason, finish_of(events).raw_reason) == ("stop", "stop_string")
    events = translate(local, folder, TEXTS[0], max_tokens=3)
    assert (finish_of(events).reason, usage_of(events).output_tokens) == ("length", 3)
    events = translate(local, folder, "dog", max_tokens=1000)
    assert any(isinstance(event, Info) and "was cut to 94" in (event.warning or "") for event in events)


def test_a_text_that_does_not_fit_is_refused(local: Local, models: Callable[[str], Path]) -> None:
    with pytest.raises(ContextTooLong) as caught:
        translate(local, models("marian"), "dog " * 200)
    assert caught.value.limit == 96
    assert "pass a list" in caught.value.hint


def test_control_tokens_in_a_text_are_text(local: Local, models: Callable[[str], Path]) -> None:
    for kind in ("m2m_100", "marian"):
        reader = local._shelf.get(str(models(kind))).reader()
        ids = reader.source("a </s> __de__ <pad> b", reader.framing("de", "en")).ids
        assert (ids.count(1), 0 in ids, ids.count(4)) == (1, False, 0)


# --- what a model is for ------------------------------------------------------------------------------------------


def test_a_translator_is_for_nothing_else(models: Callable[[str], Path]) -> None:
    with Client(f"local:{models('marian')}", config={"providers": {"local": {"threads": 1}}}) as client:
        for ask in (
            lambda: client.chat("Hello"),
            lambda: client.complete("Hello"),
            lambda: client.answer("Who?", context="Nobody."),
            lambda: client.classify("dog", ["a", "b"]),
            lambda: client.embed(["dog"]),
        ):
            with pytest.raises(Unsupported) as caught:
                ask()
            assert "translate" in str(caught.value)
        with pytest.raises(Unsupported, match="temperature"):
            client.translate("dog", to="de", temperature=0.5)
        assert client.count_tokens("happy children").value > 1


def test_a_fixed_pair_is_checked(local: Local, models: Callable[[str], Path]) -> None:
    folder = models("marian")
    for to, source, argument in (("fr", None, "to"), ("de", "fr", "source"), ("zh-Hant", "en", "to")):
        with pytest.raises(InputError, match="does not translate") as caught:
            translate(local, folder, "dog", to, source)
        assert (caught.value.argument, "en to de" in caught.value.hint) == (argument, True)
    assert translate(local, folder, "dog", "de-AT", "en-GB", max_tokens=2)


def test_a_coded_translator_must_be_told_both(local: Local, models: Callable[[str], Path]) -> None:
    for to, source, argument in (("fr", "en", "to"), ("de", "fr", "source"), ("de", None, "source")):
        with pytest.raises(InputError) as caught:
            translate(local, models("m2m_100"), "dog", to, source)
        assert caught.value.argument == argument


def test_a_model_that_is_told_in_words_also_completes(local: Local, models: Callable[[str], Path]) -> None:
    folder = models("t5")
    assert local.capabilities(str(folder)).complete
    tokenizer, _ = load_seq2seq(folder)
    text = "summarize: " + TEXTS[2]
    events = events_of(local.generate(Request(str(folder), text, max_tokens=8), SyncIO()))
    assert text_of(events) == tokenizer.decode(generated(folder, tokenizer.encode(text), 8), skip_special_tokens=True)
    with pytest.raises(Unsupported, match="chat"):
        events_of(local.generate(Request(str(folder), (Message("user", "Hello"),)), SyncIO()))
    with pytest.raises(InputError, match="does not translate"):
        translate(local, folder, "dog", "zh", "en")
    assert translate(local, folder, "dog", "fr", None, max_tokens=2)


def test_a_folder_without_a_word_on_how_a_reply_begins(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_seq2seq(tmp_path / "model", "bart", decoder_start_token_id=None, bos_token_id=None,
                          generation={"decoder_start_token_id": None, "bos_token_id": None})  # fmt: skip
    with pytest.raises(ModelFileError, match="begins"):
        translate(fresh(), folder, "dog")


@pytest.mark.filterwarnings("ignore:Recommended")
def test_a_real_tokenizer_of_marian(fresh: Callable[..., Local], tmp_path: Path) -> None:
    spm = pytest.importorskip("sentencepiece", reason="Marian's tokenizers need sentencepiece")
    from local_kit import CORPUS
    from transformers import AutoTokenizer

    folder = make_seq2seq(tmp_path / "model", "marian")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    text = tmp_path / "corpus.txt"
    text.write_text("\n".join(CORPUS), "utf-8")
    for side in ("source", "target"):
        prefix = str(folder / side)
        spm.SentencePieceTrainer.train(
            input=str(text), model_prefix=prefix, vocab_size=120, hard_vocab_limit=False, minloglevel=2
        )
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
    pieces = spm.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    names = [pieces.id_to_piece(n) for n in range(pieces.get_piece_size()) if n > 2]
    _write(folder / "vocab.json", {name: n for n, name in enumerate(["<pad>", "</s>", "<unk>", *names])})
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "MarianTokenizer", "source_lang": "en",
                                              "target_lang": "de"})  # fmt: skip
    settings = json.loads((folder / "generation_config.json").read_text("utf-8"))
    # The model has more outputs than this vocabulary has pieces.
    _write(folder / "generation_config.json", {**settings, "suppress_tokens": list(range(len(names) + 3, 360))})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = generated(folder, tokenizer.encode("The weather is good"), LENGTH)
    events = translate(fresh(), folder, "The weather is good", max_tokens=LENGTH)
    assert text_of(events).strip() == tokenizer.decode(found, skip_special_tokens=True).strip()


def _write(file: Path, table: dict[str, Any]) -> None:
    file.write_text(json.dumps(table), "utf-8")
