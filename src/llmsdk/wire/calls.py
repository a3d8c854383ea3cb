"""Tool calls for hosts that take their arguments as an object and not as a text."""

from __future__ import annotations

from typing import Any

from llmsdk.errors import InputError, InvalidToolArguments
from llmsdk.types import ToolCall


def arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call that goes back to the host.

    Raises:
        InputError: they are no JSON object, so that the host could not be told what was called.
    """
    try:
        return call.arguments
    except InvalidToolArguments as error:
        hint = "Take the call out of the conversation, or ask the model again."
        raise InputError(str(error), argument="messages", hint=hint) from None
