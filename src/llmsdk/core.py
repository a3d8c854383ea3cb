"""What both clients share: from a verb's arguments to the lines of a task, batches, and what is not text.

Everything is ``async def`` over an ``IO`` and knows neither loops nor threads. ``llmsdk.client`` puts the two faces
on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llmsdk import health
from llmsdk import options as opts
from llmsdk.accounting.budget import entered
from llmsdk.accounting.ledger import Ledger
from llmsdk.cache import Cache
from llmsdk.errors import ClientClosed, ConfigError, InputError, LLMError
from llmsdk.fallback import Flow, first
from llmsdk.health import Health, Load
from llmsdk.io import IO
from llmsdk.limits import Limiter, Limits, shared
from llmsdk.pipeline import Bound, Handler, Tracer, compose
from llmsdk.pipeline.attempt import attempt
from llmsdk.pipeline.cache import cache
from llmsdk.pipeline.hedge import hedge
from llmsdk.pipeline.hooks import quietly
from llmsdk.pipeline.limits import limits
from llmsdk.pipeline.line import Line, Way
from llmsdk.pipeline.members import Member, Members
from llmsdk.pipeline.retry import retry
from llmsdk.pipeline.spread import spread
from llmsdk.pipeline.trace import trace
from llmsdk.provider import Counts, CountsExactly, Embeds, Lists, Provider
from llmsdk.results import Attempt, Batch, Embeddings, Result
from llmsdk.tasks import Question, Task
from llmsdk.types import Event, Model, Request, TokenCount

if TYPE_CHECKING:
    from llmsdk.config import Config
    from llmsdk.registry import Registry, Target

R = TypeVar("R", bound=Result)

PIPELINE: Handler = compose([trace, cache, retry, hedge, spread, limits], attempt)
NO_MODEL = """\
Name one in the call (model="local:pocket"), when making the client (Client("local:pocket")), \
or as `default` in llmsdk.toml (or LLMSDK_MODEL)."""
MANY_TEXTS = frozenset({"n", "echo", "logprobs"})
"""Options of verbs whose result has room for several texts or for tokens."""
NOT_FOR: Mapping[str, Set[str]] = {"complete": frozenset(), "chat": frozenset({"echo"})}
"""Options that mean nothing to a verb; ``MANY_TEXTS`` to any other."""
SHARING = 1000
"""Sets of members that are remembered."""
PLANS = 100
"""Sets of keywords whose plan is remembered."""
PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of keywords whose value tells all about them."""
ANEW = frozenset({"idempotency_key", "budget"})
"""Keywords that make something for one call: a budget of so many dollars is another one with each."""
NAMED = 4
"""Providers that a hint names."""


@dataclass(slots=True)
class Shared:
    """What copies of a client share."""

    config: Config
    registry: Registry
    ledger: Ledger
    tracer: Tracer | None = None
    limiters: dict[str, Limiter | None] = field(default_factory=dict)
    healths: dict[str, Health] = field(default_factory=dict)
    sharing: dict[tuple[tuple[str, str], ...], Members] = field(default_factory=dict)
    closed: bool = False
    _replies: Cache | None = None

    def replies(self) -> Cache:
        """The replies that are kept, opened when they are first needed."""
        if self._replies is None:
            self._replies = _cache(self.config)
        return self._replies

    def close(self) -> None:
        """Close what the clients made themselves, once all that was asked is settled."""
        self.ledger.close()
        if self._replies is not None:
            self._replies.close()

    def health(self, provider: Provider, label: str = "") -> Health:
        """What is known of the account that a provider asks; of one that names none, what this client has seen."""
        label = label or provider.name
        try:
            return self.healths[label]
        except KeyError:
            account = getattr(provider, "account", None)
            made = Health(breaks=False) if account is None else health.ACCOUNTS.of(account, Health)
            return self.healths.setdefault(label, made)

    def limiter(self, provider: Provider, label: str = "") -> Limiter | None:
        """What the calls to a provider have to wait for, if there is anything."""
        label = label or provider.name
        try:
            return self.limiters[label]
        except KeyError:
            made = _limiter(provider, label, self.config.limits.get(provider.name))
            return self.limiters.setdefault(label, made)

    def members(self, target: Target) -> Members:
        """Who share the questions to a target."""
        named = target.spread or ((target.provider_name, target.model),)
        found = self.sharing.get(named)
        if found is None:
            found = Members(tuple(self._each(named)))
            if len(self.sharing) < SHARING:
                found = self.sharing.setdefault(named, found)
        return found

    def _each(self, named: tuple[tuple[str, str], ...]) -> Iterator[Member]:
        """A member for each key of each of these.

        Raises:
            ConfigError: two of them are one and the same.
        """
        seen: dict[Load, str] = {}
        for name, model in named:
            providers = self.registry.providers(name)
            for number, provider in enumerate(providers, start=1):
                label = name if len(providers) == 1 else f"{name}#{number}"
                load = _load(provider, model)
                if (other := seen.setdefault(load, label)) != label:
                    raise ConfigError(f"{other} and {label} are one host with one key", hint="Name it once.")
                yield Member(label, provider, model, self.health(provider, label), load, self.limiter(provider, label))


@dataclass(slots=True)
class Turn:
    """How one of the models is asked, if it is its turn."""

    target: Target
    fields: Mapping[str, Any]
    """Of a request."""
    settings: opts.CallSettings
    way: Way | None = None
    """Made when it is its turn for the first time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The keywords of a call, checked: which models are asked, and how. A batch has one for all of its items."""

    verb: str
    targets: Sequence[Target]
    fields: opts.Fields
    settings: opts.CallSettings
    turns: Sequence[Turn] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", tuple(map(self._turn, range(len(self.targets)))))

    def item(self, number: int) -> Plan:
        """The same for one item of a batch, which has an idempotency key of its own."""
        fields = _keyed(self.fields, f".{number}")
        return self if fields is self.fields else replace(self, fields=fields)

    def _turn(self, number: int) -> Turn:
        """The caller's keywords over those of an alias."""
        target = self.targets[number]
        fields = _keyed(self.fields, f"/{number}") if number else self.fields  # another model is asked something else
        unfit = {"echo"} if self.verb in ("complete", "chat") else MANY_TEXTS
        chosen = {**opts.checked(target.options), **fields}
        fitting = opts.flat({name: value for name, value in chosen.items() if name not in unfit})
        return Turn(target, fitting, opts.of_alias(self.settings, target.options))


@dataclass(frozen=True, slots=True)
class Core:
    """One client's defaults over what it shares."""

    shared: Shared
    settings: opts.CallSettings
    defaults: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fields: opts.Fields = field(default_factory=dict, repr=False)
    """What the defaults set of a request, checked."""
    bridge: Callable[[Bound], Bound] | None = None
    """How this face reaches a provider that is bound to a loop of its own."""
    handler: Handler = PIPELINE
    plans: dict[Any, Plan] = field(default_factory=dict, repr=False, compare=False)
    """Of the latest calls: those of one program differ in their texts, and hardly ever in their keywords."""

    @classmethod
    def build(
        cls, model: str | None, config: Any, provider: Provider | Sequence[Provider] | None, options: Mapping[str, Any]
    ) -> Core:
        """Read the configuration, check the defaults, and make the provider of the client's own model.

        Raises:
            ConfigError: the configuration is wrong, or the model's provider cannot be made.
            InputError, TypeError: a default option is wrong or unknown.
        """
        from llmsdk.config import load
        from llmsdk.registry import Registry

        given: dict[str, Any] = dict(options)
        known = frozenset(opts.ClientOptions.__annotations__)
        opts.check_defaults(given, known, "Client")
        host: dict[str, Any] = {name: given.pop(name) for name in opts.HOST if name in given}
        fields = opts.checked(given)
        loaded = load(config)
        own = loaded.default if model is None else model
        if host:
            loaded = load(config, overrides=_host(own, host))
        registry = Registry(loaded)
        for item in provider if isinstance(provider, Sequence) else () if provider is None else (provider,):
            registry.add(item)
        registry.check_limits()
        if own is not None:
            given["model"] = own
            for target in registry.resolve(own)[:1]:
                for name, _ in target.spread or ((target.provider_name, ""),):
                    registry.provider(name)
        ledger = Ledger(loaded.ledger, loaded.budgets)
        base = opts.CallSettings(
            timeouts=loaded.timeouts,
            retry=loaded.retry,
            cache=loaded.cache,
            circuit=loaded.circuit,
            budgets=loaded.budgets if loaded.ledger is None else (),
        )
        return cls(Shared(loaded, registry, ledger), opts.call_settings(given, base), given, fields)

    def with_options(self, given: Mapping[str, Any]) -> Core:
        """The same core with other defaults over its own."""
        opts.check_defaults(given, frozenset(opts.CopyOptions.__annotations__), "with_options")
        fields = {**self.fields, **opts.checked(given)}
        if given.get("model") is not None:
            self.shared.registry.resolve(given["model"])
        settings, defaults = opts.call_settings(given, self.settings), {**self.defaults, **given}
        return replace(self, settings=settings, defaults=defaults, fields=fields, plans={})

    # --- lines ------------------------------------------------------------------------------------------------

    def plan(self, verb: str, given: Mapping[str, Any]) -> Plan:
        """Check the keywords of a call, once where they are the same.

        Raises:
            ClientClosed: the client is closed.
            TypeError: an unknown keyword.
            InputError: an option out of range, or one that makes no sense for this verb.
            ConfigError: no model is named anywhere.
        """
        self._check_open()
        kinds = [*map(type, given.values())]
        if entered() or not ANEW.isdisjoint(given) or not PLAIN.issuperset(kinds):
            return self._plan(verb, given)
        same = (verb, *given, *given.values(), *kinds)  # 1, 1.0 and True are equal
        plan = self.plans.get(same)
        if plan is None:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            plan = self.plans[same] = self._plan(verb, given)
        return plan

    def _plan(self, verb: str, given: Mapping[str, Any]) -> Plan:
        opts.check_names(given, opts.CHATTED if verb == "chat" else opts.ASKED, verb)
        fields = {**self.fields, **opts.checked(given)}
        if odd := given.keys() & NOT_FOR.get(verb, MANY_TEXTS):
            name = min(odd)
            raise InputError(f"{name}= makes no sense for {verb}()", argument=name, hint="Leave it out.")
        if (model := given.get("model", self.defaults.get("model"))) is None:
            raise ConfigError("no model to ask", hint=NO_MODEL)
        settings = opts.call_settings(given, self.settings)
        if inside := entered():
            settings = replace(settings, budgets=(*settings.budgets, *inside))
        return Plan(verb, self.shared.registry.resolve(model), fields, settings)

    def _check_open(self) -> None:
        if self.shared.closed:
            raise ClientClosed("the client is closed")

    def lines(self, plan: Plan, io: IO) -> list[Callable[[], Line]]:
        """One line for each model to try, in order, made when it is needed; they share one list of attempts."""
        self._check_open()  # a batch may have been under way when it was closed
        attempts: list[Attempt] = []
        return [partial(self._line, turn, io, attempts) for turn in plan.turns]

    def _line(self, turn: Turn, io: IO, attempts: list[Attempt]) -> Line:
        if turn.way is None:
            turn.way = self._way(turn)
        return Line(turn.way, io, attempts)

    def _way(self, turn: Turn) -> Way:
        target, settings = turn.target, turn.settings
        providers = self.shared.registry.providers(target.provider_name)
        provider = providers[0]
        members = self.shared.members(target) if len(providers) > 1 or target.spread else None
        return Way(
            provider=provider,
            model=target.model,
            handler=self.handler,
            ledger=self.shared.ledger,
            settings=settings,
            fields=turn.fields,
            who_has=self._who_has,
            bridge=self.bridge if provider.loop_bound or members else None,
            tracer=self.shared.tracer,
            limiter=self.shared.limiter(provider),
            health=self.shared.health(provider),
            members=members,
            cache=self.shared.replies() if settings.cache.on else None,
        )

    def _who_has(self, capability: str) -> str:
        """Which backends have a capability, in a sentence: a few of them, those that could be asked now first."""
        from llmsdk.registry import BUILT_IN

        ordered = sorted(BUILT_IN, key=lambda name: not self._has_key(name))
        names = [*islice((name for name in ordered if self._offers(name, capability)), NAMED + 1)]
        listed = [*names[:NAMED], "others"] if len(names) > NAMED else names
        return f"{' and '.join(filter(None, (', '.join(listed[:-1]), listed[-1])))} can." if listed else ""

    def _has_key(self, name: str) -> bool:
        try:
            return name == "local" or self.shared.registry.key_source(name) is not None
        except LLMError:  # it cannot be imported here
            return False

    def _offers(self, name: str, capability: str) -> bool:
        try:
            can = self.shared.registry.provider(name).capabilities("pocket" if name == "local" else "gpt-4.1")
        except LLMError:  # not configured, so not at hand
            return False
        return bool(getattr(can, capability, False)) or capability in can.options

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, verb: str, task: Task[R], given: Mapping[str, Any], io: IO) -> Coroutine[Any, Any, R]:
        """Run one task on the first model that can. Arguments are checked at once, not when it is awaited."""
        return first(self.lines(self.plan(verb, given), io), task)

    def flow(self, verb: str, question: Question[R], given: Mapping[str, Any], io: IO) -> Flow[R]:
        """One streamed question, checked and not yet asked."""
        return Flow(verb, self.lines(self.plan(verb, given), io), question)

    def batch(
        self, verb: str, tasks: Sequence[Task[R]], given: Mapping[str, Any], io: IO
    ) -> Coroutine[Any, Any, Batch[R]]:
        """Run many tasks, in order, several at a time. Arguments are checked at once, and once for all.

        Raises:
            LLMError: the first failure, with ``.partial`` (results by index), unless ``errors="return"``.
        """
        return self._batch(self.plan(verb, given), tasks, io)

    async def _batch(self, plan: Plan, tasks: Sequence[Task[R]], io: IO) -> Batch[R]:
        settings = plan.settings
        done: dict[int, R | LLMError] = {}
        lock = Lock()  # jobs of the sync face run on threads; progress is told in order

        async def job(index: int) -> None:
            result: R | LLMError
            try:
                result = await first(self.lines(plan.item(index), io), tasks[index])
            except LLMError as error:
                if settings.errors == "raise":
                    raise
                result = error
            with lock:
                done[index] = result
                if settings.progress:
                    quietly("progress", settings.progress, len(done), len(tasks))

        try:
            await io.gather([partial(job, index) for index in range(len(tasks))], settings.concurrency)
        except LLMError as error:
            error.partial = dict(sorted(done.items()))  # type: ignore[attr-defined]
            raise
        return Batch(tuple(cast("R", done[index]) for index in range(len(tasks))))

    # --- what is not text -------------------------------------------------------------------------------------

    async def embed(self, texts: Sequence[str], given: Mapping[str, Any], io: IO) -> Embeddings:
        """One vector for each text."""
        line = self.lines(self.plan("embed", given), io)[0]()
        if not line.does(Embeds):
            raise line.attach(line.unsupported("embeddings"))

        def invoke(provider: Embeds, request: Request, io: IO) -> AsyncIterator[Event]:
            return provider.embed(request.model, texts, io)

        try:
            vectors = await line.output("embed", line.request("\n".join(texts)), invoke, (*texts,))
        except LLMError as error:
            raise line.attach(error) from error.__cause__
        return Embeddings(record=line.record("embed"), vectors=vectors)

    async def models(self, provider: str | None, given: Mapping[str, Any], io: IO) -> tuple[Model, ...]:
        """The models that a provider offers."""
        if provider is not None:
            given = {**given, "model": f"{provider}:*"}
        line = self.lines(self.plan("models", given), io)[0]()
        if not line.does(Lists):
            raise line.unsupported("listing its models")

        def invoke(provider: Lists, request: Request, io: IO) -> AsyncIterator[Event]:
            return provider.models(io)

        try:
            found: tuple[Model, ...] = await line.output("models", Request(line.model, ""), invoke)
        except LLMError as error:
            raise line.attach(error) from error.__cause__
        return found

    async def count_tokens(self, content: Any, given: Mapping[str, Any], io: IO, exact: bool = False) -> TokenCount:
        """The input tokens of a prompt or conversation; no network unless ``exact``."""
        line = self.lines(self.plan("chat", given), io)[0]()
        provider = line.provider
        raw = isinstance(content, str) and not line.capabilities.chat
        turns = opts.messages("content", content, given.get("system"))
        request = Request(line.model, turns[-1].text if raw else turns)
        if exact:
            return await self._count_exactly(line, request)
        if isinstance(provider, Counts):
            counted = await io.run(partial(provider.count, request))
            if counted is not None:
                return counted
        from llmsdk.accounting.tokens import count

        return count(request)

    async def _count_exactly(self, line: Line, request: Request) -> TokenCount:
        """By the host itself, or by the model's own tokenizer where that is as good."""
        if not line.does(CountsExactly):
            provider = line.provider
            counted = await line.io.run(partial(provider.count, request)) if isinstance(provider, Counts) else None
            if counted is None or counted.method == "estimate":
                raise line.attach(line.unsupported("counting exactly"))
            return counted

        def invoke(provider: CountsExactly, request: Request, io: IO) -> AsyncIterator[Event]:
            return provider.count_exactly(request, io)

        try:
            found: TokenCount = await line.output("count", request, invoke)
        except LLMError as error:
            raise line.attach(error) from error.__cause__
        return found


def _cache(config: Config) -> Cache:
    path, room = config.cache_file, config.cache_room
    if path is None:
        from llmsdk.cache.memory import Memory

        return Cache(Memory(room))
    from llmsdk.cache.sqlite import SQLite

    return Cache(SQLite(path, room))


def _keyed(fields: opts.Fields, suffix: str) -> opts.Fields:
    """The fields with an idempotency key of their own, if there is one at all."""
    own = fields.get("idempotency_key")
    if own is None:
        return fields
    return {**fields, "idempotency_key": {"idempotency_key": own["idempotency_key"] + suffix}}


def _load(provider: Provider, model: str) -> Load:
    """Shared like the health of its account."""
    account = getattr(provider, "account", None)
    address = getattr(getattr(provider, "host", None), "url", "")  # a gateway may have several hosts behind its paths
    return Load() if account is None else health.LOADS.of(f"{account} {address} {model}", Load)


def _limiter(provider: Provider, label: str, limits: Limits | None) -> Limiter | None:
    """Shared with all clients that use the same account. Who has none is held to the configuration alone."""
    account = getattr(provider, "account", None)
    if account is not None:
        return shared(account, label, limits)
    return Limiter(label, limits, learns=False) if limits is not None else None


def _host(model: str | None, host: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides of the configuration that say where the client's own provider is."""
    name, colon, _ = model.partition(":") if isinstance(model, str) else ("", "", "")
    if not colon:
        hint = f'Write Client("openai:MODEL", {min(host)}=...), or put it into llmsdk.toml.'
        raise ConfigError(f"{min(host)}= needs a model written as PROVIDER:MODEL", hint=hint)
    return {"providers": {name: dict(host)}}
