"""Trying every rule on a provider, and the report on it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmsdk.testing.conformance.backend import Backend, NotOffered
from llmsdk.testing.conformance.case import Broken, Case, Result, Skip
from llmsdk.testing.conformance.rules import ALL
from llmsdk.testing.conformance.stage import Stage, Subject


@dataclass(frozen=True, slots=True)
class Report:
    """All results. ``ok`` if nothing failed and something passed: what is skipped proves nothing."""

    results: tuple[Result, ...]

    def of(self, outcome: str) -> list[Result]:
        return [result for result in self.results if result.outcome == outcome]

    @property
    def ok(self) -> bool:
        return bool(self.of("passed")) and not self.of("failed")

    def __str__(self) -> str:
        marks = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}
        lines = [f"{marks[result.outcome]}  {_line(result)}" for result in self.results]
        failures = [line for result in self.of("failed") for line in ("", str(result))]
        counts = ", ".join(f"{len(self.of(outcome))} {outcome}" for outcome in marks)
        return "\n".join([*lines, *failures, "", counts])


def _line(result: Result) -> str:
    return f"{result.case.name:<34}{result.reason or result.case.rule}"


def cases() -> tuple[Case, ...]:
    """Every rule, in the order in which they are tried."""
    return ALL


def run(
    kind: Any,
    backend: Backend | type[Backend] | None = None,
    *,
    model: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[Result], None] | None = None,
) -> Report:
    """Hold a provider to every rule of the contract.

    ``backend`` is its host, where it has one; ``settings`` are given to it beside the backend's; ``progress`` is
    called with each result as it comes.
    """
    subject = Subject(kind, backend, model=model, settings=settings)
    results = []
    try:
        for case in ALL:
            results.append(check(case, subject))
            if progress:
                progress(results[-1])
    finally:
        subject.close()
    return Report(tuple(results))


def check(case: Case, subject: Subject) -> Result:
    """Try one rule."""
    with Stage(subject) as stage:
        try:
            case.check(stage)
        except Exception as error:  # noqa: BLE001 - whatever a provider lets out is a finding
            return _judged(case, stage.fault or error)
        if stage.fault is not None:
            return _judged(case, stage.fault)
    return Result(case, "passed")


def _judged(case: Case, error: Exception) -> Result:
    match error:
        case Skip() | NotOffered():
            return Result(case, "skipped", reason=str(error))
        case Broken():
            return Result(case, "failed", expected=error.expected, came=error.came)
    return Result(case, "failed", expected="no exception", came=_told(error))


def _told(error: Exception) -> str:
    """The exception, and the line that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def suite(
    kind: Any,
    backend: Backend | type[Backend] | None = None,
    *,
    model: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> type:
    """A class for pytest, with a case for each rule: ``TestAcme = conformance.suite(Acme, AcmeBackend)``."""
    import pytest

    class TestConformance:
        subject = Subject(kind, backend, model=model, settings=settings)

        @pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
        def test_rule(self, case: Case) -> None:
            result = check(case, self.subject)
            if result.outcome == "skipped":
                pytest.skip(result.reason)
            if result.outcome == "failed":
                pytest.fail(str(result), pytrace=False)

        @classmethod
        def teardown_class(cls) -> None:
            cls.subject.close()

    return TestConformance


__all__ = ["Report", "cases", "check", "run", "suite"]
