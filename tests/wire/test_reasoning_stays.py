"""What a model thought goes back to the host that it came from, and to no other: neither its words nor its state."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint
from itertools import permutations
from typing import Any

import pytest
from dialects import HI
from recorded import folded
from servers.backends import BACKENDS
from test_both_ways import KEY, Saying

from llmsdk.registry import BUILT_IN
from llmsdk.testing.conformance import Said
from llmsdk.types import Message, Reasoning, Request

THOUGHT, STATE, TEXT = "canary-thought", "canary-state", "Hello there."
ONE_HOUSE = ({"gemini", "vertex"},)
"""Dialects that take each other's signatures: the same models of the same maker."""


@cache
def dialect(name: str) -> tuple[Any, Any]:
    """A provider at an address of its own, and the host that it asks."""
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    backend = BACKENDS[name]()
    origin = f"http://127.0.0.1:{1 + [*BACKENDS].index(name)}"
    return kind(name, kind.Settings(**backend.settings(origin, KEY))), backend


@cache
def turn(name: str) -> Message:
    """A turn of a model that thought, as its provider reads it; everything opaque in it is ours to recognize."""
    provider, backend = dialect(name)
    thinks = "high" if "reasoning" in provider.capabilities(backend.model).options else None
    request = Request(backend.model, HI, reasoning=thinks)
    io: Any = Saying(backend, Said(TEXT, THOUGHT), stream=False)
    message = folded(provider.generate(request, io)).choices[0].message
    assert any(isinstance(part, Reasoning) and part.text for part in message.parts)
    return replace(message, content=tuple(marked(part) for part in message.parts))


def marked(part: Any) -> Any:
    state = getattr(part, "provider_state", None)
    return part if state is None else replace(part, provider_state=opaque(state))


def opaque(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner if key in ("type", "host") else opaque(inner) for key, inner in value.items()}
    return [opaque(inner) for inner in value] if isinstance(value, list) else STATE if isinstance(value, str) else value


@pytest.mark.parametrize(("first", "then"), [*permutations(BACKENDS, 2)])
def test_it_goes_to_no_other_dialect(first: str, then: str) -> None:
    if {first, then} in ONE_HOUSE:
        pytest.skip("the same models of the same maker")
    provider, backend = dialect(then)
    asked = Request(backend.model, (*HI, turn(first), Message("user", "And now?")))
    body = provider.encode(asked).body.decode()
    assert TEXT in body, "what it said goes along"
    assert THOUGHT not in body
    assert STATE not in body


def test_a_turn_of_thoughts_alone_is_no_turn_elsewhere() -> None:
    for name in BACKENDS:
        provider, backend = dialect(name)
        alone = Message("assistant", (Reasoning(THOUGHT, {"elsewhere": STATE}),))
        body = provider.encode(Request(backend.model, (*HI, alone, Message("user", "Go on.")))).body.decode()
        assert THOUGHT not in body
        assert STATE not in body
        assert "Go on." in body
