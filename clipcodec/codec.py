"""The whole way, both directions, on one page.

image ─▶ embedding ─transform─▶ latent ─quantizer─▶ symbols ─entropy─▶ body ─bitstream─▶ stream
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .bitstream import CODERS, DIGEST_BYTES, VERSION, Header, split
from .embeddings import Embeddings, as_embedding, as_rows, directions, forget_pages
from .entropy import Symbols
from .errors import (
    DecodeError,
    EmbeddingError,
    OptionError,
    ProfileError,
    UnknownProfileError,
)
from .kinds import Parameters
from .kinds.trellis import rate
from .profile import registry
from .profile.file import Profile, read_profile
from .profile.statistics import check_statistics
from .stream import encode_rows, reconstruct, unpack
from .system.threads import in_threads, most_threads

if TYPE_CHECKING:
    from .images import ImageInput
    from .models import Backbone

AUTO = "auto"
_CHUNK = 2048  # embeddings encoded at a time by a thread: fills the matrix products
_STREAMS = 4096  # decoded at a time by a thread: as many symbols for each call of numpy
_FEWEST = 256  # streams that are worth a thread
_WIDTH = 768  # above it there are fewer: bounds memory, some 64 bytes a number and thread
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
    backbone what turns images into embeddings, for a profile that takes any (see
             `clipcodec.models.spec`); without a profile, the best one registered for it
    device   for the backbone: "cpu", "cuda", …; None chooses
    weights  a local file with the backbone's weights; None: CLIPCODEC_WEIGHTS, or open_clip's
    precision  of the backbone: "fp32", or "bf16" or "fp16", where the device has them

    Raises ProfileError for an unknown name, WeightsError for a damaged file. Thread-safe.
    """

    def __init__(
        self,
        profile: str | os.PathLike[str] | Profile | None = None,
        *,
        backbone: str | None = None,
        device: str | None = None,
        weights: str | os.PathLike[str] | None = None,
        precision: str = "fp32",
    ) -> None:
        self._profile = None if profile is None else resolve(profile)
        if backbone is not None and self._profile is None:
            self._profile = registry.by_name(registry.for_backbone(backbone))
        own = None if self._profile is None else self._profile.backbone
        if backbone is not None and own not in (registry.ANY_BACKBONE, backbone):
            raise OptionError(f"backbone={backbone!r}: the profile is for {own!r}; leave one out")
        self._backbone_name = backbone or own
        self._device = device
        self._weights = weights
        self._precision = precision

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: names and paths, no weights (`Profile` and the backbone are opened again)."""
        weights = None if self._weights is None else os.path.abspath(self._weights)
        return {**self.__dict__, "_weights": weights}

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
        rows = [self.embed(chunk) for chunk in _chunks(images, _IMAGES)]
        return self._encode(np.concatenate(rows), target, entropy) if rows else []

    def embed(self, images: Sequence[ImageInput]) -> Embeddings:
        """Images to embeddings (N, D), float32, unit norm, by the profile's backbone."""
        from .images import load_rgb

        pictures = [load_rgb(image) for image in images]
        embeddings = self.backbone().embed(pictures)
        self._judge(embeddings, ours=True)
        return embeddings

    @property
    def backbone_name(self) -> str:
        """Of the image encoder; OptionError if the profile takes any and none was chosen."""
        name = self._backbone_name or self.profile.backbone
        if name == registry.ANY_BACKBONE:
            raise OptionError(
                f"profile {self.profile.name} takes embeddings of any model: say which one makes "
                "them, backbone=NAME or --backbone NAME, such as openai-vit-l-14-336"
            )
        return name

    def backbone(self) -> Backbone:
        """The image encoder, loaded. Raises as `encode` does."""
        from .models import Backbone

        name = self.backbone_name
        backbone = Backbone.cached(
            name, device=self._device, weights=self._weights, precision=self._precision
        )
        if self.profile.dim not in (None, backbone.dim):
            raise EmbeddingError(
                f"backbone {name} gives {backbone.dim} dimensions, "
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
        row = as_embedding(x, self.profile.dim)
        self._judge(row, ours=False)
        return self._encode(row, target, entropy)[0]

    def encode_embeddings(
        self,
        X: Any,
        *,
        quality: float | None = None,
        max_bytes: int | None = None,
        min_cosine: float | None = None,
        entropy: str = AUTO,
    ) -> list[bytes]:
        """Embeddings (N, D), any norms, to N streams; errors as for `encode_embedding`.

        Of a memory map no more than some 16,000 rows are in memory at a time.
        """
        target = self._target(quality, max_bytes, min_cosine, entropy)
        rows, streams, warned = as_rows(X, self.profile.dim), list[bytes](), False
        step = 8 * _rows(rows.shape[1])  # enough for several threads
        for at in range(0, len(rows), step):
            x = directions(rows[at : at + step], at)
            warned = warned or self._judge(x, ours=False)
            streams += self._encode(x, target, entropy, at)
            forget_pages(X)
        return streams

    def _judge(self, x: Embeddings, *, ours: bool) -> bool:
        """Warn of embeddings that another model seems to have made."""
        profile = self.profile
        if profile.statistics is None:
            return False
        return check_statistics(x, profile.statistics, profile.backbone, ours=ours)

    def _target(
        self, quality: float | None, max_bytes: int | None, min_cosine: float | None, entropy: str
    ) -> rate.Target:
        coders = self.profile.kind.coders
        if not isinstance(entropy, str) or entropy not in (AUTO, *CODERS):
            raise OptionError(f"entropy={entropy!r}: expected {AUTO}, {', '.join(CODERS)}")
        if entropy not in (AUTO, *coders):
            raise OptionError(
                f"entropy={entropy!r}: profile {self.profile.name} has {', '.join(coders)} only"
            )
        target = rate.Target(quality, max_bytes, min_cosine)
        if not self.profile.kind.qualities:
            rate.check_fixed_rate(target, self.profile.name)
        return target

    def _encode(
        self, x: Embeddings, target: rate.Target, entropy: str, first: int = 0
    ) -> list[bytes]:
        step = _rows(x.shape[1])
        names = self.profile.kind.coders if entropy == AUTO else (entropy,)
        streams: list[bytes] = []
        profile = self.profile

        def work(at: int) -> list[bytes]:
            return encode_rows(profile, x[at : at + step], target, names, first + at)

        for part in in_threads(work, range(0, len(x), step)):
            streams += part
        return streams

    # streams

    def decode(self, stream: bytes) -> Embeddings:
        """One stream to its embedding (D,), float32, unit norm.

        Any bytes give an embedding or a DecodeError. A registered profile that cannot be read
        from this installation gives WeightsError.
        """
        header, owner, parameters, body = self._open(stream)
        symbols = unpack(owner, header, [parameters], [body])
        row: Embeddings = reconstruct(owner, symbols, np.array([parameters.quality]))[0]
        return row

    def decode_batch(self, streams: Iterable[bytes], *, first: int = 0) -> Embeddings:
        """N streams to embeddings (N, D) in order. All must have one width.

        first  number of the first stream, for errors

        Raises as `decode` does, naming a stream at fault.
        """
        if isinstance(streams, (bytes, bytearray, memoryview, str)) or not isinstance(
            streams, Iterable
        ):
            raise DecodeError(f"expected several streams, got {type(streams).__name__}")
        bodies: list[bytes] = []
        parameters: list[Parameters] = []
        groups: dict[tuple[Header, int], list[int]] = {}
        owners: dict[Header, Profile] = {}
        widths = set()
        for i, stream in enumerate(streams):
            try:
                header, rest = self._split(stream)
                if header not in owners:
                    owners[header] = self._owner(header)
                own, body = owners[header].kind.split(rest)
            except DecodeError as error:
                raise _named(first + i, error) from error
            bodies.append(body)
            parameters.append(own)
            widths.add(owners[header].dim or own.size)
            groups.setdefault((header, own.size), []).append(i)
        if not bodies:
            return np.empty((0, self.profile.dim or 0), np.float32)
        if len(widths) > 1:
            raise DecodeError(f"streams of several widths {sorted(widths)}: decode each apart")
        out = np.empty((len(bodies), widths.pop()), np.float32)

        def work(job: tuple[Header, list[int]]) -> None:
            header, chunk = job
            symbols = _unpack_named(owners[header], header, chunk, parameters, bodies, first)
            qualities = np.array([parameters[i].quality for i in chunk])
            places = [first + i for i in chunk]
            out[chunk] = reconstruct(owners[header], symbols, qualities, places)

        jobs = [
            (header, part)
            for (header, size), rows in groups.items()
            for part in _shared_out(rows, _rows(size, _STREAMS))
        ]
        in_threads(work, jobs)
        return out

    def info(self, stream: bytes) -> StreamInfo:
        """Describe a stream after checking it in full. Raises as `decode` does."""
        header, profile, parameters, body = self._open(stream)
        symbols = unpack(profile, header, [parameters], [body])
        start = len(header.to_bytes()) + len(profile.kind.parameters(*parameters))
        size = start + len(body)
        dim = profile.dim or parameters.size
        bits = profile.kind.information(symbols, np.array([parameters.quality]))
        return StreamInfo(
            version=VERSION,
            profile=profile.name,
            profile_id=profile.id,
            digest=None if profile.id is not None else profile.digest.hex(),
            backbone=profile.backbone,
            entropy=header.coder,
            quality=parameters.quality or None,
            dim=dim,
            symbols=symbols.shape[1],
            size=size,
            header_size=start,
            information=float(bits[0]) / 8,
            bits_per_dimension=8 * size / dim,
        )

    def symbols(self, stream: bytes) -> Symbols:
        """The symbols (n,) of a stream, after checking it in full. Raises as `decode` does."""
        header, profile, parameters, body = self._open(stream)
        row: Symbols = unpack(profile, header, [parameters], [body])[0]
        return row

    def _open(self, stream: bytes) -> tuple[Header, Profile, Parameters, bytes]:
        header, rest = self._split(stream)
        owner = self._owner(header)
        parameters, body = owner.kind.split(rest)
        return header, owner, parameters, body

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


def _unpack_named(
    profile: Profile,
    header: Header,
    chunk: list[int],
    parameters: list[Parameters],
    bodies: list[bytes],
    first: int,
) -> Symbols:
    """Symbols of some of the bodies; an error names the stream by its place in the batch."""
    try:
        return unpack(profile, header, [parameters[i] for i in chunk], [bodies[i] for i in chunk])
    except DecodeError:
        for i in chunk:
            try:
                unpack(profile, header, [parameters[i]], [bodies[i]])
            except DecodeError as error:
                raise _named(first + i, error) from error
        raise


def _named(place: int, error: DecodeError) -> DecodeError:
    return type(error)(f"stream {place}: {error}")


T = TypeVar("T")


def _shared_out(rows: list[int], most: int) -> list[list[int]]:
    """Parts of at most so many, as many as threads or a multiple, unless they would be small."""
    rounds = -(-len(rows) // (most * most_threads()))
    step = max(-(-len(rows) // (rounds * most_threads())), _FEWEST)
    return [rows[at : at + step] for at in range(0, len(rows), step)]


def _rows(width: int, most: int = _CHUNK) -> int:
    """How many embeddings, or rows of symbols, of this width are under way at a time."""
    return max(1, min(most, most * _WIDTH // width))


def _chunks(items: Iterable[T], size: int) -> Iterable[list[T]]:
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
