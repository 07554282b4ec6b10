"""clipcodec.codec: bytes in, the right embedding or a typed error out."""

from __future__ import annotations

import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import clipcodec
from clipcodec import Codec, Target
from clipcodec.bitstream import CODERS, check_seed, check_value
from clipcodec.errors import (
    CorruptError,
    DecodeError,
    EmbeddingError,
    OptionError,
    ProfileError,
    RateError,
    TruncatedError,
    UnknownProfileError,
    UnsupportedError,
    WeightsError,
)
from clipcodec.profile.file import Profile
from tests.helpers.profiles import cone, drawn, write_tiny_predictive, write_tiny_profile


@pytest.fixture(scope="session")
def codec(tiny: Profile) -> Codec:
    return Codec(tiny)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8))


@settings(max_examples=200, deadline=None)
@given(arrays(np.float64, 8, elements=st.floats(-1e9, 1e9)), st.sampled_from(CODERS))
def test_any_direction_round_trips_to_what_the_encoder_saw(
    codec: Codec, x: np.ndarray, entropy: str
) -> None:
    """Every nonzero vector encodes; decoding gives unit float32 rows, alike for all coders."""
    if not x.any():
        with pytest.raises(EmbeddingError):
            codec.encode_embedding(x)
        return
    y = codec.decode(codec.encode_embedding(x, entropy=entropy))
    assert y.shape == (8,)
    assert y.dtype == np.float32
    assert abs(np.linalg.norm(y) - 1) < 1e-5
    assert (y == codec.decode(codec.encode_embedding(3 * x))).all()


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=30), st.integers(0, 255).map(lambda i: bytes([i]) * 9)))
def test_any_bytes_decode_or_raise_decode_error(codec: Codec, data: bytes) -> None:
    for read in (codec.decode, codec.info, clipcodec.decode, clipcodec.info):
        try:
            read(data)
        except DecodeError as error:
            assert str(error)  # noqa: PT017


@pytest.mark.parametrize("entropy", CODERS)
def test_every_truncation_and_bit_flip_is_detected(codec: Codec, entropy: str) -> None:
    """One stream for each coder; so is every doubling of its last byte."""
    stream = codec.encode_embedding(rows(1)[0], entropy=entropy)
    damaged = [stream[:n] for n in range(len(stream))] + [stream + b"\0", stream + stream[-1:]]
    for bit in range(8 * len(stream)):
        flipped = bytearray(stream)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for data in damaged:
        with pytest.raises(DecodeError):
            codec.decode(data)


def test_batch_and_single_give_the_same(codec: Codec) -> None:
    x = rows(50)
    streams = codec.encode_embeddings(x)
    assert streams == [codec.encode_embedding(row) for row in x]
    y = codec.decode_batch(streams)
    assert np.allclose(y, [codec.decode(s) for s in streams], atol=1e-6)


def test_auto_is_the_shortest(codec: Codec) -> None:
    x = rows(200)
    sizes = {e: [len(s) for s in codec.encode_embeddings(x, entropy=e)] for e in (*CODERS, "auto")}
    assert sizes["auto"] == np.min([sizes[e] for e in CODERS], axis=0).tolist()
    assert len({tuple(sizes[e]) for e in CODERS}) == 3


def test_bytes_like_streams_are_taken_and_others_refused(codec: Codec) -> None:
    stream = codec.encode_embedding(rows(1)[0])
    expected = codec.decode(stream)
    given: Any
    for given in (bytearray(stream), memoryview(stream)):
        assert (codec.decode(given) == expected).all()
    for wrong in (None, 3, [stream]):
        with pytest.raises(DecodeError, match="expected the bytes"):
            codec.decode(wrong)  # type: ignore[arg-type]


def test_no_streams_and_no_embeddings(codec: Codec) -> None:
    assert codec.encode_embeddings(np.empty((0, 8))) == []
    assert codec.decode_batch([]).shape == (0, 8)


def test_info_says_what_a_stream_is(codec: Codec, tiny: Profile) -> None:
    stream = codec.encode_embedding(rows(1)[0], entropy="huffman")
    info = codec.info(stream)
    assert (info.version, info.profile, info.entropy) == (1, "private/tiny", "huffman")
    assert (info.profile_id, info.digest) == (None, tiny.digest.hex())
    assert (info.dim, info.symbols, info.size, info.header_size) == (8, 12, len(stream), 5)
    assert info.bits_per_dimension == len(stream)
    with pytest.raises(DecodeError):
        codec.info(stream[:-1] + bytes([stream[-1] ^ 128]))


def test_a_private_stream_names_the_missing_profile(codec: Codec, tiny: Profile) -> None:
    stream = codec.encode_embedding(rows(1)[0])
    with pytest.raises(UnknownProfileError, match=tiny.digest[:4].hex()):
        clipcodec.decode(stream)


def test_a_private_stream_of_another_profile_is_not_ours(tmp_path: Path, codec: Codec) -> None:
    other = Codec(write_tiny_profile(tmp_path / "other.safetensors", seed=5))
    with pytest.raises(UnknownProfileError):
        other.decode(codec.encode_embedding(rows(1)[0]))


def test_the_check_value_covers_a_private_profiles_whole_digest(
    codec: Codec, tiny: Profile
) -> None:
    """Two profiles that share their first four digest bytes are still told apart."""
    twin = dataclasses.replace(tiny, digest=tiny.digest[:-1] + b"\0")
    with pytest.raises(CorruptError):
        Codec(twin).decode(codec.encode_embedding(rows(1)[0]))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"quality": 50}, OptionError),
        ({"quality": 5, "max_bytes": 9}, OptionError),
        ({"max_bytes": 5}, RateError),
        ({"min_cosine": 0.99999}, RateError),
        ({"entropy": "zip"}, OptionError),
    ],
)
def test_what_a_fixed_rate_cannot_offer(
    codec: Codec, options: dict[str, Any], error: type[Exception]
) -> None:
    for encode in (codec.encode_embeddings, lambda x, **o: codec.encode_embedding(x[0], **o)):
        with pytest.raises(error):
            encode(rows(3), **options)


def test_a_damaged_stream_among_many_is_named(codec: Codec) -> None:
    streams = codec.encode_embeddings(rows(30), entropy="raw")
    for damaged in (streams[20][:-1], b"", b"\xff" + streams[20][1:]):
        with pytest.raises(DecodeError, match=r"^stream 20: "):
            codec.decode_batch([*streams[:20], damaged, *streams[21:]])


@pytest.mark.parametrize("wrong", [b"", b"abc", "abc", None, 3])
def test_one_stream_is_not_a_batch(codec: Codec, wrong: object) -> None:
    with pytest.raises(DecodeError, match="expected several streams"):
        codec.decode_batch(wrong)  # type: ignore[arg-type]


def test_one_image_is_not_a_batch(codec: Codec) -> None:
    with pytest.raises(OptionError, match="encode takes one"):
        codec.encode_batch("photo.jpg")


def test_names_and_paths_of_a_codec_are_text() -> None:
    for wrong in (b"weights.pt", 5):
        with pytest.raises(OptionError, match=r"^weights is \w+: expected the path of a file"):
            Codec(weights=wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="backbone is bytes: expected a name"):
        Codec(backbone=b"openai-vit-b-32")  # type: ignore[arg-type]


def test_weights_are_an_argument_wherever_images_are_encoded(tmp_path: Path) -> None:
    """Errors about the backbone name it."""
    image, path = np.zeros((8, 8, 3), np.uint8), tmp_path / "none.pt"
    for encode in (clipcodec.encode, lambda x, **o: clipcodec.encode_batch([x], **o)):
        with pytest.raises(WeightsError, match=r"none\.pt' does not exist"):
            encode(image, weights=path)


def test_one_shot_functions_decode_with_a_private_profile(
    codec: Codec, tiny: Profile, tmp_path: Path
) -> None:
    """As they encode with one: by path, or loaded. Streams of registered ones need none."""
    path = write_tiny_profile(tmp_path / "own.safetensors")
    x = rows(3)
    streams = clipcodec.encode_embeddings(x, profile=path)
    own = Codec(path)
    for profile in (path, str(path), own.profile):
        assert (clipcodec.decode(streams[0], profile=profile) == own.decode(streams[0])).all()
        both = clipcodec.decode_batch(streams, profile=profile)
        assert (both == own.decode_batch(streams)).all()
        assert clipcodec.info(streams[0], profile=profile) == own.info(streams[0])
    for decode in (clipcodec.decode, clipcodec.info):
        with pytest.raises(UnknownProfileError, match=r"profile=FILE or --profile FILE"):
            decode(streams[0])
    named = clipcodec.encode_embedding(np.ones(16), profile="any/rotation")
    assert (clipcodec.decode(named, profile=path) == clipcodec.decode(named)).all()


def test_a_registered_profile_by_path_is_the_registered_one() -> None:
    """Its streams carry the id; those with its digest, from before, are read as well."""
    from clipcodec.profile.registry import _FOLDER, by_name, registered
    from clipcodec.stream import pack

    row = registered()[0]
    assert Codec(_FOLDER / row.file).profile is by_name(row.name)
    early = dataclasses.replace(by_name(row.name), id=None)
    statistics = early.statistics
    assert statistics is not None
    x = statistics.draw(1, seed=0)
    stream = pack(early, early.kind.quantize(x, Target(), 0), ["raw"])[0]
    assert stream[0] & 15 == 0
    expected = clipcodec.decode(clipcodec.encode_embedding(x[0], profile=row.name))
    assert np.allclose(clipcodec.decode(stream), expected, atol=1e-6)
    assert clipcodec.info(stream).profile == row.name


def test_adjacent_damage_of_raw_streams_never_passes() -> None:
    """Random bursts of up to 16 bits, anywhere in the stream."""
    name = clipcodec.profiles()[0].name
    x = drawn(1, name)[0]
    stream = clipcodec.encode_embedding(x, profile=name, entropy="raw")
    value, rng = int.from_bytes(stream, "big"), np.random.default_rng(0)
    for _ in range(3000):
        burst = int(rng.integers(1, 1 << 16)) << int(rng.integers(0, 8 * len(stream) - 16))
        with pytest.raises(DecodeError):
            clipcodec.decode((value ^ burst).to_bytes(len(stream), "big"))


def test_profiles_are_named_or_found(tmp_path: Path) -> None:
    for wrong in (5, b"x"):
        with pytest.raises(ProfileError, match="expected a name, a path or a URL"):
            Codec(wrong)  # type: ignore[arg-type]
    with pytest.raises(ProfileError, match=r"no profile 'nothing'; known: openai-vit-b-32/"):
        Codec("nothing")
    with pytest.raises(WeightsError, match="cannot be read"):
        Codec(tmp_path / "none.safetensors")


def test_one_codec_serves_many_threads(codec: Codec) -> None:
    x = rows(64)
    expected = codec.encode_embeddings(x)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda row: codec.encode_embedding(row), x)) == expected
        assert np.allclose(list(pool.map(codec.decode, expected)), codec.decode_batch(expected),
                           atol=1e-6)  # fmt: skip


def test_errors_pickle(codec: Codec) -> None:
    """Errors cross process borders, as worker pools need."""
    with pytest.raises(TruncatedError) as caught:
        codec.decode(b"")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is TruncatedError
    assert str(again) == str(caught.value)


# profiles of all rates


@pytest.fixture(scope="session")
def variable(rates: Profile) -> Codec:
    return Codec(rates)


def test_info_says_quality_and_width(variable: Codec, rates: Profile) -> None:
    x = cone(1, 24, seed=1)[0]
    stream = variable.encode_embedding(x, quality=37)
    info = variable.info(stream)
    assert (info.profile, info.profile_id, info.digest) == ("private/rates", None,
                                                            rates.digest.hex())  # fmt: skip
    assert (info.quality, info.entropy, info.dim, info.symbols) == (37, "rans", 24, 24)
    assert (info.size, info.header_size) == (len(stream), 6)
    assert stream[:6] == bytes([0x60]) + rates.digest[:4] + bytes([37])
    assert 0 < info.size - info.header_size - info.information < 4
    stream = clipcodec.encode_embedding(np.tile(x, 10), profile="any/rotation", quality=37)
    info = clipcodec.info(stream)
    assert stream[:4].hex() == "6825f001"  # version 1, rANS, profile 8, quality 37, width 240
    assert (info.profile, info.profile_id, info.digest) == ("any/rotation", 8, None)
    assert (info.quality, info.dim, info.header_size, info.backbone) == (37, 240, 4, "any")
    fixed = clipcodec.encode_embedding(np.ones(512), profile="openai-vit-b-32/pqvae-400")
    assert clipcodec.info(fixed).quality is None


# the short form, of the default profile


@pytest.fixture(scope="module")
def default_rows() -> np.ndarray:
    statistics = Codec().profile.statistics
    assert statistics is not None
    return statistics.draw(12, seed=7)


def repacked(stream: bytes, head: bytes, profile: Profile | None = None) -> bytes:
    """The symbols of a stream of levels behind another header, with the check value it needs."""
    parsed = clipcodec.Codec().parse(stream)
    kind, symbols = parsed.profile.kind, Codec().symbols(stream)[None]
    seed = check_seed(head, None if profile is None else profile.digest)
    check = check_value(seed, kind.packed(symbols)[0])
    quality = np.array([parsed.parameters.quality])
    return head + kind.encode("rans", symbols, quality, [check])[0]


@pytest.mark.parametrize(("quality", "first"), [(1, 0x80), (50, 0xB1), (100, 0xE3)])
def test_streams_of_the_default_profile_have_one_byte_of_header(
    default_rows: np.ndarray, quality: int, first: int
) -> None:
    """It is all of the header that the check value covers."""
    (stream,) = clipcodec.encode_embeddings(default_rows[:1], quality=quality)
    info = clipcodec.info(stream)
    assert (stream[0], info.header_size, info.quality) == (first, 1, quality)
    assert (info.version, info.profile, info.profile_id, info.entropy) == (
        1, "openai-vit-b-32/predictive", 7, "rans"
    )  # fmt: skip
    assert repacked(stream, bytes([first])) == stream


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_the_long_form_of_a_default_stream_is_rejected(
    default_rows: np.ndarray, quality: int
) -> None:
    """Its check value is right; a batch names it. The profile's digest is another name."""
    (short,) = clipcodec.encode_embeddings(default_rows[:1], quality=quality)
    long = repacked(short, bytes([0x67, quality]))
    for read in (clipcodec.decode, clipcodec.info, Codec().symbols):
        with pytest.raises(CorruptError, match="0x67 is the long form"):
            read(long)
    with pytest.raises(CorruptError, match="0x67 is the long form") as caught:
        clipcodec.decode_batch([short, long, short])
    assert caught.value.rows == (1,)
    profile = Codec().profile
    by_digest = repacked(short, b"\x60" + profile.digest[:4] + bytes([quality]), profile)
    both = clipcodec.decode_batch([short, by_digest])
    assert (both[0] == both[1]).all()
    assert Codec().info(by_digest).header_size == 6


def test_the_byte_saved_goes_to_the_payload(default_rows: np.ndarray) -> None:
    streams = clipcodec.encode_embeddings(default_rows, max_bytes=50)
    assert max(map(len, streams)) == 50
    assert {clipcodec.info(stream).header_size for stream in streams} == {1}


def test_short_forms_of_all_qualities_decode_together(default_rows: np.ndarray) -> None:
    """And each as it does alone; the first byte is the quality and nothing else."""
    streams = [
        clipcodec.encode_embedding(x, quality=q)
        for x, q in zip(default_rows, (1, 2, 3, 10, 25, 49, 50, 51, 75, 98, 99, 100), strict=True)
    ]
    assert [s[0] - 0x7F for s in streams] == [clipcodec.info(s).quality for s in streams]
    together = clipcodec.decode_batch(streams)
    alone = np.stack([clipcodec.decode(stream) for stream in streams])
    assert np.abs(together - alone).max() < 1e-5
    assert len({parsed.header for parsed in Codec().parse_batch(streams)}) == 1


@pytest.mark.parametrize("first", [0xE4, 0xFF, 0x3F])
def test_reserved_first_bytes_are_refused(default_rows: np.ndarray, first: int) -> None:
    (stream,) = clipcodec.encode_embeddings(default_rows[:1])
    with pytest.raises(UnsupportedError, match="a later release"):
        clipcodec.decode(bytes([first]) + stream[1:])


def test_a_short_form_without_payload_is_truncated() -> None:
    with pytest.raises(TruncatedError):
        clipcodec.decode(b"\xb1")


def test_symbols_are_the_levels(variable: Codec) -> None:
    streams = variable.encode_embeddings(cone(3, 24, seed=1), quality=80)
    levels = variable.symbols(streams[0])
    assert levels.shape == (24,)
    assert levels.any()
    with pytest.raises(DecodeError):
        variable.symbols(streams[0][:-1])


@pytest.mark.parametrize("entropy", ["huffman", "raw"])
def test_variable_rates_have_one_coder(variable: Codec, entropy: str) -> None:
    x = cone(2, 24)
    assert variable.encode_embeddings(x, entropy="rans") == variable.encode_embeddings(x)
    for codec in (variable, Codec("any/rotation")):
        with pytest.raises(OptionError, match=rf"entropy='{entropy}': profile .* has auto, rans"):
            codec.encode_embeddings(x, entropy=entropy)


def test_a_private_profile_of_all_rates_is_named(
    tmp_path: Path, variable: Codec, rates: Profile
) -> None:
    stream = variable.encode_embedding(cone(1, 24)[0])
    other = Codec(write_tiny_predictive(tmp_path / "other.safetensors", name="private/other"))
    for reader in (clipcodec.decode, clipcodec.info, other.decode):
        with pytest.raises(UnknownProfileError, match=rates.digest[:4].hex()):
            reader(stream)


@settings(max_examples=300)
@given(st.binary(max_size=40), st.sampled_from(["", "68", "6832", "683218"]))
def test_any_bytes_of_a_variable_rate(variable: Codec, data: bytes, start: str) -> None:
    """After its header or any/rotation's: an embedding, or DecodeError."""
    head = bytes.fromhex(start) or bytes([0x60]) + variable.profile.digest[:4]
    for read in (variable.decode, variable.info, lambda s: variable.decode_batch([s] * 30)):
        try:
            read(head + data)
        except DecodeError as error:
            assert str(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["rates", "any/rotation"])
def test_damage_to_a_variable_rate_is_detected(rates: Profile, name: str) -> None:
    """Every truncation, every bit flipped, quality and width among them."""
    codec = Codec(rates if name == "rates" else name)
    stream = codec.encode_embedding(cone(1, 24, seed=4)[0], quality=60)
    damaged = [stream[:n] for n in range(len(stream))] + [stream + b"\0", stream + stream[-1:]]
    for bit in range(8 * len(stream)):
        flipped = bytearray(stream)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for data in damaged:
        with pytest.raises(DecodeError):
            codec.decode(data)


def test_levels_out_of_range_are_an_embedding_error(tmp_path: Path) -> None:
    """Rows hardly different from each other train tiny steps, too fine for what is far away."""
    from clipcodec.training.predictive import train
    from clipcodec.training.recipe import Recipe

    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", 1 + 1e-4 * rng.normal(size=(1100, 24)))
    train([str(tmp_path / "x.npy")], tmp_path / "p", Recipe(hidden=0), name="n", backbone="none")
    codec, x = Codec(tmp_path / "p"), rng.normal(size=(30, 24))
    with pytest.raises(EmbeddingError, match="a level above 32767") as caught:
        codec.encode_embeddings(x, quality=100)
    assert caught.value.rows == tuple(range(30))
    near = codec.decode_batch(codec.encode_embeddings(x, quality=10)) * x
    assert (near.sum(axis=1) > 0.9 * np.linalg.norm(x, axis=1)).all()
    assert max(map(len, codec.encode_embeddings(x, max_bytes=80))) <= 80


def test_backbones_choose_profiles() -> None:
    """One that has a trained profile gets it; any other gets the untrained one, in its own name."""
    assert Codec(backbone="openai-vit-b-32").profile.name == "openai-vit-b-32/predictive"
    assert Codec(backbone="nobodys-model").profile.name == "any/rotation"
    assert Codec("any/rotation", backbone="nobodys-model").profile.name == "any/rotation"
    Codec("openai-vit-b-32/pqvae-400", backbone="openai-vit-b-32")
    with pytest.raises(OptionError, match="the profile is for 'openai-vit-b-32'; leave one out"):
        Codec("openai-vit-b-32/pqvae-400", backbone="openai-vit-l-14")


# the shipped profiles


@pytest.mark.slow
def test_shipped_profiles_beat_their_floors_on_unseen_embeddings(real_rows: np.ndarray) -> None:
    """Cosine rises with the rate; sizes are exact; every coder gives the same embedding."""
    floors = {"400": 0.95, "600": 0.965, "800": 0.97, "1000": 0.975, "1200": 0.98, "2000": 0.985}
    last = 0.0
    for row in clipcodec.profiles():
        if row.kind != "pqvae":
            continue
        streams = clipcodec.encode_embeddings(real_rows, profile=row.name)
        assert max(map(len, streams)) <= (row.bits or 0) // 8 + 3
        y = clipcodec.decode_batch(streams)
        cosine = float((y * real_rows).sum(axis=1).mean())
        assert cosine > max(last, floors[row.name.rsplit("-", 1)[1]])
        last = cosine
        assert _overhead(row.name, real_rows).mean() < 3.5
        assert _overhead(row.name, real_rows).max() < 4.15
        for entropy in CODERS:
            one = clipcodec.encode_embedding(real_rows[0], profile=row.name, entropy=entropy)
            assert np.allclose(clipcodec.decode(one), y[0], atol=1e-5)
            assert clipcodec.info(one).profile == row.name


def _overhead(name: str, x: np.ndarray) -> np.ndarray:
    """Bytes of header, check value and coder ending: beyond the information in the symbols."""
    profile = Codec(name).profile
    information = profile.kind.information(*profile.kind.quantize(x, Target(), 0)) / 8
    sizes = [len(s) for s in clipcodec.encode_embeddings(x, profile=name, entropy="rans")]
    return np.array(sizes) - information
