"""The whole way, both directions, on one page.

image ─▶ embedding ─transform─▶ latent ─quantizer─▶ symbols ─entropy─▶ body ─bitstream─▶ stream
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import rate, registry
from .bitstream import CODERS, DIGEST_BYTES, VERSION, Header, check_seed, check_value, split
from .embeddings import Embeddings, as_embedding, as_embeddings
from .entropy import Symbols
from .errors import (
    CorruptError,
    DecodeError,
    EmbeddingError,
    OptionError,
    UnknownProfileError,
)
from .profile import Profile, read_profile
from .statistics import check_statistics

if TYPE_CHECKING:
    from .backbone import Backbone
    from .images import ImageInput

AUTO = "auto"
_CHUNK = 2048  # embeddings under way at a time: bounds memory, fills the matrix products
_IMAGES = 64


@dataclass(frozen=True)
class StreamInfo:
    """What a stream is. Sizes in bytes; `digest` (hex) names a private profile's file."""

    version: int
    profile: str
    profile_id: int | None
    digest: str | None
    backbone: str
    entropy: str
    quality: float | None
    dim: int
    symbols: int
    size: int
    header_size: int
    information: float  # ideal payload in bytes: what the frequency tables say these symbols hold
    bits_per_dimension: float


class Codec:
    """Encoder and decoder for one profile; decodes the streams of all registered ones too.

    profile  a registered name, the path of a profile file, or a loaded Profile; None: the default
    device   for the backbone: "cpu", "cuda", …; None chooses
    weights  a local file with the backbone's weights; None: CLIPCODEC_WEIGHTS, or open_clip's

    Raises ProfileError for an unknown name, WeightsError for a damaged file. Thread-safe.
    """

    def __init__(
        self,
        profile: str | os.PathLike[str] | Profile | None = None,
        *,
        device: str | None = None,
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        self._profile = None if profile is None else resolve(profile)
        self._device = device
        self._weights = weights

    @property
    def profile(self) -> Profile:
        """The profile to encode with. The default is loaded when first needed, not to decode."""
        if self._profile is None:
            self._profile = registry.by_name(registry.DEFAULT)
        return self._profile

    # images

    def encode(
        self,
        image: ImageInput,
        *,
        quality: float | None = None,
        max_bytes: int | None = None,
        min_cosine: float | None = None,
        entropy: str = AUTO,
    ) -> bytes:
        """One image to a stream. Raises ImageError, WeightsError, OptionError or RateError."""
        return self.encode_batch(
            [image], quality=quality, max_bytes=max_bytes, min_cosine=min_cosine, entropy=entropy
        )[0]

    def encode_batch(
        self,
        images: Iterable[ImageInput],
        *,
        quality: float | None = None,
        max_bytes: int | None = None,
        min_cosine: float | None = None,
        entropy: str = AUTO,
    ) -> list[bytes]:
        """Images to streams, in order; errors as for `encode`."""
        target = self._target(quality, max_bytes, min_cosine, entropy)
        streams: list[bytes] = []
        for chunk in _chunks(images, _IMAGES):
            streams += self._encode(self.embed(chunk), target, entropy)
        return streams

    def embed(self, images: Sequence[ImageInput]) -> Embeddings:
        """Images to embeddings (N, D), float32, unit norm, by the profile's backbone."""
        from .images import load_rgb

        pictures = [load_rgb(image) for image in images]
        embeddings = self._backbone().embed(pictures)
        check_statistics(embeddings, self.profile.statistics, self.profile.backbone, ours=True)
        return embeddings

    def _backbone(self) -> Backbone:
        from .backbone import Backbone

        backbone = Backbone.cached(
            self.profile.backbone, device=self._device, weights=self._weights
        )
        if backbone.dim != self.profile.dim:
            raise EmbeddingError(
                f"backbone {self.profile.backbone} gives {backbone.dim} dimensions, "
                f"profile {self.profile.name} takes {self.profile.dim}"
            )
        return backbone

    # embeddings

    def encode_embedding(
        self,
        x: Any,
        *,
        quality: float | None = None,
        max_bytes: int | None = None,
        min_cosine: float | None = None,
        entropy: str = AUTO,
    ) -> bytes:
        """One embedding (D,), any norm, to a stream; needs no torch.

        Raises EmbeddingError, OptionError or RateError; warns (BackboneWarning) of one that lies
        where the profile's backbone puts none.
        """
        target = self._target(quality, max_bytes, min_cosine, entropy)
        return self._encode(self._given(as_embedding(x, self.profile.dim)), target, entropy)[0]

    def encode_embeddings(
        self,
        X: Any,
        *,
        quality: float | None = None,
        max_bytes: int | None = None,
        min_cosine: float | None = None,
        entropy: str = AUTO,
    ) -> list[bytes]:
        """Embeddings (N, D), any norms, to N streams; errors as for `encode_embedding`."""
        target = self._target(quality, max_bytes, min_cosine, entropy)
        return self._encode(self._given(as_embeddings(X, self.profile.dim)), target, entropy)

    def _given(self, x: Embeddings) -> Embeddings:
        """Warn of embeddings that another model seems to have made."""
        check_statistics(x, self.profile.statistics, self.profile.backbone)
        return x

    def _target(
        self, quality: float | None, max_bytes: int | None, min_cosine: float | None, entropy: str
    ) -> rate.Target:
        if entropy != AUTO and entropy not in CODERS:
            raise OptionError(f"entropy={entropy!r}: expected {AUTO}, {', '.join(CODERS)}")
        target = rate.Target(quality, max_bytes, min_cosine)
        rate.check_fixed_rate(target, self.profile.name)
        return target

    def _encode(self, x: Embeddings, target: rate.Target, entropy: str) -> list[bytes]:
        profile = self.profile
        streams: list[bytes] = []
        cosines = []
        for at in range(0, len(x), _CHUNK):
            rows = x[at : at + _CHUNK]
            symbols = profile.transform.analyse(rows, profile.quantizer)
            streams += _shortest(profile, symbols, CODERS if entropy == AUTO else (entropy,))
            if target.min_cosine is not None:
                cosines.append((rows * _reconstruct(profile, symbols)).sum(axis=1))
        rate.check_sizes(target, streams, profile.name)
        if cosines:
            rate.check_cosines(target, np.concatenate(cosines), profile.name)
        return streams

    # streams

    def decode(self, stream: bytes) -> Embeddings:
        """One stream to its embedding (D,), float32, unit norm.

        Any bytes give an embedding or a DecodeError. A registered profile that cannot be read
        from this installation gives WeightsError.
        """
        row: Embeddings = self.decode_batch([stream])[0]
        return row

    def decode_batch(self, streams: Iterable[bytes]) -> Embeddings:
        """N streams to embeddings (N, D) in order. All must have one width."""
        parsed = [self._split(stream) for stream in streams]
        if not parsed:
            return np.empty((0, self.profile.dim), np.float32)
        groups: dict[Header, list[int]] = {}
        for i, (header, _) in enumerate(parsed):
            groups.setdefault(header, []).append(i)
        owners = {header: self._owner(header) for header in groups}
        widths = {profile.dim for profile in owners.values()}
        if len(widths) > 1:
            raise DecodeError(f"streams of several widths {sorted(widths)}: decode each apart")
        out = np.empty((len(parsed), widths.pop()), np.float32)
        for header, rows in groups.items():
            for at in range(0, len(rows), _CHUNK):
                chunk = rows[at : at + _CHUNK]
                symbols = _symbols(owners[header], header, [parsed[i][1] for i in chunk])
                out[chunk] = _reconstruct(owners[header], symbols)
        return out

    def info(self, stream: bytes) -> StreamInfo:
        """Describe a stream after checking it in full. Raises as `decode` does."""
        header, body = self._split(stream)
        profile = self._owner(header)
        symbols = _symbols(profile, header, [body])
        size = len(header.to_bytes()) + len(body)
        return StreamInfo(
            version=VERSION,
            profile=profile.name,
            profile_id=profile.id,
            digest=None if profile.id is not None else profile.digest.hex(),
            backbone=profile.backbone,
            entropy=header.coder,
            quality=None,
            dim=profile.dim,
            symbols=symbols.shape[1],
            size=size,
            header_size=len(header.to_bytes()),
            information=float(profile.tables.information(symbols)[0]) / 8,
            bits_per_dimension=8 * size / profile.dim,
        )

    def _split(self, stream: bytes) -> tuple[Header, bytes]:
        if not isinstance(stream, (bytes, bytearray, memoryview)):
            raise DecodeError(f"expected the bytes of a stream, got {type(stream).__name__}")
        return split(bytes(stream))

    def _owner(self, header: Header) -> Profile:
        """The profile that a header names: ours, if it is, or a registered one."""
        if header.profile_id is not None:
            return registry.by_id(header.profile_id)
        own = self._profile
        if own is not None and own.id is None and own.digest[:DIGEST_BYTES] == header.digest:
            return own
        named = (header.digest or b"").hex()
        raise UnknownProfileError(
            f"the stream was made with a private profile whose SHA-256 begins with {named}: "
            "decode it with Codec(profile=FILE) or --profile FILE"
        )


def resolve(profile: str | os.PathLike[str] | Profile) -> Profile:
    """A profile from a registered name, a file's path, or itself."""
    if isinstance(profile, Profile):
        return profile
    name = os.fspath(profile)
    if isinstance(profile, str) and not os.path.exists(name) and not name.endswith(".safetensors"):
        return registry.by_name(name)
    return read_profile(name)


def _header(profile: Profile, coder: str) -> tuple[bytes, int]:
    """Header bytes and the check value's state after them."""
    private = None if profile.id is not None else profile.digest
    header = Header(coder, profile.id, private and private[:DIGEST_BYTES]).to_bytes()
    return header, check_seed(header, private)


def _shortest(profile: Profile, symbols: Symbols, names: Sequence[str]) -> list[bytes]:
    """Streams of symbols (N, n), each by the coder that makes it shortest; ties to the first."""
    packed = profile.packer.pack(symbols)
    best: list[bytes] = []
    for name in names:
        header, seed = _header(profile, name)
        bodies = profile.coders[name].encode(symbols, [check_value(seed, p) for p in packed])
        streams = [header + body for body in bodies]
        best = [min(pair, key=len) for pair in zip(best, streams, strict=True)] if best else streams
    return best


def _symbols(profile: Profile, header: Header, bodies: list[bytes]) -> Symbols:
    """Symbols (N, n) of bodies with one header, their check values verified."""
    symbols, checks = profile.coders[header.coder].decode(bodies)
    _, seed = _header(profile, header.coder)
    for packed, check in zip(profile.packer.pack(symbols), checks, strict=True):
        if check_value(seed, packed) != check:
            raise CorruptError("check value does not match: the stream is damaged")
    return symbols


def _reconstruct(profile: Profile, symbols: Symbols) -> Embeddings:
    """Symbols (N, n) → embeddings (N, D) of unit norm."""
    rows = profile.transform.synthesise(profile.quantizer.dequantize(symbols))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise CorruptError(f"these symbols of profile {profile.name} decode to no direction")
    unit: Embeddings = rows / norms
    return unit


T = TypeVar("T")


def _chunks(items: Iterable[T], size: int) -> Iterable[list[T]]:
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
