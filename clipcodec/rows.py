"""The whole way, both directions, on one page.

    image ─backbone─▶ embedding ─quantize─▶ symbols ─encode─▶ payload ─header, check value─▶ stream
                      embedding ◀reconstruct─ symbols ◀decode─ payload ◀─────────────────── stream

`encode_rows` and `decode_rows` walk it for a batch of rows; a profile's kind (kinds/base.py) has
the transform, the quantiser and the entropy coder. Batches of any size, in bounded memory, are in
batches.py; images and texts in towers.py; what callers see, in codec.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .columns import Columns, unpack_columns
from .embeddings import Embeddings, squared_norms
from .entropy import Symbols
from .errors import CorruptError, OptionError, RateError, placed
from .kinds import Parameters, Quantized
from .profile import Profile
from .stream import ParsedStream, pack, qualities_of, start_of, unpack
from .target import Target

_RECONSTRUCTED = 512  # rows at a time, which stay in cache


def encode_rows(profile: Profile, x: Embeddings, target: Target) -> list[bytes]:
    """Unit-norm embeddings (N, D) to streams that meet the target.

    Raises EmbeddingError or RateError naming the rows at fault.
    """
    kind, coders = profile.kind, target.coders(profile)
    texts = _texts_of(profile, target, x.shape[1])
    header = len(start_of(profile, coders[0], Parameters(1, x.shape[1])))
    with np.errstate(all="ignore"):  # a private profile may overflow
        found = kind.quantize(x, target, header, texts)  # transform, rate search, quantiser
        streams = pack(profile, found, coders)  # entropy coder, check value, header
        missed = _missed(profile, x, found, streams, target)
    sought = target
    while missed:  # for these rows the rate search was wrong: again, and stricter
        if not kind.qualities:
            raise RateError.of_rows(missed)
        rows, sought = np.array([*missed]), sought.stricter()
        with placed(rows), np.errstate(all="ignore"):
            try:
                found = kind.quantize(x[rows], sought, header, texts)
            except RateError as error:  # in words of the caller's target, not of the stricter one
                raise RateError.of_rows({i: missed[int(rows[i])] for i in error.rows}) from error
            made = pack(profile, found, coders)
            again = _missed(profile, x[rows], found, made, target)
        for row, stream in zip(rows.tolist(), made, strict=True):
            streams[row] = stream
        missed = {int(rows[i]): reason for i, reason in again.items()}
    return streams


def _texts_of(profile: Profile, target: Target, dim: int) -> Embeddings | None:
    """Whose probabilities should stay: the caller's texts, else the profile's, if it has some."""
    if target.effort == 1:
        return None
    texts: Embeddings | None = target.texts
    if texts is None:
        return None if profile.statistics is None else profile.statistics.bank
    if texts.shape[1] != dim:
        raise OptionError(
            f"texts of {texts.shape[1]} dimensions, the embeddings have {dim}: both must come from "
            "one model"
        )
    return texts


def _missed(
    profile: Profile, x: Embeddings, found: Quantized, streams: list[bytes], target: Target
) -> dict[int, str]:
    """The rows whose streams do not meet the target, and why."""
    limit, least = target.max_bytes, target.min_cosine
    if limit is not None:
        return {
            i: f"{len(stream)} bytes with profile {profile.name}, max_bytes is {limit}: "
            "choose a profile of a lower rate"
            for i, stream in enumerate(streams)
            if len(stream) > limit
        }
    if least is None:
        return {}
    decoded = reconstruct(profile, *found).astype(np.float64)
    cosines = (x * decoded).sum(axis=1)
    return {
        i: f"cosine {cosines[i]:.4f} with profile {profile.name}, min_cosine is {least}: "
        "choose a profile of a higher rate"
        for i in np.flatnonzero(~(cosines >= least)).tolist()
    }


def decode_rows(streams: Sequence[ParsedStream]) -> Embeddings:
    """Streams of one profile, coder and number of symbols to unit-norm embeddings (N, D).

    Raises DecodeError naming the rows at fault.
    """
    symbols = unpack(streams)  # entropy coder, check value verified
    return reconstruct(streams[0].profile, symbols, qualities_of(streams))


def decode_columns(columns: Columns) -> Embeddings:
    """`decode_rows` of streams as columns."""
    return reconstruct(columns.profile, unpack_columns(columns), columns.qualities)


def reconstruct(profile: Profile, symbols: Symbols, qualities: Symbols) -> Embeddings:
    """Symbols (N, n) to unit-norm embeddings (N, D); CorruptError where there is no direction."""
    parts = []
    for at in range(0, len(symbols), _RECONSTRUCTED):
        part = slice(at, at + _RECONSTRUCTED)
        with placed(at), np.errstate(all="ignore"):  # what overflows is an error below
            rows = profile.kind.reconstruct(symbols[part], qualities[part])  # dequantise, synthesis
            # the squares of the smallest and the largest floats lie outside of float32
            norms = np.sqrt(squared_norms(rows.astype(np.float64)))
            valid = np.isfinite(norms) & (norms > 0)
            if not valid.all():
                bad = np.flatnonzero(~valid)
                raise CorruptError(
                    f"these symbols of profile {profile.name} decode to no direction",
                    rows=bad.tolist(),
                )
            parts.append((rows / norms).astype(np.float32))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
