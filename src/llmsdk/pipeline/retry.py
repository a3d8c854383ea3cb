"""Asking again, in exactly one place. tenacity computes the waits; what is worth a retry is decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from llmsdk.errors import CircuitOpen, LLMError
from llmsdk.health import Health, price
from llmsdk.io import close
from llmsdk.pipeline import Call, Handler, RetryPolicy
from llmsdk.types import Event

UNKNOWN = "The request may have run, so it was not sent again; retry_unknown=True allows that (it may be billed twice)."
SPENT = "It was not asked again, since too many calls to this host fail: as soon as some succeed, retries go on."
OPEN = "It was not asked again: too many requests to this host have failed in a row."
UNWANTED = "The host says not to ask again (x-should-retry)."


def retry(handler: Handler) -> Handler:
    """Retry what is transient and surely did not run (or may run twice by the caller's leave).

    Nothing is retried after the first content reached the caller, nor when the wait would pass the deadline, nor when
    the quota of retries that all callers of the host share is spent.
    """

    async def retried(call: Call) -> AsyncIterator[Event]:
        number, stale, paid = 1, False, 0
        failure: LLMError | None = None
        while True:
            events = handler(call)
            try:
                async for event in events:
                    yield event
                call.health.succeeded(paid)
                return
            except CircuitOpen:
                if failure is None:
                    raise
                break
            except LLMError as error:
                if _is_stale(error) and not stale and not call.delivered:
                    stale = True  # the server had hung up on an idle connection: nothing ran, so nothing is counted
                    continue
                delay = _delay(error, number, call)
                if delay is None:
                    raise
                failure, paid = error, price(error)
            except BaseException:
                await close(events)
                raise
            await call.io.sleep(delay)
            number += 1
        raise _noted(failure, OPEN)

    return retried


def _is_stale(error: LLMError) -> bool:
    return bool(getattr(error, "stale", False))


def _delay(error: LLMError, number: int, call: Call) -> float | None:
    """Seconds to wait before the next attempt, or ``None`` if there must be none; the error's hint then says why."""
    if call.delivered:
        return None
    if (refusal := _refusal(error, number, call)) is not None:
        if refusal:
            _noted(error, refusal)
        return None
    if call.choice is not None and call.choice.goes_on(call.io.now()):
        asked = delay = 0.0  # it is another one that is asked
    else:
        asked = _asked(error, call)
        delay = max(_backoff(call.settings.retry, number), asked)
    if reason := _too_long(asked, delay, call):
        _noted(error, reason)
        return None
    if (cost := price(error)) and not _next(call).quota.take(cost):
        _noted(error, SPENT)
        return None
    return delay


def _next(call: Call) -> Health:
    """Of the account that is asked next, and so bears the retry. One that is dead does not use up what others have."""
    return call.health if call.choice is None else call.choice.next(call.io.now()).health


def _asked(error: LLMError, call: Call) -> float:
    """Seconds that whoever is asked next wants to be waited for."""
    if call.choice is not None:
        return call.choice.wait(call.io.now())
    return getattr(error, "retry_after", None) or 0.0


def _refusal(error: LLMError, number: int, call: Call) -> str | None:
    """Why an error is not worth another attempt, whenever that would be; empty where there is nothing to say."""
    wish = vars(error).get("retryable")  # the host's own word, which an error has beside that of its class
    if not error.retryable:
        return "" if wish is None else UNWANTED
    if getattr(error, "sent", False) and not (call.settings.retry.unknown or wish or _is_done_once(call)):
        return UNKNOWN
    if number >= call.settings.retry.attempts:
        return f"All {number} attempts failed." if number > 1 else ""
    return None


def _is_done_once(call: Call) -> bool:
    """Whether the host takes another attempt for the same request."""
    return call.request.idempotency_key is not None and getattr(call.provider, "idempotent", False)


def _too_long(asked: float, delay: float, call: Call) -> str:
    """Why not to wait so long, of which the host ``asked`` for so much."""
    who = "The host asks to wait" if asked == delay else "The next attempt would start in"
    left = None if call.deadline is None else max(call.deadline - call.io.now(), 0.0)
    if left is not None and delay >= left:
        return f"{who} {_seconds(delay)} s, and the deadline leaves {_seconds(left)} s."
    patience = call.settings.retry.patience
    if left is None and asked == delay and delay > patience:
        return f"{who} {_seconds(delay)} s, and without a deadline= the patience is {_seconds(patience)} s."
    return ""


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _noted(error: LLMError, reason: str) -> LLMError:
    error.hint = f"{reason} {error.hint}".strip()
    return error


def _backoff(policy: RetryPolicy, number: int) -> float:
    """Exponential with full jitter. tenacity is imported here: a call that succeeds never pays for it."""
    from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = number
    return float(wait_random_exponential(multiplier=policy.base, max=policy.cap)(state))
