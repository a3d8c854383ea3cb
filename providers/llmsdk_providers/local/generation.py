"""One reply that the engine computes: its prompt, then a token a step, until something ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmsdk.errors import InputError, LLMError, ModelFileError, OutOfMemory
from llmsdk.types import Event, Finish, FinishReason, Info, TokenLogprob
from llmsdk_providers.local.context import Context
from llmsdk_providers.local.detokenizer import Detokenizer
from llmsdk_providers.local.grammar import Grammar, Matcher
from llmsdk_providers.local.lookup import Lookup
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.sampler import Sampler, Sampling, logprobs
from llmsdk_providers.local.scheduler import Model
from llmsdk_providers.local.text import Prompt, Texts
from llmsdk_providers.local.writer import Writer

if TYPE_CHECKING:
    from torch import Tensor

CUT = "max_tokens ended the reply while the model was still thinking: raise it, or pass reasoning=False where it can"
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
    grammar: Grammar | None = None


class Generation:
    """One sequence under way. Only ``cancelled`` may be set from another thread than the engine's."""

    def __init__(self, plan: Plan, texts: Texts, mailbox: Mailbox[Delivery]) -> None:
        self.cancelled = self.over = False
        self.tokens = 0
        """Tokens chosen so far, the one that ends the reply included."""
        self.cached: int | None = None
        """Tokens of the prompt that were not computed for it, since others had begun with them."""
        self.context: Context | None = None
        self.sampler: Sampler | None = None
        self.lookup: Lookup | None = None
        self._matcher: Matcher | None = None
        self._plan = plan
        self._texts = texts
        self._mailbox = mailbox
        self._writer = Writer(
            Detokenizer(texts.codec, plan.prompt.context), plan.stop, thinking=plan.prompt.thinking, index=plan.index
        )
        self._out: list[Delivery] = []

    @property
    def thoughtful(self) -> int:
        """Of these, tokens of thoughts."""
        return self._writer.thoughtful

    def begin(self, model: Model) -> None:
        """Check that the model can run it.

        Raises:
            ModelFileError: the prompt has ids that the model does not know.
            InputError: ``logit_bias`` has one.
            OutOfMemory: prompt and reply together are more than the model has memory for.
            Unsupported: its tokens cannot spell what the grammar begins with.
        """
        prompt, sampling = self._plan.prompt.ids, self._plan.sampling
        check_ids(prompt, model)
        beyond = [token for token in sampling.logit_bias if token >= model.vocabulary]
        if beyond:
            hint = f"Its vocabulary has {model.vocabulary} tokens."
            raise InputError(f"logit_bias names the token {beyond[0]}", argument="logit_bias", hint=hint)
        check_room(len(prompt) + self._plan.max_tokens, model)
        if self._plan.grammar is not None:
            self._matcher = self._plan.grammar.begin(self._plan.prompt.stop_ids)
        self.context = Context(list(prompt))
        self.sampler = Sampler(sampling, prompt, model.vocabulary, self._matcher)
        if self.sampler.plain and model.guesses:
            self.lookup = Lookup(len(prompt) + self._plan.max_tokens)

    def accept(self, logits: Tensor, token: int | None) -> None:
        """The next token, and the logits it was chosen from."""
        assert token is not None
        assert self.context is not None
        self.tokens += 1
        self.cached = self.context.lent
        if token in self._plan.prompt.stop_ids:
            return self._finish("stop", "eos")
        if self._matcher is not None:
            self._matcher.consume(token)
        events = self._writer.push(token, self._logprob(token, logits))
        if self._writer.stopped is not None:
            return self._finish("stop", "stop_string", *events)
        if self._matcher is not None and self._matcher.ended:
            return self._finish("stop", "schema", *events)
        if self.tokens >= self._plan.max_tokens:
            return self._finish("length", "max_tokens", *events)
        self._out.extend(events)
        self.context.ids.append(token)
        return None

    def branch(self, model: Model) -> None:
        raise AssertionError("a reply always has something to compute")

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

    def _logprob(self, token: int, logits: Tensor) -> TokenLogprob | None:
        if self._plan.logprobs is None:
            return None
        chosen, best = logprobs(logits, token, self._plan.logprobs)
        piece = self._texts.piece
        return TokenLogprob(piece(token), chosen, tuple((piece(other), chance) for other, chance in best))

    def _finish(self, reason: FinishReason, raw_reason: str, *events: Event) -> None:
        cut = reason == "length" and self._writer.thinking
        warnings = [Info(warning=CUT)] if cut else []
        self._end(*events, *self._writer.finish(), *warnings, Finish(reason, raw_reason, self._plan.index))

    def _end(self, *deliveries: Delivery) -> None:
        if not self.over:
            self.over = True
            self._out.extend(deliveries)


def check_ids(ids: tuple[int, ...], model: Model) -> None:
    """Check that the model can read ``ids``; on a GPU one that it cannot would end every sequence.

    Raises:
        ModelFileError: the tokenizer and the model do not belong together.
    """
    highest = max(ids)
    if highest >= model.embeddings or min(ids) < 0:
        hint = "The folder's tokenizer and weights do not belong together."
        raise ModelFileError(f"token {highest} is beyond the model's {model.embeddings} embeddings", hint=hint)


def check_room(tokens: int, model: Model) -> None:
    """Check that a sequence of so many tokens can be kept, before anything of it is computed.

    Raises:
        OutOfMemory: it cannot, even if it were alone.
    """
    if tokens > model.longest:
        hint = "Shorten the prompt, lower max_tokens, or raise providers.local.kv_memory."
        message = f"{tokens} tokens of prompt and reply were asked for, and there is memory for {model.longest}"
        raise OutOfMemory(message, hint=hint)
