"""Replies held to a JSON schema: which tokens may come next, by llguidance.

A token is known to the grammar by the bytes that the detokenizer writes for it, and a control token by none, so that
what is allowed and what is shown cannot differ. How a text is cut into tokens is left to the model.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from llmsdk.errors import InputError, MissingExtra, Unsupported
from llmsdk_providers.local.detokenizer import Codec

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 64
"""Schemas that are kept ready."""
SPACE = {"whitespace_pattern": r" |\n[ \t]{0,24}"}
"""White space between the parts of a value: a space, or a new line with its indent. If there were no bound, a model
that has lost its way would write nothing else."""

PLAIN = frozenset({"$defs", "$schema", "default", "description", "examples", "properties", "required", "title", "type"})
"""Keywords of an object that are no rules but for its keys."""
_QUOTED = re.compile(r'"([^"]+)"')
AS_IT_IS = frozenset({"allOf", "const", "default", "enum", "examples"})


def installed() -> bool:
    """Whether replies can be held to a schema."""
    return importlib.util.find_spec("llguidance") is not None


# --- schemas --------------------------------------------------------------------------------------------------------


class Rules(NamedTuple):
    """A grammar: one schema, or a text that calls a tool."""

    body: str
    """What follows ``start:``, and further rules."""
    left_out: str = ""
    """What it asks for beyond the grammar, such as that no item comes twice; to be checked when the value is whole."""

    @property
    def grammar(self) -> str:
        # Without forcing, no text is turned into tokens here, and no spelling of a control token into that token.
        return f'%llguidance {{"no_forcing": true}}\nstart: {self.body}'


def translated(schema: Mapping[str, Any], argument: str = "output") -> Rules:
    """The grammar of all that satisfies a JSON schema, or of somewhat more where no grammar expresses a keyword.

    Raises:
        MissingExtra: llguidance is not installed.
        InputError: it is no schema, or nothing satisfies it.
        Unsupported: it has a pattern that no grammar expresses.

    ``argument`` is whose the schema is.
    """
    if not installed():
        raise MissingExtra("local", needed_for="a reply that is held to a schema")
    try:
        text = json.dumps({**_closed(schema), "x-guidance": SPACE}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the schema is no JSON: {error}", argument=argument) from None
    return _translated(text, argument)


def composed(before: str, objects: Sequence[tuple[str, Rules]], after: str, other: Rules | None) -> Rules:
    """One of ``objects``, each an opening and the rules of what follows it, between two texts; or else ``other``."""
    lines = [f"value{n}: {rules.body}" for n, (_, rules) in enumerate(objects)]
    each = " | ".join(f"{_quoted(before + opening)} value{n}" for n, (opening, _) in enumerate(objects))
    body = f"({each}) {_quoted(after)}"
    if other is not None:
        body, lines = f"({body}) | other", [*lines, f"other: {other.body}"]
    left_out = [rules.left_out for _, rules in objects] + ([other.left_out] if other is not None else [])
    return Rules("\n".join([body, *lines]), ", ".join(dict.fromkeys(filter(None, left_out))))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _closed(schema: Any) -> Any:
    """The schema with no more keys than it names, where it says nothing of others: a model that has lost its way would
    go on with keys of its own."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value if key in AS_IT_IS else _closed(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    # What other rules say beside the keys, or all of several schemas together, may well need more of them.
    return {**found, "additionalProperties": False} if named and schema.keys() <= PLAIN else found


@lru_cache(KEPT)
def _translated(schema: str, argument: str) -> Rules:
    wrong, said = _check(schema)
    if not wrong:
        return Rules(f"%json {schema}")
    lenient = json.dumps({**json.loads(schema), "x-guidance": {**SPACE, "lenient": True}})
    wrong, said = _check(lenient)
    told = "; ".join(dict.fromkeys(" ".join(each.split()) for each in said))
    if not wrong:
        return Rules(f"%json {lenient}", _left_out(said))
    if "look-around" not in told and "backreferences" not in told:
        raise InputError(f"the schema cannot be satisfied: {told}", argument=argument)
    hint = "Leave that out of the type and check the value afterwards, or ask for the value in words."
    raise Unsupported(f"local models cannot be held to this schema: {told}", capability="schema", hint=hint)


def _left_out(said: Iterable[str]) -> str:
    """The keywords that llguidance does without, each of which only narrows what satisfies the schema."""
    found: dict[str, None] = {}
    for each in said:
        if each.startswith("Unknown format"):
            continue  # to JSON Schema a remark and no rule
        named = _QUOTED.findall(each) if each.startswith("Unimplemented keys") else ["oneOf"]
        found |= dict.fromkeys(named)
    return ", ".join(found)


def _check(schema: str) -> tuple[bool, list[str]]:
    """Whether llguidance refuses a schema, and why; of one that it takes, what it leaves out."""
    from llguidance import LLMatcher

    return LLMatcher.validate_grammar_with_warnings(LLMatcher.grammar_from_json_schema(schema))


# --- grammars -------------------------------------------------------------------------------------------------------


class Grammars:
    """The grammars of one model, each compiled once. Safe to use from any thread.

    Raises:
        Unsupported: what a token of this tokenizer writes depends on its neighbours.
    """

    def __init__(self, codec: Codec) -> None:
        from llguidance import LLTokenizer

        if codec.guesses:
            message = "this model's tokenizer has no bytes, so that its replies cannot be held to a schema"
            raise Unsupported(message, capability="schema", hint="Ask for the value in words.")
        self._tokenizer = LLTokenizer(_Vocabulary(codec.spellings()))  # type: ignore[arg-type]
        self._compiled = lru_cache(KEPT)(self._compile)

    def compiled(self, grammar: str) -> Grammar:
        """A grammar that ``translated`` gave.

        Raises:
            Unsupported: it is too large.
        """
        return self._compiled(grammar)

    def _compile(self, grammar: str) -> Grammar:
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(verbose_errors=False)
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=limits)
        if matcher.is_error():
            raise _stuck(matcher)
        return Grammar(matcher, self._tokenizer.vocab_size - 1)


class _Vocabulary:
    """Tokens as llguidance wants them. The end is one of its own behind them, since each request has its own ends."""

    is_tokenizer_wrapper = True
    eos_token_id = bos_token_id = None
    special_token_ids = ()

    def __init__(self, spellings: Iterable[bytes | None]) -> None:
        # A byte that is in no text marks those that no text has.
        self.tokens = [spelling or b"\xff[%d]" % token for token, spelling in enumerate(spellings)]

    def __call__(self, text: str) -> list[int]:
        raise NotImplementedError("nothing is forced, so no text is turned into tokens")


class Grammar:
    """A compiled grammar of some model. ``end`` is the number of the end, which is behind all tokens."""

    def __init__(self, matcher: Any, end: int) -> None:
        self._matcher = matcher
        self._end = end

    def begin(self, stop_ids: Iterable[int]) -> Matcher:
        """The beginning of a reply that any of ``stop_ids`` ends."""
        return Matcher(self._matcher.deep_copy(), self._end, stop_ids)


class Matcher:
    """How far one reply has come in its grammar.

    Raises:
        Unsupported: the tokens of the model cannot spell what has to come, or it has become too complex to tell.
    """

    def __init__(self, matcher: Any, end: int, stop_ids: Iterable[int]) -> None:
        self._matcher = matcher
        self.end = end
        self.stop_ids = list(stop_ids)
        self._look()

    def consume(self, token: int) -> None:
        """The reply goes on with ``token``.

        Raises:
            Unsupported: as above.
        """
        if not self._matcher.consume_token(token):
            raise _stuck(self._matcher)
        self._look()

    def _look(self) -> None:
        self.bits: bytes = self._matcher.compute_bitmask()
        """The tokens that may come next, a bit each, the lowest first; behind them the end."""
        if self._matcher.is_error():
            raise _stuck(self._matcher)
        self.whole = bool(self.bits[self.end >> 3] >> (self.end & 7) & 1)
        """It may end here."""
        self.ended = self.whole and int.from_bytes(self.bits, "little").bit_count() == 1
        """It has to end here."""


def allowed(matchers: Sequence[Matcher], vocabulary: int) -> Tensor:
    """The tokens that may come next, ``[rows, vocabulary]``: those of the grammar, and the ends of a whole reply."""
    import torch

    packed = torch.frombuffer(bytearray(b"".join(matcher.bits for matcher in matchers)), dtype=torch.uint8)
    bits = packed.view(len(matchers), -1, 1) & (1 << torch.arange(8)).to(torch.uint8)
    known = min(matchers[0].end, vocabulary)
    found = torch.zeros(len(matchers), vocabulary, dtype=torch.bool)
    found[:, :known] = bits.ne(0).flatten(1)[:, :known]
    for row, matcher in zip(found, matchers, strict=True):
        row[[token for token in matcher.stop_ids if token < vocabulary]] = matcher.whole
    return found


def _stuck(matcher: Any) -> Unsupported:
    said = str(matcher.get_error()).partition("<state>")[0]
    hint = "Make the schema simpler, or ask for the value in words."
    message = f"the model cannot be held to this schema: {' '.join(said.split())}"
    return Unsupported(message, capability="schema", hint=hint)
