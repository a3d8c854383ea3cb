"""A rule of the contract, how it is told that it holds, is broken, or does not apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from llmsdk.testing.conformance.stage import Stage

Outcome = Literal["passed", "failed", "skipped"]
PAGE = "docs/providers/writing-one.md"
"""Where the rules are explained."""


class Skip(Exception):
    """The rule does not apply, and why."""


class Broken(Exception):
    """The rule does not hold: what was expected, and what came instead."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected
        self.came = came


@dataclass(frozen=True, slots=True)
class Case:
    """One rule. ``check`` raises ``Broken`` or ``Skip``, or anything else that the provider let out."""

    name: str
    rule: str
    page: str
    check: Callable[[Stage], None]
    module: str
    """Where the rule is written."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case. ``expected`` and ``came`` are of one that failed, ``reason`` of one that was skipped."""

    case: Case
    outcome: Outcome
    expected: str = ""
    came: str = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.outcome != "failed":
            return f"{self.case.name}: {self.outcome}{f' ({self.reason})' if self.reason else ''}"
        lines = ("rule", self.case.rule), ("expected", self.expected), ("came", self.came), ("see", self.case.page)
        return "\n".join([f"{self.case.name}: failed", *(f"  {name + ':':<10}{text}" for name, text in lines)])


CASES: list[Case] = []
"""All rules, in the order in which they are tried."""


def case(name: str, anchor: str) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Make a function a rule. Its docstring is the rule; ``anchor`` is the heading of ``PAGE`` that explains it."""

    def register(check: Callable[[Stage], None]) -> Callable[[Stage], None]:
        add(name, (check.__doc__ or "").strip(), anchor, check, check.__module__)
        return check

    return register


def add(name: str, rule: str, anchor: str, check: Callable[[Stage], None], module: str) -> None:
    """The same, for rules that are made and not written."""
    CASES.append(Case(name, rule, f"{PAGE}#{anchor}", check, module))


def expect(what: str, came: Any, expected: Any) -> None:
    """Hold that ``came`` equals ``expected``."""
    if came != expected:
        raise Broken(f"{what} {expected!r}", repr(came))


def require(holds: object, expected: str, came: Any) -> None:
    """Hold something that is said in words."""
    if not holds:
        raise Broken(expected, came if isinstance(came, str) else repr(came))


__all__ = ["CASES", "PAGE", "Broken", "Case", "Outcome", "Result", "Skip", "add", "case", "expect", "require"]
