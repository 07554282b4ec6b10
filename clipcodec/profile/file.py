"""A profile: all that a stream relies on, frozen, in one safetensors file.

Tensors plus one metadata entry, `clipcodec`, holding JSON (formats/profile-file.md). A profile is
identified by the SHA-256 of its file; registered ones have a number besides. A
container may carry the file (formats/container-1.md): see clipcodec/container/profiles.py.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, brief
from ..kinds import KINDS, Kind
from ..kinds.base import check_tensors, integer
from ..system.files import write_atomic
from ..system.forks import loading
from ..target import MOST_TEXTS
from .statistics import Statistics

METADATA_KEY = "clipcodec"
FILE_VERSION = 1
MAX_FILE_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 20

_STORED = {"F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)
}  # safetensors' name of a type: as it lies in the file

_CONTAINER = b"\x89CLPC\r\n"  # how a container begins: it may be taken for a profile file

Tensors = dict[str, NDArray[Any]]
Reopen = tuple[Callable[..., "Profile"], tuple[Any, ...]]  # a function and its arguments


@dataclass(frozen=True, eq=False)
class Profile:
    """One loaded profile; `read_profile` or `Codec.profile` gives it.

    Attributes:
        name: Its name.
        id: Its registered number; None for a private profile.
        digest: The SHA-256 of its file, 32 bytes.
        backbone: The model whose embeddings it is for; "any": of any.
        dim: Width D of its embeddings; None where any will do.
        card: What it was trained on, and how.
        statistics: Of its training embeddings; None where any will do.
        kind: What it does between embeddings and payloads, see `clipcodec.kinds.Kind`.
        path: Of its file, or of the container that carries it, absolute; "": it has none.
        reopen: What a pickle holds: how to open it again, without the weights.
        data: The bytes of its file, if there is no file from which they can be read again.

    Examples:
        >>> clipcodec.Codec().profile
        <clipcodec.profile.Profile 'openai-vit-b-32/predictive': id 7, 512 dimensions, ...>
    """

    name: str
    id: int | None
    digest: bytes
    backbone: str
    dim: int | None
    card: Mapping[str, Any]
    statistics: Statistics | None
    kind: Kind
    path: str
    reopen: Reopen
    data: bytes | None = None

    def __repr__(self) -> str:
        from ..system.shown import brief, counted, shown

        def parts() -> list[object]:
            rate = f"qualities 1 … {self.qualities}" if self.qualities else f"{self.bits} bits"
            return [brief(self.name), "private" if self.id is None else f"id {self.id}",
                    "any width" if self.dim is None else counted(self.dim, "dimension"),
                    f"backbone {self.backbone}", rate]  # fmt: skip

        return shown("profile.Profile", parts)

    @property
    def coders(self) -> tuple[str, ...]:
        """The entropy coders that its streams may use, in the order they are tried."""
        return self.kind.coders

    @property
    def qualities(self) -> int:
        """Its qualities are 1 … qualities; 0: one fixed rate."""
        return self.kind.qualities

    @property
    def bits(self) -> int | None:
        """Of an embedding's packed symbols; None if the rate is chosen on encoding."""
        return self.kind.bits

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reopen

    def __copy__(self) -> Profile:
        return self

    def __deepcopy__(self, memo: object) -> Profile:
        return self


def read_profile(
    path: str | os.PathLike[str],
    *,
    id: int | None = None,
    sha256: str | None = None,
    reopen: Reopen | None = None,
) -> Profile:
    """Load and verify a profile file (formats/profile-file.md).

    Args:
        path: Of the file.
        id: Its registered number; None: private.
        sha256: Accept this very file only.
        reopen: How a pickle opens it again; None: by its path and digest.

    Returns:
        The profile, which `Codec` takes.

    Raises:
        WeightsError: Missing, damaged, foreign, cut, or with wrong tensors or values.

    Examples:
        >>> from clipcodec.profile import read_profile
        >>> profile = read_profile(clipcodec.Codec("any/rotation").profile.path)
        >>> profile.name, profile.dim
        ('any/rotation', None)
    """
    where = os.fspath(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size  # 0: a pipe, say
            # no more than there is, as `read` takes the memory for what it is asked for
            data = file.read(min(size or MAX_FILE_BYTES, MAX_FILE_BYTES) + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise WeightsError(f"profile {where!r} cannot be read: {why}") from error
    if len(data) > MAX_FILE_BYTES:
        raise WeightsError(f"profile {where}: more than {MAX_FILE_BYTES} bytes")
    if data.startswith(_CONTAINER):
        raise WeightsError(
            f"profile {where} is a container: if it carries a profile, "
            "clipcodec.open(FILE).profile gives it"
        )
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise WeightsError(
            f"profile {where} has SHA-256 {found}, expected {sha256}: "
            "the file is damaged, reinstall clipcodec"
        )
    path = os.path.abspath(where)
    try:
        return parse_profile(data, path=path, id=id, reopen=reopen or (_reopen, (path, found)))
    except WeightsError as error:
        raise WeightsError(f"profile {where}: {brief(error)}") from error


def parse_profile(
    data: bytes, *, path: str | None, id: int | None = None, reopen: Reopen | None = None
) -> Profile:
    """The profile that is held by the bytes of a profile file.

    path    of the file or container that they were read from; None: there is none
    reopen  how a pickle opens it again; None: from these bytes, which are kept then

    Raises WeightsError, which does not say where the bytes are from; LaterProfileError if a later
    release may read them.
    """
    data = bytes(data)
    again = reopen or (_from_bytes, (data, path, id))
    kept = data if reopen is None else None
    return _parse(data, id, hashlib.sha256(data).digest(), path or "", again, kept)


def _from_bytes(data: bytes, path: str | None, id: int | None) -> Profile:
    """A pickled profile without a file."""
    return parse_profile(data, path=path, id=id)


class LaterProfileError(WeightsError):
    """The profile has a version or a kind that this release does not know."""


def _reopen(path: str, sha256: str) -> Profile:
    """A pickled private profile. Its file is read once for all pickles, until it changes."""
    try:
        file = os.stat(path)
    except OSError as error:
        raise WeightsError(
            f"profile {path!r} cannot be read ({error.strerror}), and a pickle holds its path and "
            "SHA-256 alone: put the file there, or make a Codec from where it is now"
        ) from error
    return _opened(path, sha256, (file.st_ino, file.st_size, file.st_mtime_ns))


@lru_cache(maxsize=8)
def _opened(path: str, sha256: str, state: tuple[int, ...]) -> Profile:
    profile = read_profile(path)
    if profile.digest.hex() != sha256:
        raise WeightsError(
            f"profile {path} has SHA-256 {profile.digest.hex()}, the pickled one had {sha256}: "
            "the file was changed; bring the old one back, or make a new Codec from this one"
        )
    return profile


def _parse(
    data: bytes, id: int | None, digest: bytes, path: str, reopen: Reopen, kept: bytes | None
) -> Profile:
    meta = _metadata(data)
    tensors = _load_tensors(data)
    try:
        name = str(meta["kind"])
        if name not in KINDS:
            raise LaterProfileError(f"kind {name!r} is unknown; known: {', '.join(KINDS)}")
        kind = KINDS[name]
        shapes = kind.shapes(meta)
        trained = "statistics" in meta
        if trained:
            low, floor = (_real(meta["statistics"][key]) for key in ("low", "floor"))
            axes = integer(meta["statistics"].get("axes"), 0, meta["dim"], "statistics.axes")
            shapes |= {
                "statistics.mean": (meta["dim"],),
                "statistics.basis": (meta["dim"], axes),
                "statistics.scale": (axes + 1,),
            }
            if has_text := _flag(meta["statistics"].get("text", False), "statistics.text"):
                shapes["statistics.text"] = (meta["dim"],)
            count = integer(meta["statistics"].get("bank", 0), 0, MOST_TEXTS, "statistics.bank")
            if count:
                shapes["statistics.bank"] = (count, meta["dim"])
        name, backbone, card = _text(meta["name"]), _text(meta["backbone"]), meta["card"]
        if not isinstance(card, dict):
            raise WeightsError(f"card is {type(card).__name__}, expected an object")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"metadata lacks or misstates {error}") from error
    check_tensors(tensors, shapes, {**kind.table_dtypes, "statistics.bank": "int8"})
    statistics = None
    if trained:
        mean, basis, scale = (
            tensors[f"statistics.{key}"].astype(np.float32) for key in ("mean", "basis", "scale")
        )
        if not mean.any():
            raise WeightsError("statistics.mean is zero")
        text = tensors["statistics.text"].astype(np.float32) if has_text else None
        if text is not None and not text.any():
            raise WeightsError("statistics.text is zero")
        bank = None
        if count:
            whole = tensors["statistics.bank"].astype(np.float32)
            if not whole.any(axis=1).all():
                raise WeightsError("statistics.bank has a row of zeros")
            bank = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        statistics = Statistics(mean, low, floor, basis, scale, text, bank)
    built = kind(meta, tensors)
    return Profile(
        name=name, id=id, digest=digest, backbone=backbone, dim=built.dim, card=card,
        statistics=statistics, kind=built, path=path, reopen=reopen, data=kept,
    )  # fmt: skip


def _metadata(data: bytes) -> dict[str, Any]:
    """The JSON of the one metadata entry, read before any tensor is trusted."""
    try:
        length = int.from_bytes(data[:8], "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("header too long")
        header = json.loads(data[8 : 8 + length])
        meta = json.loads(header["__metadata__"][METADATA_KEY])
        version = meta["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError("not a clipcodec profile (safetensors with our metadata)") from error
    if type(version) is not int or version != FILE_VERSION:
        known = f"profile file version {version!r}; this release reads {FILE_VERSION}"
        later = type(version) is int and version > FILE_VERSION
        raise (LaterProfileError if later else WeightsError)(known)
    assert isinstance(meta, dict)  # it answered to a string key
    return meta


def _load_tensors(data: bytes) -> Tensors:
    """Tensors in this machine's byte order; safetensors.numpy.load takes the file's for it."""
    with loading:
        import safetensors

    deserialize: Any = safetensors.deserialize  # typed in some of its releases only
    tensors = {}
    try:
        for name, row in deserialize(data):
            stored = np.frombuffer(row["data"], _STORED[row["dtype"]]).reshape(row["shape"])
            tensors[name] = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    except KeyError as error:
        raise WeightsError(f"tensors of type {error}: floats must be F16, F32 or F64") from error
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise WeightsError(f"damaged safetensors data: {error}") from error
    return tensors


def _real(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= 1:
        raise WeightsError(f"a cosine is {value!r}, expected a number in -1 … 1")
    return float(value)


def _flag(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise WeightsError(f"{name} is {value!r}, expected true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise WeightsError(f"a name is {value!r}, expected printable text")
    return value


def write_profile(path: str | os.PathLike[str], meta: Mapping[str, Any], tensors: Tensors) -> None:
    """Write a profile file, whole or not at all (formats/profile-file.md).

    Args:
        path: Of the file; one that exists is replaced.
        meta: What goes into its metadata, as JSON.
        tensors: Its tensors by name. The same content gives the same bytes.

    Raises:
        OSError: It cannot be written.

    Examples:
        >>> from clipcodec.profile import write_profile
        >>> write_profile("mine.safetensors", {"kind": "none"}, {"a": np.zeros(3, np.float32)})
    """
    import safetensors.numpy

    # one metadata key only: safetensors does not fix the order of several
    text = json.dumps({"version": FILE_VERSION, **meta}, sort_keys=True, ensure_ascii=True)
    # a view would be written as its base lies in memory
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: text})
    write_atomic(path, data, overwrite=True)
