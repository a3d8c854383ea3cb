"""A type that a reply is bound to: its JSON schema, how it is asked for in words, and the value that a reply spells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmsdk.errors import InputError, brief
from llmsdk.types import Message

if TYPE_CHECKING:
    from pydantic import TypeAdapter

AS_JSON = "Reply with a JSON object that satisfies this JSON schema, and with nothing else:\n{schema}"
FAULTS, MAX_FAULT = 3, 200
"""How many of a reply's faults an error tells, and in how many characters each."""
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON schema of an object, since hosts take no other: what is none stands under the key ``value``."""

    name: str
    json: Mapping[str, Any] = field(repr=False)
    adapter: TypeAdapter[Any] = field(repr=False)
    under: TypeAdapter[Any] | None = field(default=None, repr=False)
    """What reads the object around a value that is none."""

    @classmethod
    def of(cls, output: Any) -> Schema:
        """The schema of a type: a pydantic model, a dataclass, or whatever pydantic knows.

        Raises:
            InputError: a value, or a type without a JSON schema.
        """
        from pydantic import TypeAdapter, create_model
        from pydantic.errors import PydanticUserError

        name = _NO_NAME.sub("_", getattr(output, "__name__", ""))[:64] or "reply"
        try:
            if isinstance(output, str | int | float | Mapping) or hasattr(type(output), "model_validate"):
                raise TypeError(f"{brief(output)} is a value")
            adapter: TypeAdapter[Any] = TypeAdapter(output)
            schema = adapter.json_schema()
            if schema.get("type") == "object":
                return cls(name, schema, adapter)
            under: TypeAdapter[Any] = TypeAdapter(create_model(name, value=(output, ...)))
            return cls(name, under.json_schema(), adapter, under)
        except (PydanticUserError, TypeError, ValueError) as error:
            hint = "Pass a pydantic model class, a dataclass, or a type such as list[str]."
            what = str(getattr(error, "message", error)).partition("\n")[0]  # pydantic's own, and no page of advice
            raise InputError(f"output is no type with a JSON schema: {what}", argument="output", hint=hint) from None

    def instruct(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The conversation with the schema asked for in its system message."""
        from pydantic_core import to_json

        rule = AS_JSON.format(schema=to_json(self.json).decode())
        if messages and messages[0].role == "system":
            return Message("system", f"{messages[0].text}\n\n{rule}"), *messages[1:]
        return Message("system", rule), *messages

    def read(self, text: str) -> Any:
        """The value that a text spells in JSON, in a code fence or not, under its key or not.

        Raises:
            ValueError: it spells none.
        """
        text = unfenced(text)
        if self.under is None or not text.startswith("{"):
            return self.adapter.validate_json(text)
        return self.under.validate_json(text).value


def faults(error: ValueError) -> str:
    """Where a reply does not fit, and why. Not its values: they may be long, and stand in the error's ``text``."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)[:MAX_FAULT]
    found = error.errors(include_url=False, include_input=False, include_context=False)
    told = [": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in found[:FAULTS]]
    more = f" (and {len(found) - FAULTS} more)" if len(found) > FAULTS else ""
    return "; ".join(fault if len(fault) <= MAX_FAULT else f"{fault[:MAX_FAULT]}..." for fault in told) + more


def unfenced(text: str) -> str:
    """``text`` without a Markdown code fence around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    return text
