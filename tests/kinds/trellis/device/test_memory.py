"""clipcodec.kinds.trellis.device.memory: parts that fit, smaller ones where the memory is full."""

from __future__ import annotations

import warnings

import pytest
import torch

from clipcodec import OptionError
from clipcodec.kinds.trellis.device import memory
from clipcodec.kinds.trellis.device.memory import Parts

CPU = torch.device("cpu")
FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")


def test_every_row_is_in_one_part() -> None:
    done: list[int] = []
    Parts(CPU, 1000, 1).run(2500, lambda rows: done.extend(range(rows.start, rows.stop)))
    assert done == list(range(2500))
    Parts(CPU, 1000, 1).run(0, lambda rows: pytest.fail("there is no row"))


def test_parts_follow_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(memory, "room", lambda device: 50_000)
    Parts(CPU, 4000, 100).run(1200, lambda rows: sizes.append(rows.stop - rows.start))
    assert sizes == [500, 500, 200]


def test_a_part_that_does_not_fit_is_halved_and_that_is_said_once() -> None:
    done: list[int] = []

    def work(rows: slice) -> None:
        if rows.stop - rows.start > 600:
            raise FULL
        done.extend(range(rows.start, rows.stop))

    parts = Parts(CPU, 4096, 1)
    with pytest.warns(RuntimeWarning, match="no memory for 4096 embeddings") as caught:
        parts.run(5000, work)
    assert len(caught) == 1
    assert done == list(range(5000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts.run(5000, work)


def test_without_room_for_a_few_rows_it_is_an_error() -> None:
    def work(rows: slice) -> None:
        raise FULL

    with pytest.warns(RuntimeWarning), pytest.raises(OptionError) as caught:
        Parts(CPU, 4096, 1).run(5000, work)
    assert str(caught.value) == (
        "device 'cpu' has no memory left (CUDA out of memory. Tried to allocate 2 GiB): end what "
        "else runs on it, or give 'cpu'"
    )


def test_other_failures_name_the_device() -> None:
    def work(rows: slice) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with")

    with pytest.raises(OptionError, match=r"device 'cpu' failed \(CUDA error: [^\n]*\): give"):
        Parts(CPU, 4096, 1).run(5000, work)
