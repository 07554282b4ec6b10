"""Count the damaged streams that decode: how good the check value is, for every kind and coder.

    python tests/bench/corruption.py [--count 1000000] [--seed 1] [--only predictive …]

Streams of embeddings drawn from profiles' own statistics are damaged in seven ways, and decoded.
For each way: how many were damaged (those that came out as they were, or as another valid stream
that was spliced in, do not count), how many of them decoded, and the rate that 95 of 100 such
counts lie below (Poisson). Bodies are decoded many at a time, errors noted row by row; whatever
passes, and a sample of the rest, is judged once more by `decode`.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from clipcodec import BackboneWarning, Codec, DecodeError
from clipcodec.bitstream import Header, check_value
from clipcodec.entropy import huffman
from clipcodec.entropy.rans import RansCoder
from clipcodec.kinds import Parameters
from clipcodec.kinds.trellis.levels import LevelCoder
from clipcodec.profile.file import Profile
from clipcodec.profile.registry import by_name
from clipcodec.stream import _seed

ROWS = 600  # embeddings a profile and setting
CHUNK = 20_000  # damaged streams judged together
SAMPLE = 100  # of each chunk are judged by `decode`, too
_CODEC = Codec()


@dataclass
class Family:
    """Streams of one kind and coder."""

    name: str
    coder: str
    settings: list[tuple[str, dict[str, Any]]]

    def streams(self) -> list[bytes]:
        out: list[bytes] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BackboneWarning)
            for number, (profile, options) in enumerate(self.settings):
                statistics = by_name("openai-vit-b-32/predictive").statistics
                assert statistics is not None
                rows = statistics.draw(ROWS, seed=number)
                codec = Codec(profile)
                out += codec.encode_embeddings(rows, entropy=self.coder, **options)
        return sorted({*out})


_FIXED: list[tuple[str, dict[str, Any]]] = [
    (f"openai-vit-b-32/pqvae-{bits}", {}) for bits in (400, 800, 1200, 2000)
]
_QUALITIES: list[dict[str, Any]] = [{"quality": q} for q in (20, 50, 65, 85)]
_QUALITIES.append({"max_bytes": 50})
FAMILIES = [
    Family("pqvae, raw", "raw", _FIXED),
    Family("pqvae, Huffman", "huffman", _FIXED),
    Family("pqvae, rANS", "rans", _FIXED),
    Family("predictive", "rans", [("openai-vit-b-32/predictive", q) for q in _QUALITIES]),
    Family("rotation", "rans", [("any/rotation", q) for q in _QUALITIES]),
]

# damage


def flips(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    """1 to 8 bits, anywhere."""
    count = r.randint(1, 8)
    out = bytearray(data)
    for at in r.sample(range(8 * len(data)), count):
        out[at >> 3] ^= 128 >> (at & 7)
    return f"{count} bits flipped", bytes(out)


def burst(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    """Bits within 2 to 32 of each other, the first and the last of them for certain."""
    length = r.randint(2, 32)
    bits = (1 | 1 << length - 1 | r.getrandbits(length)) << r.randint(0, 8 * len(data) - length)
    number = int.from_bytes(data, "big") ^ bits
    return "burst of 2 to 32 bits", number.to_bytes(len(data), "big")


def swap(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    if r.random() < 0.5:
        name, a = "adjacent bytes swapped", r.randrange(len(data) - 1)
        b = a + 1
    else:
        name = "bytes swapped"
        a, b = r.sample(range(len(data)), 2)
    out = bytearray(data)
    out[a], out[b] = out[b], out[a]
    return name, bytes(out)


def replaced(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    out = bytearray(data)
    out[r.randrange(len(out))] = r.randrange(256)
    return "byte replaced", bytes(out)


def length(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    if r.random() < 0.5:
        return "cut", data[: -r.choice((1, 1, 2, 3, r.randint(1, len(data))))]
    return "made longer", data + r.randbytes(r.choice((1, 1, 2, 3, 4, 8)))


def body(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    return "body of random bytes", data[:head] + r.randbytes(len(data) - head)


def splice(r: Random, data: bytes, partner: bytes, head: int) -> tuple[str, bytes]:
    at = r.randint(1, len(data) - 1)
    return "splice of two streams", data[:at] + partner[at:]


WAYS: list[Callable[[Random, bytes, bytes, int], tuple[str, bytes]]] = [
    flips, burst, swap, replaced, length, body, splice,
]  # fmt: skip


def damaged(streams: list[bytes], count: int, seed: str) -> Iterator[list[tuple[str, bytes]]]:
    """Chunks of (way, damaged stream), the ways in turn."""
    r = Random(seed)
    valid = {*streams}
    same = defaultdict(list)  # of the same length and profile
    for stream in streams:
        same[len(stream), stream[0]].append(stream)
    heads = {s: len(s) - len(_CODEC._open(s)[3]) for s in streams}
    chunk: list[tuple[str, bytes]] = []
    made = 0
    while made < count:
        data = r.choice(streams)
        partner = r.choice(same[len(data), data[0]])
        way, out = WAYS[made % len(WAYS)](r, data, partner, heads[data])
        if out in valid:
            continue
        chunk.append((way, out))
        made += 1
        if len(chunk) == CHUNK or made == count:
            yield chunk
            chunk = []


# judgement, many streams at a time


def passed(streams: list[bytes]) -> list[bool]:
    """Whether each stream's check value holds: what `decode` asks, errors row by row."""
    out = [False] * len(streams)
    groups: dict[tuple[Header, int], list[tuple[int, Profile, Parameters, bytes]]] = {}
    for i, stream in enumerate(streams):
        try:
            header, owner, parameters, rest = _CODEC._open(stream)
        except DecodeError:
            continue
        if header.coder in owner.kind.coders:
            row = i, owner, parameters, rest
            groups.setdefault((header, parameters.size), []).append(row)
    for (header, _), rows in groups.items():
        profile = rows[0][1]
        found = _decoded(profile, header.coder, [row[3] for row in rows], [row[2] for row in rows])
        for (i, _, parameters, _), answer in zip(rows, found, strict=True):
            if answer is not None:
                packed, check = answer
                start = header.to_bytes() + profile.kind.parameters(*parameters)
                seed = _seed(profile, header, start)
                out[i] = check_value(seed, packed) == check
    return out


Answer = tuple[bytes, int] | None


def _decoded(
    profile: Profile, coder: str, bodies: list[bytes], parameters: list[Parameters]
) -> list[Answer]:
    """Packed symbols and check value of each body, or None where it is not canonical."""
    scheme = profile.kind
    answers: list[Answer] = [None] * len(bodies)
    machine = scheme.engine(parameters[0].size).coder if scheme.qualities else scheme._coders[coder]
    sound = [i for i, one in enumerate(bodies) if _fits(machine, one)]
    if not sound:
        return answers
    kept = [bodies[i] for i in sound]
    if isinstance(machine, LevelCoder):
        good, symbols, checks = _levels(machine, kept, [parameters[i].quality for i in sound])
    elif isinstance(machine, RansCoder):
        good, symbols, checks = _rans(machine, kept)
    elif isinstance(machine, huffman.HuffmanCoder):
        good, symbols, checks = _huffman(machine, kept)
    else:
        symbols, checks = machine.decode(kept)  # of these profiles, all symbols are below K
        good = [True] * len(kept)
    packed = scheme.packed(symbols)
    for i, fine, row, check in zip(sound, good, packed, checks, strict=True):
        if fine:
            answers[i] = row, check
    return answers


def _fits(machine: Any, one: bytes) -> bool:
    """What is looked at before any symbol: the body's length and last byte."""
    if isinstance(machine, LevelCoder):
        longest = 8 + 3 * machine.tables.flag_of.shape[1] + 6 * machine.tables.size
        return bool(one) and one[-1] != 0 and len(one) <= longest
    if isinstance(machine, RansCoder):
        return bool(one) and one[-1] != 0 and len(one) <= machine.size * 3 + 8
    if isinstance(machine, huffman.HuffmanCoder):
        return 2 <= len(one) <= 3 + 3 * len(machine.table_of)
    return len(one) == 2 + int(machine.packed_bytes)


def _levels(machine: LevelCoder, bodies: list[bytes], qualities: list[int]) -> Any:
    levels = np.zeros((len(bodies), machine.tables.size), np.int64)
    checks = np.zeros(len(bodies), np.int64)
    single = machine._decode_batch(bodies, np.array(qualities), levels, checks)
    good = ~single
    escaped = (np.abs(levels) >= machine.tables.escape).any(axis=1)
    for i in np.flatnonzero(single & escaped).tolist():  # of the others, each has an error
        try:
            levels[i], checks[i] = machine._decode_one(bodies[i], qualities[i])
            good[i] = True
        except DecodeError:
            levels[i] = 0
    levels[~good] = 0
    return good.tolist(), levels, checks.tolist()


def _rans(machine: RansCoder, bodies: list[bytes]) -> Any:
    symbols = np.empty((len(bodies), machine.size), np.int64)
    symbols[:, machine.coded], seeds = machine._decode_batch(bodies)
    rest = seeds - 1
    for position in machine.folded[::-1]:
        rest, symbols[:, position] = np.divmod(rest, machine.alphabet)
    return ((rest >= 0) & (rest >> 16 == 0)).tolist(), symbols, rest.tolist()


def _huffman(machine: huffman.HuffmanCoder, bodies: list[bytes]) -> Any:
    good: list[bool] = []
    judge = huffman._check_end
    huffman._check_end = lambda at, total, padding: good.append(
        at <= total < at + 8 and not padding
    )
    try:
        symbols = machine._decode_batch([one[:-2] for one in bodies])
    finally:
        huffman._check_end = judge
    return good, symbols, [int.from_bytes(one[-2:], "big") for one in bodies]


def decodes(stream: bytes) -> bool:
    try:
        _CODEC.decode(stream)
    except DecodeError:
        return False
    return True


# counting


def upper(count: int) -> float:
    """The mean that gives more than `count` with 95 %."""
    low, high = 0.0, 10.0 + 3 * count
    for _ in range(60):
        mean = (low + high) / 2
        term = total = math.exp(-mean)
        for i in range(1, count + 1):
            term *= mean / i
            total += term
        low, high = (mean, high) if total > 0.05 else (low, mean)
    return low


def line(name: str, made: int, bad: int) -> str:
    rate = f"1 in {made / bad:,.0f}" if bad else "none"
    return f"  {name:<24} {made:>11,} {bad:>6} {rate:>16} {made / upper(bad):>16,.0f}"


def measure(family: Family, count: int, seed: int) -> None:
    began = time.monotonic()
    streams = family.streams()
    made: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for chunk in damaged(streams, count, f"{family.name} {seed}"):
        found = passed([stream for _, stream in chunk])
        for i, ((way, stream), one) in enumerate(zip(chunk, found, strict=True)):
            made[way] += 1
            if one or i < SAMPLE:
                real = decodes(stream)
                # symbols that pass may still have no direction
                assert real == one or (one and not real), f"{stream.hex()}: decode says {real}"
                bad[way] += real
    lengths = sorted(map(len, streams))
    print(f"\n{family.name}: {len(streams)} streams of {lengths[0]} to {lengths[-1]} bytes, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    print(f"  {'damage':<24} {'streams':>11} {'passed':>6} {'rate':>16} {'at most 1 in':>16}")
    for way in sorted(made, key=lambda way: (way[0].isdigit(), way)):
        print(line(way, made[way], bad[way]))
    flipped = [way for way in made if way.endswith("flipped")]
    print(line("1 to 8 bits flipped", sum(made[w] for w in flipped), sum(bad[w] for w in flipped)))
    print(line("all", made.total(), bad.total()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="damaged streams of a coder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="families by their first word(s)")
    args = parser.parse_args()
    for family in FAMILIES:
        if args.only is None or any(family.name.startswith(name) for name in args.only):
            measure(family, args.count, args.seed)


if __name__ == "__main__":
    main()
