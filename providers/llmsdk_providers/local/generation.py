"""One sequence that the engine runs: prompt, then a token a step, until something ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmsdk.errors import InputError, LLMError, ModelFileError, NumericalFault
from llmsdk.types import Event, Finish, FinishReason, TokenLogprob
from llmsdk_providers.local.detokenizer import Detokenizer
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.runner import Runner, Slot
from llmsdk_providers.local.sampler import Sampler, Sampling, logprobs
from llmsdk_providers.local.text import Prompt, Texts
from llmsdk_providers.local.writer import Writer

if TYPE_CHECKING:
    from torch import Tensor

Delivery = Event | LLMError
"""What a mailbox gets: events as they come, and at the end one ``Finish``, ``Output`` or error."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one sequence is to do."""

    prompt: Prompt
    max_tokens: int
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    logprobs: int | None = None
    index: int = 0


class Generation:
    """One sequence under way. ``step`` runs on the engine's thread; ``cancelled`` may be set from any."""

    def __init__(self, plan: Plan, texts: Texts, mailbox: Mailbox[Delivery]) -> None:
        self.cancelled = False
        self.tokens = 0
        """Tokens chosen so far, the one that ends the reply included."""
        self._plan = plan
        self._texts = texts
        self._mailbox = mailbox
        self._writer = Writer(Detokenizer(texts.codec, plan.prompt.context), plan.stop, index=plan.index)
        self._todo = plan.prompt.ids
        self._slot: Slot | None = None
        self._sampler: Sampler | None = None
        self._out: list[Delivery] = []
        self._ended = False

    def step(self, runner: Runner) -> bool:
        """Compute a piece of the prompt, or the next token. Says whether the sequence is over."""
        if self._slot is None or self._sampler is None:
            self._slot, self._sampler = self._begin(runner)
        size = runner.chunk or len(self._todo)
        ids, self._todo = self._todo[:size], self._todo[size:]
        logits = runner.forward(self._slot, ids)
        if self._todo:
            return False
        check_numbers(logits)
        return self._accept(self._sampler.pick(logits), logits)

    def fail(self, error: LLMError) -> None:
        """End with an error, unless it has ended."""
        self._end(error)

    def drop(self) -> None:
        """End because nobody wants it any more."""
        self._end(Finish("other", "cancelled", self._plan.index))

    def deliver(self) -> None:
        """Give the caller what the step brought."""
        if self._out:
            out, self._out = self._out, []
            self._mailbox.put(*out)

    def _begin(self, runner: Runner) -> tuple[Slot, Sampler]:
        check_ids(self._plan.prompt.ids, runner)
        beyond = [token for token in self._plan.sampling.logit_bias if token >= runner.vocabulary]
        if beyond:
            hint = f"Its vocabulary has {runner.vocabulary} tokens."
            raise InputError(f"logit_bias names the token {beyond[0]}", argument="logit_bias", hint=hint)
        return runner.slot(), Sampler(self._plan.sampling, self._plan.prompt.ids, runner.vocabulary)

    def _accept(self, token: int, logits: Tensor) -> bool:
        self.tokens += 1
        if token in self._plan.prompt.stop_ids:
            return self._finish("stop", "eos")
        delta = self._writer.push(token, self._logprob(token, logits))
        events = () if delta is None else (delta,)
        if self._writer.stopped is not None:
            return self._finish("stop", "stop_string", *events)
        if self.tokens >= self._plan.max_tokens:
            return self._finish("length", "max_tokens", *events)
        self._out.extend(events)
        self._todo = (token,)
        return False

    def _logprob(self, token: int, logits: Tensor) -> TokenLogprob | None:
        if self._plan.logprobs is None:
            return None
        chosen, best = logprobs(logits, token, self._plan.logprobs)
        piece = self._texts.piece
        return TokenLogprob(piece(token), chosen, tuple((piece(other), chance) for other, chance in best))

    def _finish(self, reason: FinishReason, raw_reason: str, *events: Event) -> bool:
        last = self._writer.finish()
        self._end(*events, *(() if last is None else (last,)), Finish(reason, raw_reason, self._plan.index))
        return True

    def _end(self, *deliveries: Delivery) -> None:
        self._slot = self._sampler = None
        if not self._ended:
            self._ended = True
            self._out.extend(deliveries)


def check_ids(ids: tuple[int, ...], runner: Runner) -> None:
    """Check that the model can read ``ids``; on a GPU one that it cannot would end every sequence.

    Raises:
        ModelFileError: the tokenizer and the model do not belong together.
    """
    highest = max(ids)
    if highest >= runner.embeddings or min(ids) < 0:
        hint = "The folder's tokenizer and weights do not belong together."
        raise ModelFileError(f"token {highest} is beyond the model's {runner.embeddings} embeddings", hint=hint)


def check_numbers(logits: Tensor) -> None:
    """Check that a token can be chosen from ``logits``.

    Raises:
        NumericalFault: there is a NaN or an infinity, or nothing but minus infinity.
    """
    if not logits.max().isfinite():  # max() of anything with a NaN is NaN
        hint = 'The weights are damaged, or dtype is too small for this model: try dtype = "float32".'
        raise NumericalFault("the model computed something that is no number", hint=hint)
