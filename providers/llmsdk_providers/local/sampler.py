"""From logits to a token: one sampler a sequence, with a random generator of its own.

The order is: logit bias, penalties, temperature, top_k, top_p, min_p. Log-probabilities are those of the model itself,
before any of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmsdk.errors import InputError
from llmsdk.types import Request

if TYPE_CHECKING:
    from torch import Tensor

MAX_LOGPROBS = 20
"""Alternatives that a token may report."""


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
        _within("temperature", temperature, 0, math.inf)
        _within("top_k", request.top_k, 1, 2**31, whole=True)
        _within("top_p", request.top_p, 0, 1, open_start=True)
        _within("min_p", request.min_p, 0, 1)
        _within("repetition_penalty", request.repetition_penalty, 0, math.inf, open_start=True)
        _within("presence_penalty", request.presence_penalty, -math.inf, math.inf)
        _within("frequency_penalty", request.frequency_penalty, -math.inf, math.inf)
        _within("seed", request.seed, -(2**63), 2**64 - 1, whole=True)
        for token, bias in (request.logit_bias or {}).items():
            _within("logit_bias", token, 0, 2**31, whole=True)
            _within("logit_bias", bias, -math.inf, math.inf)
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
    """Chooses the tokens of one sequence. Same seed and same logits, same tokens, whatever else runs."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int) -> None:
        import torch

        self._sampling = sampling
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed % 2**64)
        self._bias = torch.zeros(vocabulary) if sampling.logit_bias else None
        for token, bias in sampling.logit_bias.items():
            assert self._bias is not None
            self._bias[token] = bias
        self._seen = torch.zeros(vocabulary, dtype=torch.bool) if sampling.repetition_penalty != 1 else None
        if self._seen is not None:
            self._seen[list(prompt)] = True
        counts = sampling.presence_penalty or sampling.frequency_penalty
        self._counts = torch.zeros(vocabulary) if counts else None

    def pick(self, logits: Tensor) -> int:
        """The next token, given the float32 logits (on the CPU) of the whole vocabulary; it counts as seen from now."""
        scores = self._adjusted(logits)
        token = int(scores.argmax()) if self._sampling.temperature == 0 else self._draw(scores)
        if self._seen is not None:
            self._seen[token] = True
        if self._counts is not None:
            self._counts[token] += 1
        return token

    def _adjusted(self, logits: Tensor) -> Tensor:
        import torch

        rule = self._sampling
        if self._bias is not None:
            logits = logits + self._bias
        if self._seen is not None:
            factor = rule.repetition_penalty
            logits = torch.where(self._seen, torch.where(logits < 0, logits * factor, logits / factor), logits)
        if self._counts is not None:
            logits = logits - self._counts * rule.frequency_penalty - (self._counts > 0) * rule.presence_penalty
        return logits

    def _draw(self, scores: Tensor) -> int:
        import torch

        rule = self._sampling
        # Subtracting first keeps the division finite at the smallest temperatures.
        scores = (scores - scores.max()) / rule.temperature
        if rule.top_k is not None and rule.top_k < len(scores):
            scores = scores.masked_fill(scores < scores.topk(rule.top_k).values[-1], -math.inf)
        chances = scores.softmax(-1)
        if rule.top_p is not None and rule.top_p < 1:
            ordered, order = chances.sort(descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered
            chances = chances.index_fill(-1, order[before >= rule.top_p], 0.0)
        if rule.min_p is not None:
            chances = chances.masked_fill(chances < rule.min_p * chances.max(), 0.0)
        return int(torch.multinomial(chances, 1, generator=self._random))


def logprobs(logits: Tensor, token: int, top: int) -> tuple[float, list[tuple[int, float]]]:
    """The natural log-probability of ``token`` and of the ``top`` most probable ones, by the model's own logits."""
    chances = logits.log_softmax(-1)
    best = chances.topk(min(top, len(chances)))
    return float(chances[token]), list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
