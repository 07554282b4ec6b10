"""Write the scenarios of formats/vectors/1 that are not there yet, one file each.

    python formats/tools/make_vectors.py

Run by hand when a profile is registered or a scenario added, never by a test. Files that exist are
never touched: what they say holds for ever.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import check_vectors
import numpy as np

import clipcodec
from clipcodec.bitstream import CODERS, DIGEST_BYTES, VERSION, check_seed, check_value
from clipcodec.entropy.ans import encode_one, uniform
from clipcodec.kinds import KINDS, Quantized
from clipcodec.kinds.trellis.compact import rounded
from clipcodec.kinds.trellis.quantizer import NEXT
from clipcodec.profile.file import Profile, read_profile, write_profile
from clipcodec.profile.registry import DEFAULT, by_name
from clipcodec.stream import pack

FOLDER = check_vectors.FOLDER
PER_CODER = 2
QUALITIES = (1, 20, 50, 80, 100)
MAX_BYTES = 50
WIDTHS = (3, 64, 768)  # of embeddings for a profile that takes any
SPOILT = ("openai-vit-b-32/pqvae-400", "openai-vit-l-14-336/predictive", "any/rotation")
SPOILT_PRIVATE = "example/compact-without-networks"


def write(name: str, content: dict[str, Any]) -> None:
    group = "accept" if content["expect"] == "accept" else "reject"
    path = FOLDER / group / f"{name.replace('/', '.')}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        print(path.name)


# streams to accept


def accept(name: str, comment: str, stream: bytes, codec: clipcodec.Codec) -> None:
    said = codec.info(stream)
    symbols = codec.symbols(stream).astype(">i2")
    write(
        name,
        {
            "comment": comment,
            "expect": "accept",
            "stream": stream.hex(),
            "profile": said.profile,
            "coder": said.entropy,
            "quality": said.quality,
            "symbols": symbols.size,
            "symbols_sha256": hashlib.sha256(symbols.tobytes()).hexdigest(),
            "embedding": [round(float(v), 7) for v in codec.decode(stream)],
        },
    )


def accept_all(profile: Profile, codec: clipcodec.Codec, seed: int) -> None:
    for coder in profile.kind.coders:
        for label, sample, options in wanted(profile, seed):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", clipcodec.BackboneWarning)
                stream = codec.encode_embedding(sample, entropy=coder, **options)
            comment = f"profile {profile.name}, coder {coder}, {label}"
            accept(f"{profile.name} {coder} {label}".replace(" ", "-"), comment, stream, codec)


def accept_by_digest(profile: Profile, good: bytes) -> None:
    """A stream that names a registered profile by its digest, with the symbols of another one."""
    codec = clipcodec.Codec(profile)
    found = Quantized(codec.symbols(good)[None], np.array([codec.parse(good).parameters.quality]))
    (stream,) = pack(replace(profile, id=None), found, ["rans"])
    name = f"{profile.name} rans named by its digest"
    accept(name.replace(" ", "-"), f"profile {profile.name}, named by its digest", stream, codec)


def wanted(profile: Profile, seed: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Label, embedding, and what to ask for on encoding it."""
    rng = np.random.default_rng(seed)
    if profile.statistics is not None:
        samples = profile.statistics.draw(len(QUALITIES) + 1, seed=seed)
    else:
        samples = rng.standard_normal((len(QUALITIES) + 1, profile.dim or 1))
    if not profile.kind.qualities:
        for i, sample in enumerate(samples[:PER_CODER]):
            yield f"sample {i + 1}", sample, {}
        return
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"quality {q}", {"quality": q}) for q in QUALITIES if q <= profile.kind.qualities
    ]
    if profile.kind.qualities > 1:
        asked.append((f"at most {MAX_BYTES} bytes", {"max_bytes": MAX_BYTES}))
    if profile.dim is not None:
        for (label, options), sample in zip(asked, samples, strict=False):
            yield label, sample, options
        if profile.statistics is not None:
            yield "an outlier", -profile.statistics.mean, {"quality": QUALITIES[-1]}
        return
    for width in WIDTHS:
        for label, options in asked:
            yield f"width {width} {label}", rng.standard_normal(width), options
    # all in one coefficient: its level is escaped
    one = np.eye(1, WIDTHS[1], dtype=np.float32)
    outlier = profile.kind.engine(WIDTHS[1]).transform.synthesise(one)[0]
    yield "an escaped level", -outlier, {"quality": QUALITIES[-1]}


# private profiles, small and odd


def private(name: str, meta: dict[str, Any], **fixed: Any) -> Path:
    """A profile file of random weights, but for the tensors given; kept beside the vectors."""
    path = FOLDER / "profiles" / f"{name}.safetensors"
    if not path.exists():
        rng = np.random.default_rng(len(name))
        kind = KINDS[meta["kind"]]
        tensors = {
            key: np.asarray(fixed[key], kind.table_dtypes.get(key, np.float32))
            if key in fixed
            else (rng.standard_normal(shape) / 4).astype(kind.table_dtypes.get(key, np.float16))
            for key, shape in kind.shapes(meta).items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        described = {"name": f"example/{name}", "backbone": "none", "card": {"data": "random"}}
        write_profile(path, meta | described, tensors)
    return path


def privates() -> list[Path]:
    """The examples of clipcodec-1.md, trellis.md and compact.md, and tables at their limits."""
    stage = {
        "log_step": [-7], "predict.hidden": [[[1], [0], [0], [0]]],
        "predict.bias": [[100]], "predict.quality": [[10]], "predict.unit": [[0.5]],
        "predict.out": [[2, 0, 0]], "predict.scale": [1 / 64] * 3,
        "predict.gain": [[0.5]], "restore.hidden": [[0], [2], [1], [0]],
        "restore.bias": [4], "restore.quality": [0], "restore.unit": [0.25],
        "restore.out": [[3, 0, 0, 0]], "restore.scale": [1 / 32] * 4,
        "restore.gain": [1.5],
        "tables.frequencies": [[32768, 16384, 8192, 8192], [16384, 32768, 16384, 0],
                               [32768, 32768, 0, 0], [16384, 49152, 0, 0]],
        "tables.class_of": [[0, 0, 0, 0]], "tables.flag_of": [[2, 3, 2, 3]],
    }  # fmt: skip
    return [
        private(
            "pqvae-of-three",
            {
                "kind": "pqvae", "dim": 5, "tables": 1,
                "config": {"positions": 7, "channels": 2, "sub_dim": 2, "codewords": 3, "rank": 1,
                           "analysis": 2, "synthesis": 3, "blocks": 2},
            },
            scale=[1.0], **{
                "tables.frequencies": [[32768, 16384, 16384]],
                "tables.lengths": [[1, 2, 2]],
                "tables.table_of": [0] * 7,
            },
        ),
        private(
            "predictive-of-four",
            {
                "kind": "predictive", "dim": 4,
                "config": {"qualities": 1, "default_quality": 1, "rows": 4, "alphabet": 4,
                           "bands": [0, 1, 4], "hidden": 1, "restore": 1},
            },
            steps=[0.5], weights=[0.3], center=[0, 0, 0, 1], scale=[2, 1, 1, 1],
            analysis=np.eye(4), synthesis=np.eye(4), **stage,
        ),
        private(
            "predictive-without-networks",
            {
                "kind": "predictive", "dim": 40,
                "config": {"qualities": 100, "default_quality": 7, "rows": 3, "alphabet": 256,
                           "bands": [0, 1, 18, 40], "hidden": 0, "restore": 0},
            },
            steps=np.geomspace(1, 0.001, 100), weights=np.full(100, 0.3), scale=np.ones(40), **{
                "tables.frequencies": np.array([[65536 - 255, *[1] * 255],
                                                [256] * 256, [49152, 16384, *[0] * 254]]),
                "tables.class_of": np.zeros((100, 40)), "tables.flag_of": np.full((100, 10), 2),
                "predict.gain": np.ones((100, 2)), "restore.gain": np.ones(100),
            },
        ),
        private(
            "rotation-of-two",
            {
                "kind": "rotation", "dim": 0,
                "config": {"qualities": 2, "default_quality": 2, "rows": 3, "alphabet": 4,
                           "seed": 2**64 - 2},
            },
            steps=[0.5, 0.01], weights=[0.3, 0.3], **{
                "tables.frequencies": [[40000, 20000, 5000, 536], [30000, 30000, 5000, 536],
                                       [32768, 32768, 0, 0]],
                "tables.class_of": [[0], [0]], "tables.flag_of": [[2, 2], [2, 2]],
            },
        ),
        private(
            "compact-of-four",
            {
                "kind": "compact", "dim": 5,
                "config": {"qualities": 1, "default_quality": 1, "rows": 4, "alphabet": 4,
                           "bands": [0, 1, 4], "hidden": 1, "restore": 1},
            },
            steps=[0.5], weights=[0.3], center=[0, 0, 0, 1, 0], scale=[2, 1, 1, 1],
            basis=[[4, 0, 0, 0, 3], [0, 8, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 2, -1]],
            shift=[2, 3, 0, 1], **stage,
        ),
        compact("compact-with-networks", 24, [0, 2, 9, 18], 3),
        compact("compact-without-networks", 40, [0, 1, 18, 21], 0),
    ]  # fmt: skip


def compact(name: str, dim: int, bands: list[int], hidden: int) -> Path:
    """A profile of kind compact with an orthonormal basis, but for its rounding."""
    rng, rank, qualities = np.random.default_rng(len(name)), bands[-1], 100
    rows = np.linalg.qr(rng.standard_normal((dim, rank)))[0].T
    basis, shift = rounded(rows, np.geomspace(2.0**-9, 2.0**-5, rank))
    changed = sum(rank - end for end in bands[1:-1])
    stages = (len(bands) - 2, rank, hidden)
    number = 2 * sum(-(-(b - a) // 16) for a, b in pairwise(bands))
    steps = np.geomspace(1, 0.001, qualities)
    return private(
        name,
        {
            "kind": "compact", "dim": dim,
            "config": {"qualities": qualities, "default_quality": 60, "rows": 3, "alphabet": 16,
                       "bands": bands, "hidden": hidden, "restore": hidden},
        },
        steps=steps, weights=np.full(qualities, 0.3), basis=basis, shift=shift,
        scale=np.geomspace(1, 0.2, rank), log_step=np.rint(16 * np.log(steps)), **{
            "predict.hidden": rng.integers(-127, 128, stages),
            "predict.bias": rng.integers(-500, 500, stages[::2]),
            "predict.quality": rng.integers(-9, 9, stages[::2]),
            "predict.unit": np.full(stages[::2], 1 / 64),
            "predict.out": rng.integers(-127, 128, (hidden, changed)),
            "predict.scale": np.full(changed, 1e-5),
            "predict.gain": np.linspace(0, 1, qualities * stages[0]).reshape(qualities, -1),
            "restore.hidden": rng.integers(-127, 128, (rank, hidden)),
            "restore.bias": rng.integers(-500, 500, hidden),
            "restore.quality": rng.integers(-9, 9, hidden),
            "restore.unit": np.full(hidden, 1 / 64),
            "restore.out": rng.integers(-127, 128, (hidden, rank)),
            "restore.scale": np.full(rank, 1e-5), "restore.gain": np.linspace(1, 0, qualities),
            "tables.frequencies": [[65536 - 15 * 2048, *[2048] * 15], [4096] * 16,
                                   [49152, 16384, *[0] * 14]],
            "tables.class_of": np.zeros((qualities, rank)),
            "tables.flag_of": np.full((qualities, number), 2),
        },
    )  # fmt: skip


# streams to reject


def reject(name: str, expect: str, stream: bytes, comment: str | None = None) -> None:
    comment = comment or name
    write(name.replace(" ", "-"), {"comment": comment, "expect": expect, "stream": stream.hex()})


def reject_headers(raw: bytes) -> None:
    """What is wrong before any profile is asked; `raw` is a good raw stream."""
    start = "header: "
    for name, expect, stream in (
        ("empty", "truncated", b""),
        ("a text", "unsupported", b"\x0ahello"),
        ("a JPEG file", "unsupported", bytes.fromhex("ffd8ffe000104a464946")),
        ("version 0", "unsupported", bytes([raw[0] ^ 0x40]) + raw[1:]),
        ("3f, of a later version", "unsupported", b"\x3f" + raw[1:]),
        ("e4, reserved", "unsupported", b"\xe4" + raw[1:]),
        ("ff, reserved", "unsupported", b"\xff" + raw[1:]),
        ("coder 3", "unsupported", bytes([raw[0] | 0x30]) + raw[1:]),
        ("alone", "truncated", raw[:1]),
        ("profile id cut to nothing", "truncated", b"\x4f"),
        ("profile id cut short", "truncated", b"\x4f\x85"),
        ("profile id not in its shortest form", "corrupt", b"\x4f\x80\x00" + raw[1:]),
        ("profile id of three bytes", "corrupt", b"\x4f\x80\x80\x01" + raw[1:]),
        ("profile id 16398, of no profile", "unknown-profile", b"\x4f\xff\x7f" + raw[1:]),
        ("digest cut short", "truncated", b"\x40\x00\x00\x00"),
        ("digest of no profile", "unknown-profile", b"\x40\x00\x00\x00\x00" + raw[1:]),
    ):
        reject(start.replace(": ", "-") + name.replace(",", ""), expect, stream, start + name)


def reject_short(profile: Profile, good: bytes) -> None:
    """What is wrong around the short form; `good` is a stream in it."""
    kind, symbols = profile.kind, clipcodec.Codec(profile).symbols(good)[None]
    quality = good[0] - 0x7F

    def made(head: bytes, seed: bytes, q: int) -> bytes:
        """The header `head`, and these symbols with the check value that is right after `seed`."""
        check = check_value(check_seed(seed, None), kind.packed(symbols)[0])
        return head + kind.encode("rans", symbols, np.array([q]), [check])[0]

    assert made(good[:1], good[:1], quality) == good
    long = {q: bytes([0x67, q]) for q in (1, quality, 100)}
    scenarios = [
        *((f"long form, quality {q}", "corrupt", made(h, h, q)) for q, h in long.items()),
        ("long form, quality 0", "corrupt", b"\x67\0" + good[1:]),
        ("long form, quality 101", "corrupt", b"\x67\x65" + good[1:]),
        ("long form, no quality", "corrupt", b"\x67"),
        ("check value of the long form", "corrupt", made(good[:1], long[quality], quality)),
        ("another quality", "corrupt", bytes([good[0] ^ 1]) + good[1:]),
        ("e4, reserved", "unsupported", b"\xe4" + good[1:]),
        ("ff, reserved", "unsupported", b"\xff" + good[1:]),
        ("alone", "truncated", good[:1]),
        ("ends in a zero byte", "corrupt", good + b"\0"),
        ("one byte more", "corrupt", good + b"\1"),
    ]
    for name, expect, stream in scenarios:
        reject(f"short-{name.replace(',', '')}", expect, stream, f"short form: {name}")


def reject_coders(good: dict[str, bytes]) -> None:
    """Payloads of kind pqvae."""
    raw, huffman, rans = (good[coder] for coder in CODERS)
    for name, expect, stream in (
        ("raw, last byte missing", "truncated", raw[:-1]),
        ("raw, one byte more", "corrupt", raw + b"\0"),
        ("raw, check value changed", "corrupt", raw[:-1] + bytes([raw[-1] ^ 1])),
        ("raw, two bytes swapped", "corrupt", raw[:5] + raw[6:7] + raw[5:6] + raw[7:]),
        ("huffman, no check value", "truncated", huffman[:2]),
        ("huffman, cut in half", "truncated", huffman[: len(huffman) // 2]),
        ("huffman, one byte more", "corrupt", huffman + b"\0"),
        ("huffman, check value of zero", "corrupt", huffman[:-2] + b"\0\0"),
        ("huffman, longer than any", "corrupt", huffman[:1] + bytes(4 + 3 * 200)),
        ("rans, no body", "truncated", rans[:1]),
        ("rans, ends in a zero byte", "corrupt", rans + b"\0"),
        ("rans, one byte more", "corrupt", rans + b"\1"),
        ("rans, longer than any", "corrupt", rans[:1] + b"\1" * (9 + 3 * 200)),
        ("rans, cut in half", "corrupt", rans[: len(rans) // 2]),
    ):
        reject("pqvae-" + name.replace(", ", "-"), expect, stream, name)


def reject_three(profile: Profile) -> None:
    """Raw and Huffman forms that are never written, their check values right: K = 3, n = 7."""
    symbols, spare = "00100100000110", "00"
    for name, coder, bits in (
        ("a symbol not below K", "raw", "11" + symbols[2:] + spare),
        ("raw padding not zero", "raw", symbols + "01"),
        ("huffman padding not zero", "huffman", "01110001011" + "00001"),
    ):
        packed = int(symbols + spare, 2) if "padding" in name else int(bits, 2)
        head = first_bytes(profile, coder)
        seed = check_seed(head, profile.digest)
        check = check_value(seed, packed.to_bytes(2, "big")).to_bytes(2, "big")
        reject(f"private-{name}", "corrupt", head + int(bits, 2).to_bytes(2, "big") + check, name)


def reject_levels(profile: Profile, good: bytes) -> None:
    """Damage to a stream of levels."""
    start = len(first_bytes(profile, "rans"))
    highest, head, rest = profile.kind.qualities, good[:start], good[start + 1 :]
    quality = good[start]
    scenarios = [
        ("ends before its quality", "truncated", head),
        ("quality 0", "corrupt", head + b"\0" + rest),
        ("quality above the highest", "corrupt", head + bytes([highest + 1]) + rest),
        ("another quality", "corrupt", head + bytes([quality ^ 1]) + rest),
        ("coder raw", "corrupt", bytes([good[0] & 0xCF]) + good[1:]),
        ("coder huffman", "corrupt", bytes([good[0] & 0xCF | 0x10]) + good[1:]),
        ("ends in a zero byte", "corrupt", good + b"\0"),
        ("one byte more", "corrupt", good + b"\1"),
    ]
    if profile.dim is not None:
        scenarios.append(("no body", "truncated", good[: start + 1]))
        most = 8 + 6 * profile.kind.engine(profile.dim).tables.flag_of.shape[1] // 2
        longest = most + 6 * profile.kind.count
        scenarios.append(("longer than any", "corrupt", good.ljust(start + 2 + longest, b"\1")))
    else:
        begin, (low, high), body = good[: start + 1], rest[:2], rest[2:]
        assert low & 0x80
        scenarios += [
            ("ends before its width", "truncated", begin),
            ("ends inside its width", "truncated", begin + bytes([low])),
            ("no body", "truncated", begin + bytes([low, high])),
            ("width 0", "corrupt", begin + b"\0" + body),
            ("another width", "corrupt", begin + bytes([low ^ 1, high]) + body),
            (
                "width in three bytes for two",
                "corrupt",
                begin + bytes([low, high | 0x80, 0]) + body,
            ),
            ("width in two bytes for one", "corrupt", begin + b"\x83\0" + body),
            ("width 16385", "corrupt", begin + b"\x81\x80\x01" + body),
            ("width in four bytes", "corrupt", begin + bytes([low]) + b"\x80\x80\x01" + body),
        ]
    for name, expect, stream in scenarios:
        reject(f"{profile.kind.name}-{name}", expect, stream, f"{profile.name}: {name}")


def reject_forms(profile: Profile) -> None:
    """Levels in forms that are never written, with a check value that matches all the same."""
    good = forged(profile, 1, signs=1)
    assert clipcodec.Codec(profile).symbols(good)[0] == -1  # only the form is wrong below
    scenarios = [
        ("flag 2", forged(profile, 0, flag=2)),
        ("a full group of zeros", forged(profile, 0)),
        ("level 32768", forged(profile, 32768)),
        ("the sign of no level", forged(profile, 1, signs=2)),
        ("check value changed", forged(profile, 1, change=1)),
        ("a seed above 24 bits", forged(profile, 1, change=1 << 16)),
    ]
    if profile.dim is None:
        scenarios.append(("no level but zeros", forged(profile, 0, flag=0)))
    for name, stream in scenarios:
        reject(f"{profile.kind.name}-{name}", "corrupt", stream, f"{profile.name}: {name}")


def first_bytes(profile: Profile, coder: str) -> bytes:
    first = VERSION << 6 | CODERS.index(coder) << 4
    if profile.id is None:
        return bytes([first]) + profile.digest[:DIGEST_BYTES]
    assert profile.id < 15
    return bytes([first | profile.id])


def forged(
    profile: Profile, level: int, *, flag: int = 1, signs: int = 0, change: int = 0
) -> bytes:
    """A stream of one level and zeros, in the first group; its check value, plus `change`."""
    kind, quality = profile.kind, QUALITIES[-1]
    size = kind.count or WIDTHS[0]
    tables = kind.engine(size).tables
    classes, flags = tables.class_of[quality - 1], tables.flag_of[quality - 1]
    entries = []  # (left, width) in the order of decoding

    def put(row: int, symbol: int) -> None:
        entries.append((int(tables.left[row, symbol]), int(tables.width[row, symbol])))

    put(flags[1], flag)
    state, magnitude = 0, level
    for i in range(tables.groups[0][0][1] if flag == 1 else 0):
        put(classes[i] + state % 2, min(magnitude, tables.escape))
        if magnitude >= tables.escape:
            rest = magnitude - tables.escape + 1
            length = rest.bit_length() - 1
            for value, bits in ((length, 4), (rest - (1 << length), length)):
                entries.append(uniform(value, bits))
        state, magnitude = NEXT[state, magnitude % 2], 0
    full = int(flag > 0)
    for group in range(1, sum(map(len, tables.groups))):
        put(flags[2 * group + full], 0)
        full = 0
    start: bytes = first_bytes(profile, "rans") + kind.parameters(quality, size)
    packed = level.to_bytes(2, "big") + bytes(2 * size - 2)
    packed += bytes([(signs & 1) << 7]) if level else b""
    digest = profile.digest if profile.id is None else None
    check = check_value(check_seed(start, digest), packed)
    return start + encode_one(entries, (check + change << 8) + signs + 1)


def reject_damage(name: str, stream: bytes) -> None:
    """Every truncation of a stream, and every bit of it flipped: the class of each, in order."""
    cut = [stream[:n] for n in range(len(stream))]
    flips = [
        stream[:i] + bytes([stream[i] ^ 0x80 >> bit]) + stream[i + 1 :]
        for i in range(len(stream))
        for bit in range(8)
    ]
    for damage, streams, says in (
        ("truncations", cut, "expect[n]: of the first n bytes alone"),
        ("bit-flips", flips, "expect[8 * i + j]: with bit 7 - j of byte i flipped"),
    ):
        content = {
            "comment": f"{name}, every one of its {damage}; {says}",
            "expect": classes(streams),
            "damage": damage,
            "stream": stream.hex(),
        }
        write(f"{name}-{damage}", content)


def classes(streams: Sequence[bytes]) -> list[str]:
    decode = check_vectors.package()
    found = [decode(stream).expect for stream in streams]
    assert "accept" not in found
    return found


def main() -> None:
    loaded = [by_name(info.name) for info in clipcodec.profiles()]
    for profile in loaded:
        accept_all(profile, clipcodec.Codec(profile), profile.id or 0)
    own = [read_profile(path) for path in privates()]
    for profile in own:
        accept_all(profile, clipcodec.Codec(profile), 0)

    def good(name: str, coder: str, label: str) -> bytes:
        path = (
            FOLDER / "accept" / f"{name} {coder} {label}.json".replace("/", ".").replace(" ", "-")
        )
        return bytes.fromhex(json.loads(path.read_text("utf-8"))["stream"])

    default = by_name(DEFAULT)
    short = good(default.name, "rans", "quality 50")
    accept_by_digest(default, short)
    reject_short(default, short)
    reject_damage("short-rans", short)
    pqvae, predictive, rotation = (by_name(name) for name in SPOILT)
    (compact,) = (profile for profile in own if profile.name == SPOILT_PRIVATE)
    by_coder = {coder: good(pqvae.name, coder, "sample 1") for coder in CODERS}
    reject_headers(by_coder["raw"])
    reject_coders(by_coder)
    reject_three(own[0])
    for coder, stream in by_coder.items():
        reject_damage(f"pqvae-{coder}", stream)
    for profile, label, damaged in (
        (predictive, "quality 50", "quality 50"),
        (rotation, "width 768 quality 50", "width 64 quality 50"),
        (compact, "quality 50", "quality 50"),
    ):
        reject_levels(profile, good(profile.name, "rans", label))
        reject_forms(profile)
        reject_damage(f"{profile.kind.name}-rans", good(profile.name, "rans", damaged))


if __name__ == "__main__":
    main()
