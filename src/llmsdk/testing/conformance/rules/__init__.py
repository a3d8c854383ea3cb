"""The rules, by what they are about. ``ALL`` has them in the order in which they are tried."""

from llmsdk.testing.conformance.case import CASES, Case
from llmsdk.testing.conformance.rules import construction, events, faults, leaving, protocols, verbs, wire

_MODULES = (construction, events, wire, faults, leaving, verbs, protocols)
_ORDER = {module.__name__: number for number, module in enumerate(_MODULES)}
ALL: tuple[Case, ...] = tuple(sorted(CASES, key=lambda case: _ORDER[case.module]))

__all__ = ["ALL"]
