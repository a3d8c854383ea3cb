"""Tokens that expire: asked of their source for every request, which is to keep them as long as they hold.

What ``azure.identity.get_bearer_token_provider`` returns is such a source, and so is any function that gives a text.
"""

from __future__ import annotations

from collections.abc import Callable

from llmsdk.errors import LLMError, Unauthorized
from llmsdk.io import IO
from llmsdk.io.apart import apart
from llmsdk.wire.host import fault_of

Source = Callable[[], str]
_HINT = "token_provider= is a function without arguments that returns a valid token as a str."


async def fetch(source: Source, io: IO) -> str:
    """A token. The source may block: no loop waits for it, and no call longer than its deadline.

    Raises:
        TimedOut, DeadlineExceeded: it did not come in time.
        Unauthorized: the source failed, or gave what is no token. No text shows it.
    """
    try:
        token = await io.wait(apart(source))
    except LLMError:
        raise
    except Exception as error:
        raise Unauthorized(f"the source of the token failed with {type(error).__name__}", hint=_HINT) from error
    if not isinstance(token, str) or not token:
        raise Unauthorized(f"the source of the token gave a {type(token).__name__}, not a token", hint=_HINT)
    if fault := fault_of(token):
        raise Unauthorized(f"the token {fault}", hint=_HINT)
    return token
