"""Is the result the same here? Decodes the format's vectors and encodes a fixed set of inputs.

    python tests/elsewhere.py [REFERENCE] [--encoder] [--rows N]

Needs what decoding needs: numpy, constriction, safetensors. `tests/matrix.sh` runs it in many
environments.

Vectors: symbols exactly and embeddings to 1e-5, one at a time, in batches, and in threads at once;
streams to reject with their class of error. Inputs: whole numbers that are the same on every
machine, with every profile and every way to ask for a rate; of what comes out two digests are
printed, of the symbols and of the bytes.

REFERENCE (.npz) is written by the first run that names it. Later runs compare with it: every value
of every embedding, and every encoded stream.

Exit 1 on any difference from the vectors, or embeddings further than 1e-5 from those of REFERENCE.
Encoded streams that differ are counted; with --encoder they fail as well.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import clipcodec
from clipcodec.bitstream import split
from clipcodec.profile.registry import by_name
from clipcodec.stream import unpack

sys.path.insert(0, str(Path(__file__).parents[1] / "formats" / "tools"))
import check_vectors

CLASSES = {
    "truncated": clipcodec.TruncatedError,
    "unsupported": clipcodec.UnsupportedError,
    "unknown-profile": clipcodec.UnknownProfileError,
    "corrupt": clipcodec.CorruptError,
}
TOLERANCE = 1e-5
BATCH = 32  # copies of a stream: above every size from which numpy takes over from Python
THREADS = 8
WIDTHS = (3, 64, 768)  # for profiles that take any
RATES: tuple[dict[str, Any], ...] = (
    *({"quality": quality} for quality in (1, 20, 50, 80, 100)),
    *({"max_bytes": size} for size in (24, 50, 100)),
    *({"min_cosine": cosine} for cosine in (0.85, 0.97)),
)

Rows = NDArray[np.float32]


@dataclass
class Vector:
    """A stream, the SHA-256 of its packed symbols, and its embedding."""

    stream: bytes
    symbols: str
    embedding: list[float]


@dataclass
class Results:
    """What is compared with a reference."""

    embeddings: NDArray[np.float32]  # of all vectors, one after the other
    streams: list[bytes]


def accepted() -> list[Vector]:
    """Those of registered profiles."""
    return [
        Vector(vector.stream, vector.says["symbols_sha256"], vector.says["embedding"])
        for vector in check_vectors.vectors()
        if vector.expect == "accept" and split(vector.stream)[0].profile_id is not None
    ]


def rejected() -> list[tuple[str, bytes, str]]:
    """Name, stream and class of error of each, but for streams of private profiles."""
    return [
        (vector.name, vector.stream, vector.expect)
        for vector in check_vectors.vectors()
        if vector.expect != "accept" and not vector.name.startswith(("private", "compact"))
    ]


def digest(symbols: Any) -> str:
    """SHA-256 of symbols as 16-bit two's complement, most significant byte first."""
    return hashlib.sha256(np.asarray(symbols).astype(">i2").tobytes()).hexdigest()


def check_all_vectors() -> tuple[list[str], Rows]:
    """What is not as the vectors say, one line each; and all embeddings, one after the other."""
    vectors, codec = accepted(), clipcodec.Codec()
    lines: list[str] = []

    def check(vector: Vector, how: str, symbols: Any, embedding: Rows) -> None:
        name = f"{vector.stream.hex()[:40]}… {how}"
        if digest(symbols) != vector.symbols:
            lines.append(f"{name}: other symbols")
        head = embedding[: len(vector.embedding)]
        if len(head) != len(vector.embedding) or not near(head, vector.embedding):
            lines.append(f"{name}: another embedding")

    embeddings = [codec.decode(vector.stream) for vector in vectors]
    for vector, embedding in zip(vectors, embeddings, strict=True):
        check(vector, "alone", codec.symbols(vector.stream), embedding)
        check(vector, "in a batch", symbols_in_batch(vector.stream), embedding)
    for width in sorted({len(embedding) for embedding in embeddings}):
        own = [i for i, embedding in enumerate(embeddings) if len(embedding) == width]
        batch = codec.decode_batch([vectors[i].stream for i in own for _ in range(BATCH)])
        for j, i in enumerate(own):
            rows = batch[BATCH * j : BATCH * (j + 1)]
            for row in rows:
                if not near(row, embeddings[i]):
                    lines.append(f"{vectors[i].stream.hex()[:40]}…: another embedding in a batch")
                    break
    with ThreadPoolExecutor(THREADS) as pool:
        again = pool.map(codec.decode, [v.stream for v in vectors] * THREADS)
        for i, row in enumerate(again):
            if not near(row, embeddings[i % len(vectors)]):
                lines.append(f"{vectors[i % len(vectors)].stream.hex()[:40]}…: another in threads")
    for name, stream, expected in rejected():
        try:
            codec.decode(stream)
            lines.append(f"{name}: decoded, expected {expected}")
        except clipcodec.DecodeError as error:
            if type(error) is not CLASSES[expected]:
                lines.append(f"{name}: {type(error).__name__}, expected {expected}")
    return lines, np.concatenate(embeddings)


def near(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=0, atol=TOLERANCE))


def symbols_in_batch(stream: bytes) -> Any:
    """The symbols of a stream decoded beside copies of itself; None if not all are alike."""
    rows = unpack([clipcodec.Codec().parse(stream)] * BATCH)
    return rows[0] if (rows == rows[0]).all() else None


def inputs(name: str, count: int) -> Iterator[NDArray[np.int64]]:
    """Embeddings (count, D) for a profile: whole numbers below 2**24, the same on every machine.

    No library's random numbers, and no matrix product, whose rounding is a machine's own: sums of
    bytes, then float64 additions and multiplications one by one.
    """
    profile = by_name(name)
    if profile.statistics is None:
        for width in WIDTHS:
            yield np.rint(1000 * bell(f"{name} {width}", (count, width))).astype(np.int64)
        return
    stats = profile.statistics
    scale = stats.scale.astype(np.float64)
    rows = stats.mean + scale[-1] * bell(f"{name} rest", (count, len(stats.mean)))
    along = bell(name, (count, len(scale) - 1)) * scale[:-1]
    for j, axis in enumerate(stats.basis.T.astype(np.float64)):
        rows = rows + along[:, j : j + 1] * axis
    yield np.rint(rows * (1 << 20)).astype(np.int64)


def bell(seed: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Numbers of mean 0 and variance 1, nearly Gaussian: sums of four bytes of SHAKE-256."""
    count = shape[0] * shape[1]
    drawn = np.frombuffer(hashlib.shake_256(seed.encode()).digest(4 * count), np.uint8)
    whole = drawn.reshape(*shape, 4).astype(np.int64).sum(axis=2)
    return (whole - 510) / np.sqrt((256.0**2 - 1) / 3)


def encode_all(count: int) -> tuple[list[bytes], int]:
    """Streams of all inputs by every profile and rate; how many come out otherwise alone."""
    streams: list[bytes] = []
    otherwise = 0
    for info in clipcodec.profiles():
        profile = by_name(info.name)
        coders = (*profile.kind.coders, "auto")
        rates = RATES if profile.kind.qualities else tuple({"entropy": e} for e in coders)
        for rows in inputs(info.name, count):
            for rate in rates:
                try:
                    found = clipcodec.encode_embeddings(rows, profile=info.name, **rate)
                except clipcodec.RateError as error:  # the same everywhere, too
                    streams.append(type(error).__name__.encode())
                    continue
                streams += found
                alone = clipcodec.encode_embedding(rows[0], profile=info.name, **rate)
                otherwise += alone != found[0]
    return streams, otherwise


def symbols_of(streams: list[bytes]) -> str:
    """One SHA-256 over the digests of the symbols of all streams."""
    codec, whole = clipcodec.Codec(), hashlib.sha256()
    for stream in streams:
        if stream != b"RateError":
            whole.update(digest(codec.symbols(stream)).encode())
    return whole.hexdigest()


def joined(streams: list[bytes]) -> str:
    """SHA-256 of all streams, each after its length."""
    whole = b"".join(len(s).to_bytes(2, "big") + s for s in streams)
    return hashlib.sha256(whole).hexdigest()


def compare(path: Path, found: Results) -> tuple[float, int]:
    """Largest difference of an embedding's value, and number of other streams; 0 if written now."""
    stored = "\n".join(stream.hex() for stream in found.streams).encode()
    if not path.exists():
        np.savez(path, embeddings=found.embeddings, streams=np.frombuffer(stored, np.uint8))
        return 0.0, 0
    with np.load(path, allow_pickle=False) as reference:
        embeddings, streams = reference["embeddings"], reference["streams"].tobytes()
    if embeddings.shape != found.embeddings.shape:
        raise SystemExit(f"{path} was written with other vectors: delete it")
    lines = streams.decode().split("\n")
    if len(lines) != len(found.streams):
        raise SystemExit(f"{path} was written with other inputs: delete it")
    differ = sum(a != b.hex() for a, b in zip(lines, found.streams, strict=True))
    return float(np.abs(embeddings - found.embeddings).max()), differ


def environment() -> str:
    packages = [f"{name} {_version(name)}" for name in ("numpy", "constriction", "safetensors")]
    chosen = [
        f"{name}={value[:20]}"
        for name, value in sorted(os.environ.items())
        if name == "PYTHONHASHSEED" or name.startswith(("OPENBLAS_", "NPY_"))
    ]
    machine = f"({platform.machine()}, {sys.byteorder}-endian)"
    return " ".join(["Python", platform.python_version(), *packages, machine, *chosen])


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "?"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the results of this environment.")
    parser.add_argument("reference", nargs="?", type=Path, metavar="REFERENCE")
    parser.add_argument("--encoder", action="store_true", help="fail on other streams, too")
    parser.add_argument("--rows", type=int, default=24, help="inputs a profile and rate (24)")
    args = parser.parse_args()
    warnings.simplefilter("ignore", clipcodec.BackboneWarning)
    print(environment())
    lines, embeddings = check_all_vectors()
    print("\n".join(lines) or f"  decoding: {len(accepted())} accepted, {len(rejected())} rejected")
    streams, otherwise = encode_all(args.rows)
    print(f"  encoding: symbols {symbols_of(streams)[:16]} bytes {joined(streams)[:16]}", end=" ")
    print(f"({len(streams)} streams; {otherwise} otherwise when encoded alone)")
    failed = bool(lines) or (args.encoder and otherwise > 0)
    if args.reference is not None:
        difference, others = compare(args.reference, Results(embeddings, streams))
        print(f"  reference: embeddings within {difference:.1e}, {others} other streams")
        failed |= not difference <= TOLERANCE or (args.encoder and others > 0)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
