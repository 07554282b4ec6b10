"""clipcodec.text_form: one text for each stream, and words for what is none."""

from __future__ import annotations

import base64
import csv
import io
import json
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipcodec
from clipcodec import Codec, CorruptError, DecodeError, TruncatedError, from_text, to_text
from clipcodec.bitstream import begins
from clipcodec.text_form import check_start, explain, mistaken_bytes
from tests.helpers.profiles import drawn

ROWS = drawn(80, seed=3)
STREAMS = clipcodec.encode_embeddings(ROWS, mean_bytes=50)
TEXTS = [to_text(stream) for stream in STREAMS]
DECODED = clipcodec.decode_batch(STREAMS)
STREAM, TEXT = STREAMS[0], TEXTS[0]


def test_text_is_base64url_without_padding() -> None:
    """RFC 4648, section 5: four characters for three bytes, the rest as short as can be."""
    for stream, text in zip(STREAMS, TEXTS, strict=True):
        assert text == base64.urlsafe_b64encode(stream).decode().rstrip("=")
        assert len(text) == -(-len(stream) * 4 // 3)
        assert from_text(text) == stream


@given(st.binary(min_size=1, max_size=90).filter(begins))
def test_every_stream_has_one_text_which_begins_no_formula(stream: bytes) -> None:
    text = to_text(stream)
    assert from_text(text) == stream == from_text(np.str_(text))
    assert text[0] in string.ascii_letters + "01234"


@given(st.text(string.ascii_letters + string.digits + "-_= \n+/", max_size=12))
def test_any_text_is_the_one_text_of_its_bytes_or_an_error(text: str) -> None:
    try:
        stream = from_text(text)
    except DecodeError:
        stream = None
    if stream is not None:
        assert base64.urlsafe_b64encode(stream).decode().rstrip("=") == text


def test_all_that_takes_streams_takes_their_texts() -> None:
    """One, few, many; beside bytes; in any sequence."""
    assert (clipcodec.decode(TEXT) == DECODED[0]).all()
    assert clipcodec.info(TEXT) == clipcodec.info(STREAM)
    assert (Codec().symbols(TEXT) == Codec().symbols(STREAM)).all()
    mixed: Any
    for mixed in (TEXTS[:5], TEXTS, [*STREAMS[:70], *TEXTS[70:]], iter(TEXTS), np.array(TEXTS)):
        found = clipcodec.decode_batch(mixed)
        assert (found == DECODED[: len(found)]).all()
    queries = ROWS[:3]
    scores, indices = clipcodec.search(STREAMS, queries, k=4)
    by_text = clipcodec.search(TEXTS, queries, k=4)
    assert (by_text.scores == scores).all()
    assert (by_text.indices == indices).all()
    assert len(clipcodec.SearchIndex(TEXTS)) == len(TEXTS)


def test_json_and_csv_give_back_what_they_were_given() -> None:
    assert json.loads(json.dumps(TEXTS)) == TEXTS
    file = io.StringIO(newline="")
    csv.writer(file).writerows([[i, text] for i, text in enumerate(TEXTS)])
    file.seek(0)
    assert (clipcodec.decode_batch([row[1] for row in csv.reader(file)]) == DECODED).all()


LATIN = STREAM.decode("latin-1")
MISTAKES: dict[str, tuple[Any, str]] = {
    "str": (str(STREAM), r"Python's way to show bytes.*store clipcodec.to_text\(stream\)"),
    "str in quotes": (f'"{STREAM!r}"', "Python's way to show bytes"),
    "str of a bytearray": (str(bytearray(STREAM)), "Python's way to show bytes"),
    "str of a memoryview": (str(memoryview(STREAM)), "Python's way .*the bytes are lost"),
    "str, cut": (str(STREAM)[:40], "Python's way to show bytes"),
    "str, as bytes": (str(STREAM).encode(), "Python's way to show bytes"),
    "hex": (STREAM.hex(), "hexadecimal digits.*bytes.fromhex"),
    "hex in capitals": (STREAM.hex().upper(), "hexadecimal digits.*bytes.fromhex"),
    "hex of PostgreSQL": ("\\x" + STREAM.hex(), "hexadecimal digits"),
    "hex of SQL Server": ("0x" + STREAM.hex(), "hexadecimal digits"),
    "escapes of DuckDB": ("".join(f"\\x{byte:02X}" for byte in STREAM[:9]) + "a", "by escapes"),
    "escapes of octal digits": ("".join(f"\\{byte:03o}" for byte in STREAM), "by escapes"),
    "str without its quotes": (str(STREAM)[2:-1], "by escapes"),
    "hex, as bytes": (STREAM.hex().encode(), "hexadecimal digits"),
    "base64": (base64.b64encode(STREAM + b"a").decode(), "base64 in another form|ends in"),
    "base64 of mail": (base64.encodebytes(STREAM).decode(), "another form"),
    "a line": (f"{TEXT}\n", "spaces or line breaks"),
    "text, as bytes": (TEXT.encode(), "characters of base64 text.*clipcodec.from_text"),
    "base64, as bytes": (base64.b64encode(STREAM), "characters of base64 text"),
    "characters": (LATIN, r"read as characters: .encode\('latin-1'\)"),
    "characters, as UTF-8": (LATIN.encode(), r".decode\('utf-8'\).encode\('latin-1'\)"),
    "replaced": (STREAM.decode("utf-8", "replace"), r"U\+FFFD.*is lost"),
    "replaced, as UTF-8": (STREAM.decode("utf-8", "replace").encode(), r"U\+FFFD.*is lost"),
    "surrogates": (STREAM.decode("utf-8", "surrogateescape"), "surrogateescape"),
    "a name": ("photos/beach.clip", "'/' at character 6.*read the file"),
    "nothing": ("", "empty text"),
    "None as text": ("None", "."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_a_store_made_of_a_stream_is_said(name: str) -> None:
    """Alone and among others, few and many; the row at fault is named."""
    given, words = MISTAKES[name]
    with pytest.raises(DecodeError, match=words) as alone:
        clipcodec.decode(given)
    assert alone.value.index is None
    with pytest.raises(DecodeError, match=words):
        clipcodec.info(given)
    for others in (STREAMS[:3], STREAMS):
        with pytest.raises(DecodeError, match=words) as among:
            clipcodec.decode_batch([*others, given])
        assert among.value.rows == (len(others),)
        assert type(among.value) is type(alone.value)


def test_what_restores_a_stream_does() -> None:
    """The remedies that the messages name."""
    assert bytes.fromhex(STREAM.hex()) == STREAM
    assert from_text(TEXT.encode().decode()) == STREAM
    assert LATIN.encode().decode("utf-8").encode("latin-1") == STREAM
    escaped = STREAM.decode("utf-8", "surrogateescape")
    assert escaped.encode("utf-8", "surrogateescape") == STREAM


@pytest.mark.parametrize("quality", [1, 30, 60, 95])
def test_no_coder_quality_or_width_lets_a_mistake_pass(quality: int) -> None:
    """Each stream of several profiles: as repr, hex, base64 in bytes, characters."""
    rows = np.random.default_rng(quality).normal(size=(24, 12))
    kinds = [("any/rotation", rows), ("openai-vit-b-32/predictive", ROWS[:24])]
    for profile, x in kinds:
        for stream in clipcodec.encode_embeddings(x, profile=profile, quality=quality):
            spoilt: list[Any] = [str(stream), str(stream).encode(), stream.hex(),
                                 stream.hex().encode(), to_text(stream).encode(),
                                 stream.decode("latin-1").encode()]  # fmt: skip
            for one in spoilt:
                if one != stream:  # a short one may be all ASCII
                    with pytest.raises(DecodeError):
                        clipcodec.decode(one)


def test_forms_that_are_not_the_one_form_are_refused() -> None:
    two, one = to_text(b"\x80\x01"), to_text(b"\x80")
    assert (two, one) == ("gAE", "gA")
    for text in ("gAF", "gAG", "gAH", "gB"):
        with pytest.raises(CorruptError, match="unused bits are not zero"):
            from_text(text)
    for text in ("gAE=", "gA==", " gAE", "gAE ", "gA E", "g\nAE"):
        with pytest.raises(CorruptError, match=r"character \d"):
            from_text(text)
    with pytest.raises(TruncatedError, match="'gAEgA' of 5 characters ends inside a byte"):
        from_text("gAEgA")


def test_other_types_are_refused() -> None:
    given: Any
    for given in (b"gAE", None, 3):
        with pytest.raises(DecodeError, match="expected the text of a stream, as str, got"):
            from_text(given)
    for given in (TEXT, None, 3):
        with pytest.raises(DecodeError, match="expected the bytes of a stream, got"):
            to_text(given)
    assert to_text(bytearray(STREAM)) == to_text(memoryview(STREAM)) == TEXT  # type: ignore[arg-type]
    with pytest.raises(TruncatedError, match="empty"):
        to_text(b"")
    for given, words in ((b"\xff\xd8", "not a clipcodec stream"), (b"", "empty"),
                         (STREAM.hex().encode(), "hexadecimal|")):  # fmt: skip
        with pytest.raises(DecodeError, match=words):
            to_text(given)


def test_a_text_as_bytes_is_not_made_text_again() -> None:
    for text in TEXTS:
        with pytest.raises(CorruptError, match="the characters of base64 text, not a stream"):
            to_text(text.encode())


def test_a_missing_value_is_named() -> None:
    given: Any = [STREAM, None]
    with pytest.raises(DecodeError, match=r"stream 1: .*NoneType: a missing value; leave it out"):
        clipcodec.decode_batch(given)


def test_rows_that_tell_nothing_keep_their_words() -> None:
    damaged = bytearray(STREAM)
    damaged[20] ^= 1
    cut = STREAM[:20]
    looks = b"h" + TEXT.encode()[1:]  # its header is one, its check value is not
    given = [STREAM, bytes(damaged), STREAM[:1] + looks, looks, cut]
    with pytest.raises(DecodeError, match="stream 1 and 1 more: ") as caught:
        clipcodec.decode_batch(given[:3])
    assert caught.value.rows == (1, 2)
    error = DecodeError.of_rows({1: "damaged", 2: "check value"})
    found = explain(error, lambda row: given[row + 1])
    assert str(found) == "stream 1: damaged"
    assert [type(one) for one in (found, *found._others)] == [DecodeError, CorruptError]
    assert found._others[0].rows == (2,)
    assert explain(DecodeError("alone"), lambda row: cut).reason == "alone"


def test_what_is_stored_undecoded_is_checked_for_text() -> None:
    """The characters of base64 may begin like a stream; those of a stream never look like text."""
    for stream in STREAMS:
        check_start(stream)
        for text in (to_text(stream).encode(), stream.hex().encode(), str(stream).encode()):
            with pytest.raises(DecodeError, match=r"base64 text|hexadecimal|Python's way"):
                check_start(text)
    with pytest.raises(DecodeError, match="first byte 0xff is reserved"):
        check_start(b"\xff" * 40)
    with pytest.raises(TruncatedError):
        check_start(b"")
    check_start(b"h1234567")  # short ones may be anything


@given(st.binary(max_size=120))
def test_bytes_at_random_are_no_mistake(data: bytes) -> None:
    """Of what is not ASCII or UTF-8 as a whole, nothing is said."""
    if len(data) > 4 and not data.isascii() and b"\xef\xbf\xbd" not in data:
        try:
            data.decode("utf-8")
        except UnicodeError:
            assert mistaken_bytes(data) is None
