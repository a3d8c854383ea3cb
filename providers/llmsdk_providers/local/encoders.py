"""Runs rows of ids through models that read them whole: classes, answers, vectors. One batch of rows a step.

Rows of about the same length are computed together, whichever request they are of, so that little is padding.
"""

from __future__ import annotations

import inspect
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmsdk.errors import LLMError
from llmsdk.types import Event, Output
from llmsdk_providers.local.errand import Errand
from llmsdk_providers.local.faults import fault
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.rewriting import check_ids
from llmsdk_providers.local.scheduler import not_a_number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

READ = {"cpu": 512, "cuda": 16384}
"""Tokens of one batch, padding included. A cancelled request ends with the batch that is under way."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is read at once, as the tokenizer frames it."""

    ids: tuple[int, ...]
    kinds: tuple[int, ...] | None = None
    """Which of two texts each id is of, for models that are told."""

    @property
    def bucket(self) -> int:
        """Rows with the same bucket have lengths that differ by a third at most, but for short ones."""
        octave = max(len(self.ids) - 1, 7).bit_length()
        return 2 * octave + (len(self.ids) > 3 << (octave - 2))


class Reading(Errand):
    """Rows under way, for one request."""

    def __init__(
        self, rows: Sequence[Row], made: Callable[[list[Tensor]], Any], mailbox: Mailbox[Event | LLMError]
    ) -> None:
        super().__init__(mailbox)
        self.begun = False
        self._rows = rows
        self._made = made
        self._found: dict[int, Tensor] = {}
        self._pending: dict[int, deque[int]] = defaultdict(deque)
        for index in sorted(range(len(rows)), key=lambda index: -len(rows[index].ids)):
            self._pending[rows[index].bucket].append(index)

    def begin(self, model: Encoder) -> None:
        """Check that the model can read it.

        Raises:
            ModelFileError: there are ids that the model does not know.
        """
        self.begun = True
        for row in self._rows:
            check_ids(row.ids, model.embeddings)

    @property
    def bucket(self) -> int:
        """Of the rows that are to be read next."""
        return next(bucket for bucket, indices in self._pending.items() if indices)

    def waiting(self, bucket: int) -> Iterator[tuple[int, Row]]:
        """The rows of a bucket that have not been read, the longest first, with their numbers."""
        for index in self._pending.get(bucket, ()):
            yield index, self._rows[index]

    def give(self, index: int, found: Tensor) -> None:
        """What the model says of a row; with the last one the request ends.

        Raises:
            NumericalFault: something that is no number.
        """
        if not found.isfinite().all():
            raise not_a_number()
        self._found[index] = found
        self._pending[self._rows[index].bucket].remove(index)
        if len(self._found) == len(self._rows):
            self._end(Output(self._made([self._found[n] for n in range(len(self._rows))])))


Chosen = tuple[Reading, int, Row]


class Encoder:
    """One model that reads rows whole."""

    def __init__(
        self, module: Any, device: torch.device, head: Callable[[Any, Tensor], Tensor], *, by_token: bool = False
    ) -> None:
        """``head`` makes ``[rows, ...]`` of the module's output and the mask; ``by_token``: and then ``tokens``."""
        self._module = module
        self._device = device
        self._head = head
        self._by_token = by_token
        self._pad = getattr(module.config, "pad_token_id", None) or 0
        self._takes_kinds = "token_type_ids" in inspect.signature(module.forward).parameters
        self._budget = READ.get(device.type, READ["cpu"])
        self.embeddings = int(module.get_input_embeddings().weight.shape[0])

    def step(self, works: Sequence[Reading]) -> None:
        """Read one batch of the rows of ``works``, which are in the order of their arrival and not over."""
        for work in works:
            if not work.begun:
                _guard(work, work.begin, self)
        chosen = self._choose([work for work in works if not work.over])
        self._compute(chosen)

    def release(self, work: Reading) -> None:
        """Nothing is kept of a work."""

    def _choose(self, works: Sequence[Reading]) -> list[Chosen]:
        """Rows that are about as long as the first that waits, and together no more than a batch may have."""
        chosen: list[Chosen] = []
        if not works:
            return chosen
        bucket, widest = works[0].bucket, 0
        for work in works:
            for index, row in work.waiting(bucket):
                widest = max(widest, len(row.ids))
                if chosen and widest * (len(chosen) + 1) > self._budget:
                    return chosen
                chosen.append((work, index, row))
        return chosen

    def _compute(self, chosen: Sequence[Chosen]) -> None:
        """One forward pass. If it fails, one for each request, so that the one whose fault it is ends alone."""
        if not chosen:
            return
        try:
            found = self._forward([row for _, _, row in chosen])
        except Exception as error:  # noqa: BLE001 - whatever one request does wrong, the others go on
            failed = fault(error)
            works = dict.fromkeys(work for work, _, _ in chosen)
            if len(works) == 1:
                chosen[0][0].fail(failed)
                return
            for work in works:
                self._compute([item for item in chosen if item[0] is work])
            return
        for (work, index, row), line in zip(chosen, found, strict=True):
            _guard(work, work.give, index, line[: len(row.ids)] if self._by_token else line)

    def _forward(self, rows: Sequence[Row]) -> Tensor:
        """What the head says of each row, in float32 on the CPU."""
        import torch

        with torch.inference_mode():
            mask = self._tensor([[1] * len(row.ids) for row in rows], 0)
            given = {"input_ids": self._tensor([row.ids for row in rows], self._pad), "attention_mask": mask}
            if self._takes_kinds and all(row.kinds is not None for row in rows):
                given["token_type_ids"] = self._tensor([row.kinds or () for row in rows], 0)
            return self._head(self._module(**given), mask).to("cpu", torch.float32)

    def _tensor(self, rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        import torch

        longest = max(map(len, rows))
        padded = [[*row, *[fill] * (longest - len(row))] for row in rows]
        return torch.tensor(padded, dtype=torch.long, device=self._device)


def _guard(work: Reading, step: Callable[..., None], *given: Any) -> None:
    try:
        step(*given)
    except Exception as error:  # noqa: BLE001 - see above
        work.fail(fault(error))
