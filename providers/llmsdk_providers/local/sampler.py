"""From logits to tokens: one sampler a sequence, with a random generator of its own, and one pass for all sequences.

The order is: logit bias, penalties, grammar, temperature, top_k, top_p, min_p. Log-probabilities are those of the model
itself, before any of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmsdk.errors import InputError
from llmsdk.types import Request
from llmsdk_providers.local.grammar import Matcher, allowed
from llmsdk_providers.local.transfers import uploaded

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_LOGPROBS = 20
"""Alternatives that a token may report."""
LARGEST = 3e38
"""What torch takes for a float32."""
BLOCK = 64
"""Tokens whose chances are added up together."""
LIKELY = 256
"""Tokens among which those of ``top_p`` mostly are; where they are not, all are sorted."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of one sequence are chosen. ``temperature`` 0 takes the most probable one."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None

    @classmethod
    def of(cls, request: Request) -> Sampling:
        """The checked sampling of a request.

        Without a temperature the reply is greedy, so that equal requests have equal replies, unless ``top_k``,
        ``top_p`` or ``min_p`` ask for sampling: then it is 1.

        Raises:
            InputError: a value out of its range.
        """
        draws = any(value is not None for value in (request.top_k, request.top_p, request.min_p))
        temperature = (1.0 if draws else 0.0) if request.temperature is None else request.temperature
        _within("temperature", temperature, 0, LARGEST)
        _within("top_k", request.top_k, 1, 2**31, whole=True)
        _within("top_p", request.top_p, 0, 1, open_start=True)
        _within("min_p", request.min_p, 0, 1)
        _within("repetition_penalty", request.repetition_penalty, 0, LARGEST, open_start=True)
        _within("presence_penalty", request.presence_penalty, -LARGEST, LARGEST)
        _within("frequency_penalty", request.frequency_penalty, -LARGEST, LARGEST)
        _within("seed", request.seed, -(2**63), 2**64 - 1, whole=True)
        for token, bias in (request.logit_bias or {}).items():
            _within("logit_bias", token, 0, 2**31, whole=True)
            _within("logit_bias", bias, -LARGEST, LARGEST)
        return cls(
            temperature=temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            min_p=request.min_p,
            repetition_penalty=1.0 if request.repetition_penalty is None else request.repetition_penalty,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            logit_bias=dict(request.logit_bias or {}),
            seed=request.seed,
        )


def _within(name: str, value: Any, low: float, high: float, *, whole: bool = False, open_start: bool = False) -> None:
    """Check an optional number. Infinities are never allowed."""
    if value is None:
        return
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise InputError(f"{name} = {value!r} is no {'whole ' if whole else 'finite '}number", argument=name)
    if not low <= value <= high or (open_start and value == low):
        start = f"above {low:g}" if open_start else f"at least {low:g}"
        end = f" and at most {high:g}" if math.isfinite(high) else ""
        raise InputError(f"{name} = {value!r} is out of range", argument=name, hint=f"It must be {start}{end}.")


class Sampler:
    """What choosing the tokens of one sequence remembers. Same seed, same tokens, whatever else runs."""

    def __init__(
        self, sampling: Sampling, prompt: Sequence[int], vocabulary: int, matcher: Matcher | None = None
    ) -> None:
        import torch

        self.rule = sampling
        self.matcher = matcher
        """The grammar that the tokens keep to. Whoever takes a token tells it."""
        # One number a token is all that is drawn, whatever the filters.
        self.random = random.Random(None if sampling.seed is None else sampling.seed % 2**64)  # noqa: S311
        self._bias = torch.zeros(vocabulary) if sampling.logit_bias else None
        for token, bias in sampling.logit_bias.items():
            assert self._bias is not None
            self._bias[token] = bias
        self._seen = torch.zeros(vocabulary, dtype=torch.bool) if sampling.repetition_penalty != 1 else None
        if self._seen is not None:
            self._seen[list(prompt)] = True
        counts = sampling.presence_penalty or sampling.frequency_penalty
        self._counts = torch.zeros(vocabulary) if counts else None
        self.adjusts = not (self._bias is self._seen is self._counts is None)
        """It has a bias or penalties."""
        self.plain = sampling.temperature == 0 and matcher is None and not self.adjusts
        """It takes the most probable token, and that is all."""

    def move(self, device: torch.device) -> None:
        """Keep on ``device`` what is remembered of every token."""
        if self.adjusts:
            states = (self._bias, self._seen, self._counts)
            self._bias, self._seen, self._counts = (None if each is None else each.to(device) for each in states)

    def adjusted(self, logits: Tensor) -> Tensor:
        """The logits after bias and penalties."""
        import torch

        rule = self.rule
        if self._bias is not None:
            logits = logits + self._bias
        if self._seen is not None:
            factor = rule.repetition_penalty
            logits = torch.where(self._seen, torch.where(logits < 0, logits * factor, logits / factor), logits)
        if self._counts is not None:
            logits = logits - self._counts * rule.frequency_penalty - (self._counts > 0) * rule.presence_penalty
        return logits

    def saw(self, token: int) -> None:
        """The token counts as seen from now."""
        if self._seen is not None:
            self._seen[token] = True
        if self._counts is not None:
            self._counts[token] += 1


def pick(samplers: Sequence[Sampler], logits: Tensor) -> list[int | None]:
    """The next token of each sequence, given float32 logits ``[rows, vocabulary]`` on the CPU.

    ``None`` where they are no numbers: a NaN or an infinity, or nothing but minus infinity, at least of what a grammar
    allows.
    """
    tokens = best(logits)
    rows = [n for n, sampler in enumerate(samplers) if tokens[n] is not None and not sampler.plain]
    if rows:
        chosen = [samplers[n] for n in rows]
        scores = adjusted(chosen, logits[rows])
        possible = _keep_allowed(chosen, scores)
        for n, sampler, token, good in zip(rows, chosen, _draw(chosen, scores), possible, strict=True):
            tokens[n] = token if good else None
            if good:
                sampler.saw(token)
    return tokens


def best(logits: Tensor) -> list[int | None]:
    """The most probable token of each row; ``None`` where there are numbers that are none, or only minus infinity.

    By numpy, which finds it ten times as fast as torch, and takes a NaN for the largest number.
    """
    import numpy as np

    rows = logits.numpy()
    tokens = rows.argmax(1)
    sound = np.isfinite(rows[np.arange(len(rows)), tokens])
    found: list[int | None] = tokens.tolist()
    return found if sound.all() else [token if good else None for token, good in zip(found, sound, strict=True)]


def adjusted(samplers: Sequence[Sampler], logits: Tensor) -> Tensor:
    """The logits after bias and penalties, each row by its sampler; in place."""
    for n, sampler in enumerate(samplers):
        if sampler.adjusts:
            logits[n] = sampler.adjusted(logits[n])
    return logits


def _keep_allowed(samplers: Sequence[Sampler], scores: Tensor) -> list[bool]:
    """Leave each sequence what its grammar allows. Says whether that is anything."""
    found = {n: sampler.matcher for n, sampler in enumerate(samplers) if sampler.matcher is not None}
    possible = [True] * len(samplers)
    if found:
        rows = list(found)
        kept = scores[rows].masked_fill(~allowed(list(found.values()), scores.shape[-1]), -math.inf)
        scores[rows] = kept
        for n, good in zip(rows, kept.amax(-1).isfinite().tolist(), strict=True):
            possible[n] = good
    return possible


def _draw(samplers: Sequence[Sampler], scores: Tensor) -> list[int]:
    import torch

    tokens: list[int] = scores.argmax(-1).tolist()
    rows = [n for n, sampler in enumerate(samplers) if sampler.rule.temperature > 0]
    if rows:
        points = torch.tensor([[samplers[n].random.random()] for n in rows], dtype=torch.double)
        chances = chances_of([samplers[n].rule for n in rows], scores[rows])
        for n, token in zip(rows, fallen(points, chances).tolist(), strict=True):
            tokens[n] = token
    return tokens


def fallen(points: Tensor, chances: Tensor) -> Tensor:
    """The tokens on which ``points`` of the way through all chances fall: first the block of tokens, then the token."""
    import torch

    blocks = torch.nn.functional.pad(chances, (0, -chances.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    sums = blocks.sum(-1, dtype=torch.double)
    block, points = _first_beyond(points * sums.sum(-1, keepdim=True), sums)
    inside, _ = _first_beyond(points, blocks[torch.arange(len(blocks), device=block.device), block[:, 0]].double())
    return (block * BLOCK + inside)[:, 0]


def _first_beyond(points: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    """Where the running sum first goes beyond a point, so that the chance is above 0; and what is left of the point.

    Anywhere, if no chance is.
    """
    import torch

    sums = chances.cumsum(-1)
    # Rounding must lead neither to the end itself nor before the beginning.
    points = torch.minimum(points.clamp_min(0), sums[:, -1:].nextafter(sums.new_zeros(())))
    at = torch.searchsorted(sums, points, right=True).clamp_max(sums.shape[-1] - 1)
    return at, points - (sums.gather(-1, at) - chances.gather(-1, at))


def chances_of(rules: Sequence[Sampling], scores: Tensor) -> Tensor:
    """The chance of every token, ``[rows, vocabulary]``, whose rows need not add up to 1."""
    # Subtracting first keeps the division finite at the smallest temperatures.
    scores = scores - scores.amax(-1, keepdim=True)
    scores /= uploaded([[rule.temperature] for rule in rules], scores.device)
    _keep_top_k(rules, scores)
    chances = scores.softmax(-1)
    _keep_top_p(rules, chances)
    if any(rule.min_p for rule in rules):
        least = uploaded([[rule.min_p or 0.0] for rule in rules], chances.device)
        chances.masked_fill_(chances < least * chances.amax(-1, keepdim=True), 0.0)
    return chances


def _keep_top_k(rules: Sequence[Sampling], scores: Tensor) -> None:
    rows = [n for n, rule in enumerate(rules) if rule.top_k is not None and rule.top_k < scores.shape[-1]]
    if rows:
        counts, at = [rules[n].top_k or 0 for n in rows], uploaded(rows, scores.device)
        places = uploaded([[count - 1] for count in counts], scores.device)
        least = _largest(scores[at], max(counts)).gather(-1, places)
        scores[at] = scores[at].masked_fill(scores[at] < least, -math.inf)


def _keep_top_p(rules: Sequence[Sampling], chances: Tensor) -> None:
    rows = [n for n, rule in enumerate(rules) if rule.top_p is not None and rule.top_p < 1]
    if rows:
        at, most = uploaded(rows, chances.device), uploaded([[rules[n].top_p or 0.0] for n in rows], chances.device)
        kept = chances[at]
        ordered = _likeliest(kept, most)
        last = (ordered.cumsum(-1) - ordered < most).sum(-1, keepdim=True) - 1
        # Of numbers that are none it is -1, which would be the end of all who use the same GPU.
        chances[at] = kept.masked_fill(kept < ordered.gather(-1, last.clamp_min(0)), 0.0)


def _likeliest(chances: Tensor, most: Tensor) -> Tensor:
    """The largest chances of each row, in order: as many as add up to ``most``, or more."""
    size = chances.shape[-1]
    if chances.device.type == "cpu" and size > LIKELY:  # to ask another device would be to wait for it
        ordered = _largest(chances, LIKELY)
        if (ordered.cumsum(-1)[:, -1:] >= most).all():
            return ordered
    return _largest(chances, size)


def _largest(values: Tensor, count: int) -> Tensor:
    """The ``count`` largest values of each row, in order. On the CPU numpy sorts several times as fast as torch."""
    import numpy as np
    import torch

    if values.device.type != "cpu":
        return values.topk(count).values
    top = np.partition(values.numpy(), -count, 1)[:, -count:]
    return torch.from_numpy(np.sort(top, 1)[:, ::-1].copy())


def logprobs(logits: Tensor, token: int, top: int) -> tuple[float, list[tuple[int, float]]]:
    """The natural log-probability of ``token`` and of the ``top`` most probable ones, by the model's own logits."""
    chances = logits.log_softmax(-1)
    best = chances.topk(min(top, len(chances)))
    return float(chances[token]), list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
