"""Python functions as tools: a schema from annotations and docstring, checked arguments, their calls made.

``chat(..., tools=[function])`` tells the model of a function; ``steps=`` lets it be called. Without ``steps`` the
calls come back in ``result.tool_calls``, and ``tool_results`` makes them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from llmsdk.errors import InputError, InvalidToolArguments
from llmsdk.types import Message, Tool, ToolCall, ToolResult

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ToolError(Exception):
    """Raise it in a function to tell the model, in words, what went wrong; any other exception ends the call."""


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function that a model may call."""

    tool: Tool
    call: Callable[..., Any] = field(repr=False)
    model: type[BaseModel] = field(repr=False)
    is_async: bool = False

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Function:
        """The function with its name, its docstring's summary, and a schema of its annotated parameters.

        Descriptions of parameters come from ``Annotated[..., pydantic.Field(description=...)]``, else from the
        docstring (``Args:`` of the Google style, or ``:param name:``).

        Raises:
            InputError: a parameter without annotation, ``*args``, or a type without a JSON schema.
        """
        tool, model = _known(function)
        return cls(tool, function, model, inspect.iscoroutinefunction(function))

    def arguments(self, call: ToolCall) -> dict[str, Any]:
        """The keyword arguments of a call, of the annotated types.

        Raises:
            InvalidToolArguments: the model's JSON does not fit them.
        """
        try:
            checked = self.model.model_validate_json(call.arguments_json or "{}")
        except ValidationError as error:
            faults = "; ".join(_fault(item) for item in error.errors(include_url=False, include_input=False))
            raise InvalidToolArguments(f"the arguments of {call.name!r} do not fit: {faults}") from None
        return {name: getattr(checked, name) for name in type(checked).model_fields}


Described = tuple[Tool, type[BaseModel]]
_KNOWN: WeakKeyDictionary[Callable[..., Any], Described] = WeakKeyDictionary()
"""What has been worked out already: it takes a millisecond, and a call with ``steps=`` needs it several times."""


def _known(function: Callable[..., Any]) -> Described:
    """A function's tool and the model of its arguments; worked out once for each that was made with ``def``."""
    if not isinstance(function, FunctionType | MethodType):  # anything else may be equal to what it is not
        return _worked_out(function)
    found = _KNOWN.get(function)
    if found is None:
        found = _KNOWN[function] = _worked_out(function)
    return found


def _worked_out(function: Callable[..., Any]) -> Described:
    name = getattr(function, "__name__", type(function).__name__)
    if not _NAME.fullmatch(name):
        hint = "Give it a def of its own: a tool's name has letters, digits, _ and - only."
        raise InputError(f"{name!r} is no name for a tool", argument="tools", hint=hint)
    said = inspect.getdoc(function) or ""
    model = _arguments_model(name, function, _described(said))
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise _no_schema(name, error) from None
    schema.pop("title", None)
    for inner in schema.get("properties", {}).values():
        inner.pop("title", None)
    return Tool(name, schema, _summary(said)), model


def _arguments_model(name: str, function: Callable[..., Any], described: Mapping[str, str]) -> type[BaseModel]:
    """A model with a field for each parameter."""
    fields: dict[str, Any] = {}
    try:
        parameters = inspect.signature(function, eval_str=True).parameters
    except (NameError, TypeError, ValueError) as error:
        raise _no_schema(name, error) from None
    for parameter in parameters.values():
        if parameter.kind not in _KINDS or parameter.annotation is inspect.Parameter.empty:
            what = "takes *args or **kwargs" if parameter.kind not in _KINDS else "has no annotation"
            hint = "Annotate every parameter: def weather(city: str, days: int = 1) -> str"
            raise InputError(f"{name}({parameter.name}) {what}", argument="tools", hint=hint)
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        more: dict[str, Any] = {"description": described[parameter.name]} if parameter.name in described else {}
        fields[parameter.name] = (parameter.annotation, Field(default, **more))
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
    except (PydanticUserError, NameError, TypeError) as error:
        raise _no_schema(name, error) from None


def _no_schema(name: str, error: Exception) -> InputError:
    hint = "Use types that JSON can express: str, int, float, bool, list, dict, Literal, Enum, pydantic models."
    why = " ".join(str(error).splitlines()[:1])
    return InputError(f"the parameters of {name}() have no JSON schema: {why}", argument="tools", hint=hint)


def _fault(item: Mapping[str, Any]) -> str:
    place = ".".join(map(str, item["loc"]))
    return f"{place}: {item['msg']}" if place else str(item["msg"])


# --- docstrings ---------------------------------------------------------------------------------------------------

_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$", re.M)
_OTHER = re.compile(r"^(Returns?|Raises|Yields|Examples?|Notes?):\s*$|^\s*:\w+", re.M)
_ITEM = re.compile(r"^\s+(\w+)\s*(?:\([^)]*\))?:\s*(.+(?:\n\s{8,}\S.*)*)", re.M)
_FIELD = re.compile(r"^\s*:param (?:[\w\[\], |]+ )?(\w+):\s*(.+)$", re.M)


def _summary(said: str) -> str:
    """What stands before the list of the parameters."""
    ends = [match.start() for pattern in (_SECTION, _OTHER) if (match := pattern.search(said))]
    return said[: min(ends, default=len(said))].strip()


def _described(said: str) -> dict[str, str]:
    """What the docstring says of each parameter."""
    section = _SECTION.search(said)
    block = said[section.end() :] if section else ""
    end = _OTHER.search(block)
    found = [*_ITEM.findall(block[: end.start()] if end else block), *_FIELD.findall(said)]
    return {name: " ".join(text.split()) for name, text in found}


# --- calls --------------------------------------------------------------------------------------------------------


def functions(tools: Iterable[Any]) -> dict[str, Function]:
    """The Python functions among tools, by name."""
    found = [Function.of(tool) for tool in tools if callable(tool) and not isinstance(tool, Tool)]
    return {function.tool.name: function for function in found}


def written(value: Any) -> str:
    """What a function returned, as the model reads it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else to_json(value).decode()


def failed(call: ToolCall, error: Exception) -> ToolResult:
    """What went wrong, for the model to read."""
    return ToolResult(call.id, str(error), call.name, is_error=True)


def unknown(call: ToolCall, known: Iterable[str]) -> ToolResult:
    """The answer to a call of a function that there is not."""
    return failed(call, ToolError(f"there is no tool {call.name!r}; there are: {', '.join(known) or 'none'}"))


def tool_results(calls: Sequence[ToolCall], tools: Iterable[Callable[..., Any]]) -> Message:
    """Make the calls of a turn, in order, and put what they returned into the message that answers it.

    Arguments that do not fit, unknown names and ``ToolError`` go back to the model as errors.

    Raises:
        InputError: a function is async; with ``AsyncClient`` use ``steps=``.
    """
    known = functions(tools)
    if name := next((name for name, function in known.items() if function.is_async), None):
        raise InputError(f"{name}() is async", argument="tools", hint="Use AsyncClient and steps=.")
    return Message("tool", tuple(_result(call, known) for call in calls))


def _result(call: ToolCall, known: Mapping[str, Function]) -> ToolResult:
    function = known.get(call.name)
    if function is None:
        return unknown(call, known)
    try:
        return ToolResult(call.id, written(function.call(**function.arguments(call))), call.name)
    except (ToolError, InvalidToolArguments) as error:
        return failed(call, error)
