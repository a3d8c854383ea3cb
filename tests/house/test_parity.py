"""Holds the two clients, and the two streams, together: same verbs, same arguments, same words."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any, get_overloads

import pytest

from llmsdk import AsyncClient, AsyncStream, Client, Stream

TWINS = {"AsyncClient": "Client", "AsyncStream": "Stream", "AsyncIterator": "Iterator"}
METHODS = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__"}
METHODS |= {"__anext__": "__next__"}
VERBS = ("complete", "chat", "translate", "answer", "classify")


class Awaited(ast.NodeTransformer):
    """Rewrites an annotation of the async face as the blocking one has it."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) == "Coroutine" and isinstance(node.slice, ast.Tuple):
            return self.visit(node.slice.elts[2])  # type: ignore[no-any-return]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(TWINS.get(node.id, node.id))


def blocking(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return ast.unparse(Awaited().visit(ast.parse(str(annotation), mode="eval")))


def shape(function: Callable[..., Any]) -> list[tuple[str, str, str, str]]:
    """Everything of a signature, with annotations as the blocking face has them."""
    signature = inspect.signature(function)
    rows = [
        (parameter.name, str(parameter.kind), str(parameter.default), blocking(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return [*rows, ("return", "", "", blocking(signature.return_annotation))]


def shown(kind: type) -> set[str]:
    """The public methods of a class, its own context manager and iteration included."""
    special = {*METHODS, *METHODS.values(), "__init__"}
    return {name for base in kind.__mro__[:-1] for name in vars(base) if name in special or not name.startswith("_")}


def pairs() -> list[tuple[type, type, str, str]]:
    """Twin methods. Iteration is left out: a blocking loop runs a generator, so that ``break`` closes the stream."""
    return [
        (blocking_kind, kind, METHODS.get(name, name), name)
        for blocking_kind, kind in ((Client, AsyncClient), (Stream, AsyncStream))
        for name in sorted(shown(kind))
        if callable(getattr(kind, name)) and name != "__aiter__"
    ]


@pytest.mark.parametrize(("kind", "twin"), [(Client, AsyncClient), (Stream, AsyncStream)])
def test_both_faces_show_the_same_names(kind: type, twin: type) -> None:
    # Generic adds nothing public, so what remains is ours
    assert {METHODS.get(name, name) for name in shown(twin)} == shown(kind)


@pytest.mark.parametrize(
    ("kind", "twin", "name", "twin_name"), pairs(), ids=lambda value: getattr(value, "__name__", value)
)
def test_signatures_agree(kind: type, twin: type, name: str, twin_name: str) -> None:
    assert shape(getattr(twin, twin_name)) == shape(getattr(kind, name))


@pytest.mark.parametrize("verb", VERBS)
def test_overloads_agree(verb: str) -> None:
    ours, theirs = get_overloads(getattr(Client, verb)), get_overloads(getattr(AsyncClient, verb))
    assert len(ours) >= 4
    assert [shape(overload) for overload in theirs] == [shape(overload) for overload in ours]


@pytest.mark.parametrize("verb", VERBS)
def test_overloads_take_what_the_verb_takes(verb: str) -> None:
    implementation = {(name, kind) for name, kind, *_ in shape(getattr(Client, verb))}
    for overload in get_overloads(getattr(Client, verb)):
        assert {(name, kind) for name, kind, *_ in shape(overload)} == implementation


@pytest.mark.parametrize(
    "name", [n for n in sorted(shown(Client)) if not n.startswith("_")], ids=lambda name: str(name)
)
def test_docstrings_agree(name: str) -> None:
    twin = {"close": "aclose"}.get(name, name)
    ours, theirs = inspect.getdoc(getattr(Client, name)), inspect.getdoc(getattr(AsyncClient, twin))
    assert ours
    assert theirs == ours


@pytest.mark.parametrize("verb", VERBS)
def test_async_verbs_are_plain_functions(verb: str) -> None:
    # so that arguments are checked when they are called and create_task() takes what they return
    assert not inspect.iscoroutinefunction(getattr(AsyncClient, verb))
