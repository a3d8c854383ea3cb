"""What stands between a verb and a provider: middleware, each a function from handler to handler.

    trace > cache > retry > hedge > spread > limits > attempt > provider

A handler turns a ``Call`` into events. ``retry`` is the only place that decides whether something is asked again,
``attempt`` the only one that writes the ledger. The deadline is no layer: ``Clock`` holds it below every wait, and
``retry`` starts nothing that it would cut. Fallback is above the task (``llmsdk.fallback``), since another model may
need another prompt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from llmsdk.health import Health
from llmsdk.io import IO
from llmsdk.reply import Reply
from llmsdk.types import Event, Operation, ReasoningDelta, Request, TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from llmsdk.accounting.ledger import Ledger
    from llmsdk.cache import Cache
    from llmsdk.limits import Limiter
    from llmsdk.options import CallSettings
    from llmsdk.pipeline.members import Choice
    from llmsdk.provider import Provider
    from llmsdk.results import Attempt


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to ask again. ``attempts`` counts the first; waits grow from ``base`` to ``cap`` seconds, fully jittered."""

    attempts: int = 3
    base: float = 0.5
    cap: float = 20.0
    unknown: bool = False
    """Also retry a request that may have run, and so may be billed twice."""
    patience: float = 300.0
    """Seconds: the longest wait that a host may ask for, where no deadline bounds it."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Whether replies that were given before are given again, and which."""

    on: bool = False
    ttl: float | None = 86400.0
    """Seconds that a reply is good for; ``None`` is for ever."""
    sampled: bool = True
    """Also those that a model would draw anew: without a seed, at a temperature other than 0."""
    namespace: str = ""
    """What is kept under one name is not found under another, such as a tenant's."""


class Tracer(Protocol):
    """A hook for tracing. ``start`` opens a span and returns what closes it.

    A call is a span named by its operation, and each of its attempts a span ``attempt``, whose attributes have as
    ``parent`` what ``start`` returned for the call. Content is passed only to a tracer with a true ``content``.
    """

    def start(self, name: str, attributes: dict[str, Any]) -> Callable[[dict[str, Any]], None]: ...


Bound = Callable[[Request, IO], AsyncIterator[Event]]
"""An operation of one provider, with whatever it takes besides the request already bound."""
Invoke = Callable[[Any, Request, IO], AsyncIterator[Event]]
"""An operation of whichever provider it is given, so that who is asked can be settled last."""


@dataclass(slots=True)
class Call:
    """One operation under way."""

    operation: Operation
    request: Request
    provider: Provider
    io: IO
    ledger: Ledger
    invoke: Invoke
    """How the provider is asked."""
    settings: CallSettings
    deadline: float | None = None
    """On the clock of ``io``."""
    health: Health = field(default_factory=Health)
    """Of the account that is asked."""
    tracer: Tracer | None = None
    span: Callable[[dict[str, Any]], None] | None = None
    """What closes the span of the call."""
    given: tuple[Any, ...] | None = None
    """What ``invoke`` takes besides the request, where a reply may be kept."""
    cache: Cache | None = None
    choice: Choice | None = None
    """Who may be asked, where it is not ``provider`` alone. Whoever is asked takes its place in the call."""
    label: str = ""
    """Which of them it is."""
    limiter: Limiter | None = None
    patient: bool = True
    """It waits for its turn. Else it goes only where there is room at once."""
    queued: float = 0.0
    """Seconds that the latest attempt waited for its turn."""
    heard: Callable[[Mapping[str, str]], None] | None = None
    """What the clock of the latest attempt is to call with the headers of its reply."""
    began: float | None = None
    """When the latest attempt began; known once it has its row, and is about to be sent."""
    row: Attempt | None = None
    """The settled row of the latest attempt, if it came to one."""
    attempts: list[Attempt] = field(default_factory=list)
    """Settled rows, shared with the other steps of the same task."""
    reply: Reply = field(default_factory=Reply)
    """What the latest attempt has yielded so far."""
    warnings: list[str] = field(default_factory=list)
    """For the result, shared with the other steps of the same task."""
    delivered: bool = False
    """Content has reached the caller, so it cannot be taken back by asking again."""


Handler = Callable[[Call], AsyncIterator[Event]]
Middleware = Callable[[Handler], Handler]


def compose(middleware: Sequence[Middleware], handler: Handler) -> Handler:
    """Wrap ``handler``; the first middleware is the outermost."""
    for layer in reversed(middleware):
        handler = layer(handler)
    return handler


def is_content(event: Event) -> bool:
    """Whether an event gives the caller something that cannot be taken back."""
    kind = type(event)
    return kind is TextDelta or kind is ToolCallDelta or kind is ReasoningDelta
