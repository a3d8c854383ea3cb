"""The face of the built-in runtime: requests become works of an engine, its deliveries become events."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from llmsdk.errors import ContextTooLong, DeadlineExceeded, InputError, LLMError, TimedOut, Unsupported
from llmsdk.io import IO, closing
from llmsdk.provider import CONTRACT, Capabilities
from llmsdk.types import Event, Finish, Info, Media, Model, Output, Request, TextDelta, TokenCount, Usage
from llmsdk_providers.local.calls import held, told_apart
from llmsdk_providers.local.engine import Engine
from llmsdk_providers.local.errand import begun
from llmsdk_providers.local.folder import ModelFolder, open_folder
from llmsdk_providers.local.generation import Delivery, Generation, Plan
from llmsdk_providers.local.grammar import Rules, installed, translated
from llmsdk_providers.local.loader import described
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.models import OpenModel, Shelf, on_disk
from llmsdk_providers.local.reader import longest
from llmsdk_providers.local.sampler import MAX_LOGPROBS, Sampling
from llmsdk_providers.local.score import Scoring
from llmsdk_providers.local.settings import LocalSettings, check_names
from llmsdk_providers.local.text import Prompt, Texts
from llmsdk_providers.local.verbs import NATIVE_OPTIONS, Verbs

OPTIONS = frozenset(
    {
        *("max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "n", "echo", "logprobs"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias"),
    }
)
CLOSING_PATIENCE = 0.04
"""Seconds that ``aclose`` may block its loop; a step that takes longer ends by itself behind it."""


class Local(Verbs):
    """Models of Hugging Face folders, run in this process.

    A model is opened by the first request that needs it and stays open. Replies are greedy unless the request gives
    a temperature (or ``top_k``, ``top_p`` or ``min_p``), and end at ``max_tokens`` of the settings unless it names
    its own.
    """

    contract: ClassVar[int] = CONTRACT
    Settings: ClassVar[type[Any]] = LocalSettings
    key_variables: ClassVar[tuple[str, ...]] = ()
    loop_bound: ClassVar[bool] = False

    def __init__(self, name: str, settings: LocalSettings) -> None:
        check_names(settings)
        self.name = name
        self.settings = settings
        self._shelf = Shelf(settings)
        # The exit of the interpreter is the engines' own business; this is for a provider that was just dropped.
        weakref.finalize(self, self._shelf.close).atexit = False

    # --- what it can do ---------------------------------------------------------------------------------------

    def capabilities(self, model: str) -> Capabilities:
        """What the model's files promise; of a hub id that is not here yet, what such models can do at best."""
        opened = self._shelf.get(model)
        folder, made_for = opened.folder(), opened.purpose()
        if made_for.kind != "causal":
            return Capabilities(
                complete=made_for.completes,
                chat=False,
                native=made_for.native,
                options=NATIVE_OPTIONS if made_for.kind == "seq2seq" else frozenset(),
                context=None if folder is None else longest(folder, self.settings.max_len),
            )
        return Capabilities(
            complete=True,
            chat=folder is None or folder.has_template,
            schema="strict" if installed() else "none",
            logprobs=MAX_LOGPROBS,
            tools=folder is not None and folder.takes_tools,
            options=OPTIONS.union(
                {"tool_choice"} if installed() else (), {"reasoning"} if folder is None or folder.has_switch else ()
            ),
            context=None if folder is None else self._window(folder),
        )

    def count(self, request: Request) -> TokenCount:
        """The tokens of the request by the model's own tokenizer, which the first call loads."""
        return TokenCount(len(self._shelf.get(request.model).texts().prompt(request).ids), "local")

    def describe(self, model: str) -> str | None:
        """Whether a model runs in our own decoder or through its module of transformers, and why.

        Raises:
            Unsupported: ``quantize`` for a model that has no 8 bits here.
        """
        folder = self._shelf.get(model).folder()
        return None if folder is None else described(folder, self.settings)

    async def models(self, io: IO) -> AsyncIterator[Event]:
        """What needs no download: ``pocket``, what has been opened, and the hub's cache."""
        yield Output(await io.run(self._models))

    def _models(self) -> tuple[Model, ...]:
        found = {name: self._window(folder) for name, folder in self._shelf.loaded()}
        for name, path in on_disk():
            try:
                found.setdefault(name, self._window(open_folder(path, name)))
            except LLMError:
                continue  # a cache also holds what this runtime cannot run
        return tuple(Model(name, self.name, window) for name, window in sorted(found.items()))

    # --- operations -------------------------------------------------------------------------------------------

    def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """The reply as it is computed, a token a step."""
        if request.tool_choice == "none":
            request = replace(request, tools=(), tool_choice=None)
        causal = self._shelf.get(request.model).purpose().kind == "causal"
        return self._write(request, io) if causal else self.rewrite(request, io)

    async def _write(self, request: Request, io: IO) -> AsyncIterator[Event]:
        sampling = _checked(request)
        reply = None if request.schema is None else translated(request.schema)
        model, engine = await self._open(request.model, io, "chat")
        await io.run(partial(_check_switch, request, model.texts()))
        prompt = await io.run(partial(model.texts().prompt, request))
        form = model.texts().calls() if request.tools else None
        rules = reply if form is None else held(form, request.tools, request.tool_choice, reply)
        if rules is not None and prompt.thinking is not None and request.reasoning is not False:
            rules = prompt.thinking.before(rules)
        grammar = None if rules is None else await io.run(lambda: model.grammars().compiled(rules.grammar))
        room = self._room(model, prompt)
        wanted = request.max_tokens or self.settings.max_tokens
        for warning in _warnings(request, sampling, room, rules):
            yield Info(warning=warning)
        mailbox: Mailbox[Delivery] = Mailbox()
        plan = Plan(prompt, min(wanted, room), request.stop, sampling, request.logprobs, grammar=grammar)
        works = [Generation(_branch(plan, index), model.texts(), mailbox) for index in range(request.n)]
        try:
            engine.submit(works)
            begun(io)
            if request.echo and isinstance(request.input, str):
                for index in range(request.n):
                    yield TextDelta(request.input, index)
            async with closing(_delivered(works, mailbox, prompt, io)) as events:
                async for event in events if form is None else told_apart(events, form):
                    yield event
        finally:
            for work in works:
                work.cancelled = True
        yield Info(model=request.model)

    async def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """log P of each candidate: of its tokens and, in a conversation, of the token that closes the reply."""
        _checked(request)
        if request.schema is not None:
            raise InputError("candidates are scored as they are, schema or not", argument="output")
        if not candidates or not all(candidates):
            raise InputError("there must be candidates, and none of them empty", argument="candidates")
        model, engine = await self._open(request.model, io, "score")
        texts = model.texts()
        request = replace(request, reasoning=False)  # the candidates are answers, and no thoughts
        prompt = await io.run(partial(texts.prompt, request))
        rows = await io.run(lambda: [texts.candidate(prompt, request, text) for text in candidates])
        self._room(model, prompt, max(map(len, rows)))
        mailbox: Mailbox[Delivery] = Mailbox()
        work = Scoring(prompt.ids, rows, self.settings.max_batch, mailbox)
        try:
            engine.submit([work])
            begun(io)
            for item in await io.wait(mailbox.take()):
                yield _usage(prompt, 0, read=sum(map(len, rows)), cached=work.cached)
                if isinstance(item, LLMError):
                    raise item
                yield item
        finally:
            work.cancelled = True
        yield Info(model=request.model)

    async def aclose(self) -> None:
        """End all engines. What they run ends with ``ClientClosed``."""
        self._shelf.close(CLOSING_PATIENCE)

    async def _open(self, name: str, io: IO, verb: str) -> tuple[OpenModel, Engine]:
        """The model, loaded. Loading runs on the engine's thread, so that a deadline holds and others go on.

        Raises:
            Unsupported: it was not made for ``verb``.
        """
        model = self._shelf.get(name)
        supposed = None if model.folder() is not None else model.purpose()
        if supposed is None:
            model.purpose().check(verb, name)
        if not model.started:
            await io.run(model.check)
        engine = model.engine()
        try:
            await io.wait(engine.ready())
        except (TimedOut, DeadlineExceeded) as error:
            error.message = f"local:{name} was still loading: {error.message}"
            error.hint = "It goes on loading. Ask again, or give the first call more time."
            raise
        if supposed is not None:
            supposed.confirm(model.purpose(), verb, name)
        return model, engine

    # --- the window -------------------------------------------------------------------------------------------

    def _window(self, folder: ModelFolder) -> int | None:
        limits = [limit for limit in (folder.window, self.settings.max_len) if limit is not None]
        return min(limits) if limits else None

    def _room(self, model: OpenModel, prompt: Prompt, needs: int = 1) -> int:
        """How many tokens may follow the prompt.

        Raises:
            ContextTooLong: fewer than ``needs``.
        """
        folder = model.folder()
        assert folder is not None
        window = self._window(folder)
        size = len(prompt.ids)
        if window is None:
            return 2**31
        if size + needs > window:
            message = f"the prompt has {size} tokens, and with {needs} more does not fit the window of {window}"
            raise ContextTooLong(message, limit=window, needed=size + needs)
        return window - size


async def _delivered(
    works: Sequence[Generation], mailbox: Mailbox[Delivery], prompt: Prompt, io: IO
) -> AsyncIterator[Event]:
    """What the engine writes, until all works are over; before each end the tokens so far."""
    left = len(works)
    while left:
        for item in await io.wait(mailbox.take()):
            if isinstance(item, LLMError | Finish):
                left -= 1
                thoughtful = sum(work.thoughtful for work in works) if prompt.thinking is not None else None
                written = sum(work.tokens for work in works)
                yield _usage(prompt, written, cached=works[0].cached, thoughtful=thoughtful)
            if isinstance(item, LLMError):
                raise item
            yield item


def _checked(request: Request) -> Sampling:
    """The sampling of a request that this runtime can serve.

    Raises:
        InputError: a value that means nothing.
        Unsupported: a feature that local models do not have.
    """
    raw, forced = isinstance(request.input, str), request.tool_choice not in (None, "auto")
    asked = {
        "tools": raw if request.tools else forced,  # a raw prompt has no place for them
        "suffix": request.suffix is not None,
        "media": any(isinstance(part, Media) for message in request.messages for part in message.parts),
        "extra": bool(request.extra_body or request.extra_headers),
    }
    if not isinstance(request.reasoning, bool | None):
        hint = "Pass True or False."
        raise Unsupported("a local model thinks or does not, and knows no effort", capability="reasoning", hint=hint)
    for capability, wanted in asked.items():
        if wanted:
            raise Unsupported(f"local models do not support {capability} yet", capability=capability)
    _at_least_one("n", request.n)
    _at_least_one("max_tokens", request.max_tokens)
    if not request.input:
        raise InputError("there is nothing to reply to", argument="prompt")
    if request.echo and not isinstance(request.input, str):
        raise InputError("echo repeats a raw prompt; a conversation has none", argument="echo", hint="Use complete().")
    if not all(isinstance(stop, str) and stop for stop in request.stop):
        raise InputError("a stop string must not be empty", argument="stop")
    if request.logprobs is not None and not 0 <= request.logprobs <= MAX_LOGPROBS:
        hint = f"It must be between 0 and {MAX_LOGPROBS}."
        raise InputError(f"logprobs = {request.logprobs} is out of range", argument="logprobs", hint=hint)
    return Sampling.of(request)


def _check_switch(request: Request, texts: Texts) -> None:
    """Check that the model can be told to think, or not to. A raw prompt is continued as it is.

    Raises:
        Unsupported: its chat template has no switch for that, or no marks around thoughts.
    """
    if request.reasoning and isinstance(request.input, str):
        raise Unsupported("a raw prompt has no thoughts", capability="reasoning", hint="Use chat().")
    if request.reasoning is not None and not isinstance(request.input, str) and texts.switch() is None:
        hint = "Leave reasoning out: the model thinks or not as it was made to."
        message = f"the chat template of {request.model!r} has no switch for thinking"
        raise Unsupported(message, capability="reasoning", hint=hint)
    if request.reasoning and texts.marks is None:
        message = f"{request.model!r} thinks in a form that cannot be told from its answer"
        raise Unsupported(message, capability="reasoning", hint="Pass False, or leave reasoning out.")


def _at_least_one(name: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError(f"{name} = {value!r} is no positive whole number", argument=name)


def _warnings(request: Request, sampling: Sampling, room: int, rules: Rules | None) -> list[str]:
    found = []
    if rules is not None and rules.left_out:
        found.append(f"the model was not held to {rules.left_out} while it wrote: no grammar expresses that")
    if request.max_tokens is not None and request.max_tokens > room:
        found.append(f"max_tokens = {request.max_tokens} was cut to {room}, which is what the model's window has left")
    if request.n > 1 and sampling.temperature == 0:
        found.append(f"all {request.n} replies are the same, being greedy; give a temperature above 0")
    return found


def _branch(plan: Plan, index: int) -> Plan:
    """The plan of one of several replies, with a seed of its own."""
    seed = plan.sampling.seed
    return replace(plan, index=index, sampling=replace(plan.sampling, seed=None if seed is None else seed + index))


def _usage(
    prompt: Prompt, written: int, *, read: int = 0, cached: int | None = None, thoughtful: int | None = None
) -> Usage:
    return Usage(len(prompt.ids) + read, written, cached, reasoning_tokens=thoughtful, source="local")
