"""Streams: what is made of them, and what must hold.

A target makes an input from random numbers, and checks any input: it returns the outcome in a word,
or raises what is a bug.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from clipcodec import Codec, DecodeError
from clipcodec.bitstream import DIGEST_BYTES
from clipcodec.kinds import Quantized
from clipcodec.profile import registry
from clipcodec.stream import pack

from . import seeds
from .mutate import damaged, header

_ALONE = Codec()
_MANY = 24  # from this many streams on, every coder takes its other path


@dataclass(frozen=True)
class Target:
    """`make` draws an input, `check` says what became of it; `share` of a long run's inputs."""

    name: str
    share: float
    make: Callable[[Random], bytes]
    check: Callable[[bytes], str]


def codec_of(stream: bytes) -> Codec:
    """The codec whose private profile the stream names, or one without."""
    return seeds.codecs().get(stream[1 : 1 + DIGEST_BYTES], _ALONE)


def stream(r: Random) -> bytes:
    """A damaged stream, now and then a sound one, or bytes without sense."""
    valid, bad = seeds.streams()
    if r.random() < 0.95:
        valid = seeds.small()
    way = r.random()
    if way < 0.02:
        return r.randbytes(r.randint(0, 64))
    if way < 0.04:
        return r.choice(valid)
    start = r.choice(valid) if way < 0.96 else r.choice(bad)
    if way < 0.2:
        digests = sorted(seeds.codecs())
        payload = start[r.randint(1, 9) :] if r.random() < 0.5 else r.randbytes(r.randint(1, 40))
        return header(r, digests) + payload
    data = damaged(r, start, valid)
    # a digest with an error in it is soon found unknown: most others get further
    return start[:5] + data[5:] if start and start[0] & 15 == 0 and r.random() < 0.8 else data


def check_stream(data: bytes) -> str:
    """An embedding of unit norm from the only stream of its symbols, or a DecodeError."""
    codec = codec_of(data)
    row = attempt(codec.decode, data)
    if isinstance(row, DecodeError):
        if data and data[-1] % 32 == 0:
            _same_error(codec, data, row)
        return type(row).__name__
    assert row.dtype == np.float32
    assert abs(float(np.linalg.norm(row.astype(np.float64))) - 1) < 1e-5, "not of unit norm"
    symbols = codec.symbols(data)
    assert repacked(codec, data, symbols) == data, "another stream of the same symbols"
    info = codec.info(data)
    assert (info.size, info.dim, info.symbols) == (len(data), len(row), len(symbols))
    assert np.isfinite(info.information)
    if data[-1] % 8:
        return "decoded"
    together = codec.decode_batch([data] * _MANY)
    assert together.shape == (_MANY, len(row))
    assert alike(codec, data, together, row), "a batch decodes to something else"
    return "decoded, among others too"


def alike(codec: Codec, data: bytes, one: Any, other: Any) -> bool:
    """Equal to 1e-5; of a drawn profile, whose numbers may cancel out, only equally wide."""
    if codec.info(data).profile_id is None:
        return bool(one.shape[-1] == other.shape[-1])
    return bool(np.abs(one - other).max() < 1e-5)


def attempt(work: Callable[..., Any], *args: Any) -> Any:
    """What comes of it, or the DecodeError."""
    try:
        return work(*args)
    except DecodeError as error:
        return error


def _same_error(codec: Codec, data: bytes, error: DecodeError) -> None:
    """Alone or among others, by `symbols` or `info`: the same class."""
    others = (codec.symbols, data), (codec.info, data), (codec.decode_batch, [data] * _MANY)
    for work, given in others:
        other = attempt(work, given)
        if isinstance(other, DecodeError):
            assert type(other) is type(error), f"{other!r} instead of {error!r}"
        else:  # symbols without an embedding may be had
            assert "no direction" in str(error), f"accepted, where decode raises {error!r}"


def repacked(codec: Codec, data: bytes, symbols: Any) -> bytes:
    """The stream that the package writes for these symbols, by the same coder and header."""
    parsed = codec.parse(data)
    head, owner = parsed.header, parsed.profile
    profile = replace(owner, id=None) if head.digest is not None else owner
    found = Quantized(symbols[None], np.array([parsed.parameters.quality]))
    return pack(profile, found, [head.coder])[0]


def batch(r: Random) -> bytes:
    """Streams one after another, each with its length in two bytes before it."""
    valid, _ = seeds.streams()
    own = r.choice(valid)
    # of one kind, so that most batches get as far as the coders
    same = [s for s in valid if s[:1] == own[:1] and codec_of(s) is codec_of(own)]
    rows = [r.choice(same) for _ in range(r.choice((2, 15, 23, 24, 40)))]
    for _ in range(r.choice((0, 1, 1, 2))):
        rows[r.randrange(len(rows))] = damaged(r, r.choice(rows), same)
    return b"".join(len(row).to_bytes(2, "big") + row for row in rows)


def check_batch(data: bytes) -> str:
    """As each stream by itself; those that fail for the reason given are named."""
    rows = []
    while len(data) > 1:
        end = 2 + int.from_bytes(data[:2], "big")
        rows.append(data[2:end])
        data = data[end:]
    codec = codec_of(rows[0]) if rows else _ALONE
    single = [attempt(codec.decode, row) for row in rows]
    wrong = [i for i, one in enumerate(single) if isinstance(one, DecodeError)]
    together = attempt(codec.decode_batch, rows)
    if isinstance(together, DecodeError):
        widths = {len(one) for one in single if not isinstance(one, DecodeError)}
        assert wrong or len(widths) > 1, f"a batch of sound streams raises {together!r}"
        assert together.rows, f"no stream is named: {together!r}"
        if "each width apart" in together.reason:  # a damaged stream may say any width
            return "several widths"
        for one in together.each():
            own = single[one.rows[0]]
            assert type(own) is type(one), f"alone it is {own!r}, in a batch {one!r}"
            assert own.reason == one.reason, f"alone it is {own!r}, in a batch {one!r}"
        return type(together).__name__
    assert not wrong, f"a batch decodes, of which stream {wrong[0]} raises {single[wrong[0]]!r}"
    for data, one, row in zip(rows, single, together, strict=True):
        assert alike(codec, data, one, row), "a batch decodes to something else"
    return "decoded"


def payload(r: Random) -> bytes:
    """A stream whose check value need not be right."""
    start = r.choice(seeds.small() if r.random() < 0.95 else seeds.streams()[0])
    way = r.random()
    if way < 0.3:
        own = [registry.by_id(row.id) for row in registry.registered()]
        start = seeds.extreme(r, r.choice(seeds.private() * 3 + own))[1]
    if way < 0.4:
        return start
    _, _, head, _, rest = codec_of(start).parse(start)
    if way < 0.7:
        length = max(1, len(rest) + r.choice((-4, -1, 0, 0, 0, 1, 4)))
        return head + r.randbytes(length - 1) + bytes([r.randint(1, 255)])
    return head + damaged(r, rest, [rest])


def check_payload(data: bytes) -> str:
    """Symbols and check value have one payload: what a coder reads, it writes."""
    codec = codec_of(data)
    parsed = attempt(codec.parse, data)
    if isinstance(parsed, DecodeError):
        return type(parsed).__name__
    owner, head, _, parameters, rest = parsed
    if head.coder not in owner.kind.coders:
        return "coder"
    read = attempt(owner.kind.decode, head.coder, [rest], np.array([parameters.quality]),
                   parameters.symbols)  # fmt: skip
    if isinstance(read, DecodeError):
        return type(read).__name__
    symbols, checks = read
    kind, quality = owner.kind, np.array([parameters.quality])
    assert kind.encode(head.coder, symbols, quality, checks) == [rest], "another payload"
    assert np.isfinite(kind.information(symbols, quality)).all()
    if data[-1] % 32:
        return "read"
    many = kind.decode(head.coder, [rest] * _MANY, quality.repeat(_MANY), parameters.symbols)
    assert (many[0] == symbols).all(), "many decode to other symbols"
    assert many[1] == checks * _MANY, "many decode to other check values"
    again = kind.encode(head.coder, many[0], quality.repeat(_MANY), many[1])
    assert again == [rest] * _MANY, "many are encoded to another payload"
    return "read, by many too"


TARGETS = [
    Target("stream", 0.75, stream, check_stream),
    Target("payload", 0.2, payload, check_payload),
    Target("batch", 0.005, batch, check_batch),
]
