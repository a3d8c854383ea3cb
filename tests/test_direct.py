"""Frozen dataclasses that are made without a detour are the dataclasses that they were."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from inspect import signature

import pytest

from llmsdk.direct import direct


@dataclass(frozen=True, slots=True)
class Base:
    first: int


@dataclass(frozen=True, slots=True)
class Plain(Base):
    second: str = "b"


@direct
@dataclass(frozen=True, slots=True)
class Point(Base):
    second: str = "b"


@direct
@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    first: int
    second: str = "b"


def test_they_take_the_same_arguments() -> None:
    assert signature(Point) == signature(Plain)
    assert str(signature(Named)) == "(*, first: 'int', second: 'str' = 'b') -> None"
    assert (Point(1), Point(1, second="c"), Named(first=1).second) == (Point(1, "b"), Point(1, "c"), "b")
    with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing 1 required positional argument: 'first'"):
        Point()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="unexpected keyword argument 'third'"):
        Named(first=1, third=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def test_they_are_frozen_and_compare_copy_and_pickle() -> None:
    point = Point(1, "c")
    with pytest.raises(FrozenInstanceError):
        point.second = "d"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    assert {point} == {Point(1, "c")}
    assert repr(point) == "Point(first=1, second='c')"
    assert replace(point, first=2) == Point(2, "c")
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
