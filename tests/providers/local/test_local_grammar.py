"""Replies held to a schema: whatever a model says, with whatever tokens and beside whomever, the form holds."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import pytest
from annotated_types import Len
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_kit import ask, collect, finish_of, gpt2_tokenizer, mistral_tokenizer, text_of, usage_of
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from llmsdk import AsyncClient, Client
from llmsdk.errors import InputError, LLMError, MissingExtra, SchemaMismatch, Unsupported
from llmsdk.io.loop import LoopIO
from llmsdk.types import Message, Request, TextDelta
from llmsdk_providers.local import Local
from llmsdk_providers.local import grammar as grammar_module
from llmsdk_providers.local.detokenizer import Codec, Detokenizer
from llmsdk_providers.local.folder import POCKET_FOLDER
from llmsdk_providers.local.grammar import Grammars, Matcher, allowed, translated

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("llguidance", reason="schemas are held to by llguidance")
jsonschema = pytest.importorskip("jsonschema", reason="replies are validated with jsonschema")
torch.set_num_threads(1)

POCKET = Path(grammar_module.__file__).parent / "pocket"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mood": {"enum": ["good", "好", None]},
    },
    "required": ["name", "age", "mood"],
    "additionalProperties": False,
}
TELLING = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=15
)


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Small schemas of every kind."""
    names = st.sampled_from(["name", "好", "a b", 'quo"te', "<|end|>", "\n"])
    plain = st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.just({"type": "number"}),
        st.just({"type": "string", "pattern": "^(ab|[0-9é]{2})+$", "maxLength": 8}),
        st.builds(
            lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, INTS, st.integers(0, 99)
        ),
        st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, SMALL, SMALL),
        st.builds(lambda values: {"enum": values}, st.lists(names, min_size=1, unique=True)),
        names.map(lambda value: {"const": value}),
    )
    return st.recursive(
        plain, lambda inner: st.one_of(_arrays(inner), _objects(names, inner), _choices(inner)), max_leaves=4
    )


INTS, SMALL = st.integers(-200, 200), st.integers(0, 4)


def _arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )


def _objects(names: st.SearchStrategy[str], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def build(properties: dict[str, Any], optional: int) -> dict[str, Any]:
        required = list(properties)[optional:]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    return st.builds(build, st.dictionaries(names, inner, max_size=3), st.integers(0, 2))


def _choices(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})


def fits(text: str, schema: Any) -> bool:
    """Whether a text spells a value that satisfies a schema."""
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    return True


# --- schemas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"not": {"type": "null"}}}}, "not"),
        ({"if": {"type": "string"}, "then": {"minLength": 2}}, "if, then"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf"),
        ({"type": "array", "contains": {"const": 1}, "items": {"not": {"const": 2}}}, "contains, not"),
    ],
)
def test_what_no_grammar_expresses_is_left_out_and_named(schema: dict[str, Any], words: str) -> None:
    rules = translated(schema)
    assert sorted(rules.left_out.split(", ")) == sorted(words.split(", "))


@pytest.mark.parametrize(
    ("pattern", "words"), [("^(?=a)b$", "look-ahead"), ("(?<!a)b", "look-behind"), (r"(a)\1", "backreferences")]
)
def test_patterns_that_no_grammar_expresses(pattern: str, words: str) -> None:
    with pytest.raises(Unsupported, match=words) as caught:
        translated({"type": "string", "pattern": pattern})
    assert caught.value.capability == "schema"
    assert caught.value.hint


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strnig"},
        {"enum": []},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema"},
        {"type": "string", "pattern": "("},
        {"properties": 3},
        {"const": object()},
        {"const": float("nan")},
    ],
)
def test_what_is_no_schema_or_satisfied_by_nothing(schema: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        translated(schema)
    assert caught.value.argument == "output"


def test_a_format_that_is_not_known_is_no_rule() -> None:
    assert not translated({"type": "string", "format": "no-such-format"}).left_out
    both = {"type": "array", "uniqueItems": True, "items": {"type": "string", "format": "no-such-format"}}
    assert translated(both).left_out == "uniqueItems"


# --- tokens -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["tiny", "pocket", "stories", "gpt2", "mistral"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """Byte-level, and SentencePiece with byte fallback."""
    from transformers import AutoTokenizer

    if request.param == "tiny":
        return loaded(request.getfixturevalue("tiny")("llama"))
    if request.param == "pocket":
        return loaded(POCKET)
    data = request.getfixturevalue("shared_data") / "data"
    if request.param == "stories":
        return AutoTokenizer.from_pretrained(data / "model-tinystories-260k")
    return gpt2_tokenizer(data) if request.param == "gpt2" else mistral_tokenizer(data)


@lru_cache
def loaded(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@lru_cache
def spelled(tokenizer: Any) -> tuple[Codec, list[bytes | None], Grammars]:
    codec = Codec(tokenizer)
    return codec, codec.spellings(), Grammars(codec)


@TELLING
@given(text=st.text(max_size=20))
def test_what_the_grammar_reads_is_what_is_shown(tokenizer: Any, text: str) -> None:
    codec, spellings, _ = spelled(tokenizer)
    ids = [token for token in tokenizer.encode(text, add_special_tokens=False) if token not in codec.special]
    detokenizer = Detokenizer(codec, tokenizer.encode("a", add_special_tokens=False))
    shown = "".join(map(detokenizer.push, ids)) + detokenizer.finish()
    read = b"".join(spellings[token] or b"?" for token in ids).decode()
    if str(POCKET_FOLDER) == tokenizer.name_or_path:
        read = read.replace("\n ", "\n")  # what its decoder takes away is white space between the parts of a value
    assert read == shown


@TELLING
@given(schema=schemas(), seed=st.integers(0, 2**32))
def test_any_path_through_a_grammar_is_json_that_satisfies_it(tokenizer: Any, schema: Any, seed: int) -> None:
    """Tokens drawn evenly from those that are allowed: a model without any sense."""
    codec, spellings, grammars = spelled(tokenizer)
    end = tokenizer.eos_token_id
    matcher = grammars.compiled(translated(schema).grammar).begin([end])
    draw, written = random.Random(seed), b""  # noqa: S311
    for _ in range(150):
        tokens = allowed([matcher], len(tokenizer))[0].nonzero()[:, 0].tolist()
        assert (end in tokens) == matcher.whole
        assert not codec.special.intersection(tokens) - {end}
        if matcher.whole:
            assert fits(written.decode(), schema)
        if matcher.ended or (token := draw.choice(tokens)) == end:
            return
        written += spellings[token] or b"?"
        matcher.consume(token)


def test_tokens_beyond_the_tokenizer_and_ends_beyond_the_model(tiny: Callable[[str], Path]) -> None:
    _, spellings, grammars = spelled(loaded(tiny("llama")))
    matcher = grammars.compiled(translated({"type": "integer"}).grammar).begin([len(spellings) + 70])
    matcher.consume(spellings.index(b"7"))
    assert matcher.whole
    wide, narrow = allowed([matcher], len(spellings) + 64)[0], allowed([matcher], 300)[0]
    assert torch.equal(wide[:300], narrow)
    assert not wide[len(spellings) :].any()
    assert wide[spellings.index(b"0")]


class Few:
    """A tokenizer of a few tokens."""

    guesses = False

    def spellings(self) -> list[bytes | None]:
        return [b'"', b"a", None, b"b"]


def test_tokens_that_cannot_spell_what_must_come() -> None:
    grammars = Grammars(Few())  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="cannot be held"):
        grammars.compiled(translated({"type": "object"}).grammar).begin([2])
    matcher = grammars.compiled(translated({"const": "ac"}).grammar).begin([2])
    matcher.consume(0)
    with pytest.raises(Unsupported, match="cannot be held"):
        matcher.consume(1)
    assert allowed([grammars.compiled(translated({"const": "ab"}).grammar).begin([2])], 4).tolist() == [
        [True, False, False, False]
    ]


def test_a_tokenizer_whose_tokens_depend_on_their_neighbours() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordPiece({"[UNK]": 0, "{": 1, "##}": 2}, unk_token="[UNK]"))
    made.decoder = decoders.WordPiece()
    with pytest.raises(Unsupported, match="no bytes"):
        Grammars(Codec(PreTrainedTokenizerFast(tokenizer_object=made)))


# --- replies ------------------------------------------------------------------------------------------------------


def question(model: object, text: str = "Hi!", **fields: Any) -> Request:
    return Request(str(model), (Message("user", text),), **{"schema": PERSON, "max_tokens": 150, **fields})


@TELLING
@given(
    schema=schemas(),
    kind=st.sampled_from(["llama", "gpt2"]),
    rule=st.sampled_from([{}, {"temperature": 2.0, "seed": 1}, {"repetition_penalty": 3.0}, {"top_k": 1}]),
)
def test_a_model_that_talks_nonsense_keeps_to_the_schema(
    local: Local, tiny: Callable[[str], Path], schema: Any, kind: str, rule: dict[str, Any]
) -> None:
    events = ask(local, question(tiny(kind), schema=schema, max_tokens=100, **rule))
    if finish_of(events).reason == "stop":
        assert fits(text_of(events), schema)
    else:
        assert (finish_of(events).reason, usage_of(events).output_tokens) == ("length", 100)


def test_without_the_schema_it_is_nonsense(local: Local, tiny: Callable[[str], Path]) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(text_of(ask(local, question(tiny("llama"), schema=None))))


def test_a_schema_that_spells_control_tokens_ends_no_reply(local: Local, tiny: Callable[[str], Path]) -> None:
    value = {"<|end|>": "<|begin|>好🎉"}
    events = ask(local, question(tiny("llama"), schema={"const": value}))
    assert json.loads(text_of(events)) == value
    assert finish_of(events).raw_reason == "schema"
    assert not any("\ufffd" in event.text for event in events if isinstance(event, TextDelta))


def test_a_raw_prompt_too(local: Local, tiny: Callable[[str], Path]) -> None:
    assert fits(text_of(ask(local, Request(str(tiny("llama")), "Once", schema=PERSON, max_tokens=240))), PERSON)


def test_where_the_value_may_go_on_the_model_ends_it(local: Local, tiny: Callable[[str], Path]) -> None:
    """A number can always have one more digit, so that only the model's own end, or the limit, ends it."""
    events = ask(local, question(tiny("llama"), schema={"type": "integer"}, temperature=1.0, seed=4))
    assert finish_of(events).raw_reason in ("eos", "max_tokens")
    assert isinstance(json.loads(text_of(events)), int)
    ids = loaded(tiny("llama"))
    ended = ask(local, question(tiny("llama"), schema={"type": "integer"}, logit_bias={ids.eos_token_id: 100.0}))
    assert (finish_of(ended).raw_reason, len(text_of(ended).lstrip("-"))) == ("eos", 1)


def test_stop_strings_and_the_limit_cut_a_reply(local: Local, tiny: Callable[[str], Path]) -> None:
    whole = text_of(ask(local, question(tiny("llama"))))
    stopped = ask(local, question(tiny("llama"), stop=('"age"',)))
    assert (text_of(stopped), finish_of(stopped).raw_reason) == (whole.partition('"age"')[0], "stop_string")
    cut = ask(local, question(tiny("llama"), max_tokens=5))
    assert (finish_of(cut).reason, usage_of(cut).output_tokens) == ("length", 5)
    assert whole.startswith(text_of(cut))


def test_logprobs_are_of_the_model_and_not_of_the_grammar(local: Local, tiny: Callable[[str], Path]) -> None:
    def first(schema: Any) -> Any:
        events = ask(local, question(tiny("llama"), schema=schema, logprobs=5, max_tokens=1))
        return next(event.logprobs[0] for event in events if isinstance(event, TextDelta) and event.logprobs)

    free, held = first(None), first(PERSON)
    assert held.token == "{"
    assert [name for name, _ in held.top] == [name for name, _ in free.top]
    assert [chance for _, chance in held.top] == pytest.approx([chance for _, chance in free.top])
    assert held.logprob < free.logprob


def test_each_of_several_replies_keeps_to_it(local: Local, tiny: Callable[[str], Path]) -> None:
    events = ask(local, question(tiny("llama"), n=3, temperature=1.0, seed=1))
    texts = [text_of(events, index) for index in range(3)]
    assert len(set(texts)) == 3
    assert all(fits(text, PERSON) for index, text in enumerate(texts) if finish_of(events, index).reason == "stop")
    assert text_of(ask(local, question(tiny("llama"), temperature=1.0, seed=2))) == texts[1]


# --- company ------------------------------------------------------------------------------------------------------


def mixed(model: Path) -> Iterator[Request]:
    """Requests with and without a schema, sampled and greedy."""
    for n in range(8):
        schema = None if n % 2 else [PERSON, {"const": "好" * n}, {"type": "array", "maxItems": n}][n % 3]
        yield question(model, f"Hi {n}", schema=schema, max_tokens=60, temperature=1.0 if n % 3 else None, seed=n)


@pytest.mark.anyio
async def test_whoever_runs_beside_it_each_text_is_what_it_is_alone(
    fresh: Callable[..., Local], tiny: Callable[[str], Path]
) -> None:
    """With requests among them that are refused."""
    provider, requests = fresh(), list(mixed(tiny("llama")))
    alone = [text_of(await collect(provider.generate(request, LoopIO()))) for request in requests]
    texts: list[str | None] = [None] * 8

    async def one(n: int) -> None:
        texts[n] = text_of(await collect(provider.generate(requests[n], LoopIO())))

    async def refused() -> None:
        bad = question(tiny("llama"), schema={"type": "string", "pattern": "(?=a)"})
        with pytest.raises(Unsupported, match="look-ahead"):
            await collect(provider.generate(bad, LoopIO()))

    async with anyio.create_task_group() as group:
        for n in range(8):
            group.start_soon(one, n)
            group.start_soon(refused)
    assert texts == alone


@pytest.mark.anyio
async def test_a_grammar_that_fails_ends_its_own_request_alone(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, model = fresh(), tiny("llama")
    text = text_of(await collect(provider.generate(question(model), LoopIO())))
    consume, failed = Matcher.consume, []

    def failing(self: Matcher, token: int) -> None:
        if not failed:
            failed.append(token)
            raise RuntimeError("too complex")
        consume(self, token)

    monkeypatch.setattr(Matcher, "consume", failing)
    outcomes: list[object] = []

    async def one() -> None:
        try:
            outcomes.append(text_of(await collect(provider.generate(question(model), LoopIO()))))
        except LLMError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(one)
    assert sum(isinstance(outcome, LLMError) for outcome in outcomes) == 1
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == [text] * 3
    assert provider._shelf.get(str(model)).load.running == 0


def test_a_request_that_starts_anew_goes_on_in_its_grammar(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmsdk_providers.local.native import Native

    provider, model = fresh(), tiny("llama")
    request = question(model, temperature=1.0, seed=5)
    text = text_of(ask(provider, request))
    place, steps = Native.place, []

    def forgetful(self: Native, context: Any) -> bool:
        steps.append(context.computed)
        if len(steps) % 7 == 0 and context.home is not None:
            self.release(context)
            return place(self, context)
        return place(self, context)

    monkeypatch.setattr(Native, "place", forgetful)
    assert text_of(ask(provider, request)) == text
    assert len(steps) > 7


def test_candidates_are_not_scored_under_a_schema(local: Local, tiny: Callable[[str], Path]) -> None:
    from local_kit import scores

    with pytest.raises(InputError, match="candidates"):
        scores(local, question(tiny("llama")), ["a"])


# --- the client ---------------------------------------------------------------------------------------------------


class Verdict(BaseModel):
    """What a review says."""

    model_config = ConfigDict(extra="forbid")
    mood: Literal["good", "bad", "好"]
    stars: Annotated[int, Field(ge=0, le=5)]
    certain: bool


MODELS = ["tiny", "pocket"]


@pytest.fixture(params=MODELS)
def named(request: pytest.FixtureRequest, tiny: Callable[[str], Path]) -> str:
    return "local:pocket" if request.param == "pocket" else f"local:{tiny('llama')}"


def test_a_value_of_a_type(named: str) -> None:
    with Client(named, config={"providers": {"local": {"threads": 1}}}) as client:
        reply = client.chat("Is it good?", output=Verdict, max_tokens=200)
        assert isinstance(reply.value, Verdict)
        assert reply.record.route == "chat+schema"
        assert client.chat("Is it good?", output=Literal["yes", "no"]).value in ("yes", "no")
        stream = client.chat("Is it good?", output=Verdict, max_tokens=200, stream=True)
        with stream:
            text = "".join(event.text for event in stream if isinstance(event, TextDelta))
        assert text == reply.text
        assert stream.result.value == reply.value
        with pytest.raises(SchemaMismatch) as caught:
            client.chat("Is it good?", output=Verdict, max_tokens=3)
        assert "max_tokens" in caught.value.hint


def test_a_value_of_a_type_that_no_grammar_expresses(named: str) -> None:
    """It is held to what a grammar does express, and the rest is found when the value is whole."""
    with Client(named, config={"providers": {"local": {"threads": 1}}}) as client:
        reply = client.chat("Which are good?", output=Annotated[set[Literal[1, 2]], Len(0, 2)], max_tokens=200)
        assert reply.value <= {1, 2}
        assert any("uniqueItems" in warning for warning in reply.record.warnings)
        only = Annotated[int, Field(json_schema_extra={"not": {"type": "integer"}}), AfterValidator(_nothing)]
        with pytest.raises(SchemaMismatch, match="nothing will do"):
            client.chat("Which?", output=only, max_tokens=200, retry=1)


def _nothing(value: int) -> int:
    raise ValueError("nothing will do")


@pytest.mark.anyio
async def test_values_at_once(named: str) -> None:
    async with AsyncClient(named, config={"providers": {"local": {"threads": 1}}}) as client:
        questions = [f"Is number {n} good?" for n in range(3)]
        each = [(await client.chat(text, output=Verdict, max_tokens=200)).value for text in questions]
        batch = await client.chat(questions, output=Verdict, max_tokens=200)
        assert [reply.value for reply in batch] == each
        async with client.chat(questions[0], output=Verdict, max_tokens=200, stream=True) as stream:
            assert [event async for event in stream if isinstance(event, TextDelta)]
            assert stream.result.value == each[0]


def test_without_llguidance_the_form_is_asked_for_in_words(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find, provider = importlib.util.find_spec, fresh()

    def missing(name: str, package: str | None = None) -> Any:
        return None if name == "llguidance" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    assert provider.capabilities(str(tiny("llama"))).schema == "none"
    with pytest.raises(MissingExtra, match="held to a schema"):
        ask(provider, question(tiny("llama")))
    assert not provider._shelf.get(str(tiny("llama"))).started
