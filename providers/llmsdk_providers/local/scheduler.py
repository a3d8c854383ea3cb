"""What one step computes: a decision, then one forward pass for all sequences that it chose.

Sequences that write have the first claim, one token each and what they guess behind it. What is left of the step's
tokens goes to prompts, in the order in which they came, at most half of it to one while others wait, so that a long
prompt holds up neither those that write nor a short one behind it.

Memory is given in the order of arrival too. If a sequence cannot grow, the latest that has any gives its memory up and
is computed anew when there is room. Since none is admitted that does not fit by itself, the earliest always goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from llmsdk.errors import LLMError, NumericalFault
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.faults import fault
from llmsdk_providers.local.lookup import Lookup
from llmsdk_providers.local.sampler import Sampler

if TYPE_CHECKING:
    from torch import Tensor

BUDGET = 512
"""Tokens of one step, for a model that names no other number."""


class Model(Protocol):
    """What runs sequences, and keeps their keys and values."""

    together: bool
    """Pieces of several sequences are computed in one pass."""
    whole_prompts: bool
    """A prompt must be given whole."""
    guesses: bool
    """It pays to guess what a sequence will say."""
    budget: int | None
    """Tokens of one step."""
    embeddings: int
    """Ids that it can read."""
    vocabulary: int
    """Ids that it can write."""

    @property
    def longest(self) -> int:
        """The most tokens that one sequence can have in memory."""
        ...

    def place(self, context: Context) -> bool:
        """Make room for all ids of a context; not if memory is short. Some may be computed then already."""
        ...

    def soon(self, context: Context, others: Sequence[Context]) -> bool:
        """Whether a context that waits had better wait until more is computed of ``others``, which begin as it does."""
        ...

    def keep(self, context: Context) -> None:
        """Remember what is computed of a context, for others that begin as it does."""
        ...

    def release(self, context: Context) -> None:
        """Take the memory of a context. It may be computed anew."""
        ...

    def retract(self, context: Context, size: int) -> None:
        """Take back what is computed of a context beyond its first ``size`` ids."""
        ...

    def forward(self, pieces: Sequence[Piece]) -> Any:
        """Compute pieces of placed contexts; ``[rows, vocabulary]`` float32 logits for what is wanted of them."""
        ...

    def pick(self, contexts: Sequence[Context], samplers: Sequence[Sampler], logits: Tensor) -> list[int | None]:
        """The next token of each of ``contexts``, as ``sampler.pick`` says; from their logits, just computed."""
        ...

    def branches(self, context: Context, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """The float32 logits after each id of every row, each row continuing ``context``, which stays as it is."""
        ...


class Work(Protocol):
    """Something that wants sequences computed. It tells its caller exactly once how it ended."""

    cancelled: bool
    """May be set from any thread."""
    over: bool
    context: Context | None
    sampler: Sampler | None
    """Chooses its tokens, for a work that wants some."""
    lookup: Lookup | None
    """Guesses its tokens, for a work whose tokens are the most probable ones."""

    def begin(self, model: Model) -> None:
        """Check that the model can run it, and have a context."""
        ...

    def accept(self, logits: Tensor, token: int | None) -> None:
        """Its context has been computed whole, and this comes next. If it goes on, it appends to its context."""
        ...

    def branch(self, model: Model) -> None:
        """Go on from a context to which nothing was appended."""
        ...

    def fail(self, error: LLMError) -> None:
        """End with an error, unless it has ended."""
        ...

    def drop(self) -> None:
        """End because nobody wants it any more."""
        ...

    def deliver(self) -> None:
        """Give the caller what has come since the last delivery."""
        ...


Chosen = tuple[Work, Piece]


class Scheduler:
    """Steps works through a model. Whatever goes wrong with one ends that one alone."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._budget = model.budget or BUDGET

    def step(self, works: Sequence[Work]) -> None:
        """Advance ``works``, which are in the order of their arrival and not over."""
        for work in works:
            if work.context is None:
                self._guard(work, work.begin, self._model)
            elif not work.context.todo:
                self._guard(work, work.branch, self._model)
        chosen = self._choose([(work, work.context) for work in works if not work.over and work.context is not None])
        for group in [chosen] if self._model.together else [[one] for one in chosen]:
            self._compute(group)

    def release(self, work: Work) -> None:
        """Let go of a work that is over."""
        if work.context is not None:
            self._keep([work.context])
            self._model.release(work.context)
            work.context = None

    # --- the decision -------------------------------------------------------------------------------------------

    def _choose(self, works: Sequence[tuple[Work, Context]]) -> list[Chosen]:
        contexts = [context for _, context in works]
        writing, reading, spare = [], [], self._budget - len(works)
        for work, context in works:
            todo = context.todo
            if todo == 1 and context.home is not None:
                if work.lookup is not None and spare > 0:
                    context.guess(work.lookup.guess(context.ids)[:spare])
                    spare -= context.guesses
                if self._grow(work, context, contexts):
                    writing.append((work, Piece(context, 1 + context.guesses)))
                    continue
            if todo and not work.over:
                reading.append((work, context))
        budget = self._budget - sum([piece.size for _, piece in writing])
        return writing + self._share(self._placed(reading), budget) if reading else writing

    def _grow(self, work: Work, context: Context, contexts: Sequence[Context]) -> bool:
        """Make room for one more id, if need be in the place of those that came last."""
        while context.home is not None and not self._place(work, context):
            if not context.withdraw():
                latest = next(other for other in reversed(contexts) if other.home is not None)
                self._model.release(context if work.over else latest)
        return context.home is not None

    def _place(self, work: Work, context: Context) -> bool:
        try:
            return self._model.place(context)
        except Exception as error:  # noqa: BLE001 - see below
            work.fail(fault(error))
            return False

    def _placed(self, works: Iterable[tuple[Work, Context]]) -> list[tuple[Work, Context]]:
        """Those that have memory, or get it now. Where one must wait for it, those behind it wait too.

        One whose beginning another is about to compute waits for it.
        """
        found: list[tuple[Work, Context]] = []
        short = False
        for work, context in works:
            if context.home is None and not self._model.soon(context, [other for _, other in found]):
                short = short or not (self._place(work, context) or work.over)
            if context.home is not None and not work.over:
                found.append((work, context))
        return found

    def _share(self, works: Sequence[tuple[Work, Context]], budget: int) -> list[Chosen]:
        chosen: list[Chosen] = []
        for n, (work, context) in enumerate(works):
            if budget <= 0 and chosen:
                break
            most = max(1, budget if n == len(works) - 1 else -(-budget // 2))
            size = context.todo if self._model.whole_prompts else min(context.todo, most)
            chosen.append((work, Piece(context, size)))
            budget -= size
        return chosen

    # --- the pass -----------------------------------------------------------------------------------------------

    def _compute(self, group: Sequence[Chosen]) -> None:
        """One forward pass. If it fails, each by itself, so that the one whose fault it is ends alone."""
        if not group:
            return
        last = [work for work, piece in group if piece.last]
        read = [piece.context for _, piece in group if piece.size > piece.wanted]
        try:
            logits = self._model.forward([piece for _, piece in group])
        except Exception as error:  # noqa: BLE001 - whatever one request does wrong, the others go on
            found = fault(error)
            if len(group) == 1:
                group[0][0].fail(found)
            else:
                for one in group:
                    self._compute([one])
            return
        self._keep(read)
        if last:
            self._give(last, logits)

    def _keep(self, contexts: Sequence[Context]) -> None:
        """Remember what is computed. What there is no memory for is not kept: it is only there to save time."""
        with suppress(Exception):
            for context in contexts:
                if context.home is not None:
                    self._model.keep(context)

    def _give(self, works: Sequence[Work], logits: Any) -> None:
        """Choose the next tokens in one pass over all rows. If it fails, each by itself, as above."""
        sizes = [1 + work.context.guesses for work in works if work.context is not None]
        whole = len(logits) == len(works)
        rows = logits.unbind() if whole else logits.split(sizes)
        try:
            tokens = self._pick(works, logits if whole else logits[[*accumulate(sizes[:-1], initial=0)]])
        except Exception as error:  # noqa: BLE001 - see above
            found = fault(error)
            if len(works) == 1:
                works[0].fail(found)
            else:
                for work, row in zip(works, rows, strict=True):
                    self._give([work], row[None] if whole else row)
            return
        for work, row, token, size in zip(works, rows, tokens, sizes, strict=True):
            try:
                if token is None and work.sampler is not None:
                    raise not_a_number()
                if size == 1:
                    work.accept(row if whole else row[0], token)
                else:
                    self._follow(work, row, token)
            except Exception as error:  # noqa: BLE001 - see above
                work.fail(fault(error))

    def _follow(self, work: Work, logits: Any, token: int | None) -> None:
        """Go on with the guesses as far as they are right. ``token`` is the first, of as many rows as there may be."""
        assert work.context is not None
        assert work.lookup is not None
        context = work.context
        guesses = context.withdraw()
        right = 0
        try:
            work.accept(logits[0], token)
            while not work.over and right < len(guesses) and token == guesses[right]:
                right += 1
                token = self._pick([work], logits[right : right + 1])[0]
                if token is None:
                    raise not_a_number()
                work.accept(logits[right], token)
        finally:
            # What was computed before, the token that was known, and the guesses that were right.
            self._model.retract(context, context.computed - len(guesses) + right)
            work.lookup.judge(len(guesses), right)

    def _pick(self, works: Sequence[Work], logits: Any) -> list[int | None]:
        """The next token of those that have a sampler."""
        rows = [n for n, work in enumerate(works) if work.sampler is not None]
        if not rows:
            return [None] * len(works)
        samplers: Any = [works[n].sampler for n in rows]
        contexts: Any = [works[n].context for n in rows]
        if len(rows) == len(works):
            return self._model.pick(contexts, samplers, logits)
        found: list[int | None] = [None] * len(works)
        for n, token in zip(rows, self._model.pick(contexts, samplers, logits[rows]), strict=True):
            found[n] = token
        return found

    def _guard(self, work: Work, step: Callable[..., None], *given: Any) -> None:
        try:
            step(*given)
        except Exception as error:  # noqa: BLE001 - see above
            work.fail(fault(error))


def check_numbers(logits: Tensor) -> None:
    """Check that a token can be chosen from ``logits``.

    Raises:
        NumericalFault: there is a NaN or an infinity, or nothing but minus infinity.
    """
    if not logits.max().isfinite():  # max() of anything with a NaN is NaN
        raise not_a_number()


def not_a_number() -> NumericalFault:
    hint = 'The weights are damaged, or dtype is too small for this model: try dtype = "float32".'
    return NumericalFault("the model computed something that is no number", hint=hint)
