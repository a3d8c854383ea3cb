"""The public error for whatever went wrong below: no type of an HTTP library and no secret gets past here."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass, field

from llmsdk.direct import direct
from llmsdk.errors import (
    ConfigError,
    ConnectFailed,
    DeadlineExceeded,
    Disconnected,
    InvalidBody,
    LLMError,
    Redirected,
    TimedOut,
)
from llmsdk.io import Clock
from llmsdk.io.limit import Expired, Lost, NotHTTP, Unreachable
from llmsdk.io.redact import redact
from llmsdk.io.route import Address, Proxy

MAX_QUOTE = 80
"""Characters of the peer's own words in an error."""
MAX_LOOK = 4000


@direct
@dataclass(frozen=True, slots=True)
class Place:
    """Who was being talked to, for the text of an error."""

    address: Address
    proxy: Proxy | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    safe: bool = False
    """The request only asks for what is there, so that it costs nothing to send it again."""

    def words(self, data: bytes | str) -> str:
        """Words of the peer, without secrets."""
        text = data if isinstance(data, str) else data.decode("latin-1")
        return redact(text[:MAX_LOOK], self.secrets + (self.proxy.secrets if self.proxy else ()))

    def quote(self, data: bytes | str) -> str:
        """Words of the peer, without secrets, cut and in quotes."""
        return repr(self.words(data)[:MAX_QUOTE])

    @property
    def via(self) -> str:
        return f" through the proxy {self.proxy.label}" if self.proxy else ""


def translate(error: Exception, clock: Clock, place: Place) -> LLMError:
    """The typed error for a fault of one attempt."""
    match error:
        case LLMError():
            return error
        case Expired() if error.limit.clock is clock:
            return _located(error.error, place)
        case Expired():
            return disconnected(clock, place, "another request on the same HTTP/2 connection ran out of time")
        case Unreachable():
            return unreachable(error.cause, place)
        case Lost():
            return disconnected(clock, place, str(error))
        case NotHTTP() if clock.sent:
            return not_http(error.data, place)
        case NotHTTP():
            return refused_by_proxy(f"it is no HTTP proxy, its first words are {place.quote(error.data)}", place)
    return _translate_library(error, clock, place)


def _located(error: LLMError, place: Place) -> LLMError:
    """The error of a wait that ran out; of one for a connection it says to where."""
    if isinstance(error, TimedOut | DeadlineExceeded) and error.phase == "connect":
        error.message = f"could not connect to {place.address.label}{place.via}: {error.message}"
    return error


def _translate_library(error: Exception, clock: Clock, place: Place) -> LLMError:
    match _kind(error):
        case "PoolTimeout":
            return clock.expired("pool")
        case "ProxyError":
            return refused_by_proxy(str(error), place)
        case "ConnectTimeout":
            return clock.expired("connect")
        case "ReadTimeout" | "WriteTimeout" | "TimeoutException":
            return clock.expired("receive")
        case "ConnectError":
            return unreachable(error, place)
        case "LocalProtocolError" | "UnsupportedProtocol" | "InvalidURL":
            return ConfigError(f"the request to {place.address.label} is not valid HTTP")
        case _:
            return _broken(error, clock, place)


def _kind(error: Exception) -> str:
    """The name of the HTTP library's own class of error, which a subclass may hide."""
    known = {"PoolTimeout", "ProxyError", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "TimeoutException"}
    known |= {"ConnectError", "LocalProtocolError", "UnsupportedProtocol", "InvalidURL", "RemoteProtocolError"}
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in known), "")


def _broken(error: Exception, clock: Clock, place: Place) -> LLMError:
    text = str(error)
    if not (clock.sent or clock.reused):
        return ConnectFailed(f"the connection to {place.address.label}{place.via} broke: {place.quote(text)}")
    reason = next((reason for sign, reason in _REASONS.items() if sign in text), "")
    if _kind(error) == "RemoteProtocolError" and not reason:
        # Its text quotes the peer at any length.
        return not_http(text.partition("bytearray(")[2][:MAX_LOOK].encode("utf-8", "replace"), place)
    return disconnected(clock, place, reason or "the connection broke")


_REASONS = {
    "without sending a response": "it hung up without a reply",
    "peer closed connection": "it hung up in the middle of the reply",
    "incomplete chunked read": "it hung up in the middle of the reply",
    "chunk header": "the reply's chunks are malformed",
    "Too little data": "the reply is shorter than announced",
    "Connection reset": "it reset the connection",
    "Broken pipe": "it reset the connection",
    "StreamReset": "it reset the stream",
    "ConnectionTerminated": "it closed the HTTP/2 connection",
}


def disconnected(clock: Clock, place: Place, reason: str) -> Disconnected:
    """The connection broke under way."""
    stale = clock.reused and clock.received == 0 and (place.safe or not clock.sent)
    return Disconnected(f"lost {place.address.label}{place.via}: {reason}", sent=clock.sent, stale=stale)


def not_http(data: bytes, place: Place) -> InvalidBody:
    """The peer speaks something else."""
    return InvalidBody(
        f"{place.address.label} answered {place.quote(data) + ', which' if data else 'what'} is not HTTP",
        hint="Check the port and the scheme of base_url: http:// may point at a TLS port, or at no web server.",
    )


def redirected(status: int, location: str, place: Place) -> Redirected:
    """The peer names another address. Only its host is told: the rest may hold a key."""
    head = location.partition("?")[0].partition("#")[0]
    scheme, found, rest = head.partition("://")
    origin = f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}" if found else "another path"
    return Redirected(f"{place.address.label} answered {status} and sends to {place.quote(origin)}", status=status)


def unreachable(cause: BaseException, place: Place) -> ConnectFailed:
    """No connection was made. A certificate that fails to verify stays that way, so it is not tried again."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ConnectFailed(
            f"the certificate of {place.address.label}{place.via} was not accepted: {cause.verify_message}",
            hint="Give the authority that signed it as ca_bundle= or SSL_CERT_FILE, or check the host's name.",
            retryable=False,
            sent=False,
        )
    if isinstance(cause, ssl.SSLError):
        return ConnectFailed(
            f"TLS with {place.address.label}{place.via} failed: {(cause.reason or 'handshake').lower()}",
            hint="Check the port: it may not speak TLS, or it may ask for client_cert=.",
            retryable=cause.reason not in _PERMANENT,
            sent=False,
        )
    what = f"could not connect to {place.address.label}"
    if place.proxy:
        what = f"could not connect to the proxy {place.proxy.label} on the way to {place.address.label}"
    return ConnectFailed(f"{what}: {_why(cause)}", sent=False)


_PERMANENT = {
    "WRONG_VERSION_NUMBER",
    "UNSUPPORTED_PROTOCOL",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
}


def _why(cause: BaseException) -> str:
    match cause:
        case socket.gaierror():
            return f"its name cannot be resolved ({cause.strerror or cause})"
        case ConnectionRefusedError():
            return "nothing listens there (connection refused)"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return "there is no route to it"
        case OSError():
            return (cause.strerror or str(cause) or type(cause).__name__)[:200]
        case _:
            return str(cause)[:200]


def refused_by_proxy(reason: str, place: Place) -> ConnectFailed:
    """A proxy that answers with a fault of its own (5xx) may do better later; anything else stays as it is."""
    label = place.proxy.label if place.proxy else "the proxy"
    denied = reason.startswith("407") or "password" in reason
    return ConnectFailed(
        f"the proxy {label} does not connect to {place.address.label}: {place.words(reason)[:200]}",
        hint="Check the user and password in the proxy's URL." if denied else "",
        retryable=reason.startswith(("5", "Proxy Server could not connect")),
        sent=False,
    )


__all__ = ["Place", "disconnected", "not_http", "redirected", "refused_by_proxy", "translate", "unreachable"]
