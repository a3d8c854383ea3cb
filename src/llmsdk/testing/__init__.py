"""For whoever tests what they build on llmsdk. Nothing in the library imports it, and a core install is enough for it.

``Scripted`` is a provider that says what a test tells it to, ``FaultServer`` a host on a loopback socket with every
fault of a network (``faults``), ``Cassette`` a record of real conversations to play again, ``no_network`` a switch.
All of them are fixtures of pytest: ``llmsdk.testing.pytest_plugin``.

``llmsdk.testing.conformance`` holds a provider to the contract: ``python -m llmsdk.testing conformance pkg:Provider``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmsdk.testing import faults as faults
    from llmsdk.testing.cassette import Cassette as Cassette
    from llmsdk.testing.cassette import UnknownRequest as UnknownRequest
    from llmsdk.testing.faults import Fault as Fault
    from llmsdk.testing.host import FaultServer as FaultServer
    from llmsdk.testing.network import NetworkBlocked as NetworkBlocked
    from llmsdk.testing.network import no_network as no_network
    from llmsdk.testing.scripted import Scripted as Scripted
    from llmsdk.testing.scripted import ScriptedScores as ScriptedScores
    from llmsdk.testing.scripted import ScriptEnded as ScriptEnded

_HOMES = {
    "Cassette": "cassette",
    "Fault": "faults",
    "FaultServer": "host",
    "NetworkBlocked": "network",
    "ScriptEnded": "scripted",
    "Scripted": "scripted",
    "ScriptedScores": "scripted",
    "UnknownRequest": "cassette",
    "no_network": "network",
}


def _load(name: str) -> Any:
    from importlib import import_module

    if name == "faults":
        return import_module("llmsdk.testing.faults")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"llmsdk.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a checker that sees __getattr__ takes every name for one of ours
    __getattr__ = _load


__all__ = [
    "Cassette",
    "Fault",
    "FaultServer",
    "NetworkBlocked",
    "ScriptEnded",
    "Scripted",
    "ScriptedScores",
    "UnknownRequest",
    "faults",
    "no_network",
]
