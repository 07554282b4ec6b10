"""The package and formats/reference/decoder.py, which was written from the text alone, agree.

They share no code, so what both read the same way is what the text says. By hand, more of it:

    python -m tests.formats.test_reference 100000

compares the symbols of so many streams of each kind, half of them damaged, and prints counts.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import clipcodec
from clipcodec import stream as streams
from clipcodec.codec import Codec
from clipcodec.kinds import Quantized
from clipcodec.kinds.pqvae.config import PqvaeConfig
from clipcodec.kinds.pqvae.transform import PqvaeTransform
from clipcodec.kinds.trellis import CompactKind
from clipcodec.kinds.trellis.compact import CompactTransform
from clipcodec.kinds.trellis.network import DTYPES
from clipcodec.kinds.trellis.predictive import PredictiveTransform
from clipcodec.profile import registry
from clipcodec.profile.file import Profile, read_profile, write_profile
from tests.helpers.kinds import pqvae, trellis
from tests.helpers.paths import FORMATS, REFERENCE
from tests.helpers.scripts import load

DECODER = REFERENCE / "decoder.py"
KINDS = ("pqvae", "predictive", "compact", "rotation")
CLASSES = {
    clipcodec.TruncatedError: "truncated",
    clipcodec.UnsupportedError: "unsupported",
    clipcodec.UnknownProfileError: "unknown-profile",
    clipcodec.CorruptError: "corrupt",
}
pytestmark = pytest.mark.filterwarnings("ignore::clipcodec.BackboneWarning")


reference = load(DECODER)


# private profiles with tables that no training would give


def write_pqvae(path: Path, codewords: int, *, tables: int, deep: bool = False) -> Path:
    """Twelve symbols, D = 4; code lengths up to 24 if `deep` and there are codewords enough."""
    rng = np.random.default_rng(codewords)
    config = PqvaeConfig(4, positions=4, channels=6, sub_dim=2, codewords=codewords, rank=2,
                    analysis=1, synthesis=3, blocks=2)  # fmt: skip
    types = (np.float16, np.float32, np.float64)
    tensors = {
        name: rng.normal(size=shape).astype(types[i % 3])
        for i, (name, shape) in enumerate(PqvaeTransform.shapes(config).items())
    }
    tensors["scale"] = np.ones(1, np.float32)
    tensors["codebook"] = rng.normal(size=(codewords, 2)).astype(np.float32)
    lengths = [[1, 1] for _ in range(tables)]
    for row in lengths:
        while len(row) < codewords:  # split a leaf of the tree
            open_leaves = [i for i, length in enumerate(row) if length < 24]
            i = max(open_leaves, key=row.__getitem__) if deep else int(rng.choice(open_leaves))
            row[i] += 1
            row.append(row[i])
        rng.shuffle(row)
    shares = rng.dirichlet(np.full(codewords, 0.3), tables)
    return write_profile_of(
        path, tensors, kind="pqvae", dim=4, config=config.to_meta(), tables=tables,
        frequencies=np.stack([1 + rng.multinomial((1 << 16) - codewords, s) for s in shares]),
        lengths=np.array(lengths, np.uint8), table_of=rng.permutation(np.arange(12) % tables),
    )  # fmt: skip


def level_tables(rng: np.random.Generator, rows: int, alphabet: int) -> np.ndarray:
    """Magnitudes by the first half of the rows, flags by the second; some frequencies are 0."""
    counts = rng.multinomial(1 << 16, [0.4, *[0.6 / (alphabet - 1)] * (alphabet - 1)], rows)
    counts[rows // 2 :] = 0
    # 2 is no flag, but a table may give it room
    counts[rows // 2 :, :3] = rng.multinomial(1 << 16, [0.45, 0.45, 0.1], rows - rows // 2)
    counts[0, 0] += counts[0, 2]
    counts[0, 2] = 0
    return counts


def write_staged(
    path: Path, bands: list[int], *, hidden: int, alphabet: int = 4, dim: int = 0
) -> Path:
    """Random networks, whose units and outputs are in the range of the rest.

    dim  width of the embedding, for kind compact; 0: of kind predictive
    """
    rng = np.random.default_rng(len(bands))
    rank, rows, qualities = bands[-1], 8, 3
    if dim:
        shapes = CompactTransform.shapes(dim, bands, hidden, hidden + 1, qualities)
    else:
        shapes = PredictiveTransform.shapes(bands, hidden, hidden + 1, qualities)
    tensors = {name: 0.3 * rng.normal(size=shape) for name, shape in shapes.items()}
    tensors["scale"] = np.exp(tensors["scale"])
    for name, dtype in DTYPES.items():
        whole = rng.integers(-128, 128, shapes[name])
        tensors[name] = (whole if dtype == "int8" else 30 * whole).astype(dtype)
    tensors["log_step"] //= 200
    for part in ("predict", "restore"):
        tensors[f"{part}.unit"] = np.abs(tensors[f"{part}.unit"]) / 40
        tensors[f"{part}.scale"] /= 1e4
        tensors[f"{part}.gain"] = np.abs(tensors[f"{part}.gain"])
    tensors |= {"steps": np.array([0.5, 0.1, 0.01]), "weights": np.full(3, 0.2)}
    if dim:
        tensors["basis"] = rng.integers(-128, 128, (rank, dim)).astype(np.int8)
        tensors["shift"] = rng.choice([9, 10, 14, 30], rank).astype(np.uint8)
    dtypes = CompactKind.table_dtypes
    groups = sum(-(-(b - a) // 16) for a, b in pairwise(bands))
    return write_profile_of(
        path, {name: t.astype(dtypes.get(name, np.float32)) for name, t in tensors.items()},
        kind="compact" if dim else "predictive", dim=dim or rank,
        frequencies=level_tables(rng, rows, alphabet),
        config={"qualities": qualities, "default_quality": 2, "rows": rows, "alphabet": alphabet,
                "bands": bands, "hidden": hidden, "restore": hidden + 1},
        class_of=rng.integers(0, rows // 2 - 1, (qualities, rank)),
        flag_of=rng.integers(rows // 2, rows, (qualities, 2 * groups)),
    )  # fmt: skip


def write_rotation(path: Path, *, seed: int = (1 << 64) - 2, step: float = 0.05) -> Path:
    rng = np.random.default_rng(3)
    return write_profile_of(
        path, {"steps": np.array([step, 0.5]), "weights": np.full(2, 0.3)},
        kind="rotation", dim=0, frequencies=level_tables(rng, 6, 5),
        config={"qualities": 2, "default_quality": 1, "rows": 6, "alphabet": 5, "seed": seed},
        class_of=np.array([[0], [1]]), flag_of=np.array([[3, 4], [5, 3]]),
    )  # fmt: skip


def write_profile_of(
    path: Path, tensors: dict[str, Any], *, kind: str, dim: int, config: dict[str, Any],
    tables: int = 0, **parts: np.ndarray,
) -> Path:  # fmt: skip
    meta = {"kind": kind, "name": f"private/{path.stem}", "backbone": "none", "dim": dim,
            "config": config, "card": {}} | ({"tables": tables} if tables else {})  # fmt: skip
    parts = {f"tables.{k}": v if v.dtype == np.uint8 else v.astype(np.uint16)
             for k, v in parts.items()}  # fmt: skip
    write_profile(path, meta, tensors | parts)
    return path


# streams of every kind and coder


class Case:
    """A profile in both decoders, and streams of it."""

    def __init__(self, profile: Profile, path: Path | None = None) -> None:
        self.profile, self.kind, self.codec = profile, profile.kind.name, Codec(profile)
        self.at_hand = list(reference.registered())
        if path:
            self.at_hand.append(reference.Profile(path))

    def rows(self, rng: np.random.Generator, count: int) -> np.ndarray:
        if self.profile.statistics is not None:
            return self.profile.statistics.draw(count, int(rng.integers(1 << 32)))
        dim = self.profile.dim or int(rng.integers(1, 40) if rng.random() < 0.9 else 512)
        return rng.standard_normal((count, dim))

    def encoded(self, rng: np.random.Generator, count: int, coder: str) -> list[bytes]:
        """Embeddings, encoded at some quality."""
        highest = self.profile.kind.qualities
        while True:
            quality: Any = {"quality": int(rng.integers(1, highest + 1))} if highest else {}
            try:
                return self.codec.encode_embeddings(self.rows(rng, count), entropy=coder, **quality)
            except clipcodec.RateError:  # too few coefficients for so low a quality
                continue

    def drawn(
        self, rng: np.random.Generator, count: int, coder: str
    ) -> tuple[list[bytes], list[list[int]]]:
        """Symbols that no embedding would give, packed."""
        if self.kind == "pqvae":
            shape, qualities = (count, pqvae(self.profile).config.count), np.zeros(count, np.int64)
            symbols = rng.integers(0, pqvae(self.profile).config.codewords, shape)
        else:
            shape = (count, trellis(self.profile).count or int(rng.integers(1, 40)))
            qualities = rng.integers(1, self.profile.qualities + 1, count)
            largest = 1 << rng.integers(1, 16, shape)  # every magnitude's length as often
            symbols = rng.integers(-largest + 1, largest) * (rng.random(shape) < rng.random())
            symbols[:, 0] = rng.integers(1, 32768, count)  # of kind rotation, zeros are no stream
        found = Quantized(symbols, qualities)
        return streams.pack(self.profile, found, [coder]), symbols.tolist()


def make_cases(folder: Path, registered: bool = True) -> list[Case]:
    paths = [
        write_pqvae(folder / "two", 2, tables=1),
        write_pqvae(folder / "three", 3, tables=5),
        write_pqvae(folder / "deep", 40, tables=12, deep=True),
        write_pqvae(folder / "many", 300, tables=3),
        write_staged(folder / "one", [0, 1], hidden=0),
        write_staged(folder / "bands", [0, 1, 4, 21, 53], hidden=3),
        write_staged(folder / "wide", [0, 48, 80], hidden=2, alphabet=6),
        write_staged(folder / "first", [0, 1], hidden=0, dim=3),
        write_staged(folder / "some", [0, 1, 4, 21, 33], hidden=3, dim=53),
        write_staged(folder / "all", [0, 2, 20], hidden=2, alphabet=6, dim=20),
        write_rotation(folder / "rotation"),
    ]
    cases = [Case(read_profile(path), path) for path in paths]
    if registered:
        cases += [Case(registry.by_name(info.name)) for info in clipcodec.profiles()]
    return cases


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return make_cases(tmp_path_factory.mktemp("profiles"))


def each(cases: list[Case]) -> list[tuple[Case, str, bool]]:
    """Case, coder, and whether the profile is a small one."""
    return [(c, coder, c.profile.id in (None, 8)) for c in cases for coder in c.profile.kind.coders]


def by_reference(case: Case, stream: bytes) -> list[int] | str:
    """Symbols, or the class of the rejection."""
    try:
        found: list[int] = reference.symbols(stream, case.at_hand)
        return found
    except reference.Rejected as error:
        return str(error.kind)


def by_package(case: Case, stream: bytes) -> list[int] | str:
    try:
        symbols = case.codec.symbols(stream)
        if not symbols.any():
            case.codec.decode(stream)  # levels that are all zero: corrupt, of kind rotation
        return [int(s) for s in symbols]
    except clipcodec.DecodeError as error:
        return CLASSES[type(error)]


def agree(case: Case, stream: bytes) -> str:
    """Fails unless both return the same symbols or the same class; says which."""
    expected, found = by_package(case, stream), by_reference(case, stream)
    assert found == expected, f"{case.profile.name}: {stream.hex()}"
    return found if isinstance(found, str) else "accepted"


def damage(rng: np.random.Generator, stream: bytes) -> bytes:
    """One of the ways in which a stream goes wrong, or gets lost."""
    data, at = bytearray(stream), int(rng.integers(len(stream)))
    first = min(int(rng.integers(5)), len(stream) - 1)
    ways: list[Callable[[], object]] = [
        lambda: data.__setitem__(at, data[at] ^ 1 << int(rng.integers(8))),
        lambda: data.__setitem__(at, int(rng.integers(256))),
        lambda: data.__setitem__(first, int(rng.integers(256))),
        lambda: data.__delitem__(slice(at, None)),
        lambda: data.__delitem__(slice(first, None)),
        lambda: data.__delitem__(at),
        lambda: data.insert(at, int(rng.integers(256))),
        lambda: data.extend(rng.bytes(int(rng.integers(1, 4)))),
        lambda: data.append(0),
        lambda: data.__setitem__(slice(at, None), rng.bytes(len(data) - at)),
        lambda: data.__setitem__(slice(first, None), rng.bytes(int(rng.integers(12)))),
        lambda: data.reverse(),
        lambda: data.extend(bytes(7 * len(data))),
    ]
    ways[int(rng.integers(len(ways)))]()
    return bytes(data)


# (a) the examples of the text


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The made-up profiles of the text, with their ids."""
    folder = tmp_path_factory.mktemp("examples")
    config = PqvaeConfig(1, positions=7, channels=1, sub_dim=1, codewords=3, rank=1,
                    analysis=1, synthesis=1, blocks=1)  # fmt: skip
    ones = {name: np.ones(shape) for name, shape in PqvaeTransform.shapes(config).items()}
    fixed = write_profile_of(
        folder / "14", ones | {"codebook": np.ones((3, 1))}, kind="pqvae", dim=1, tables=1,
        config=config.to_meta(), frequencies=np.array([[32768, 16384, 16384]]),
        lengths=np.array([[1, 2, 2]], np.uint8), table_of=np.zeros(7),
    )  # fmt: skip
    shapes = PredictiveTransform.shapes([0, 1, 4], 1, 1, 1)
    some = {name: np.zeros(shape, DTYPES.get(name, float)) for name, shape in shapes.items()}
    some |= {"synthesis": np.eye(4), "scale": np.array([2, 1, 1, 1.0]), "steps": np.full(1, 0.5)}
    some |= {"weights": np.ones(1), "center": np.array([0, 0, 0, 1.0])}
    for name, value in {
        "log_step": -7, "predict.bias": 100, "predict.quality": 10, "predict.unit": 0.5,
        "predict.scale": 1 / 64, "predict.gain": 0.5, "restore.bias": 4, "restore.unit": 0.25,
        "restore.scale": 1 / 32, "restore.gain": 1.5,
    }.items():  # fmt: skip
        some[name][...] = value
    some["predict.hidden"][0, :, 0], some["predict.out"][0] = [1, 0, 0, 0], [2, 0, 0]
    some["restore.hidden"][:, 0], some["restore.out"][0] = [0, 2, 1, 0], [3, 0, 0, 0]
    f = [[32768, 16384, 8192, 8192], [16384, 32768, 16384, 0], [32768, 32768, 0, 0],
         [16384, 49152, 0, 0]]  # fmt: skip
    stages = write_profile_of(
        folder / "13", some, kind="predictive", dim=4, frequencies=np.array(f),
        config={"qualities": 1, "default_quality": 1, "rows": 4, "alphabet": 4,
                "bands": [0, 1, 4], "hidden": 1, "restore": 1},
        class_of=np.zeros((1, 4)), flag_of=np.array([[2, 3, 2, 3]]),
    )  # fmt: skip
    return [reference.Profile(fixed, id=14), reference.Profile(stages, id=13)]


@pytest.mark.parametrize(
    ("stream", "symbols"),
    [
        ("4e 24 18 93 2b", [0, 2, 1, 0, 0, 1, 2]),
        ("5e 71 60 d0 48", [0, 2, 1, 0, 0, 1, 2]),
        ("6e 4e d0 54 01", [0, 2, 1, 0, 0, 1, 2]),
        ("6d 01 ad c9 29 c3 26 a7 42 03", [0, -1, 5, 1]),
        ("6d 01 16 14 34 5e", [0, -1, 2, 1]),
    ],
)
def test_examples_of_the_text_hold(example: list[Any], stream: str, symbols: list[int]) -> None:
    assert reference.symbols(bytes.fromhex(stream), example) == symbols


def rejected_examples() -> list[tuple[str, str]]:
    """Stream and class of every row of the table at the end of section 5."""
    text = (FORMATS / "clipcodec-1.md").read_text("utf-8")
    table = text[text.index("| stream | breaks rule | class |") : text.index("## 6. Limits")]
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in table.splitlines()[2:]]
    return [(row[1].replace("(empty)", ""), row[3]) for row in rows if len(row) > 3]


@pytest.mark.parametrize(("stream", "kind"), rejected_examples())
def test_what_the_text_rejects_is_rejected(example: list[Any], stream: str, kind: str) -> None:
    with pytest.raises(reference.Rejected) as caught:
        reference.symbols(bytes.fromhex(stream), example)
    assert caught.value.kind == kind


def test_there_are_such_examples() -> None:
    assert len(rejected_examples()) > 9


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        ("6d 01", "truncated"),
        ("4d 01 16 14 34 5e", "corrupt"),
        ("6d 02 16 14 34 5e", "corrupt"),
        ("6d 01 16 14 34 5e 00", "corrupt"),
        ("6d 01 16 14 34", "corrupt"),
    ],
)
def test_what_the_page_of_levels_rejects_is_rejected(
    example: list[Any], stream: str, kind: str
) -> None:
    with pytest.raises(reference.Rejected) as caught:
        reference.symbols(bytes.fromhex(stream), example)
    assert caught.value.kind == kind


def test_embeddings_of_the_text_hold(example: list[Any]) -> None:
    stages = reference.embedding(bytes.fromhex("6d01adc929c326a74203"), example)
    assert stages == pytest.approx([0.576442, -0.125536, 0.737846, 0.327931], abs=1e-6)
    of_four = reference.Profile(FORMATS / "vectors/1/profiles/compact-of-four.safetensors")
    stream = bytes.fromhex("60e3a223d501be5519065765630b")
    assert reference.symbols(stream, [of_four]) == [0, -1, 5, 1]
    fifth = reference.embedding(stream, [of_four])
    assert fifth == pytest.approx([0.544020, -0.118476, 0.696346, 0.309487, 0.330644], abs=1e-6)
    assert (np.array(fifth, np.float32) == Codec(of_four.path).decode(stream)).all()
    stream = bytes.fromhex("683c0434324a8802")
    assert reference.symbols(stream, reference.registered()) == [5, 1, 0, -1]
    turned = reference.embedding(stream, reference.registered())
    assert turned == pytest.approx([0.208810, 0.392704, 0.522073, 0.727751], abs=1e-6)
    assert reference.splitmix(0x636C6970, 4) == reference.splitmix(0x636C6971, 4) == [1, -1, 1, 1]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("", "truncated"),
        ("00", "unsupported"),
        ("3f", "unsupported"),
        ("e4", "unsupported"),
        ("ff", "unsupported"),
        ("80", "truncated"),  # no payload
        ("b1", "truncated"),
        ("e3", "truncated"),
        ("e3 00", "corrupt"),
        ("7f", "unsupported"),  # before the profile is missed
        ("40 00 00 00", "truncated"),
        ("4f", "truncated"),
        ("4f 80", "truncated"),
        ("4f 80 00", "corrupt"),
        ("4f ff 80", "corrupt"),
        ("4f ff 7f", "unknown-profile"),
        ("4c", "unknown-profile"),  # before its parameters and its payload are missed
        ("47", "truncated"),  # parameters before the coder
        ("47 00", "corrupt"),
        ("47 01", "corrupt"),
        ("67", "corrupt"),  # the long form of what has a short one
        ("67 01", "corrupt"),
        ("69", "truncated"),
        ("69 01", "truncated"),
        ("68 00", "corrupt"),  # the quality before the width
        ("68 01 80 80", "truncated"),
        ("68 01 80 80 80", "corrupt"),
        ("48 01 80", "truncated"),
        ("48 01 01", "corrupt"),
        ("68 01 01", "truncated"),
        ("68 01 01 00", "corrupt"),
        ("51 00", "truncated"),
        ("51" + 700 * "00", "corrupt"),  # too long, whatever is in it
    ],
)
def test_classes_follow_the_order_of_reading(cases: list[Case], stream: str, expected: str) -> None:
    assert agree(cases[-1], bytes.fromhex(stream)) == expected


# (b) good streams


@pytest.mark.slow
def test_encoded_embeddings_have_equal_symbols(cases: list[Case]) -> None:
    rng, count = np.random.default_rng(1), Counter[str]()
    for case, coder, small in each(cases):
        for _ in range(30 if small else 1):
            for stream in case.encoded(rng, 20 if small else 60, coder):
                assert agree(case, stream) == "accepted"
                count[case.kind] += 1
    assert min(count.values()) > 1000


def test_packed_symbols_come_back(cases: list[Case]) -> None:
    """Also of tables and levels that no encoder would choose: escapes, long codes, all signs."""
    rng = np.random.default_rng(2)
    for case, coder, small in each(cases):
        for _ in range(20 if small else 2):
            made, symbols = case.drawn(rng, 20, coder)
            assert [by_reference(case, stream) for stream in made] == symbols


@pytest.mark.slow
def test_embeddings_are_equal(cases: list[Case]) -> None:
    rng = np.random.default_rng(3)
    for case, coder, small in each(cases):
        made = case.encoded(rng, 20 if small else 4, coder) + case.drawn(rng, 2, coder)[0]
        for stream in made:
            found = reference.embedding(stream, case.at_hand)
            decoded = case.codec.decode(stream)
            np.testing.assert_allclose(found, decoded, atol=1e-5)
            if case.kind in ("predictive", "compact"):  # exact by design: to the last bit
                assert (np.array(found, np.float32) == decoded).all()


@pytest.mark.parametrize("width", [1, 2, 15, 17, 251, 384, 16384])
def test_rotations_of_any_width_are_equal(width: int) -> None:
    x = np.random.default_rng(width).standard_normal(width)
    stream = clipcodec.encode_embedding(x, profile="any/rotation", quality=70)
    found = reference.embedding(stream, reference.registered())
    np.testing.assert_allclose(found, clipcodec.decode(stream), atol=1e-5)


# (c) streams that are damaged, or none


@pytest.mark.slow
def test_damaged_streams_meet_the_same_end(cases: list[Case]) -> None:
    rng, ends = np.random.default_rng(4), Counter[str]()
    for case, coder, small in each(cases):
        for stream in case.encoded(rng, 500 if small else 40, coder):
            ends[agree(case, damage(rng, stream))] += 1
    assert {"truncated", "unsupported", "unknown-profile", "corrupt"} <= ends.keys()


class _Anything:
    """Equal to every check value."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __format__(self, form: str) -> str:
        return "any"

    __hash__ = None  # type: ignore[assignment]


def _without_check_values(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    """In both decoders."""
    anything = np.array([_Anything()], object)
    for kind in {type(case.profile.kind) for case in cases}:
        monkeypatch.setattr(kind, "check_values", lambda *_: anything)
    monkeypatch.setattr(reference, "crc_hqx", lambda *_: _Anything())


@pytest.mark.slow
def test_payloads_are_read_alike(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without check values many random payloads are streams: the other rules decide."""
    rng, ends = np.random.default_rng(5), Counter[tuple[str, str]]()
    made = [
        (case, coder, case.encoded(rng, 400 if small else 10, coder))
        for case, coder, small in each(cases)
    ]
    _without_check_values(cases, monkeypatch)
    for case, coder, good in made:
        for stream in good:
            opened = reference.Stream(stream, case.at_hand)
            payload = rng.bytes(max(0, len(opened.payload) + int(rng.integers(-2, 3))))
            ends[coder, agree(case, opened.header + payload)] += 1
            ends[coder, agree(case, opened.header + damage(rng, opened.payload))] += 1
    assert min(ends[coder, "accepted"] for coder in ("raw", "huffman", "rans")) > 100
    assert min(ends[coder, "corrupt"] for coder in ("raw", "huffman", "rans")) > 100


def test_a_width_spelled_long_is_corrupt(
    cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For itself, not because the check value covers the header."""
    case = next(case for case in cases if case.profile.id == 8)
    stream = clipcodec.encode_embedding(np.arange(9.0), profile="any/rotation", quality=40)
    assert stream[:3].hex() == "682809"
    _without_check_values(cases, monkeypatch)
    for width, end in (("09", "accepted"), ("8900", "corrupt"), ("898000", "corrupt")):
        assert agree(case, stream[:2] + bytes.fromhex(width) + stream[3:]) == end


def test_levels_that_are_all_zero_are_no_streams_of_rotation(cases: list[Case]) -> None:
    for case in cases:
        if case.kind != "pqvae":
            count = trellis(case.profile).count
            zeros, one = np.zeros((1, count or 20), np.int64), np.ones(1, np.int64)
            stream = streams.pack(case.profile, Quantized(zeros, one), ["rans"])[0]
            assert agree(case, stream) == ("accepted" if case.profile.dim else "corrupt")


def test_a_disagreement_is_seen(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = cases[0].encoded(np.random.default_rng(6), 1, "raw")[0]
    agree(cases[0], stream)
    monkeypatch.setattr(reference, "crc_hqx", lambda *_: 0)
    with pytest.raises(AssertionError, match=stream.hex()):
        agree(cases[0], stream)


# (d) the decoder itself


def imports(source: str) -> set[str]:
    """The top-level modules that a program imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level else (node.module or "").partition(".")[0])
    return found


def test_it_imports_the_standard_library_alone() -> None:
    assert imports(DECODER.read_text("utf-8")) <= sys.stdlib_module_names
    found = imports("import os.path\nfrom clipcodec.entropy import rans\nfrom . import x")
    assert found == {"os", "clipcodec", "."}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Without site-packages and this folder: nothing but the standard library is there."""
    command = [sys.executable, "-I", "-S", str(DECODER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_runs_where_nothing_is_installed(tmp_path: Path) -> None:
    done = run("683c0434324a8802")
    assert (done.returncode, done.stderr) == (0, "")
    assert dict(line.split(maxsplit=1) for line in done.stdout.splitlines()) == {
        "profile": "any/rotation",
        "coder": "rans",
        "quality": "60",
        "symbols": "5 1 0 -1",
        "embedding": "0.208810 0.392704 0.522073 0.727751",
    }
    path = write_rotation(tmp_path / "private")
    case = Case(read_profile(path), path)
    (tmp_path / "stream").write_bytes(case.encoded(np.random.default_rng(7), 1, "rans")[0])
    done = run(str(tmp_path / "stream"))
    assert (done.returncode, done.stdout[:16]) == (1, "unknown-profile:")
    assert "private/private" in run(str(tmp_path / "stream"), "--profile", str(path)).stdout


def test_it_says_why_it_rejects() -> None:
    done = run("683c0434324a8803")
    assert (done.returncode, done.stdout.partition(":")[0]) == (1, "corrupt")
    assert run("").stdout == "truncated: ends before its first byte\n"
    assert run("no stream").returncode == 2


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("pqvae", "version", 2),
        ("pqvae", "kind", "other"),
        ("pqvae", "dim", 0),
        ("pqvae", "codewords", 1),
        ("pqvae", "channels", 7),
        ("pqvae", "positions", 5000),
        ("pqvae", "rank", 1),
        ("pqvae", "tables", 13),
        ("pqvae", "center", np.full(4, np.nan, np.float32)),
        ("pqvae", "center", np.full(4, 2e18, np.float32)),
        ("pqvae", "center", np.zeros(4, np.int32)),
        ("pqvae", "scale", np.zeros(1, np.float32)),
        ("pqvae", "tables.frequencies", np.array([[0, 65535, 1]], np.uint16)),
        ("pqvae", "tables.frequencies", np.array([[1, 1, 65535]], np.uint16)),
        ("pqvae", "tables.lengths", np.array([[2, 2, 2]], np.uint8)),
        ("pqvae", "tables.lengths", np.array([[0, 2, 2]], np.uint8)),
        ("pqvae", "tables.table_of", np.ones(12, np.uint16)),
        ("rotation", "dim", 3),
        ("rotation", "qualities", 0),
        ("rotation", "alphabet", 3),
        ("rotation", "rows", 1025),
        ("rotation", "seed", (1 << 64) - 1),
        ("rotation", "steps", np.zeros(2)),
        ("rotation", "tables.class_of", np.full((2, 1), 5, np.uint16)),
        ("rotation", "tables.flag_of", np.full((2, 2), 6, np.uint16)),
        ("predictive", "hidden", 16385),
        ("predictive", "bands", [0, 3, 2, 5]),
        ("predictive", "bands", [1, 5]),
        ("predictive", "bands", [0, 6]),
        ("predictive", "scale", np.full(5, -1.0)),
        ("compact", "dim", 0),
        ("compact", "dim", 16385),
        ("compact", "dim", 4),
        ("compact", "bands", [0, 8]),
        ("compact", "bands", [0]),
        ("compact", "bands", [0, 3, 2, 5]),
        ("compact", "basis", np.zeros((5, 7), np.float32)),
        ("compact", "basis", np.zeros((5, 6), np.int8)),
        ("compact", "shift", np.zeros(5, np.uint8)),
        ("compact", "shift", np.full(5, 31, np.uint8)),
        ("compact", "shift", np.full(5, 3, np.int8)),
        ("compact", "scale", np.full(5, 1e-19)),
    ],
)
def test_a_spoiled_profile_is_not_at_hand(tmp_path: Path, kind: str, name: str, value: Any) -> None:
    """Whatever the file says, there is one exception for it; values count once they are read."""
    path = {
        "pqvae": lambda: write_pqvae(tmp_path / "good", 3, tables=1),
        "rotation": lambda: write_rotation(tmp_path / "good"),
        "predictive": lambda: write_staged(tmp_path / "good", [0, 2, 5], hidden=1),
        "compact": lambda: write_staged(tmp_path / "good", [0, 2, 5], hidden=1, dim=7),
    }[kind]()
    reference.Profile(path).open()
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta, tensors = json.loads(header["__metadata__"]["clipcodec"]), safetensors.numpy.load(data)
    where = next(part for part in (tensors, meta["config"], meta) if name in part)
    where[name] = value
    text = json.dumps(meta)
    path.write_bytes(safetensors.numpy.save(tensors, metadata={"clipcodec": text}))
    with pytest.raises(clipcodec.WeightsError):
        read_profile(path)
    profile = reference.Profile(path)
    with pytest.raises(reference.Rejected, match=r"^unknown-profile: "):  # noqa: PT012
        profile.open()
        profile.tensor(name)


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, bytes(8), b"\2" + bytes(7) + b"{}", b"\1" * 99])
def test_a_file_of_another_kind_is_not_at_hand(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(reference.Rejected, match=r"^unknown-profile: "):
        reference.Profile(tmp_path / "file").open()


def main(total: int) -> None:
    """`total` streams of each kind through both decoders: good ones, and as many damaged."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        every = each(make_cases(Path(folder)))
        for kind in KINDS:
            ends, own = Counter[str](), [entry for entry in every if entry[0].kind == kind]
            while ends.total() < total:
                case, coder, _ = own[int(rng.integers(len(own)))]
                good = case.encoded(rng, 50, coder)
                drawn, symbols = case.drawn(rng, 50, coder)
                assert [by_reference(case, stream) for stream in drawn] == symbols
                for stream in good + drawn:
                    assert agree(case, stream) == "accepted"
                    ends[agree(case, damage(rng, stream))] += 1
                    ends["good"] += 1
            print(kind, dict(ends.most_common()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
