"""Streams as text, for what stores no bytes (JSON, CSV); and what text and bytes were by mistake.

The text is base64url (RFC 4648, section 5) without padding, and has one form for each stream: 4
characters for 3 bytes. A stream's first byte is 0x40 to 0xe3, so its text begins with a letter or
with 0 to 4, which no spreadsheet takes for a formula.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from .bitstream import begins, split
from .errors import CorruptError, DecodeError, TruncatedError, raise_merged

__all__ = ["to_text", "from_text"]

BYTES = (bytes, bytearray, memoryview)  # what may hold a stream

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/_-]{16,}\r?\n)*[A-Za-z0-9+/_-]{4,}={0,2}\s*")
_DUMP = re.compile(rb"(?:0x|\\x|\\\\x)?((?:[0-9A-Fa-f]{2})+)\s*")
_REPR = re.compile(rb"\s*\"?(?:bytearray\()?b['\"][\s\x20-\x7e]*|<memory at 0x\w+>")
_ESCAPED = re.compile(r"\\x[0-9A-Fa-f]{2}|\\[0-3][0-7]{2}")
_LONG = 32  # bytes
_SHOWN = 40  # characters of a text, in messages

_STORE = "store clipcodec.to_text(stream)"


def to_text(stream: bytes) -> str:
    """Write a stream as text, for JSON, CSV and whatever else stores no bytes.

    Args:
        stream: The bytes of a stream.

    Returns:
        base64url (RFC 4648, section 5) without padding: A-Z, a-z, 0-9, - and _. `decode` and all
        else that takes streams take it as it is.

    Raises:
        DecodeError: These are no bytes, or begin no stream, or are the characters of such a text.

    Examples:
        >>> stream = clipcodec.open("photos.clpc")[0]
        >>> text = clipcodec.to_text(stream)
        >>> len(text) == -(-len(stream) * 4 // 3)
        True
        >>> bool((clipcodec.decode(text) == clipcodec.decode(stream)).all())
        True
    """
    if not isinstance(stream, BYTES):
        raise DecodeError(f"expected the bytes of a stream, got {type(stream).__name__}")
    stream = bytes(stream)
    if not stream:
        raise TruncatedError("empty: expected at least a header byte")
    if not begins(stream):
        words = mistaken_bytes(stream) or "not a clipcodec stream"
        raise CorruptError(f"first byte 0x{stream[0]:02x}: {words}")
    _refuse_characters(stream)
    return base64.urlsafe_b64encode(stream).rstrip(b"=").decode("ascii")


def from_text(text: str) -> bytes:
    """Read the text that `to_text` wrote.

    Args:
        text: In the one form that `to_text` writes: no padding, no spaces, no line breaks.

    Returns:
        The bytes of the stream; whether they are whole is checked when they are decoded.

    Raises:
        CorruptError: Other characters, another form, or an unused bit that is not zero. The message
            says what was stored by mistake, where that can be told: Python's b'…', hexadecimal
            digits, or bytes read as characters.
        TruncatedError: It is empty, or ends inside a byte.
        DecodeError: This is no text.

    Examples:
        >>> stream = clipcodec.open("photos.clpc")[0]
        >>> clipcodec.from_text(clipcodec.to_text(stream)) == stream
        True
        >>> clipcodec.from_text(str(stream))
        Traceback (most recent call last):
        clipcodec.errors.CorruptError: ... Python's way to show bytes ... store clipcodec.to_text...
    """
    if not isinstance(text, str):
        raise DecodeError(f"expected the text of a stream, as str, got {type(text).__name__}")
    if not text:
        raise TruncatedError("empty text: expected that of a stream (clipcodec.to_text)")
    end = len(match[0]) if (match := _ALPHABET.match(text)) else 0
    if end < len(text):
        raise CorruptError(_foreign(text, end))
    if len(text) % 4 == 1:
        raise TruncatedError(
            f"text {_brief(text)} of {len(text)} characters ends inside a byte: cut, or not the "
            "text of a stream (clipcodec.to_text)"
        )
    stream = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(stream).rstrip(b"=") != text.encode("ascii"):
        raise CorruptError(
            _of_hex(text.encode("ascii"))
            or f"text ends in {text[-1]!r}, whose unused bits are not zero: damaged, or not "
            "written by clipcodec.to_text"
        )
    return stream


def as_bytes(stream: object) -> bytes:
    """The bytes of a stream, given as bytes or as text. Raises DecodeError."""
    if isinstance(stream, bytes):
        return stream
    if isinstance(stream, str):
        return from_text(stream)
    if isinstance(stream, BYTES):
        return bytes(stream)
    missing = ": a missing value; leave it out" if stream is None else ""
    raise DecodeError(f"expected the bytes of a stream, got {type(stream).__name__}{missing}")


def check_start(stream: bytes) -> None:
    """Raise DecodeError unless these bytes begin a stream, and are no text of one by mistake.

    For what stores streams without decoding them: the characters of a text may begin like a stream.
    Of 32 bytes or more, one stream in 2^31 is ASCII by chance, and far fewer look like such a text.
    """
    try:
        split(stream)
    except DecodeError as error:
        raise explain(error, lambda row: stream) from error.__cause__
    _refuse_characters(stream)


def _refuse_characters(stream: bytes) -> None:
    """Raise CorruptError if bytes that begin like a stream are the text of one, or the like."""
    if len(stream) >= _LONG and stream.isascii() and (words := mistaken_bytes(stream)):
        raise CorruptError(words)


def explain(error: DecodeError, stream_at: Callable[[int], bytes]) -> DecodeError:
    """The error, or one that says what the bytes at fault are by mistake, where that can be told.

    stream_at   gives the stream of a row of the error; of a single input, whatever the row

    Rows that tell nothing stay in the error as they were, and are merged with the others. Only
    what is no stream comes here: what can be decoded is, whatever it looks like.
    """
    if not error.rows:
        words = mistaken_bytes(stream_at(0))
        return CorruptError(words) if words else error
    known = {row: words for row in error.rows if (words := mistaken_bytes(stream_at(row)))}
    if not known:
        return error
    rest = [one for one in error.each() if one.rows[0] not in known]
    try:
        raise_merged([CorruptError.of_rows(known), *rest])
    except DecodeError as merged:
        return merged
    return error


def mistaken_bytes(data: bytes) -> str | None:
    """What bytes that are no stream are by mistake, and the remedy; None: it cannot be told."""
    if _REPR.fullmatch(data):
        return (
            f"the bytes of Python's way to show bytes, b'…': somewhere it was str(stream); {_STORE}"
        )
    if words := _of_hex(data):
        return words
    if _BASE64.fullmatch(data) and _begins_text(data):
        return (
            "these bytes are the characters of base64 text, not a stream: decode the text first, "
            "clipcodec.from_text (base64.b64decode if it has +, / or =)"
        )
    if b"\xef\xbf\xbd" in data:
        return (
            "it holds U+FFFD: bytes were read as UTF-8 text, and what did not fit is lost; get the "
            f"stream again, and where only text can be stored {_STORE}"
        )
    if _of_characters(data):
        return (
            "bytes that were read as characters, and written as UTF-8: .decode('utf-8')"
            f".encode('latin-1') restores them; where only text can be stored {_STORE}"
        )
    return _of_hex(base64.urlsafe_b64encode(data))  # hexadecimal digits, taken for base64url


def _of_hex(data: bytes) -> str | None:
    found = _DUMP.fullmatch(data)
    if found and len(found[1]) >= 8 and begins(bytes.fromhex(found[1].decode("ascii"))):
        return (
            "hexadecimal digits of a stream, as databases show bytes: bytes.fromhex makes bytes of "
            f"them; where only text can be stored {_STORE}"
        )
    return None


def _begins_text(data: bytes) -> bool:
    """Whether these characters of base64 begin a stream."""
    head = data[:4].translate(bytes.maketrans(b"-_", b"+/"))
    return begins(base64.b64decode(head)) if b"=" not in head else False


def _of_characters(data: bytes) -> bool:
    """Whether it is UTF-8 of which each character was a byte of a stream."""
    try:
        return not data.isascii() and begins(data.decode("utf-8").encode("latin-1"))
    except UnicodeError:
        return False


def _foreign(text: str, at: int) -> str:
    """What a text is that has another character than base64url at this place."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # surrogates, as errors="surrogateescape" makes them
        return (
            "text of bytes that are not UTF-8, with surrogates for them: .encode('utf-8', "
            f"'surrogateescape') restores them; where only text can be stored {_STORE}"
        )
    if _REPR.fullmatch(data):
        lost = "the bytes are lost" if "memory" in text[:8] else "ast.literal_eval reads it"
        return (
            f"text {_brief(text)} is Python's way to show bytes: somewhere a stream was made text "
            f"by str or an export; {_STORE} instead ({lost})"
        )
    if words := _of_hex(data):
        return words
    if _ESCAPED.search(text):
        return (
            f"text {_brief(text)} shows bytes by escapes, as a database's CSV and Python's str do: "
            f"{_STORE} instead"
        )
    if _BASE64.fullmatch(data) and _begins_text(data):
        form = "spaces or line breaks" if text[at].isspace() else repr(text[at])
        return (
            f"text with {form} at character {at}: base64 in another form; clipcodec.to_text writes "
            "base64url, with - and _, without padding and line breaks (base64.b64decode reads "
            "other forms)"
        )
    if "\ufffd" in text:
        return mistaken_bytes(data) or ""
    if _of_characters(data):
        return (
            "text of bytes that were read as characters: .encode('latin-1') restores them; where "
            f"only text can be stored {_STORE}"
        )
    return (
        f"text {_brief(text)} has {text[at]!r} at character {at}: expected the bytes of a stream, "
        "or their base64url text (clipcodec.to_text); a file's name is no stream: read the file"
    )


def _brief(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
