"""The two clients. Same verbs, same arguments; one blocks, the other is awaited, and both stand on ``llmsdk.core``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, Self, TypeVar, Unpack, overload

from typing_extensions import TypeForm

from llmsdk import tasks
from llmsdk.accounting.ledger import Ledger
from llmsdk.core import Core
from llmsdk.errors import InputError, brief, forget
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO, is_asyncio
from llmsdk.io.sync import SyncIO
from llmsdk.options import ChatOptions, ClientOptions, CopyOptions, Formality, Options, hide
from llmsdk.pipeline import Bound, Tracer
from llmsdk.provider import Provider
from llmsdk.results import Answer, Batch, Chat, Classification, Completion, Embeddings, Translation
from llmsdk.secret import kept
from llmsdk.streams import AsyncStream, Stream
from llmsdk.types import Message, Model, TokenCount, Usage

if TYPE_CHECKING:
    from llmsdk.explain import Explanation

T = TypeVar("T")
E = TypeVar("E")
Texts = list[str] | tuple[str, ...]
Turn = Message | Mapping[str, Any]
Conversation = str | list[Message] | list[dict[str, Any]] | list[Turn] | tuple[Turn, ...]
Conversations = list[str] | list[list[Message]] | list[list[dict[str, Any]]] | list[list[Turn]]
Context = str | Sequence[str]
Verb = Literal["complete", "chat", "translate", "answer", "classify"]


class SequenceNotStr(Protocol):
    """A sequence of str. A str is none, since it looks for nothing but str in itself."""

    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> str: ...


Labels = SequenceNotStr | Mapping[str, str]


class _Base:
    """What is the same for both faces."""

    def __init__(
        self,
        model: str | None = None,
        *,
        config: str | Path | Mapping[str, Any] | None = None,
        provider: Provider | Sequence[Provider] | None = None,
        tracer: Tracer | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        if not callable(getattr(tracer, "start", None)) and tracer is not None:
            hint = "Pass an object with the method start(name, attributes)."
            raise InputError(f"tracer is of type {type(tracer).__name__}", argument="tracer", hint=hint)
        if isinstance(provider, str):  # which would be a sequence of providers
            hint = f'Name it in the model: {type(self).__name__}("{provider}:MODEL"); provider= takes objects.'
            raise InputError("provider is a str", argument="provider", hint=hint)
        try:
            self._core = Core.build(model, config, provider, options)
        except Exception as error:
            forget(error)
            raise
        self._core.shared.tracer = tracer

    @property
    def ledger(self) -> Ledger:
        """Every attempt that this client made, and the totals."""
        return self._core.shared.ledger

    @property
    def usage(self) -> Usage:
        """Tokens used since the client was made."""
        return self.ledger.usage

    def explain(self, verb: Verb, *arguments: Any, **options: Any) -> Explanation:
        """What a verb would send with these arguments: nothing is sent, and nothing is to be awaited.

        Raises:
            Whatever the verb raises before it sends anything.
        """
        from llmsdk.explain import capture, explain

        if verb not in _FIRST:
            raise InputError(f"{verb!r} is no verb", argument="verb", hint=f"One of: {', '.join(_FIRST)}.")
        core = replace(self._core, handler=capture, bridge=None, plans={})
        stream = options.pop("stream", False)

        def ask(verb: str, make: Callable[[Any], Any], value: Any, many: bool, _: bool, options: Any) -> Explanation:
            _check(verb, value, stream)
            task = _batch(make, value, False, _FIRST[verb])[0] if many else make(value)
            return explain(task, core.lines(core.plan(verb, options), SyncIO()), stream)

        twin = object.__new__(Client)
        twin.__dict__["_ask"] = ask  # what every verb comes to
        explained: Explanation = getattr(twin, verb)(*arguments, **options)
        return explained

    def __repr__(self) -> str:
        model = self._core.defaults.get("model")
        closed = " (closed)" if self._core.shared.closed else ""
        return f"{type(self).__name__}({'' if model is None else repr(model)}){closed}"

    def __copy__(self) -> Self:
        return self._copy({})

    def __reduce__(self) -> NoReturn:
        kind = type(self).__name__
        raise TypeError(
            f"{kind} holds connections and models, and cannot be pickled or copied: make one where it is used"
        )

    def _copy(self, options: Mapping[str, Any]) -> Self:
        copy = object.__new__(type(self))
        copy.__dict__ |= self.__dict__ | {"_core": self._core.with_options(options)}
        return copy


_FIRST = {"complete": "prompt", "chat": "messages", "translate": "text", "answer": "question", "classify": "text"}
"""What the first argument of each verb is called."""


def _is_many(value: Any) -> bool:
    return isinstance(value, (list, tuple))  # here and below no `|`, which would make a new object with each call


def _check(verb: str, value: Any, stream: Any) -> None:
    """Refuse what would be taken for something else: ``"no"`` is true, and a column of a table is no text."""
    if not isinstance(stream, bool):
        raise InputError(f"stream={brief(stream)} is no bool", argument="stream", hint="Pass True or False.")
    if isinstance(value, (str, list, tuple, bytes, Mapping)) or verb == "chat" or not isinstance(value, Iterable):
        return
    argument, kind = _FIRST[verb], type(value).__name__
    raise InputError(
        f"{argument} is of type {kind}", argument=argument, hint="Pass a str, or a list of str: list(...)."
    )


def _many_conversations(value: Any) -> bool:
    """A list of str or of lists is many conversations; a list of messages is one."""
    return _is_many(value) and (not value or isinstance(value[0], (str, list, tuple)))


def _batch(make: Callable[[Any], T], values: Iterable[Any], stream: bool, argument: str) -> list[T]:
    items = list(values)
    if stream:
        raise InputError("a list of inputs cannot be streamed", argument="stream", hint="Stream them one by one.")
    if not items:
        raise InputError(f"{argument} is an empty list", argument=argument, hint="Pass at least one input.")
    return [_made(make, item, argument, index) for index, item in enumerate(items)]


def _made(make: Callable[[Any], T], item: Any, argument: str, index: int) -> T:
    """One of many tasks. An input at fault is named by its place; any other argument is the same for all."""
    try:
        return make(item)
    except InputError as error:
        if error.message.startswith(argument):
            error.message = f"{argument}[{index}]{error.message.removeprefix(argument)}"
        raise


class Client(_Base):
    """Five verbs for language models, blocking. Threads may share one, and it works in a running loop and after a fork
    (but for a local model that was loaded before).

    Args:
        model: ``provider:model`` or an alias of the configuration; without it the configuration's ``default``.
        config: path of a TOML file, or a mapping of the same shape, instead of the file that would be found.
        provider: one or more provider objects of your own, used by their names.
        tracer: a hook that opens spans (see ``llmsdk.pipeline.Tracer``).
        options: defaults for every call; also ``api_key``, ``base_url`` and ``http_client`` for the model's provider.

    Raises:
        ConfigError: the configuration is wrong, or the model's provider cannot be made (such as ``MissingKey``).
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        config: str | Path | Mapping[str, Any] | None = None,
        provider: Provider | Sequence[Provider] | None = None,
        tracer: Tracer | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        config = kept(config)
        hide(options)
        super().__init__(model, config=config, provider=provider, tracer=tracer, **options)
        self._io = SyncIO()
        self._core = replace(self._core, bridge=self._bridge)

    def with_options(self, **options: Unpack[CopyOptions]) -> Client:
        """A client with other defaults that shares everything else: connections, engines, ledger."""
        return self._copy(options)

    @overload
    def complete(
        self, prompt: str, *, stream: Literal[False] = False, suffix: str | None = None, **options: Unpack[Options]
    ) -> Completion: ...
    @overload
    def complete(
        self, prompt: str, *, stream: Literal[True], suffix: str | None = None, **options: Unpack[Options]
    ) -> Stream[Completion]: ...
    @overload
    def complete(
        self, prompt: str, *, stream: bool, suffix: str | None = None, **options: Unpack[Options]
    ) -> Completion | Stream[Completion]: ...
    @overload
    def complete(
        self, prompt: Texts, *, stream: Literal[False] = False, suffix: str | None = None, **options: Unpack[Options]
    ) -> Batch[Completion]: ...
    def complete(
        self, prompt: str | Texts, *, stream: bool = False, suffix: str | None = None, **options: Unpack[Options]
    ) -> Any:
        """Continue a raw prompt, or fill in between it and ``suffix``.

        Where the provider only chats, it is asked to continue (``result.route`` is ``"chat"``). A list of prompts
        gives a ``Batch``.
        """
        make = partial(tasks.complete.check, suffix=suffix, echo=bool(options.get("echo", False)))
        return self._ask("complete", make, prompt, _is_many(prompt), stream, options)

    @overload
    def translate(
        self,
        text: str,
        *,
        stream: Literal[False] = False,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Translation: ...
    @overload
    def translate(
        self,
        text: str,
        *,
        stream: Literal[True],
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Stream[Translation]: ...
    @overload
    def translate(
        self,
        text: str,
        *,
        stream: bool,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Translation | Stream[Translation]: ...
    @overload
    def translate(
        self,
        text: Texts,
        *,
        stream: Literal[False] = False,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Batch[Translation]: ...
    def translate(
        self,
        text: str | Texts,
        *,
        stream: bool = False,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Any:
        """Translate to the language with the BCP-47 tag ``to`` (``"zh"``, ``"pt-BR"``), from ``source`` or any.

        ``glossary`` maps terms to the translations they must get. A list of texts gives a ``Batch``.
        """
        make = partial(tasks.translate.check, to=to, source=source, glossary=glossary, formality=formality)
        return self._ask("translate", make, text, _is_many(text), stream, options)

    @overload
    def answer(
        self,
        question: str,
        *,
        stream: Literal[False] = False,
        context: Context | None = None,
        **options: Unpack[Options],
    ) -> Answer: ...
    @overload
    def answer(
        self, question: str, *, stream: Literal[True], context: Context | None = None, **options: Unpack[Options]
    ) -> Stream[Answer]: ...
    @overload
    def answer(
        self, question: str, *, stream: bool, context: Context | None = None, **options: Unpack[Options]
    ) -> Answer | Stream[Answer]: ...
    @overload
    def answer(
        self,
        question: Texts,
        *,
        stream: Literal[False] = False,
        context: Context | None = None,
        **options: Unpack[Options],
    ) -> Batch[Answer]: ...
    def answer(
        self, question: str | Texts, *, stream: bool = False, context: Context | None = None, **options: Unpack[Options]
    ) -> Any:
        """Answer a question, from the document or documents in ``context`` or else from what the model knows.

        Quotes are checked: ``context[e.source][e.start:e.end] == e.quote`` for every ``e`` in ``result.evidence``. A
        list of questions gives a ``Batch``.
        """
        make = partial(tasks.answer.check, context=context)
        return self._ask("answer", make, question, _is_many(question), stream, options)

    @overload
    def chat(
        self,
        messages: Conversation,
        *,
        stream: Literal[False] = False,
        output: None = None,
        **options: Unpack[ChatOptions],
    ) -> Chat: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: Literal[True], output: None = None, **options: Unpack[ChatOptions]
    ) -> Stream[Chat]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: bool, output: None = None, **options: Unpack[ChatOptions]
    ) -> Chat | Stream[Chat]: ...
    @overload
    def chat(
        self,
        messages: Conversations,
        *,
        stream: Literal[False] = False,
        output: None = None,
        **options: Unpack[ChatOptions],
    ) -> Batch[Chat]: ...
    @overload
    def chat(
        self,
        messages: Conversation,
        *,
        stream: Literal[False] = False,
        output: TypeForm[T],
        **options: Unpack[ChatOptions],
    ) -> Chat[T]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: Literal[True], output: TypeForm[T], **options: Unpack[ChatOptions]
    ) -> Stream[Chat[T]]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: bool, output: TypeForm[T], **options: Unpack[ChatOptions]
    ) -> Chat[T] | Stream[Chat[T]]: ...
    @overload
    def chat(
        self,
        messages: Conversations,
        *,
        stream: Literal[False] = False,
        output: TypeForm[T],
        **options: Unpack[ChatOptions],
    ) -> Batch[Chat[T]]: ...
    def chat(self, messages: Any, *, stream: bool = False, output: Any = None, **options: Unpack[ChatOptions]) -> Any:
        """The next turn of a conversation: a ``str``, a list of ``Message``, or dicts in OpenAI's chat format.

        With ``output=`` (a pydantic model, or any type that pydantic knows) the reply is bound to its JSON schema and
        ``result.value`` is of that type. A list of str, or of lists, is many conversations and gives a ``Batch``.
        """
        system = options.pop("system", None)  # to the task it belongs, not to how it is run
        tools, steps = options.get("tools", ()), options.get("steps", 1)
        make = tasks.chat.opening(system=system, output=output, tools=tools, steps=steps, awaits=False)
        return self._ask("chat", make, messages, _many_conversations(messages), stream, options)

    @overload
    def classify(
        self, text: str, labels: TypeForm[E], *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Classification[E]: ...
    @overload
    def classify(
        self, text: str, labels: Labels, *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Classification[str]: ...
    @overload
    def classify(
        self,
        text: Texts,
        labels: TypeForm[E],
        *,
        multi: bool = False,
        threshold: float = 0.5,
        **options: Unpack[Options],
    ) -> Batch[Classification[E]]: ...
    @overload
    def classify(
        self, text: Texts, labels: Labels, *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Batch[Classification[str]]: ...
    def classify(
        self, text: str | Texts, labels: Any, *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Any:
        """Choose the label of a text: from strings, a mapping to descriptions, an ``Enum`` class or a ``Literal``.

        ``result.scores`` are probabilities and ``result.probability`` says where they come from. With ``multi`` each
        label is judged by itself, and those of at least ``threshold`` are in ``result.labels``. A list of texts gives
        a ``Batch``.
        """
        make = partial(tasks.classify.check, labels=labels, multi=multi, threshold=threshold)
        return self._ask("classify", make, text, _is_many(text), False, options)

    def embed(self, texts: str | Texts, **options: Unpack[Options]) -> Embeddings:
        """Vectors of texts, in one request."""
        return drive(self._core.embed(_texts(texts), options, self._io))

    def models(self, provider: str | None = None, **options: Unpack[Options]) -> tuple[Model, ...]:
        """The models that a provider offers; by default the client's own."""
        return drive(self._core.models(provider, options, self._io))

    def count_tokens(self, content: Conversation, *, exact: bool = False, **options: Unpack[Options]) -> TokenCount:
        """The input tokens of a prompt or conversation; ``method`` says how they were counted.

        Without ``exact`` there is no network. With it the provider is asked, or the model's own tokenizer counts.
        """
        return drive(self._core.count_tokens(content, options, self._io, exact))

    def close(self) -> None:
        """Close connections and engines. Calls after it raise ``ClientClosed``."""
        if not self._core.shared.closed:
            self._core.shared.closed = True
            try:
                drive(self._core.shared.registry.aclose(self._end))
            finally:
                self._core.shared.close()
                self._io.pools.close()

    def _bridge(self, invoke: Bound) -> Bound:
        """A provider that is bound to a loop runs on the portal's."""
        return self._io.pools.portal.bridge(invoke)

    async def _end(self, provider: Provider) -> None:
        """Close a provider where it lives: one that is bound to a loop, on the portal's."""
        if provider.loop_bound:
            await self._io.pools.portal.call(lambda io: provider.aclose(), self._io)
        else:
            await provider.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, verb: str, make: Callable[[Any], Any], value: Any, many: bool, stream: bool, options: Any) -> Any:
        hide(options)
        _check(verb, value, stream)
        if many:
            return drive(self._core.batch(verb, _batch(make, value, stream, _FIRST[verb]), options, self._io))
        if stream:
            return Stream(self._core.flow(verb, make(value), options, self._io))
        return drive(self._core.run(verb, make(value), options, self._io))


class AsyncClient(_Base):
    """Five verbs for language models, awaited, on asyncio or trio. Same names and arguments as ``Client``.

    A verb checks its arguments when it is called and returns a coroutine; with ``stream=True`` it returns the stream
    at once, with nothing to await.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        config: str | Path | Mapping[str, Any] | None = None,
        provider: Provider | Sequence[Provider] | None = None,
        tracer: Tracer | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        config = kept(config)
        hide(options)
        super().__init__(model, config=config, provider=provider, tracer=tracer, **options)
        self._io = LoopIO()
        self._core = replace(self._core, bridge=self._bridge)

    def with_options(self, **options: Unpack[CopyOptions]) -> AsyncClient:
        """A client with other defaults that shares everything else: connections, engines, ledger."""
        return self._copy(options)

    @overload
    def complete(
        self, prompt: str, *, stream: Literal[False] = False, suffix: str | None = None, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Completion]: ...
    @overload
    def complete(
        self, prompt: str, *, stream: Literal[True], suffix: str | None = None, **options: Unpack[Options]
    ) -> AsyncStream[Completion]: ...
    @overload
    def complete(
        self, prompt: str, *, stream: bool, suffix: str | None = None, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Completion] | AsyncStream[Completion]: ...
    @overload
    def complete(
        self, prompt: Texts, *, stream: Literal[False] = False, suffix: str | None = None, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Batch[Completion]]: ...
    def complete(
        self, prompt: str | Texts, *, stream: bool = False, suffix: str | None = None, **options: Unpack[Options]
    ) -> Any:
        """Continue a raw prompt, or fill in between it and ``suffix``.

        Where the provider only chats, it is asked to continue (``result.route`` is ``"chat"``). A list of prompts
        gives a ``Batch``.
        """
        make = partial(tasks.complete.check, suffix=suffix, echo=bool(options.get("echo", False)))
        return self._ask("complete", make, prompt, _is_many(prompt), stream, options)

    @overload
    def translate(
        self,
        text: str,
        *,
        stream: Literal[False] = False,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Translation]: ...
    @overload
    def translate(
        self,
        text: str,
        *,
        stream: Literal[True],
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> AsyncStream[Translation]: ...
    @overload
    def translate(
        self,
        text: str,
        *,
        stream: bool,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Translation] | AsyncStream[Translation]: ...
    @overload
    def translate(
        self,
        text: Texts,
        *,
        stream: Literal[False] = False,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Batch[Translation]]: ...
    def translate(
        self,
        text: str | Texts,
        *,
        stream: bool = False,
        to: str,
        source: str | None = None,
        glossary: Mapping[str, str] | None = None,
        formality: Formality | None = None,
        **options: Unpack[Options],
    ) -> Any:
        """Translate to the language with the BCP-47 tag ``to`` (``"zh"``, ``"pt-BR"``), from ``source`` or any.

        ``glossary`` maps terms to the translations they must get. A list of texts gives a ``Batch``.
        """
        make = partial(tasks.translate.check, to=to, source=source, glossary=glossary, formality=formality)
        return self._ask("translate", make, text, _is_many(text), stream, options)

    @overload
    def answer(
        self,
        question: str,
        *,
        stream: Literal[False] = False,
        context: Context | None = None,
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Answer]: ...
    @overload
    def answer(
        self, question: str, *, stream: Literal[True], context: Context | None = None, **options: Unpack[Options]
    ) -> AsyncStream[Answer]: ...
    @overload
    def answer(
        self, question: str, *, stream: bool, context: Context | None = None, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Answer] | AsyncStream[Answer]: ...
    @overload
    def answer(
        self,
        question: Texts,
        *,
        stream: Literal[False] = False,
        context: Context | None = None,
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Batch[Answer]]: ...
    def answer(
        self, question: str | Texts, *, stream: bool = False, context: Context | None = None, **options: Unpack[Options]
    ) -> Any:
        """Answer a question, from the document or documents in ``context`` or else from what the model knows.

        Quotes are checked: ``context[e.source][e.start:e.end] == e.quote`` for every ``e`` in ``result.evidence``. A
        list of questions gives a ``Batch``.
        """
        make = partial(tasks.answer.check, context=context)
        return self._ask("answer", make, question, _is_many(question), stream, options)

    @overload
    def chat(
        self,
        messages: Conversation,
        *,
        stream: Literal[False] = False,
        output: None = None,
        **options: Unpack[ChatOptions],
    ) -> Coroutine[Any, Any, Chat]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: Literal[True], output: None = None, **options: Unpack[ChatOptions]
    ) -> AsyncStream[Chat]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: bool, output: None = None, **options: Unpack[ChatOptions]
    ) -> Coroutine[Any, Any, Chat] | AsyncStream[Chat]: ...
    @overload
    def chat(
        self,
        messages: Conversations,
        *,
        stream: Literal[False] = False,
        output: None = None,
        **options: Unpack[ChatOptions],
    ) -> Coroutine[Any, Any, Batch[Chat]]: ...
    @overload
    def chat(
        self,
        messages: Conversation,
        *,
        stream: Literal[False] = False,
        output: TypeForm[T],
        **options: Unpack[ChatOptions],
    ) -> Coroutine[Any, Any, Chat[T]]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: Literal[True], output: TypeForm[T], **options: Unpack[ChatOptions]
    ) -> AsyncStream[Chat[T]]: ...
    @overload
    def chat(
        self, messages: Conversation, *, stream: bool, output: TypeForm[T], **options: Unpack[ChatOptions]
    ) -> Coroutine[Any, Any, Chat[T]] | AsyncStream[Chat[T]]: ...
    @overload
    def chat(
        self,
        messages: Conversations,
        *,
        stream: Literal[False] = False,
        output: TypeForm[T],
        **options: Unpack[ChatOptions],
    ) -> Coroutine[Any, Any, Batch[Chat[T]]]: ...
    def chat(self, messages: Any, *, stream: bool = False, output: Any = None, **options: Unpack[ChatOptions]) -> Any:
        """The next turn of a conversation: a ``str``, a list of ``Message``, or dicts in OpenAI's chat format.

        With ``output=`` (a pydantic model, or any type that pydantic knows) the reply is bound to its JSON schema and
        ``result.value`` is of that type. A list of str, or of lists, is many conversations and gives a ``Batch``.
        """
        system = options.pop("system", None)  # to the task it belongs, not to how it is run
        tools, steps = options.get("tools", ()), options.get("steps", 1)
        make = tasks.chat.opening(system=system, output=output, tools=tools, steps=steps)
        return self._ask("chat", make, messages, _many_conversations(messages), stream, options)

    @overload
    def classify(
        self, text: str, labels: TypeForm[E], *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Classification[E]]: ...
    @overload
    def classify(
        self, text: str, labels: Labels, *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Classification[str]]: ...
    @overload
    def classify(
        self,
        text: Texts,
        labels: TypeForm[E],
        *,
        multi: bool = False,
        threshold: float = 0.5,
        **options: Unpack[Options],
    ) -> Coroutine[Any, Any, Batch[Classification[E]]]: ...
    @overload
    def classify(
        self, text: Texts, labels: Labels, *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, Batch[Classification[str]]]: ...
    def classify(
        self, text: str | Texts, labels: Any, *, multi: bool = False, threshold: float = 0.5, **options: Unpack[Options]
    ) -> Any:
        """Choose the label of a text: from strings, a mapping to descriptions, an ``Enum`` class or a ``Literal``.

        ``result.scores`` are probabilities and ``result.probability`` says where they come from. With ``multi`` each
        label is judged by itself, and those of at least ``threshold`` are in ``result.labels``. A list of texts gives
        a ``Batch``.
        """
        make = partial(tasks.classify.check, labels=labels, multi=multi, threshold=threshold)
        return self._ask("classify", make, text, _is_many(text), False, options)

    def embed(self, texts: str | Texts, **options: Unpack[Options]) -> Coroutine[Any, Any, Embeddings]:
        """Vectors of texts, in one request."""
        return _named("embed", self._core.embed(_texts(texts), options, self._io))

    def models(self, provider: str | None = None, **options: Unpack[Options]) -> Coroutine[Any, Any, tuple[Model, ...]]:
        """The models that a provider offers; by default the client's own."""
        return _named("models", self._core.models(provider, options, self._io))

    def count_tokens(
        self, content: Conversation, *, exact: bool = False, **options: Unpack[Options]
    ) -> Coroutine[Any, Any, TokenCount]:
        """The input tokens of a prompt or conversation; ``method`` says how they were counted.

        Without ``exact`` there is no network. With it the provider is asked, or the model's own tokenizer counts.
        """
        return _named("count_tokens", self._core.count_tokens(content, options, self._io, exact))

    async def aclose(self) -> None:
        """Close connections and engines. Calls after it raise ``ClientClosed``."""
        if not self._core.shared.closed:
            self._core.shared.closed = True
            try:
                await self._core.shared.registry.aclose(self._end)
            finally:
                await self._io.run(self._core.shared.close)
                await self._io.pools.aclose()

    def _bridge(self, invoke: Bound) -> Bound:
        """A provider that is bound to asyncio runs on this loop if it is one, else on the portal's."""
        return invoke if is_asyncio() else self._io.pools.portal.bridge(invoke)

    async def _end(self, provider: Provider) -> None:
        if provider.loop_bound and not is_asyncio():
            await self._io.pools.portal.call(lambda io: provider.aclose(), self._io)
        else:
            await provider.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _ask(self, verb: str, make: Callable[[Any], Any], value: Any, many: bool, stream: bool, options: Any) -> Any:
        hide(options)
        _check(verb, value, stream)
        if many:
            return _named(verb, self._core.batch(verb, _batch(make, value, stream, _FIRST[verb]), options, self._io))
        if stream:
            return AsyncStream(self._core.flow(verb, make(value), options, self._io))
        return _named(verb, self._core.run(verb, make(value), options, self._io))


def _named(verb: str, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """The coroutine under the verb's name, so that Python's warning of a forgotten ``await`` names what was called."""
    named: Any = coroutine
    named.__name__, named.__qualname__ = verb, f"AsyncClient.{verb}"
    return coroutine


def _texts(texts: str | Texts) -> list[str]:
    items = [texts] if isinstance(texts, str) else list(texts) if _is_many(texts) else None
    if not items:
        what = "an empty list" if items == [] else f"of type {type(texts).__name__}"
        raise InputError(f"texts is {what}", argument="texts", hint="Pass a str or a list of str.")
    from llmsdk.options import text

    return [text("texts", item, blank=False) for item in items]
