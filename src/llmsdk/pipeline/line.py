"""The line from a task to one model: it builds requests, sends them down the pipeline, and keeps the record."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from llmsdk.accounting.ledger import Ledger
from llmsdk.cache import Cache
from llmsdk.errors import LLMError, Unsupported
from llmsdk.health import Health
from llmsdk.io import IO, close
from llmsdk.limits import Limiter
from llmsdk.options import CallSettings
from llmsdk.pipeline import Bound, Call, Handler, Invoke
from llmsdk.pipeline.answer_tool import as_text, as_tool
from llmsdk.pipeline.members import Choice, Members
from llmsdk.provider import Capabilities, Embeds, Provider, Scores
from llmsdk.reply import Reply
from llmsdk.results import Attempt, Record, Timing, total_usage
from llmsdk.types import Event, Message, Operation, Request, Score, filled

T = TypeVar("T")

Rung = Literal["schema", "tool", "json", "asked"]
NEEDS = {"tools": "tools", "tool_choice": "tools", "parallel_tool_calls": "tools"}
"""Fields of a request that are a capability rather than an option."""


@dataclass(frozen=True, slots=True)
class Way:
    """What all calls to one model of one provider have in common that are made with the same keywords."""

    provider: Provider
    model: str
    handler: Handler
    ledger: Ledger
    settings: CallSettings
    fields: Mapping[str, Any]
    """What the caller set of the request, checked."""
    who_has: Callable[[str], str] = lambda capability: ""
    """Says in a sentence which backend has a capability."""
    bridge: Callable[[Bound], Bound] | None = None
    """How to reach a provider that is bound to a loop of its own."""
    tracer: Any = None
    limiter: Limiter | None = None
    health: Health = field(default_factory=Health)
    members: Members | None = None
    """Who share the questions, if ``provider`` is only the first of them."""
    cache: Cache | None = None

    def __str__(self) -> str:
        """Who is asked, for people."""
        return str(self.members) if self.members else f"{self.provider.name}:{self.model}"

    def can(self) -> Capabilities:
        """What all can that may be asked."""
        return self.members.capabilities if self.members else self.provider.capabilities(self.model)

    def does(self, protocol: type) -> bool:
        """Whether they have one of the small protocols."""
        return self.members.does(protocol) if self.members else isinstance(self.provider, protocol)


@dataclass(slots=True)
class Line:
    """Everything that a task needs to put its questions to one model of one provider."""

    way: Way
    io: IO
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    started: float = 0.0
    asked: float = 0.0
    """When the first question went down the pipeline."""
    deadline: float | None = None
    operation: Operation = "generate"
    """What is asked of the provider."""
    keyed: int = 0
    """Questions that went out under the caller's idempotency key."""
    invoke: Invoke | None = None
    """How, where that is not in words."""
    given: tuple[Any, ...] = ()
    """What it takes besides the request."""
    _can: Capabilities | None = None

    def __post_init__(self) -> None:
        self.started = self.io.now()
        if (seconds := self.way.settings.deadline) is not None:
            self.deadline = self.started + seconds

    @property
    def provider(self) -> Provider:
        return self.way.provider

    @property
    def model(self) -> str:
        return self.way.model

    @property
    def settings(self) -> CallSettings:
        return self.way.settings

    @property
    def capabilities(self) -> Capabilities:
        if self._can is None:
            self._can = self.way.can()
        return self._can

    def does(self, protocol: type) -> bool:
        """Whether the provider has one of the small protocols."""
        return self.way.does(protocol)

    @property
    def rung(self) -> Rung:
        """The best way there is to bind a reply to a schema.

        The model holds itself to it (``schema``), has to call a tool with it (``tool``), is at least held to JSON
        (``json``), or is only asked for it. A tool is not forced on a model that is to choose among the caller's tools,
        or that is asked to think first, which hosts refuse.
        """
        can = self.capabilities
        if can.schema == "strict":
            return "schema"
        free = not (self.way.fields.get("tools") or self.way.fields.get("reasoning"))
        if free and can.tools and "tool_choice" in can.options:
            return "tool"
        return "json" if can.schema == "json" else "asked"

    # --- building ---------------------------------------------------------------------------------------------

    def request(self, content: str | tuple[Message, ...], **fields: Any) -> Request:
        """A request with the caller's options and, over them, what the task itself needs.

        Raises:
            Unsupported: the model lacks an option that the caller set.
        """
        given: dict[str, Any] = {"model": self.way.model, "input": content, "extra_headers": {}, "extra_body": {}}
        return filled(Request, {**given, **self._supported(), **fields})

    def _supported(self) -> Mapping[str, Any]:
        can, fields = self.capabilities, self.way.fields
        lacking = [name for name, value in fields.items() if not _has(can, name, value)]
        for name in lacking:
            self.leave_out(name)
        return {name: value for name, value in fields.items() if name not in lacking} if lacking else fields

    def leave_out(self, name: str) -> None:
        """Do without an option or argument that the model lacks, as far as the caller allows it.

        Raises:
            Unsupported: the caller does not.
        """
        if self.settings.on_unsupported == "raise":
            raise self.unsupported(name, optional=True)
        if self.settings.on_unsupported == "warn":
            self.warn(f"{self.way} does not support {name}; it was left out")

    def unsupported(self, capability: str, *, optional: bool = False) -> Unsupported:
        """The error for a capability that this model lacks; what is ``optional`` the caller may have dropped."""
        message = f"{self.way} does not support {capability}{self._purpose()}"
        drop = 'on_unsupported="drop" leaves it out.' if optional else ""
        hint = f"{self.way.who_has(capability)} {drop}".strip() or "Ask another model."
        return Unsupported(message, capability=capability, hint=hint).locate(self.provider.name, self.model)

    def _purpose(self) -> str:
        """What a model is for that neither chats nor completes."""
        can = self.capabilities
        if can.chat or can.complete:
            return ""
        verbs: list[str] = sorted(can.native)
        if not verbs and self.does(Embeds):
            verbs = ["embed"]
        return f"; it was made to {' and '.join(verbs)}" if verbs else ""

    def warn(self, message: str) -> None:
        """Note it in the result, and say it once through ``warnings``."""
        self.warnings.append(message)
        warnings.warn(message, UserWarning, stacklevel=2)

    # --- asking -----------------------------------------------------------------------------------------------

    def natively(self, operation: Operation, invoke: Invoke, *given: Any) -> None:
        """From now on ask by an operation that the model is made for, not in words.

        ``given`` is what it takes besides the request.
        """
        self.operation, self.invoke, self.given = operation, invoke, given

    async def ask(self, request: Request) -> Reply:
        """The whole reply to a request."""
        call = self._question(request)
        await _finish(self.way.handler(call))
        return call.reply

    def stream(self, request: Request) -> tuple[Call, AsyncIterator[Event]]:
        """The events of a reply as they come, and the call that folds them."""
        call = self._question(request)
        return call, self.way.handler(call)

    def _question(self, request: Request) -> Call:
        if self.invoke is None and not (self.capabilities.chat or self.capabilities.complete):
            raise self.unsupported("chat")
        return self._call(self.operation, request, self.invoke or generate, self.given)

    async def score(self, request: Request, candidates: Sequence[str]) -> tuple[Score, ...]:
        """log P of each candidate as the whole reply. Only where the provider scores."""

        def invoke(provider: Scores, request: Request, io: IO) -> AsyncIterator[Event]:
            return provider.score(request, candidates, io)

        scores: tuple[Score, ...] = await self.output("score", request, invoke, (*candidates,))
        return scores

    async def output(
        self, operation: Operation, request: Request, invoke: Invoke, given: tuple[Any, ...] | None = None
    ) -> Any:
        """The value of an operation that yields no text.

        ``given`` is what it takes besides the request. Without that its values are never kept.
        """
        call = self._call(operation, request, invoke, given)
        await _finish(self.way.handler(call))
        self.warnings += call.reply.warnings
        return call.reply.output

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """Several steps at once, in order."""
        return await self.io.gather(jobs, self.settings.concurrency)

    def _call(self, operation: Operation, request: Request, invoke: Invoke, given: tuple[Any, ...] | None) -> Call:
        way, self.asked = self.way, self.asked or self.io.now()
        invoke = bridged(invoke, way.bridge) if way.bridge else invoke
        request = self._keyed(request)
        if request.schema is not None and self.rung == "tool":
            one_call = "parallel_tool_calls" in self.capabilities.options
            request, invoke = as_tool(request, one_call=one_call), as_text(invoke)
            given = ("text of a tool", *given) if given is not None else None
        return Call(
            operation=operation,
            request=request,
            provider=way.provider,
            io=self.io,
            ledger=way.ledger,
            invoke=invoke,
            settings=way.settings,
            deadline=self.deadline,
            health=way.health,
            tracer=way.tracer,
            given=given,
            cache=way.cache,
            limiter=way.limiter,
            choice=Choice(way.members, way.settings.circuit) if way.members else None,
            attempts=self.attempts,
            warnings=self.warnings,
        )

    def _keyed(self, request: Request) -> Request:
        """Each question has a key of its own, which its attempts share: hosts take the same one for a repetition."""
        key = request.idempotency_key
        if key is None:
            honoured = getattr(self.provider, "idempotent", False)
            return replace(request, idempotency_key=os.urandom(16).hex()) if honoured else request
        self.keyed += 1
        return request if self.keyed == 1 else replace(request, idempotency_key=f"{key}-{self.keyed}")

    # --- closing ----------------------------------------------------------------------------------------------

    def record(self, route: str, reply: Reply | None = None) -> Record:
        """How the result came about."""
        finish = reply.finish if reply else None
        provider, model = self._answered()
        return Record(
            provider=provider,
            model=(reply and reply.model) or model,
            route=route,
            attempts=tuple(self.attempts),
            timing=self._timing(),
            finish_reason=finish.reason if finish else "stop",
            raw_finish_reason=finish.raw_reason if finish else None,
            warnings=(*self.warnings, *(reply.warnings if reply else ())),
            raw_body=reply.raw if reply else None,
        )

    def _answered(self) -> tuple[str, str]:
        """Who gave the latest reply, and by which model."""
        members = self.way.members
        if members is None or not self.attempts:
            return self.provider.name, self.model
        member = members.called(self.attempts[-1].provider)
        return member.provider.name, member.model

    def _timing(self) -> Timing:
        last = self.attempts[-1] if self.attempts else None
        total = self.io.now() - self.started
        first = None
        if last is not None and last.first_token is not None:
            first = total - (last.seconds or 0.0) + last.first_token
        queued = self.asked - self.started + sum([attempt.queued for attempt in self.attempts])
        return Timing(queued=queued, first_token=first, total=total)

    def attach(self, error: LLMError) -> LLMError:
        """Give an error what the call cost before it failed."""
        error.attempts = tuple(self.attempts)
        error.usage = total_usage(self.attempts) if self.attempts else None
        return error.locate(self.provider.name, self.model)


async def _finish(events: AsyncIterator[Event]) -> None:
    """See them through to the end."""
    try:
        async for _ in events:
            pass
    except BaseException:
        await close(events)
        raise


def generate(provider: Provider, request: Request, io: IO) -> AsyncIterator[Event]:
    """Ask in words."""
    return provider.generate(request, io)


def bridged(invoke: Invoke, bridge: Callable[[Bound], Bound]) -> Invoke:
    """``invoke``, over the bridge to a provider that needs it."""

    def over(provider: Provider, request: Request, io: IO) -> AsyncIterator[Event]:
        bound = partial(invoke, provider)
        return (bridge(bound) if provider.loop_bound else bound)(request, io)

    return over


def _has(can: Capabilities, name: str, value: Any) -> bool:
    if name.startswith("extra_") or name == "idempotency_key":
        return True
    if name in NEEDS:
        return can.tools
    if name == "logprobs":
        return can.logprobs >= max(1, int(value))
    if name == "n" and value == 1:
        return True
    return name in can.options
