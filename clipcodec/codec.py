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
from .bitstream import CODERS, DIGEST_BYTES, VERSION, Header, split
from .embeddings import Embeddings, as_embedding, as_embeddings
from .entropy import Symbols
from .errors import (
    CorruptError,
    DecodeError,
    EmbeddingError,
    OptionError,
    ProfileError,
    UnknownProfileError,
)
from .profile import Profile, read_profile
from .statistics import check_statistics
from .streams import pack, unpack

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
        if isinstance(images, (str, bytes, os.PathLike)):
            raise OptionError("encode_batch takes several images: encode takes one")
        rows = [np.empty((0, self.profile.dim), np.float32)]
        rows += [self.embed(chunk) for chunk in _chunks(images, _IMAGES)]
        return self._encode(np.concatenate(rows), target, entropy)

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
        if not isinstance(entropy, str) or entropy not in (AUTO, *CODERS):
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
            streams += pack(profile, symbols, CODERS if entropy == AUTO else (entropy,))
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
        header, body = self._split(stream)
        owner = self._owner(header)
        row: Embeddings = _reconstruct(owner, unpack(owner, header, [body]))[0]
        return row

    def decode_batch(self, streams: Iterable[bytes]) -> Embeddings:
        """N streams to embeddings (N, D) in order. All must have one width.

        Raises as `decode` does, naming the first stream at fault.
        """
        if isinstance(streams, (bytes, bytearray, memoryview, str)) or not isinstance(
            streams, Iterable
        ):
            raise DecodeError(f"expected several streams, got {type(streams).__name__}")
        bodies: list[bytes] = []
        groups: dict[Header, list[int]] = {}
        owners: dict[Header, Profile] = {}
        for i, stream in enumerate(streams):
            try:
                header, body = self._split(stream)
                if header not in owners:
                    owners[header] = self._owner(header)
            except DecodeError as error:
                raise _named(i, error) from error
            bodies.append(body)
            groups.setdefault(header, []).append(i)
        if not bodies:
            return np.empty((0, self.profile.dim), np.float32)
        widths = {profile.dim for profile in owners.values()}
        if len(widths) > 1:
            raise DecodeError(f"streams of several widths {sorted(widths)}: decode each apart")
        out = np.empty((len(bodies), widths.pop()), np.float32)
        for header, rows in groups.items():
            for at in range(0, len(rows), _CHUNK):
                chunk = rows[at : at + _CHUNK]
                symbols = _unpack_named(owners[header], header, chunk, bodies)
                out[chunk] = _reconstruct(owners[header], symbols)
        return out

    def info(self, stream: bytes) -> StreamInfo:
        """Describe a stream after checking it in full. Raises as `decode` does."""
        header, body = self._split(stream)
        profile = self._owner(header)
        symbols = unpack(profile, header, [body])
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
        digest = header.digest or b""
        if own is not None and own.digest[:DIGEST_BYTES] == digest:
            return own
        registered = registry.by_digest(digest)  # made before the profile was registered
        if registered is not None:
            return registered
        named = digest.hex()
        raise UnknownProfileError(
            f"the stream was made with a private profile whose SHA-256 begins with {named}: "
            "decode it with Codec(profile=FILE) or --profile FILE"
        )


def resolve(profile: str | os.PathLike[str] | Profile) -> Profile:
    """A profile from a registered name, a file's path, or itself."""
    if isinstance(profile, Profile):
        return profile
    if not isinstance(profile, (str, os.PathLike)):
        raise ProfileError(f"profile is {type(profile).__name__}: expected a name or a path")
    name = os.fspath(profile)
    if isinstance(profile, str) and not os.path.exists(name) and not name.endswith(".safetensors"):
        return registry.by_name(name)
    own = read_profile(name)
    registered = registry.by_digest(own.digest)
    return registered or own


def _reconstruct(profile: Profile, symbols: Symbols) -> Embeddings:
    """Symbols (N, n) → embeddings (N, D) of unit norm."""
    rows = profile.transform.synthesise(profile.quantizer.dequantize(symbols))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise CorruptError(f"these symbols of profile {profile.name} decode to no direction")
    unit: Embeddings = rows / norms
    return unit


def _unpack_named(
    profile: Profile, header: Header, chunk: list[int], bodies: list[bytes]
) -> Symbols:
    """Symbols of some of the bodies; an error names the stream by its place in the batch."""
    try:
        return unpack(profile, header, [bodies[i] for i in chunk])
    except DecodeError:
        for i in chunk:
            try:
                unpack(profile, header, [bodies[i]])
            except DecodeError as error:
                raise _named(i, error) from error
        raise


def _named(place: int, error: DecodeError) -> DecodeError:
    return type(error)(f"stream {place}: {error}")


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
