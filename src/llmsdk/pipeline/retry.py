"""Asking again, in exactly one place. tenacity computes the waits; what is worth a retry is decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from llmsdk.errors import LLMError
from llmsdk.io import closing
from llmsdk.pipeline import Call, Handler, RetryPolicy
from llmsdk.types import Event


def retry(handler: Handler) -> Handler:
    """Retry what is transient and surely did not run (or may run twice by the caller's leave).

    Nothing is retried after the first content reached the caller, nor when the wait would pass the deadline.
    """

    async def retried(call: Call) -> AsyncIterator[Event]:
        number, stale = 1, False
        while True:
            try:
                async with closing(handler(call)) as events:
                    async for event in events:
                        yield event
                return
            except LLMError as error:
                if _is_stale(error) and not stale and not call.delivered:
                    stale = True  # the server had hung up on an idle connection: nothing ran, so nothing is counted
                    continue
                delay = _delay(error, number, call)
                if delay is None:
                    raise
            await call.io.sleep(delay)
            number += 1

    return retried


def _is_stale(error: LLMError) -> bool:
    return bool(getattr(error, "stale", False))


def _delay(error: LLMError, number: int, call: Call) -> float | None:
    """Seconds to wait before the next attempt, or ``None`` if there must be none; the error's hint then says why."""
    if not error.retryable or call.delivered:
        return None
    policy = call.retry
    if getattr(error, "sent", False) and not policy.unknown:
        error.hint = error.hint or (
            "The request may have run, so it was not sent again; "
            "retry_unknown=True allows that (it may be billed twice)."
        )
        return None
    if number >= policy.attempts:
        return None
    delay = max(_backoff(policy, number), getattr(error, "retry_after", None) or 0.0)
    if call.deadline is not None and call.io.now() + delay >= call.deadline:
        error.hint = f"The next attempt would start in {delay:.3g} s, after the deadline. {error.hint}".strip()
        return None
    return delay


def _backoff(policy: RetryPolicy, number: int) -> float:
    """Exponential with full jitter. tenacity is imported here: a call that succeeds never pays for it."""
    from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = number
    return float(wait_random_exponential(multiplier=policy.base, max=policy.cap)(state))
