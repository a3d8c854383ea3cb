"""Errors: the drawn tree is the real one, they travel, their text is bounded."""

import copy
import inspect
import pickle
import re

import pytest

from llmsdk import errors
from llmsdk.errors import ContextTooLong, InputError, LLMError, MissingExtra, RateLimited, StreamInterrupted

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, LLMError)]


def make(cls: type[LLMError]) -> LLMError:
    return cls("local", needed_for="x") if cls is MissingExtra else cls("boom", hint="do this")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^ {4}((?:[│├└ ] ?)*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    names = [name for _, name in drawn]
    assert sorted(names) == sorted(cls.__name__ for cls in CLASSES)
    parents: dict[int, str] = {}
    for indent, name in drawn:
        depth = len(indent) // 2
        parents[depth] = name
        if depth:
            assert parents[depth - 1] in {base.__name__ for base in getattr(errors, name).__mro__[1:]}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_pickles_and_copies_with_all_it_knows(cls: type[LLMError]) -> None:
    error = make(cls).locate("openai", "m")
    error.status, error.request_id = 429, "r-1"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__


def test_text_is_bounded() -> None:
    assert len(str(LLMError("x" * 10**6, hint="y" * 10**6))) < 2 * errors.MAX_TEXT + 100


def test_details_are_attributes_and_defaults_stand() -> None:
    error = ContextTooLong("too long", limit=512, needed=600)
    assert (error.limit, error.needed) == (512, 600)
    assert "Shorten" in str(error)
    assert RateLimited("slow").retryable
    assert not StreamInterrupted("cut", partial="ab").retryable
    assert isinstance(InputError("x"), ValueError)


def test_who_was_asked_is_said_by_the_first_to_know() -> None:
    assert LLMError("x").locate("a", "m").locate("b", "n").provider == "a"
