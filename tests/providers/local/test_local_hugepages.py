"""Memory in large pages: tensors side by side, and what others allocate gathered where it is."""

from __future__ import annotations

import mmap
import platform
import re
import sys
from math import prod
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmsdk_providers.local import hugepages
from llmsdk_providers.local.hugepages import SIZE, Slab, collapsed

PRIVATE = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
gives_them = pytest.mark.skipif(
    not MODE.exists() or "[never]" in MODE.read_text(), reason="this system gives no large pages"
)
shapes = st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=12)


def linux() -> tuple[int, ...]:
    """Its version."""
    return tuple(map(int, re.findall(r"\d+", platform.release())[:2])) if sys.platform == "linux" else ()


def large() -> int:
    """KiB of this process in large pages."""
    found = re.search(r"AnonHugePages: +(\d+)", Path("/proc/self/smaps_rollup").read_text())
    assert found
    return int(found[1])


@given(shapes=shapes, dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
def test_tensors_of_a_slab_do_not_touch_one_another(shapes: list[tuple[int, int]], dtype: torch.dtype) -> None:
    slab = Slab(shapes, dtype, None)
    tensors = [slab.empty(shape) for shape in shapes]
    for number, tensor in enumerate(tensors):
        tensor.fill_(number)
    for number, (tensor, shape) in enumerate(zip(tensors, shapes, strict=True)):
        assert tensor.shape == shape
        assert tensor.dtype == dtype
        assert tensor.is_contiguous()
        assert tensor.data_ptr() % 64 == 0
        assert bool((tensor == number).all())
    if sum(map(prod, shapes)) * dtype.itemsize >= SIZE and hugepages.ADVISE is not None:
        assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1


def test_what_a_slab_has_no_room_for_is_somewhere_else() -> None:
    slab = Slab([(1024, 1024)], torch.float32, torch.device("cpu"))
    first, second = slab.empty((1024, 1024)).fill_(1), slab.empty((1024, 1024)).fill_(2)
    assert bool((first == 1).all())
    assert bool((second == 2).all())


def test_tensors_outlive_their_slab() -> None:
    tensor = Slab([(1024, 1024)], torch.float32, None).empty((1024, 1024)).fill_(3)
    assert bool((tensor == 3).all())


def test_a_slab_that_the_system_refuses_is_plain_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", refuse)
    assert Slab([(1024, 1024)], torch.float32, None).empty((1024, 1024)).shape == (1024, 1024)


@gives_them
def test_a_slab_is_in_large_pages() -> None:
    before = large()
    kept = Slab([(4096, 1024)], torch.float32, None).empty((4096, 1024)).fill_(1)
    assert large() - before >= 0.9 * kept.nbytes / 1024


@gives_them
@pytest.mark.skipif(linux() < (6, 1), reason="Linux before 6.1 gathers nothing")
def test_what_came_meanwhile_is_gathered_and_stays_what_it_was() -> None:
    numbers = torch.arange(1 << 23)
    before = large()
    with collapsed():  # new memory: a process of some age finds room for a tensor in what it has freed
        kept = torch.frombuffer(mmap.mmap(-1, numbers.nbytes, flags=PRIVATE), dtype=numbers.dtype).copy_(numbers)
    assert torch.equal(kept, numbers)
    assert large() - before >= 0.9 * kept.nbytes / 1024


regions = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=6)


@given(old=regions, new=regions)
def test_what_is_new_is_what_was_not_there(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> None:
    def placed(sizes: list[tuple[int, int]]) -> list[range]:
        found, at = [], 0
        for gap, size in sizes:
            found.append(range(at + gap, at + gap + size))
            at += gap + size
        return found

    before = placed(old)
    for region in placed(new):
        parts = list(hugepages._without(region, before))
        assert sorted(n for part in parts for n in part) == sorted(set(region).difference(*before))
