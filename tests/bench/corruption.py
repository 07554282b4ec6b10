"""Count the damaged streams that decode: how good the check value is, for every kind and coder.

    python tests/bench/corruption.py [--count 700000] [--seed 1] [--only predictive …] [--jobs 2]

Streams of embeddings drawn from profiles' own statistics are damaged in seven ways, COUNT of each
kind and coder, and decoded. Bodies are decoded many at a time, errors noted row by row; whatever
passes, and a sample of the rest, is checked once more by `decode`. Five minutes on two cores.

    damaged         streams; those that came out as they were, or as another valid stream that was
                    spliced in, do not count
    passed          of them decoded
    one_in          damaged / passed
    at_most_one_in  the rate that 95 of 100 such counts lie below (Poisson)

`ways` has damaged, passed and at_most_one_in for each of the seven; `detail` splits some of them.
"""

from __future__ import annotations

import math
import multiprocessing
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import kept

from clipcodec import BackboneWarning, Codec, DecodeError
from clipcodec.bitstream import Header
from clipcodec.entropy import Symbols
from clipcodec.errors import each_row
from clipcodec.profile.registry import by_name
from clipcodec.stream import ParsedStream, unpack

ROWS = 600  # embeddings a profile and setting
CHUNK = 20_000  # damaged streams checked together
SAMPLE = 100  # of each chunk are checked by `decode`, too
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
    parsed = {s: _CODEC.parse(s) for s in streams}
    for stream in streams:
        same[len(stream), parsed[stream].header].append(stream)
    heads = {s: len(p.start) for s, p in parsed.items()}
    chunk: list[tuple[str, bytes]] = []
    made = 0
    while made < count:
        data = r.choice(streams)
        partner = r.choice(same[len(data), parsed[data].header])
        way, out = WAYS[made % len(WAYS)](r, data, partner, heads[data])
        if out in valid:
            continue
        chunk.append((way, out))
        made += 1
        if len(chunk) == CHUNK or made == count:
            yield chunk
            chunk = []


# many streams at a time


def passed(streams: list[bytes]) -> list[bool]:
    """Whether each stream's check value holds, and all else that `decode` asks of its symbols."""
    out = [False] * len(streams)
    groups: dict[tuple[Header, int], dict[int, ParsedStream]] = {}
    for i, stream in enumerate(streams):
        try:
            parsed = _CODEC.parse(stream)
        except DecodeError:
            continue
        groups.setdefault((parsed.header, parsed.parameters.symbols), {})[i] = parsed
    for group in groups.values():
        members = [*group.values()]

        def decoded(rows: list[int], members: list[ParsedStream] = members) -> Symbols:
            return unpack([members[row] for row in rows])

        for i, found in zip(group, each_row(decoded, len(members), DecodeError), strict=True):
            out[i] = not isinstance(found, DecodeError)
    return out


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


# names of the ways, and of the kinds of damage that each makes
GROUPS = {
    "1 to 8 flipped bits": tuple(f"{n} bits flipped" for n in range(1, 9)),
    "bursts of 2 to 32 bits": ("burst of 2 to 32 bits",),
    "a byte replaced": ("byte replaced",),
    "two bytes swapped": ("bytes swapped", "adjacent bytes swapped"),
    "truncated or extended": ("cut", "made longer"),
    "random payload": ("body of random bytes",),
    "two streams spliced": ("splice of two streams",),
}


def count_family(family: Family, count: int, seed: str) -> tuple[Counter[str], Counter[str], int]:
    """Damaged and passed streams by kind of damage, and the number of valid ones."""
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
    return made, bad, len(streams)


def counts(made: int, bad: int) -> dict[str, float]:
    return {"damaged": made, "passed": bad, "at_most_one_in": round(made / upper(bad), 1)}


def measure(family: Family, count: int, seed: int, jobs: int) -> dict[str, Any]:
    """The figures of one family; `jobs` processes, each with a seed of its own, share the count."""
    parts = [(family, count // jobs + (i < count % jobs), f"{seed}.{i}") for i in range(jobs)]
    if jobs == 1:
        done = [count_family(*parts[0])]
    else:
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            done = pool.starmap(count_family, parts)
    made: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for one in done:
        made.update(one[0])
        bad.update(one[1])
    groups = {
        name: counts(sum(made[way] for way in ways), sum(bad[way] for way in ways))
        for name, ways in GROUPS.items()
    }
    total = counts(made.total(), bad.total())
    one_in = made.total() / bad.total() if bad.total() else None
    return {
        **total, "one_in": one_in, "streams": done[0][2], "ways": groups,
        "detail": {way: counts(made[way], bad[way]) for way in sorted(made)},
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--count", type=int, default=700_000, help="damaged streams of a coder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="families by their first word(s)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes")
    args = parser.parse_args(arguments)
    file = kept.Kept("corruption", args)
    for family in FAMILIES:
        if args.only is None or any(family.name.startswith(name) for name in args.only):
            figures = measure(family, args.count, args.seed, args.jobs)
            profiles = dict.fromkeys(name for name, _ in family.settings)
            file.add(family.name, figures, data=f"seed {args.seed}, {args.jobs} jobs",
                     modules=kept.OUR_CODE, weights=kept.weights_of(*profiles),
                     series=family.name, count=args.count)  # fmt: skip
    if args.only is None:
        file.finish()


if __name__ == "__main__":
    main()
