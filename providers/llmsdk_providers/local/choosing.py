"""Tokens chosen where the logits are, so that what they are need not be known on the CPU to go on with them.

It is what ``sampler.pick`` does, by the same rules and with the same numbers drawn, and it waits for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmsdk_providers.local.grammar import allowed
from llmsdk_providers.local.sampler import Sampler, adjusted, chances_of, fallen
from llmsdk_providers.local.transfers import uploaded

if TYPE_CHECKING:
    from torch import Tensor

NONE = -1
"""In the place of a token where the logits are no numbers, or a grammar allows nothing."""


def choose(samplers: Sequence[Sampler], logits: Tensor) -> Tensor:
    """The next token of each sequence, or ``NONE``; ``[rows]`` of whole numbers on the device of ``logits``.

    Whoever takes a token tells its sampler.
    """
    tokens = _most_probable(logits)
    rows = [n for n, sampler in enumerate(samplers) if not sampler.plain]
    if rows:
        at = uploaded(rows, logits.device)
        tokens[at] = _where_sound(tokens[at], _chosen([samplers[n] for n in rows], logits[at]))
    return tokens


def _most_probable(scores: Tensor) -> Tensor:
    # The largest of anything with a NaN is NaN.
    return scores.argmax(-1).masked_fill_(~scores.amax(-1).isfinite(), NONE)


def _where_sound(tokens: Tensor, others: Tensor) -> Tensor:
    return others.masked_fill(tokens < 0, NONE)


def _chosen(samplers: Sequence[Sampler], scores: Tensor) -> Tensor:
    for sampler in samplers:
        sampler.move(scores.device)
    scores = _kept(samplers, adjusted(samplers, scores))
    tokens = _most_probable(scores)
    rows = [n for n, sampler in enumerate(samplers) if sampler.rule.temperature > 0]
    if rows:
        import torch

        at = uploaded(rows, scores.device)
        points = uploaded([[samplers[n].random.random()] for n in rows], scores.device, torch.double)
        chances = chances_of([samplers[n].rule for n in rows], scores[at])
        tokens[at] = _where_sound(tokens[at], fallen(points, chances))
    return tokens


def _kept(samplers: Sequence[Sampler], scores: Tensor) -> Tensor:
    """Leave each sequence what its grammar allows."""
    found = {n: sampler.matcher for n, sampler in enumerate(samplers) if sampler.matcher is not None}
    if found:
        at = uploaded(list(found), scores.device)
        mask = uploaded(allowed(list(found.values()), scores.shape[-1]), scores.device)
        scores[at] = scores[at].masked_fill(~mask, -math.inf)
    return scores
