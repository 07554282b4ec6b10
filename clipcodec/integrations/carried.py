"""The private profile that a column of streams carries in its field's metadata (docs/tables.md).

With it a table is read without a second file. The metadata may be anybody's: all is checked before
it is used, and no more memory is taken than a profile may have.
"""

from __future__ import annotations

import base64
import binascii
from copy import copy
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from ..codec import Codec
from ..container.embedded import CARRIED, Embedded
from ..container.layout import MAX_BODY
from ..container.profiles import profile_in, to_embed
from ..errors import CorruptError, DecodeError, brief
from ..profile import Profile
from .columns import Profiles, as_codec
from .extras import need
from .schemas import PROFILE_FILE, PROFILE_SHA256, is_stream_field

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")

_MOST_TEXT = 4 * MAX_BODY // 3 + 4  # characters of base64 for what a container may carry

GROWTH = 16 / 9  # bytes in a Parquet file for each byte in a container: base64 of base64
_HERE = "the profile in its metadata"


def metadata_of(profile: Profile) -> dict[bytes, bytes]:
    """What a field's metadata get besides, for a column that carries its profile.

    The body of a container's block, in base64: other readers of a schema take metadata for text.

    Raises OptionError if the profile is registered or too large, WeightsError if its file is not
    what it was.
    """
    return {PROFILE_FILE: base64.b64encode(to_embed(profile).body)}


def carried_profile(field: pa.Field) -> Profile | None:
    """The profile that a column of streams carries, checked in full; None: it carries none.

    Raises DecodeError naming the column: it is damaged, too large, or another than the metadata
    say; so is one of a later release (UnsupportedError).
    """
    try:
        return read_carried(field)
    except DecodeError as error:
        raise type(error)(f"column {field.name!r}: {error.reason}") from error


def read_carried(field: pa.Field) -> Profile | None:
    """As `carried_profile`, with errors that do not name the column."""
    metadata = field.metadata or {}
    text = metadata.get(PROFILE_FILE)
    if text is None or not is_stream_field(field):
        return None
    return _read(text, metadata.get(PROFILE_SHA256))


def codec_of(field: pa.Field, profile: Profiles) -> Codec:
    """What decodes a column: with the profile or `Codec` given, and with what the column carries.

    Raises DecodeError as `carried_profile`; but a profile given that is the very one that the
    metadata name takes the place of a damaged one.
    """
    codec = as_codec(profile)
    sha256 = (field.metadata or {}).get(PROFILE_SHA256)
    if profile is not None and codec.profile.digest.hex().encode() == sha256:
        return codec
    own = carried_profile(field)
    if own is None:
        return codec
    if profile is None:
        return Codec(own)
    codec = copy(codec)  # the caller's stays as it is
    codec._carried = partial(_itself, own)
    return codec


def _itself(profile: Profile) -> Profile:
    return profile


@lru_cache(maxsize=2)
def _read(text: bytes, sha256: bytes | None) -> Profile:
    """Batches of one table have the same; it is read once."""
    if len(text) > _MOST_TEXT:
        raise CorruptError(f"{_HERE} has {len(text):,} characters, more than any")
    try:
        embedded = Embedded.parse(base64.b64decode(text, validate=True))
        profile = profile_in(embedded)
    except binascii.Error as error:
        raise CorruptError(f"{_HERE} is damaged, not base64: {brief(error)}") from error
    except DecodeError as error:
        raise type(error)(error.reason.replace(CARRIED, _HERE)) from error
    if sha256 is not None and embedded.digest.hex().encode() != sha256.lower():
        raise CorruptError(
            f"{_HERE} has SHA-256 {embedded.digest.hex()}, and beside it stands "
            f"{brief(sha256.decode('ascii', 'replace'))}: metadata of two tables"
        )
    return profile
