"""What is measured: clipcodec's profiles and other codecs, each by a name that says it all.

    openai-vit-b-32/predictive@max_bytes=50     a profile (name or file) with a target
    openai-vit-b-32/pqvae-400                   a profile as it is
    faiss:OPQ32,PQ32x8np                        a codec of faiss, by its name in the index factory

The other families are in `FAMILIES`, each in a module of `peers/`. Codecs other than ours have no
header, no check value and no file format: their sizes are those of bare codes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codec import Codec
from ..container.profiles import profile_of
from ..embeddings import Embeddings
from ..errors import OptionError
from ..target import Target
from .sets import load_training

# family: module of `peers/`; its `family(name, argument)` makes the codec
FAMILIES = {
    "faiss": "faiss_codecs",
    "int8": "simple", "binary": "simple", "float16": "simple", "truncate": "simple",
    "scalar": "simple",
    "pca": "klt", "klt": "klt", "bound": "klt",
    "vqvae": "learned", "pqvae": "learned", "learned-sq": "learned",
}  # fmt: skip
# What decides the bytes of our own streams, and what they decode to
OUR_CODE = (
    "kinds/**/*.py", "entropy/*.py", "profile/file.py", "codec.py", "batches.py", "rows.py",
    "columns.py", "mean.py", "stream.py", "bitstream.py", "target.py", "embeddings.py",
)  # fmt: skip
QUICK_ROWS = 10_000  # with fewer than 39 a centroid, faiss warns of each of its clusterings
_TARGETS = ("quality", "max_bytes", "min_cosine", "mean_bytes", "effort", "entropy")


class Coded(NamedTuple):
    """Decoded rows (N, D), of any norm, and the bytes (N,) that each took; a bound has no rows.

    cosine  the mean cosine, where there are no rows
    """

    rows: Embeddings | None
    bytes: NDArray[np.float64]
    cosine: float | None = None


class Training:
    """Rows that other codecs are fitted to, read when one asks for them.

    folder  holds them, as `load_training` says; None: there are none
    quick   a codec may fit itself to less, in seconds
    kept    a folder where trained networks are kept and found again; None: nowhere
    """

    def __init__(
        self, folder: Path | None, *, quick: bool = False, kept: Path | None = None
    ) -> None:
        self.folder, self.quick, self.kept = folder, quick, kept

    @cached_property
    def digest(self) -> str:
        """Of the names and sizes of its files, in hex; "" without a folder."""
        if self.folder is None:
            return ""
        files = sorted(self.folder.glob("*.safetensors"))
        named = " ".join(f"{path.name}:{path.stat().st_size}" for path in files)
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    @cached_property
    def rows(self) -> Embeddings:
        """(M, D) of unit norm. Raises OptionError if there is no folder."""
        if self.folder is None:
            raise OptionError("this codec is fitted to training rows: give --training FOLDER")
        rows = load_training(self.folder)
        return self.sample(QUICK_ROWS, rows) if self.quick else rows

    def sample(self, count: int, rows: Embeddings | None = None) -> Embeddings:
        """`count` of the rows, the same each time."""
        rows = self.rows if rows is None else rows
        return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:count])]


@dataclass(frozen=True)
class MeasuredCodec:
    """A codec at one rate.

    spec     names it, as in the module's text
    series   codecs of one series form a curve
    setting  what sets its rate, as text
    code     encodes and decodes rows (N, D) of unit norm
    modules  globs of the code that decides its numbers, from the package's folder
    weights  digest of the file of its weights; "" if it has none
    more     further figures of the codec on rows (N, D), for its point
    apart    whether each row is coded on its own, so that some rows stand for all
    """

    spec: str
    series: str
    setting: str
    code: Callable[[Embeddings, Training], Coded]
    modules: tuple[str, ...]
    weights: str = ""
    apart: bool = True
    more: Callable[[Embeddings, Training], dict[str, float]] | None = None

    @property
    def fitted(self) -> bool:
        """Whether it may depend on training rows: ours do not."""
        return self.modules != OUR_CODE


def parse_codec(spec: str) -> MeasuredCodec:
    """The codec that a spec names. OptionError, ProfileError or ImportError says what is wrong."""
    name, colon, argument = spec.partition(":")
    if name in FAMILIES and "/" not in name:
        family: Callable[[str, str], MeasuredCodec]
        family = import_module(f".peers.{FAMILIES[name]}", __package__).family
        return family(name, argument if colon else "")
    return profile_codec(spec)


def profile_codec(spec: str) -> MeasuredCodec:
    """A profile, by name, file or container: PROFILE[@TARGET=VALUE[,TARGET=VALUE…]]."""
    name, _, asked = spec.partition("@")
    options = _options(spec, asked)
    return own_codec(Codec(profile_of(name)), Target(**options), spec, asked.replace(",", " "))


def own_codec(codec: Codec, target: Target, spec: str, setting: str = "") -> MeasuredCodec:
    """What a codec of clipcodec's makes for a target; `spec` and `setting` are its names."""

    def code(x: Embeddings, _: Training) -> Coded:
        streams = codec.encode_embeddings(x, target)
        sizes = np.array([len(stream) for stream in streams], np.float64)
        return Coded(codec.decode_batch(streams), sizes)

    profile = codec.profile
    return MeasuredCodec(
        spec, profile.name, setting, code, OUR_CODE,
        weights=profile.digest.hex(), apart=target.mean_bytes is None,
    )  # fmt: skip


def _options(spec: str, asked: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, asked.split(",")):
        key, _, value = part.partition("=")
        if key not in _TARGETS or not value:
            raise OptionError(
                f"codec {spec!r}: {part!r} is no target: expected such as max_bytes=50, of "
                f"{', '.join(_TARGETS)}"
            )
        try:
            options[key] = value if key == "entropy" else int(value)
        except ValueError:
            try:
                options[key] = float(value)
            except ValueError:
                raise OptionError(f"codec {spec!r}: {value!r} is not a number") from None
    return options
