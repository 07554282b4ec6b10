"""A new kind is a folder and a row of KINDS: all of the codec works with it, and nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import clipcodec
from clipcodec import Codec, CorruptError, OptionError, RateError, TruncatedError, WeightsError
from clipcodec.kinds import KINDS
from clipcodec.profile import write_profile
from tests.helpers.profiles import cone
from tests.helpers.toy import ToyKind

DIM = 24


@pytest.fixture
def codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    monkeypatch.setitem(KINDS, ToyKind.name, ToyKind)  # the row
    path = tmp_path / "toy.safetensors"
    meta = {"name": "private/toy", "kind": "toy", "backbone": "none", "dim": DIM, "card": {}}
    write_profile(path, meta, {"mean": cone(500, DIM).mean(axis=0)})
    return Codec(path)


def test_streams_go_round(codec: Codec) -> None:
    """One by one and in a batch: five bytes of header, two of check value, a bit per dimension."""
    x = cone(40, DIM, seed=1)
    streams = codec.encode_embeddings(x)
    assert {len(stream) for stream in streams} == {5 + 2 + 3}
    assert streams[3] == codec.encode_embedding(x[3])
    decoded = codec.decode_batch(streams)
    assert np.allclose(codec.decode(streams[3]), decoded[3])
    assert (decoded * x).sum(axis=1).mean() > 0.8
    info = codec.info(streams[0])
    assert (info.profile, info.entropy, info.symbols) == ("private/toy", "raw", DIM)
    assert info.information == DIM / 8


def test_targets_hold_or_are_refused(codec: Codec) -> None:
    x = cone(5, DIM, seed=1)
    assert codec.encode_embeddings(x, max_bytes=10) == codec.encode_embeddings(x)
    with pytest.raises(
        RateError, match="10 bytes with profile private/toy, max_bytes is 9"
    ) as size:
        codec.encode_embeddings(x, max_bytes=9)
    assert size.value.rows == (0, 1, 2, 3, 4)
    with pytest.raises(RateError, match="choose a profile of a higher rate"):
        codec.encode_embedding(x[0], min_cosine=0.9999)
    with pytest.raises(OptionError, match="one fixed rate"):
        codec.encode_embeddings(x, quality=50)
    with pytest.raises(OptionError, match="has auto, raw"):
        codec.encode_embeddings(x, entropy="rans")


def test_damage_is_noticed_and_named(codec: Codec) -> None:
    streams = codec.encode_embeddings(cone(5, DIM, seed=1))
    with pytest.raises(TruncatedError) as cut:
        codec.decode_batch([*streams, streams[0][:-1]])
    assert cut.value.rows == (5,)
    with pytest.raises(CorruptError, match="check value") as changed:
        codec.decode_batch([streams[0][:-1] + bytes([streams[0][-1] ^ 1]), *streams])
    assert changed.value.rows == (0,)


def test_containers_and_search_take_it(codec: Codec, tmp_path: Path) -> None:
    x = cone(40, DIM, seed=1)
    with clipcodec.create(tmp_path / "x.clpc") as writer:
        writer.extend(codec.encode_embeddings(x))
    with clipcodec.open(tmp_path / "x.clpc", profile=codec.profile) as container:
        assert container.decode_all().shape == (40, DIM)
        assert clipcodec.search(container, x[:2], k=3).indices.shape == (2, 3)


def test_it_pickles_as_its_path(codec: Codec) -> None:
    again = pickle.loads(pickle.dumps(codec))
    assert again.profile.digest == codec.profile.digest
    assert isinstance(again.profile.kind, ToyKind)


def test_without_its_row_the_file_is_refused(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(KINDS, ToyKind.name)
    with pytest.raises(WeightsError, match="kind 'toy' is unknown; known: pqvae, predictive"):
        Codec(codec.profile.path)
