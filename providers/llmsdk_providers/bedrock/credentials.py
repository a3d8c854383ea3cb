"""Credentials of AWS: from the settings, or from where AWS's own tools find them (extra ``bedrock``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Lock
from typing import Any

from llmsdk.errors import ConfigError, LLMError, MissingExtra, MissingKey, Unauthorized
from llmsdk.io import IO
from llmsdk.io.apart import apart
from llmsdk.wire.host import fault_of
from llmsdk_providers.bedrock.settings import VARIABLE, Settings

HINT = (
    "`aws sts get-caller-identity` shows whether the credentials hold; `aws sso login` renews those of single sign-on. "
    "A clock that is wrong by minutes makes every signature invalid."
)
_WAYS = f"Set {VARIABLE} to an API key of Bedrock's, or run `aws configure` or `aws sso login`, or name a profile."
_FIELDS = ("access_key_id", "secret_access_key", "session_token")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key of AWS. It shows nowhere."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    """Of a session, where the key is one that ends."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must show in no error. A host quotes the request that it takes for wrongly signed, with the token."""
        return (self.access_key, self.secret_key, *((self.token,) if self.token else ()))


class Chain:
    """The places where AWS's own tools look, in their order: the environment, a profile with its role, process or
    single sign-on, the role of a container or of a machine.

    What was found is kept, and renewed by ``botocore`` before it ends.
    """

    def __init__(self, profile: str | None, region: str) -> None:
        self._profile = profile
        self._region = region
        self._lock = Lock()
        self._found: Any = None

    def __repr__(self) -> str:
        return f"Chain({self._profile!r})"

    def __call__(self) -> Credentials:
        """Credentials that hold. Blocks: on files, on processes, and on the network where a role is asked for.

        Raises:
            MissingKey, ConfigError: there are none, or there is no such profile.
            Unauthorized: they could not be had, or renewed.
        """
        try:
            with self._lock:  # threads that come at once share what the first of them finds
                found = self._found = self._found or self._load()
            return _frozen(found)
        except LLMError:
            raise
        except Exception as error:  # noqa: BLE001 - its words may be those of a program that prints credentials
            raise self._failed(type(error).__name__) from None

    def current(self) -> Credentials | None:
        """What was found, unless it has to be renewed."""
        found = self._found
        if found is None or getattr(found, "refresh_needed", bool)():
            return None
        return _frozen(found)

    def forget(self) -> None:
        """Look anew at the next request: what was found has been refused."""
        self._found = None

    def _load(self) -> Any:
        import botocore.session

        session = botocore.session.Session(profile=self._profile)
        session.set_config_variable("region", self._region)  # where a role is asked for
        found = session.get_credentials()
        if found is None:
            raise MissingKey("no API key for Bedrock, and no credentials of AWS", hint=_WAYS)
        return found

    def _failed(self, kind: str) -> LLMError:
        if kind == "ProfileNotFound":
            named = repr(self._profile) if self._profile else "that AWS_PROFILE names"
            return ConfigError(f"there is no AWS profile {named}", hint="`aws configure list-profiles` lists them.")
        if kind == "PartialCredentialsError":
            return MissingKey("half of an AWS access key is missing", hint=_WAYS)
        return Unauthorized(f"the credentials of AWS cannot be had: {kind}", hint=HINT)


def _frozen(found: Any) -> Credentials:
    """What botocore holds, as it is now."""
    held = found.get_frozen_credentials()
    return Credentials(held.access_key, held.secret_key, held.token)


Source = Credentials | Chain


def source(name: str, settings: Settings, region: str) -> Source:
    """Where the credentials for a provider are to come from.

    Raises:
        ConfigError: half of an access key, or one besides a profile.
        MissingExtra: they are not in the settings, and the package that finds them is not installed.
    """
    given = {key: value.reveal() for key in _FIELDS if (value := getattr(settings, key)) is not None}
    if given:
        return _explicit(name, given, settings.profile)
    if find_spec("botocore") is None:
        what = f"the AWS profile {settings.profile!r}" if settings.profile else f"{name!r} without an API key"
        raise MissingExtra("bedrock", needed_for=f"{what} ({VARIABLE})")
    return Chain(settings.profile, region)


def _explicit(name: str, given: dict[str, str], profile: str | None) -> Credentials:
    if lacking := [key for key in _FIELDS[:2] if key not in given]:
        raise ConfigError(f"[providers.{name}] has no {lacking[0]}", hint=f"{', '.join(_FIELDS[:2])} go together.")
    if profile is not None:
        raise ConfigError(f"[providers.{name}] has both profile and access_key_id", hint="Leave one of them out.")
    for key, value in given.items():
        if fault := fault_of(value) if value else "is empty":
            raise ConfigError(f"[providers.{name}] {key} {fault}", hint="Copy it again, and nothing but it.")
    return Credentials(given["access_key_id"], given["secret_access_key"], given.get("session_token"))


async def fetch(source: Source, io: IO) -> Credentials:
    """Credentials that hold. No loop waits for what blocks, and no call longer than its deadline.

    Raises:
        MissingKey, ConfigError, Unauthorized: see ``Chain``.
        TimedOut, DeadlineExceeded: they did not come in time.
    """
    if isinstance(source, Credentials):
        return source
    held = source.current()
    return held if held is not None else await io.wait(apart(source))
