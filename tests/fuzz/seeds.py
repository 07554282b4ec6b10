"""Streams to begin with."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np

from clipcodec import BackboneWarning, ClipcodecError, Codec
from clipcodec.bitstream import DIGEST_BYTES
from clipcodec.kinds import Quantized
from clipcodec.profile import registry
from clipcodec.profile.file import Profile, read_profile
from clipcodec.stream import pack
from tests.helpers.kinds import pqvae
from tests.helpers.paths import FORMATS

from . import profiles
from .mutate import FEW

_FEW = 48  # symbols
VECTORS = FORMATS / "vectors" / "1"


def vectors(part: str) -> list[bytes]:
    """The streams of `accept` or `reject`, undamaged."""
    files = sorted((VECTORS / part).glob("*.json"))
    return [bytes.fromhex(json.loads(path.read_text("utf-8"))["stream"]) for path in files]


@lru_cache(maxsize=1)
def codecs() -> dict[bytes, Codec]:
    """A codec for each private profile, by the digest in its streams."""
    return {p.digest[:DIGEST_BYTES]: Codec(p) for p in private()}


@lru_cache(maxsize=1)
def private() -> list[Profile]:
    """Some drawn profiles, the same ones always, and those of the vectors."""
    drawn = [load(profiles.pack(*profiles.draw(Random(seed)))) for seed in range(24)]
    return drawn + [read_profile(path) for path in sorted(VECTORS.glob("profiles/*"))]


@lru_cache(maxsize=1)
def scratch() -> Path:
    """A folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix="clipcodec-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def file(data: bytes, name: str) -> Path:
    """A file with this content, overwritten by the next of that name."""
    path = scratch() / name
    path.write_bytes(data)
    return path


def load(data: bytes) -> Profile:
    return read_profile(file(data, "profile.safetensors"))


@lru_cache(maxsize=1)
def streams() -> tuple[list[bytes], list[bytes]]:
    """Valid streams (of every coder, private profiles and small widths, too), and rejected ones."""
    valid = vectors("accept")
    rng, r = np.random.default_rng(0), Random(0)
    rotation = registry.by_name(registry.UNTRAINED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BackboneWarning)
        for profile in [*private(), rotation, rotation, rotation]:
            size = profile.dim or r.choice(FEW[1:])
            valid += encoded(profile, rng.normal(size=(3, size)))
    for profile in [*private(), *(registry.by_id(row.id) for row in registry.registered())]:
        valid += [extreme(Random(i), profile)[1] for i in range(4)]
    return valid, vectors("reject")


@lru_cache(maxsize=1)
def small() -> list[bytes]:
    """Those valid streams that cost little to decode."""
    codecs_ = codecs()
    return [
        stream
        for stream in streams()[0]
        if codecs_.get(stream[1 : 1 + DIGEST_BYTES], Codec()).info(stream).symbols <= _FEW
    ]


def encoded(profile: Profile, rows: np.ndarray) -> list[bytes]:
    """Streams of embeddings by every coder; none where the profile has no symbols for them."""
    out: list[bytes] = []
    with np.errstate(all="ignore"):
        for coder in profile.kind.coders:
            try:
                out += Codec(profile).encode_embeddings(rows, entropy=coder)
            except ClipcodecError:
                continue
    return out


def extreme(r: Random, profile: Profile) -> tuple[np.ndarray, bytes]:
    """Symbols that no embedding has, and their stream: any levels, any quality, any width."""
    kind = profile.kind
    quality = r.randint(1, kind.qualities) if kind.qualities else 0
    size = kind.split(bytes([quality, 1]))[0].symbols if profile.dim else r.choice(FEW)
    if kind.qualities:
        spread = r.choice((0.3, 1.0, 3.0, 100.0, 32767.0))
        levels = [r.gauss(0, 1) * spread * (r.random() < 0.7) for _ in range(size)]
        symbols = np.rint(np.clip(np.nan_to_num(levels), -32767, 32767)).astype(np.int64)
        symbols[0] = symbols[0] if symbols.any() else 1  # all zero is no stream of some kinds
    else:
        most = pqvae(profile).config.codewords - 1
        symbols = np.array([r.choice((0, most, r.randint(0, most))) for _ in range(size)])
    coder = r.choice(kind.coders)
    return symbols, pack(profile, Quantized(symbols[None], np.array([quality])), [coder])[0]
