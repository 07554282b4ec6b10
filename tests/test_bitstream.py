"""clipcodec.bitstream: headers and check values, byte for byte as formats/clipcodec-1.md says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcodec.bitstream import (
    CODERS,
    MAX_PROFILE_ID,
    SHORT_QUALITIES,
    Header,
    begins,
    check_seed,
    check_value,
    split,
)
from clipcodec.errors import CorruptError, DecodeError, TruncatedError, UnsupportedError
from clipcodec.profile import registry

LITERAL = {
    "41": Header("raw", 1),
    "6e": Header("rans", 14),
    "4f00": Header("raw", 15),
    "4f05": Header("raw", 20),
    "4f7f": Header("raw", 142),
    "5f8001": Header("huffman", 143),
    "5f8501": Header("huffman", 148),
    "6fff7f": Header("rans", 16398),  # the greatest
    "604b672b24": Header("rans", digest=bytes.fromhex("4b672b24")),
}


@pytest.mark.parametrize(("text", "header"), LITERAL.items())
def test_literal_headers(text: str, header: Header) -> None:
    """The bytes of these headers never change."""
    assert header.to_bytes().hex() == text
    assert split(bytes.fromhex(text) + b"payload") == (header, b"payload")


SHORT = Header("rans", 7)


@pytest.mark.parametrize(("text", "quality"), [("80", 1), ("89", 10), ("b1", 50), ("e3", 100)])
def test_literal_short_forms(text: str, quality: int) -> None:
    """One byte for profile 7, rANS and the quality, which is handed on as one byte."""
    assert SHORT.to_bytes(bytes([quality])).hex() == text
    assert split(bytes.fromhex(text) + b"payload") == (SHORT, bytes([quality]) + b"payload")


def test_the_short_form_is_the_default_profiles() -> None:
    """With all of its qualities, and the only coder that it has."""
    profile = registry.by_name(registry.DEFAULT)
    assert (profile.id, profile.kind.coders) == (SHORT.profile_id, (SHORT.coder,))
    assert profile.kind.qualities == SHORT_QUALITIES == 100


def documented(first: int) -> str:
    """What the format says of a stream that begins with this byte; bytes 7f follow."""
    if first < 0x40 or first > 0xE3:
        return "unsupported"
    if first > 0x7F:
        return f"rans 7, quality {first - 0x7F}"
    if first > 0x6F:
        return "unsupported"  # coder 3
    if first == 0x67:
        return "corrupt"
    coder, low = ("raw", "huffman", "rans")[(first - 0x40) // 16], first % 16
    return f"{coder} {'7f7f7f7f' if low == 0 else 142 if low == 15 else low}"


@pytest.mark.parametrize("first", range(256))
def test_every_first_byte(first: int) -> None:
    """Long form, short form, or a typed error; `begins` leaves out only what no stream has."""
    stream = bytes([first]) + b"\x7f" * 8
    try:
        header, rest = split(stream)
    except UnsupportedError as error:
        found = "unsupported" if "upgrade clipcodec" in error.reason else "no remedy"
    except CorruptError:
        found = "corrupt"
    else:
        found = f"{header.coder} {header.profile_id or (header.digest or b'').hex()}"
        if len(rest) == len(stream):
            found += f", quality {rest[0]}"
        assert rest.endswith(b"\x7f\x7f\x7f\x7f")
    assert found == documented(first)
    assert begins(stream) == (0x40 <= first <= 0xE3)
    assert not begins(b"")


@pytest.mark.parametrize("text", ["67", "6700", "6701", "6732", "6764", "6765", "67ffff"])
def test_the_long_form_of_what_has_a_short_one_is_corrupt(text: str) -> None:
    """Whatever follows; the error names the short form and what to do."""
    message = (
        r"^first byte 0x67 is the long form of a header that has a short one \(profile 7, rans: "
        r"0x80 to 0xe3\): damaged, or made before the format was frozen \(encode again\)$"
    )
    with pytest.raises(CorruptError, match=message):
        split(bytes.fromhex(text))


@given(
    st.sampled_from(CODERS),
    st.integers(1, 20) | st.integers(1, MAX_PROFILE_ID),
    st.integers(1, 100),
    st.binary(max_size=9),
)
def test_registered_round_trip(coder: str, number: int, quality: int, payload: bytes) -> None:
    """Every registered id comes back, and takes 1, 2 or 3 bytes; none in the short form."""
    assert MAX_PROFILE_ID == 16398
    header, parameters = Header(coder, number), bytes([quality])
    data = header.to_bytes(parameters)
    named = 0 if header == SHORT else 1 if number < 15 else 2 if number < 143 else 3
    assert len(data) == named + 1
    assert split(data + payload) == (header, parameters + payload)


@given(st.binary(max_size=8))
def test_any_bytes_split_canonically_or_raise(data: bytes) -> None:
    """A header that is accepted is the only spelling of what it says."""
    try:
        header, rest = split(data)
    except DecodeError:
        return
    parameters = rest[:1] if header == SHORT else b""
    assert header.to_bytes(parameters) + rest[len(parameters) :] == data


def test_empty_is_truncated() -> None:
    with pytest.raises(TruncatedError, match=r"^empty: expected at least a header byte$"):
        split(b"")


@pytest.mark.parametrize("first", [0x00, 0x3F])
def test_other_versions_are_unsupported(first: int) -> None:
    with pytest.raises(UnsupportedError, match=r"says format version 0, .* one from a later"):
        split(bytes([first, 1, 2, 3]))


@pytest.mark.parametrize("first", [0xE4, 0xFF])
def test_reserved_first_bytes_are_unsupported(first: int) -> None:
    """The error names the byte, those that this release reads, and the remedy."""
    message = (
        rf"^first byte 0x{first:02x} is reserved, this release reads 0x40 to 0xe3: not a clipcodec "
        r"stream, or one from a later release \(upgrade clipcodec\)$"
    )
    with pytest.raises(UnsupportedError, match=message):
        split(bytes([first]))


def test_coder_three_is_unsupported() -> None:
    """The error names the coder, those that this release knows, and the remedy."""
    message = (
        r"coder 3 is unknown: this release knows 0 to 2 \(raw, huffman, rans\); upgrade clipcodec"
    )
    with pytest.raises(UnsupportedError, match=message):
        split(b"\x71abc")


@pytest.mark.parametrize(
    ("text", "what"),
    [("4f", "profile id"), ("4f80", "profile id"), ("40", "profile digest"),
     ("40aabbcc", "profile digest")],
)  # fmt: skip
def test_headers_cut_short_are_truncated(text: str, what: str) -> None:
    """The error says how much there is, and what it ends in."""
    message = rf"^ends inside its {what}, after {len(text) // 2} bytes$"
    with pytest.raises(TruncatedError, match=message):
        split(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["4f8000", "4f8080"])
def test_long_spellings_of_an_id_are_corrupt(text: str) -> None:
    """The error shows the id's bytes, no more."""
    with pytest.raises(CorruptError, match=rf"bytes {text[2:]} are not in their shortest form"):
        split(bytes.fromhex(text) + b"payload")


@pytest.mark.parametrize(
    "header",
    [Header("raw"), Header("raw", 0), Header("raw", 16399),
     Header("raw", digest=b"abc"), Header("raw", 1, b"abcd")],
)  # fmt: skip
def test_headers_that_cannot_be_written(header: Header) -> None:
    with pytest.raises(ValueError, match=r"profile"):
        header.to_bytes()


@pytest.mark.parametrize("parameters", [b"", b"\0", b"\x65", b"\x32\x32"])
def test_short_forms_that_cannot_be_written(parameters: bytes) -> None:
    with pytest.raises(ValueError, match=r"profile 7 needs a quality in one byte, 1 … 100"):
        SHORT.to_bytes(parameters)


def test_check_value_is_crc16_ibm3740() -> None:
    """The catalogue's check input gives 29b1; a digest counts as if it stood in the header."""
    assert check_value(check_seed(b"1234", None), b"56789") == 0x29B1
    assert check_value(check_seed(b"12", b"34"), b"56789") == 0x29B1
