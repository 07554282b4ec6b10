"""A small container of several blocks, whose reads are counted."""

from __future__ import annotations

import io

import pytest

import clipcodec
from clipcodec import Container

from .counted import IDS, STREAMS, Counted


@pytest.fixture
def opened() -> Container:
    buffer = io.BytesIO()
    with clipcodec.create(buffer, block_items=2) as writer:
        writer.extend(STREAMS, [*IDS, None])
    return clipcodec.open(Counted(buffer.getvalue()))
