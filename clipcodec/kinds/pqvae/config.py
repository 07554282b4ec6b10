"""The shape of a PQVAE latent and of its networks, as a profile's `config` states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from ...errors import WeightsError

_LIMIT = 1 << 15


@dataclass(frozen=True)
class PqvaeConfig:
    """Sizes of one PQVAE-shared profile; the paper has 25 positions of 128 channels.

    dim        width D of an embedding
    positions  latent positions (h·w)
    channels   channels of one position (c)
    sub_dim    channels of one sub-vector (d_sub); divides `channels`
    codewords  size K of the shared codebook
    rank       linear directions that one sub-vector's channels span (at most sub_dim)
    analysis   hidden units of the analysis network
    synthesis  hidden units of one block of the synthesis network
    blocks     blocks of the synthesis network
    """

    dim: int
    positions: int = 25
    channels: int = 128
    sub_dim: int = 16
    codewords: int = 4
    rank: int = 3
    analysis: int = 128
    synthesis: int = 384
    blocks: int = 3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 2 if field.name == "codewords" else 1
            if type(value) is not int or not least <= value <= _LIMIT:
                raise WeightsError(f"{field.name} is {value!r}: expected {least} … {_LIMIT}")
        if self.channels % self.sub_dim:
            raise WeightsError(f"sub_dim {self.sub_dim} does not divide {self.channels} channels")
        if self.rank > self.sub_dim:
            raise WeightsError(f"rank {self.rank} exceeds sub_dim {self.sub_dim}")
        if self.count > 1 << 12:
            raise WeightsError(f"{self.count} symbols per embedding: at most {1 << 12}")

    @property
    def groups(self) -> int:
        """Sub-vectors of one position, coded one after the other for all positions at once."""
        return self.channels // self.sub_dim

    @property
    def count(self) -> int:
        """Symbols n of one embedding."""
        return self.positions * self.groups

    @property
    def bits(self) -> int:
        """Bits of one embedding's packed symbols."""
        return self.count * (self.codewords - 1).bit_length()

    def to_meta(self) -> dict[str, int]:
        return {k: v for k, v in asdict(self).items() if k != "dim"}

    @classmethod
    def from_meta(cls, dim: int, config: Mapping[str, int]) -> PqvaeConfig:
        """Raises WeightsError or TypeError for sizes that do not fit together."""
        names = {field.name for field in fields(cls)} - {"dim"}
        if config.keys() != names:
            raise WeightsError(f"config must state {', '.join(sorted(names))}")
        return cls(dim, **config)
