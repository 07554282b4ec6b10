"""faiss:NAME, any codec of faiss by its name in the index factory, fitted to the training rows.

PQ, OPQ, RQ, LSQ, SQ and RaBitQ with what may stand before them (OPQ, RR, PCAR …). Rows are encoded
with `sa_encode` and decoded with `sa_decode`, except RaBitQ of several bits; see `_decode_rabitq`.
Everything is as faiss's authors have set it, but for what `_SHORTER` names; with `@authors` after
the name, that is as they have set it, too. Fitted indexes are kept in `Training.kept`.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ...embeddings import Embeddings
from ...errors import OptionError
from ...integrations.extras import need
from ...system.files import write_atomic
from ..codecs import Coded, MeasuredCodec, Training

MODULES = ("evaluation/peers/faiss_codecs.py", "evaluation/codecs.py")
# The codec in the last part of a name, and how it is called in tables
_CODECS = {
    "PQ": "PQ", "RQ": "RQ", "LSQ": "LSQ", "PRQ": "PRQ", "PLSQ": "PLSQ", "SQ": "SQ",
    "SQtqmse": "TurboQuant", "RaBitQ": "RaBitQ", "LSH": "LSH",
}  # fmt: skip
AUTHORS = "@authors"
_LEADING = {"OPQ": "OPQ", "PCA": "PCA", "PCAR": "PCA", "ITQ": "ITQ"}
# Attributes of indexes that are set for shorter training, measured on 60,613 rows of ViT-B/32.
# RQ: without k-means that starts in few dimensions and adds more, RQ16x8 takes 67 s instead of 200,
# with a cosine of .9345 instead of .9347 and 59.6 % of zero-shot classes right instead of 59.4 %.
# LSQ: 8 rounds of 2 searches, not 25 of 8, take LSQ16x8 172 s; all would take half an hour. What
# this loses is not known, so its series is called "fewer rounds".
# OPQ is not shortened: of 16,384 rows, or in 15 rounds, it loses 0.01 of its cosine.
_SHORTER = {
    "IndexResidualQuantizer": {"rq.train_type": 0},
    "IndexLocalSearchQuantizer": {"lsq.train_iters": 8, "lsq.train_ils_iters": 2},
}
_QUICK = {
    "IndexPQ": {"pq.cp.niter": 4},
    "IndexResidualQuantizer": {"rq.train_type": 0, "rq.cp.niter": 2, "rq.max_beam_size": 1},
    "IndexLocalSearchQuantizer": {"lsq.train_iters": 2, "lsq.train_ils_iters": 1},
    "OPQMatrix": {"niter": 2, "niter_pq_0": 4},
}


def family(_: str, argument: str) -> MeasuredCodec:
    """The codec `faiss:argument`, a name of the index factory or NAME@authors.

    Raises OptionError if the name holds no codec. That faiss does not know the name, or is missing,
    is seen when rows are coded: it depends on their width.
    """
    factory = argument.removesuffix(AUTHORS)
    kind = _series(factory)
    if kind is None:
        raise OptionError(
            f"codec {'faiss:' + argument!r}: expected a codec of faiss's index factory, such as "
            "OPQ32,PQ32x8np, RQ16x8 or SQ8"
        )

    def code(x: Embeddings, training: Training) -> Coded:
        faiss = import_faiss()
        index = _fitted(argument, training)
        try:
            codes = index.sa_encode(np.ascontiguousarray(x))
            rows = _decode(faiss, index, codes)
        except RuntimeError as error:
            raise OptionError(f"faiss's {factory!r} is no codec: {_reason(error)}") from error
        return Coded(rows, np.full(len(x), float(index.sa_code_size())))

    if factory != argument:
        kind += ", authors' settings"
    elif kind == "LSQ":
        kind += ", fewer rounds"
    return MeasuredCodec(
        f"faiss:{argument}", f"faiss {kind}", factory, code, MODULES, weights=_version(),
        # The search of LSQ draws random numbers row after row: a row's code depends on those before
        apart="LSQ" not in argument,
    )  # fmt: skip


def import_faiss() -> Any:
    """faiss, limited to one thread so that it gives the same codes every time.

    Two threads on a machine that is busy are many times slower than one.
    Raises MissingDependencyError naming the extra if faiss is missing.
    """
    faiss = need("faiss", "evaluation")
    faiss.omp_set_num_threads(1)
    return faiss


def _version() -> str:
    try:
        return f"faiss {metadata.version('faiss-cpu')}"
    except metadata.PackageNotFoundError:
        return ""


def _series(name: str) -> str | None:
    """OPQ of OPQ32,PQ32x8; None if the last part is no codec."""
    parts = [re.match("[A-Za-z]*", part)[0] for part in name.split(",")]  # type: ignore[index]
    codec = _CODECS.get(parts[-1])
    if codec is None or name.rpartition(",")[2] == parts[-1] not in ("RaBitQ", "LSH"):
        return None
    before = [_LEADING[part] for part in parts[:-1] if part in _LEADING]
    if before == ["OPQ"] and codec == "PQ":
        return "OPQ"
    return " + ".join([*before, codec])


def unfitted(argument: str, dim: int, *, quick: bool = False) -> tuple[Any, dict[str, int]]:
    """The index for rows of `dim`, not yet fitted, and what is set in another way than by faiss.

    Raises OptionError if faiss does not know the name, or it does not fit the rows.
    """
    faiss, name = import_faiss(), argument.removesuffix(AUTHORS)
    try:
        index = faiss.index_factory(dim, name)
    except RuntimeError as error:
        raise OptionError(
            f"faiss has no codec {name!r} for rows of {dim}: {_reason(error)}"
        ) from error
    changed = {} if name != argument else _QUICK if quick else _SHORTER
    return index, _set(faiss, index, changed)


@lru_cache(maxsize=1)
def _fitted(argument: str, training: Training) -> Any:
    """The index of this name, fitted to the training rows or found where it was kept."""
    faiss, name = import_faiss(), argument.removesuffix(AUTHORS)
    rows = np.ascontiguousarray(training.rows)
    index, settings = unfitted(argument, rows.shape[1], quick=training.quick)
    path = None
    if training.kept is not None:
        fitted_to = hashlib.sha256(rows.tobytes()).hexdigest()
        made_of = f"{name} {settings} {faiss.__version__} {fitted_to}"
        path = training.kept / f"faiss-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.index"
        if path.exists():
            return _read(faiss, path)
    try:
        index.train(rows)
    except RuntimeError as error:
        raise OptionError(
            f"faiss's {name!r} cannot be fitted to {len(rows)} rows: {_reason(error)}"
        ) from error
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, faiss.serialize_index(index).tobytes(), overwrite=True)
    return index


def _read(faiss: Any, path: Path) -> Any:
    try:
        return faiss.deserialize_index(np.frombuffer(path.read_bytes(), np.uint8))
    except RuntimeError as error:
        raise OptionError(f"{path} is not a readable index of faiss: delete it") from error


def _set(faiss: Any, index: Any, all_settings: dict[str, dict[str, int]]) -> dict[str, int]:
    """Set what concerns this index and its parts; returns it."""
    parts = [*_before(faiss, index), _last(faiss, index)]
    done = {}
    for part in parts:
        for setting, value in all_settings.get(type(part).__name__, {}).items():
            *owners, attribute = setting.split(".")
            target = part
            for owner in owners:
                target = getattr(target, owner)
            setattr(target, attribute, value)
            done[setting] = value
    return done


def _before(faiss: Any, index: Any) -> list[Any]:
    """The transforms in front of a codec."""
    if not isinstance(index, faiss.IndexPreTransform):
        return []
    return [faiss.downcast_VectorTransform(index.chain.at(i)) for i in range(index.chain.size())]


def _last(faiss: Any, index: Any) -> Any:
    inside = index.index if isinstance(index, faiss.IndexPreTransform) else index
    return faiss.downcast_index(inside)


def _decode(faiss: Any, index: Any, codes: Any) -> Embeddings:
    last = _last(faiss, index)
    if not isinstance(last, faiss.IndexRaBitQ) or last.rabitq.nb_bits == 1:
        decoded: Embeddings = index.sa_decode(codes)
        return decoded
    rows = _decode_rabitq(faiss, last, codes)
    for transform in reversed(_before(faiss, index)):
        rows = transform.reverse_transform(rows)
    return rows


def _decode_rabitq(faiss: Any, index: Any, codes: Any) -> Embeddings:
    """Rows of a RaBitQ of several bits: those whose distances are what its search estimates.

    faiss's own `sa_decode` reads nothing but the first bit. A code is the first bits, three factors
    (float32), the other bits, and two factors, of which the second is −2 · scale.
    """
    dim, more = index.d, index.rabitq.nb_bits - 1
    at = -(-dim // 8) + 12
    end = at + -(-dim * more // 8)
    first = np.unpackbits(codes[:, :at], axis=1, count=dim, bitorder="little")
    others = np.unpackbits(codes[:, at:end], axis=1, count=dim * more, bitorder="little")
    levels = (others.reshape(len(codes), dim, more) << np.arange(more)).sum(axis=2)
    levels += first.astype(np.int64) << more
    scale = -0.5 * np.ascontiguousarray(codes[:, end + 4 : end + 8]).view(np.float32)
    centre = faiss.vector_to_array(index.center)
    rows: Embeddings = (centre + scale * (levels + 0.5 - (1 << more))).astype(np.float32)
    return rows


def _reason(error: RuntimeError) -> str:
    """What faiss says, without the place in its source."""
    return " ".join(str(error).split()).rpartition("Error: ")[2][:200]
