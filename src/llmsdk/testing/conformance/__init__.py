"""One suite for every provider: each rule of the contract, tried through the public surface.

On a terminal, for a provider in this process and for one over HTTP::

    python -m llmsdk.testing conformance pkg:Parrot --model polly
    python -m llmsdk.testing conformance pkg:Acme --backend pkg.tests:AcmeBackend

In a test suite::

    from llmsdk.testing import conformance

    TestAcme = conformance.suite(Acme, AcmeBackend)

The rules, and what a backend is, stand in docs/providers/writing-one.md.
"""

from llmsdk.testing.conformance.backend import (
    RAISED,
    RETRY_AFTER,
    Backend,
    Fault,
    HTTPAnswer,
    NotOffered,
    Received,
    Said,
)
from llmsdk.testing.conformance.case import Case, Result
from llmsdk.testing.conformance.run import Report, cases, check, run, suite
from llmsdk.testing.conformance.stage import Subject

__all__ = [
    "RAISED",
    "RETRY_AFTER",
    "Backend",
    "Case",
    "Fault",
    "HTTPAnswer",
    "NotOffered",
    "Received",
    "Report",
    "Result",
    "Said",
    "Subject",
    "cases",
    "check",
    "run",
    "suite",
]
