"""clipcodec.bitstream: headers and check values, byte for byte as formats/clipcodec-1.md says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcodec.bitstream import CODERS, MAX_PROFILE_ID, Header, check_seed, check_value, split
from clipcodec.errors import CorruptError, DecodeError, TruncatedError, UnsupportedError

LITERAL = {
    "41": Header("raw", 1),
    "6e": Header("rans", 14),
    "4f00": Header("raw", 15),
    "4f05": Header("raw", 20),
    "4f7f": Header("raw", 142),
    "5f8001": Header("huffman", 143),
    "5f8501": Header("huffman", 148),
    "6fff7f": Header("rans", 16398),  # the greatest
    "608ccbcc60": Header("rans", digest=bytes.fromhex("8ccbcc60")),
}


@pytest.mark.parametrize(("text", "header"), LITERAL.items())
def test_literal_headers(text: str, header: Header) -> None:
    """The bytes of these headers never change."""
    assert header.to_bytes().hex() == text
    assert split(bytes.fromhex(text) + b"payload") == (header, b"payload")


@given(st.sampled_from(CODERS), st.integers(1, MAX_PROFILE_ID), st.binary(max_size=9))
def test_registered_round_trip(coder: str, number: int, payload: bytes) -> None:
    """Every registered id comes back, and takes 1, 2 or 3 bytes."""
    assert MAX_PROFILE_ID == 16398
    header = Header(coder, number)
    data = header.to_bytes()
    assert len(data) == (1 if number < 15 else 2 if number < 143 else 3)
    assert split(data + payload) == (header, payload)


@given(st.binary(max_size=8))
def test_any_bytes_split_canonically_or_raise(data: bytes) -> None:
    """A header that is accepted is the only spelling of what it says."""
    try:
        header, payload = split(data)
    except DecodeError:
        return
    assert header.to_bytes() + payload == data


def test_empty_is_truncated() -> None:
    with pytest.raises(TruncatedError, match=r"^empty: expected at least a header byte$"):
        split(b"")


@pytest.mark.parametrize("first", [0x00, 0x3F, 0x81, 0xC1, 0xFF])
def test_other_versions_are_unsupported(first: int) -> None:
    with pytest.raises(UnsupportedError, match=f"version {first >> 6}"):
        split(bytes([first, 1, 2, 3]))


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


def test_check_value_is_crc16_ibm3740() -> None:
    """The catalogue's check input gives 29b1; a digest counts as if it stood in the header."""
    assert check_value(check_seed(b"1234", None), b"56789") == 0x29B1
    assert check_value(check_seed(b"12", b"34"), b"56789") == 0x29B1
