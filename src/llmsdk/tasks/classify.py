"""Classification: three ways to ask, by what the provider can tell of its probabilities, and none where it classifies.

- ``pick`` asks for one label by name; a provider that scores candidates is given every label to score.
- ``pick_letter`` asks for one letter, so that every label is one token apart in the first token's logprobs.
- ``state`` asks the model to state the probabilities itself, in JSON.

With several labels at once (``multi``) each label is a question of its own with the answer yes or no (``fits``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from string import ascii_uppercase
from typing import Any, Literal, get_args
from unicodedata import normalize

from pydantic_core import from_json

from llmsdk import options
from llmsdk.errors import InputError, InvalidBody, SchemaMismatch, brief
from llmsdk.pipeline import native
from llmsdk.pipeline.line import Line
from llmsdk.provider import Classifies, Scores
from llmsdk.reply import Reply
from llmsdk.results import Classification
from llmsdk.tasks.schema import unfenced
from llmsdk.types import Message, Request

LETTERS = ascii_uppercase
YES, NO = "yes", "no"
LABELS, LONGEST = 5_000, 1_000
"""How many labels there may be, and how many characters one may have."""


def pick(text: str, labels: Mapping[str, str]) -> tuple[Message, ...]:
    """Ask for one label by name. ``labels`` maps each label to its description, which may be empty."""
    rule = "Which label fits the text? Reply with one label only."
    return Message("system", "\n".join([rule, "Labels:", *_bullets(labels)])), Message("user", text)


def pick_letter(text: str, labels: Mapping[str, str]) -> tuple[Message, ...]:
    """Ask for one label by its letter, ``A`` for the first."""
    rule = "Which label fits the text? Reply with its letter only."
    lines = [f"{letter}. {_described(*item)}" for letter, item in zip(LETTERS, labels.items(), strict=False)]
    return Message("system", "\n".join([rule, *lines])), Message("user", text)


def fits(text: str, label: str, description: str = "") -> tuple[Message, ...]:
    """Ask whether one label fits, whatever the others do."""
    rule = f"Does the label fit the text? Reply with {YES} or {NO} only."
    return Message("system", f"{rule}\nLabel: {_described(label, description)}"), Message("user", text)


def state(text: str, labels: Mapping[str, str], multi: bool = False) -> tuple[Message, ...]:
    """Ask for the probability of every label, as JSON."""
    sums = "each between 0 and 1, independent of the others" if multi else "adding up to 1"
    question = "How probable is it that each label fits the text?"
    rule = f"{question} Reply with a JSON object of label and probability, {sums}."
    return Message("system", "\n".join([rule, "Labels:", *_bullets(labels)])), Message("user", text)


def _bullets(labels: Mapping[str, str]) -> list[str]:
    return [f"- {_described(*item)}" for item in labels.items()]


def _described(label: str, description: str) -> str:
    return f"{label}: {description}" if description else label


# --- the task ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Classify:
    """Classify one text. ``labels`` maps names to descriptions, ``values`` to what the caller knows them by."""

    text: str
    labels: Mapping[str, str]
    values: Mapping[str, Any]
    multi: bool = False
    threshold: float = 0.5

    async def run(self, line: Line) -> Classification[Any]:
        """By the best way that the model has: its own, scoring, logprobs, or asking for the probabilities."""
        route = self.route(line)
        if route == "native":
            return self._result(await self._natively(line), line, route, "exact")
        if route == "score":
            return self._result(await self._by_score(line), line, route, "exact")
        if route == "chat+logprobs":
            scores = await self._by_logprobs(line)
            if scores is not None:
                return self._result(scores, line, route, "logprob")
            line.warnings.append("the provider reported no usable logprobs; the model was asked for its probabilities")
        return self._result(await self._by_asking(line), line, "chat+stated", "stated")

    def route(self, line: Line) -> str:
        can = line.capabilities
        if "classify" in can.native and line.does(Classifies):
            return "native"
        if line.does(Scores):
            return "score"
        letters = 2 if self.multi else len(self.labels)
        return "chat+logprobs" if letters <= min(can.logprobs, len(LETTERS)) else "chat+stated"

    def _result(
        self, scores: Mapping[str, float], line: Line, route: str, how: Literal["exact", "logprob", "stated"]
    ) -> Classification[Any]:
        ranked = sorted(self.labels, key=lambda label: -scores[label])
        fitting = [label for label in ranked if scores[label] >= self.threshold] if self.multi else ranked[:1]
        return Classification(
            record=line.record(route),
            label=self.values[ranked[0]],
            labels=tuple(self.values[label] for label in fitting),
            scores={self.values[label]: scores[label] for label in ranked},
            probability=how,
        )

    async def _natively(self, line: Line) -> dict[str, float]:
        if any(self.labels.values()):
            line.leave_out("descriptions of labels")
        invoke = native.classification(self.text, tuple(self.labels), self.multi)
        request = line.request("\n".join([self.text, *self.labels]))
        found = await line.output("classify", request, invoke, (self.text, self.multi, *self.labels))
        return _matched(self.labels, found, line, exclusive=not self.multi)

    # --- three ways -------------------------------------------------------------------------------------------

    async def _by_score(self, line: Line) -> dict[str, float]:
        if self.multi:
            return await self._each(line, self._fits_by_score)
        request = line.request(pick(self.text, self.labels))
        scores = await line.score(request, list(self.labels))
        return dict(zip(self.labels, _softmax([score.logprob for score in scores]), strict=True))

    async def _fits_by_score(self, line: Line, label: str) -> float:
        request = line.request(fits(self.text, label, self.labels[label]))
        yes, no = await line.score(request, [YES, NO])
        return _softmax([yes.logprob, no.logprob])[0]

    async def _by_logprobs(self, line: Line) -> dict[str, float] | None:
        """``None`` where the reply has none that tell."""
        if self.multi:
            each = await self._each(line, self._fits_by_logprob)
            return None if any(math.isnan(score) for score in each.values()) else each
        reply = await line.ask(_first_token(line, pick_letter(self.text, self.labels)))
        shares = _shares(reply, dict(zip(LETTERS, self.labels, strict=False)))
        return _normal(shares)

    async def _fits_by_logprob(self, line: Line, label: str) -> float:
        reply = await line.ask(_first_token(line, fits(self.text, label, self.labels[label])))
        shares = _normal(_shares(reply, {YES.upper(): YES, NO.upper(): NO}))
        return shares[YES] if shares else math.nan

    async def _by_asking(self, line: Line) -> dict[str, float]:
        can = line.capabilities.schema
        schema = _schema(self.labels)
        fields = {} if can == "none" else {"schema": schema, "schema_name": "probabilities"}
        reply = await line.ask(line.request(state(self.text, self.labels, self.multi), **fields))
        return _stated(reply, self.labels, self.multi)

    async def _each(self, line: Line, ask: Callable[[Line, str], Coroutine[Any, Any, float]]) -> dict[str, float]:
        scores = await line.gather([partial(ask, line, label) for label in self.labels])
        return dict(zip(self.labels, scores, strict=True))


def _matched(labels: Mapping[str, str], found: Mapping[str, float], line: Line, *, exclusive: bool) -> dict[str, float]:
    """The probability of each label, whose case does not count.

    Raises:
        InputError: the model has fixed labels, and these are others; or not all of them, where one must be chosen.
        InvalidBody: what adds up to something else than 1.
    """
    known = {label.casefold(): share for label, share in found.items()}
    wanted = {label.casefold() for label in labels}
    if not wanted <= known.keys() or (exclusive and len(wanted) < len(known)):
        hint = f"Pass its own: {', '.join(map(repr, found))}."
        raise InputError(f"the labels are not those of {line.way}", argument="labels", hint=hint)
    scores = {label: found.get(label, known[label.casefold()]) for label in labels}
    if exclusive and abs(sum(scores.values()) - 1) > 0.02:
        hint = "If it judges each label by itself, pass multi=True."
        raise InvalidBody(f"the probabilities add up to {sum(scores.values()):.3g}, not 1", hint=hint)
    return scores


def _first_token(line: Line, messages: tuple[Message, ...]) -> Request:
    greedy = {"temperature": 0.0} if "temperature" in line.capabilities.options else {}
    return line.request(messages, max_tokens=1, logprobs=min(20, line.capabilities.logprobs), **greedy)


def _shares(reply: Reply, labels: Mapping[str, str]) -> dict[str, float]:
    """The probability of each label's letter as the first token."""
    shares = dict.fromkeys(labels.values(), 0.0)
    tokens = reply.choices[0].logprobs if reply.choices else None
    if tokens:
        for token, logprob in tokens[0].top or ((tokens[0].token, tokens[0].logprob),):
            if label := labels.get(token.strip().upper()):
                shares[label] += math.exp(logprob)
    return shares


def _normal(shares: Mapping[str, float]) -> dict[str, float] | None:
    """Shares that add up to 1; ``None`` where the model said mostly something else."""
    total = sum(shares.values())
    return {label: share / total for label, share in shares.items()} if total > 0.2 else None


def _softmax(logprobs: Sequence[float]) -> list[float]:
    top = max(logprobs)
    weights = [math.exp(logprob - top) for logprob in logprobs]
    return [weight / sum(weights) for weight in weights]


def _schema(labels: Mapping[str, str]) -> dict[str, Any]:
    properties = {label: {"type": "number"} for label in labels}
    return {"type": "object", "properties": properties, "required": list(labels), "additionalProperties": False}


def _stated(reply: Reply, labels: Mapping[str, str], multi: bool) -> dict[str, float]:
    """The probabilities in a reply, made to add up to 1 unless each label is by itself.

    Raises:
        SchemaMismatch: no JSON, a label missing, or no probability.
    """
    try:
        said = from_json(unfenced(reply.text), allow_inf_nan=False)
        scores = {label: float(said[label]) for label in labels}
    except (ValueError, TypeError, KeyError) as error:
        raise SchemaMismatch(f"the model stated no probabilities: {error!r}", text=reply.text) from None
    total = sum(scores.values())
    if min(scores.values()) < 0 or (max(scores.values()) > 1 if multi else total <= 0):
        raise SchemaMismatch(f"the model stated impossible probabilities: {scores}", text=reply.text)
    return scores if multi else {label: score / total for label, score in scores.items()}


def check(text: Any, labels: Any, *, multi: bool = False, threshold: float = 0.5) -> Classify:
    """The task, from what the caller passed.

    Raises:
        InputError: an empty text, no or duplicate labels, a threshold out of range.
    """
    named, values = _named(labels)
    if not named or (len(named) < 2 and not multi):
        hint = "Pass at least two labels, or multi=True to ask whether one fits."
        raise InputError(f"{'one label' if named else 'no labels'} to choose from", argument="labels", hint=hint)
    if not isinstance(multi, bool):
        raise InputError(f"multi={brief(multi)} is no bool", argument="multi", hint="Pass True or False.")
    if not isinstance(threshold, int | float) or not 0 < threshold < 1:
        hint = "Pass how probable a label must be to fit, such as 0.5."
        raise InputError(f"threshold={brief(threshold)} is not between 0 and 1", argument="threshold", hint=hint)
    return Classify(options.text("text", text, blank=False), named, values, multi, threshold)


def _check_names(names: list[Any]) -> None:
    """See that labels can be told apart, by a model and by whoever reads what it says."""
    if len(names) > LABELS:
        hint = f"Pass at most {LABELS}: choose among groups first, or look the nearest up with embed()."
        raise InputError(f"{len(names)} labels to choose from", argument="labels", hint=hint)
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        if isinstance(name, Enum):
            hint = f"Pass the class itself, {type(name).__name__}, or a list of str."
            raise InputError(f"labels[{index}] is {brief(name)}", argument="labels", hint=hint)
        if options.text(f"labels[{index}]", name) != name.strip():
            raise InputError(
                f"the label {name!r:.80} has white space around it", argument="labels", hint="Take it away."
            )
        if len(name) > LONGEST:
            hint = "Give labels of some words, and what they mean as a mapping: {label: description}."
            raise InputError(f"a label has {len(name)} characters: {name[:60]!r}...", argument="labels", hint=hint)
        if other := seen.get(key := normalize("NFC", name).casefold()):
            same = (
                f"the label {name!r} stands there twice" if other == name else f"{other!r} and {name!r} are one label"
            )
            raise InputError(same, argument="labels", hint="Each label once, whatever its case or Unicode form.")
        seen[key] = name


def _named(labels: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Names with descriptions, and names with the caller's own values."""
    if isinstance(labels, type) and issubclass(labels, Enum):
        values = {str(m.value) if isinstance(m.value, str) else m.name: m for m in labels}
        _check_names(list(values))
        return dict.fromkeys(values, ""), values
    if isinstance(labels, str | bytes):
        hint = 'Pass a list: ["good", "bad"].'
        raise InputError(f"labels is a {type(labels).__name__}", argument="labels", hint=hint)
    described = dict(labels) if isinstance(labels, Mapping) else None
    names = list(described or get_args(labels) or _listed(labels))
    _check_names(names)
    for name, description in (described or {}).items():
        options.text(f"labels[{name!r}]", description, empty=True)
    return described or dict.fromkeys(names, ""), {name: name for name in names}


def _listed(labels: Any) -> list[Any]:
    if isinstance(labels, set | frozenset):  # the prompt would be another one at each start of Python
        hint = "Pass a list: their order is part of the question, and a set has none."
        raise InputError(f"labels is a {type(labels).__name__}", argument="labels", hint=hint)
    try:
        return list(labels)
    except TypeError:
        hint = "Pass a list of str, a mapping to descriptions, an Enum class or a Literal type."
        raise InputError(f"labels is of type {type(labels).__name__}", argument="labels", hint=hint) from None
