"""A profile's kind as the class that it is, for tests that look inside."""

from __future__ import annotations

from clipcodec.kinds.pqvae import PqvaeKind
from clipcodec.kinds.trellis import TrellisKind
from clipcodec.profile import Profile


def pqvae(profile: Profile) -> PqvaeKind:
    assert isinstance(profile.kind, PqvaeKind)
    return profile.kind


def trellis(profile: Profile) -> TrellisKind:
    assert isinstance(profile.kind, TrellisKind)
    return profile.kind
