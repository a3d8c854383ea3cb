"""Where in a document an answer stands: from the scores of its tokens in overlapping windows to one span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmsdk.types import Span
from llmsdk_providers.local.encoders import Row

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 30
"""Tokens of an answer at most, as is usual for these models."""
TRIES = 20
"""Best spans to look at for one that is not blank."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a document behind the question, as it is read at once."""

    row: Row
    begin: int
    """Where in the row the document begins."""
    first: int
    """Which token of the document that is."""
    offsets: tuple[tuple[int, int], ...]
    """The characters of each token of the document in this window."""
    none: int
    """The place in the row that stands for no answer."""


def best(document: str, source: int, windows: Sequence[Window], scores: Sequence[Tensor]) -> Span | None:
    """The best span of a document, or ``None`` where the model finds it less probable than that there is none.

    ``scores`` are ``[tokens, 2]`` for each window: how well a span begins and ends with each token. A span in several
    windows counts with its best score; where there is no answer all windows must say so.
    """
    import torch

    offsets = {window.first + n: offset for window in windows for n, offset in enumerate(window.offsets)}
    table = torch.full((max(offsets) + 1, LONGEST), -torch.inf)
    for window, score in zip(windows, scores, strict=True):
        _enter(table, window, score)
    none = min(float(score[window.none].sum()) for window, score in zip(windows, scores, strict=True))
    total = torch.cat([table.flatten(), torch.tensor([none])]).logsumexp(0)
    values, places = table.flatten().topk(min(TRIES, table.numel()))
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if value <= none:
            return None
        first, more = divmod(place, LONGEST)
        start, end = _trimmed(document, offsets[first][0], offsets[first + more][1])
        if start < end:
            return Span(source, start, end, float((torch.tensor(value) - total).exp()))
    return None


def _enter(table: Tensor, window: Window, score: Tensor) -> None:
    """Enter the spans of a window into ``[tokens, LONGEST]``: by their first token, and how many follow it."""
    import torch

    size = len(window.offsets)
    starts, ends = score[window.begin : window.begin + size].unbind(1)
    for more in range(min(LONGEST, size)):
        known = table[window.first : window.first + size - more, more]
        known.copy_(torch.maximum(known, starts[: size - more] + ends[more:]))


def _trimmed(document: str, start: int, end: int) -> tuple[int, int]:
    """Without white space at either end."""
    text = document[start:end]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())
