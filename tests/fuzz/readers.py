"""Files: profiles, arrays, images, weights, and what the command line makes of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from safetensors.numpy import save

import clipcodec
from clipcodec import Codec, EmbeddingError, OptionError, WeightsError
from clipcodec.errors import ImageError, ProfileError, TrainingError
from clipcodec.profile import registry

from . import profiles, seeds
from .mutate import damaged, damaged_json, dumps
from .targets import Target, check_stream

# profile files


def check_profile(data: bytes) -> str:
    """WeightsError, or a profile that encodes what it decodes."""
    try:
        profile = seeds.load(data)
    except WeightsError:
        return "WeightsError"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(data).digest()[:8], "big"))
    r = Random(data)
    codec = Codec(profile)
    seeds.codecs()[profile.digest[:4]] = codec
    try:
        rows = rng.normal(size=(3, profile.dim or r.randint(1, 40))).astype(np.float32)
        outcome = _round_trip(codec, rows, r)
        for _ in range(2):
            check_stream(seeds.extreme(r, profile)[1])
    finally:
        del seeds.codecs()[profile.digest[:4]]
    return outcome


def _round_trip(codec: Codec, rows: Any, r: Random) -> str:
    highest = codec.profile.kind.qualities
    quality = None if not highest else r.choice((None, 1, min(highest, 100)))
    coder = r.choice(("auto", *codec.profile.kind.coders))
    try:
        streams = codec.encode_embeddings(rows, quality=quality, entropy=coder)
    except (EmbeddingError, OptionError) as error:
        return f"loaded, {type(error).__name__}"
    for stream in streams:
        outcome = check_stream(stream)
        assert outcome.startswith("decoded") or not highest, f"encoded, but {outcome}"
    return "loaded"


# arrays


def array(r: Random) -> bytes:
    """A .npy file with anything in it, its header as often damaged as its data."""
    dtype = r.choice(("f2", "f4", "f8", ">f4", "i1", "u8", "c8", "?", "S3", "U2", "M8[s]", "V4",
                      "f4,f4", "g"))  # fmt: skip
    shape = r.choice(((8,), (3, 8), (0, 8), (3, 0), (), (2, 2, 2), (1, 1)))
    rng = np.random.default_rng(r.getrandbits(32))
    raw = rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    values = np.frombuffer(raw, dtype).reshape(shape) if raw else np.zeros(shape, dtype)
    if dtype in ("f2", "f4", "f8", ">f4") and r.random() < 0.7:
        values = rng.normal(size=shape).astype(dtype)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    data = buffer.getvalue()
    way = r.random()
    if way < 0.3:
        return damaged(r, data, [data, bytes(16)])
    if way < 0.7:
        head = {"descr": values.dtype.str, "fortran_order": False, "shape": shape}
        key = r.choice(sorted(head))
        head[key] = r.choice((
            (1 << 40,), (3, 1 << 40), (-1, 8), (1 << 62, 1 << 62), (8, True), ("8",), [8], "|O",
            "<f4", "<f16", ">c16", [("a", "<f4")], "<f4" * 9, None, True, 3, ((),), (0, 1 << 63),
            (1 << 62, 0), {"a": 1}, "<M8[ns]", "|V0",
        ))  # fmt: skip
        text = repr(head) if r.random() < 0.9 else "(" * r.choice((50, 200, 3000)) + ")"
        text = f"{text:<117}\n"
        version = r.choice((1, 2, 3))
        size = len(text).to_bytes(2 if version == 1 else 4, "little")
        return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + raw
    return data


def check_array(data: bytes) -> str:
    """Rows of unit norm by the command line's reader and by training's, or a typed error."""
    from clipcodec.cli.inputs import embedding_rows
    from clipcodec.embeddings import as_embeddings
    from clipcodec.training.data import load_embeddings

    path = seeds.file(data, "rows.npy")
    outcomes = []
    for source in (data, str(path)):
        try:
            rows = embedding_rows(source, str(path))
            outcomes.append("no array" if rows is None else f"{as_embeddings(rows).shape}")
        except EmbeddingError:
            outcomes.append("EmbeddingError")
    assert outcomes[0] == outcomes[1], f"bytes and file differ: {outcomes}"
    try:
        found, counts = load_embeddings([path], 1)
        assert len(found) == len(counts)
        assert np.abs(np.linalg.norm(found.astype(np.float64), axis=1) - 1).max() < 1e-5
        outcomes.append("trained on")
    except TrainingError:
        outcomes.append("TrainingError")
    return ", ".join(outcomes[1:]) if outcomes[0] in ("no array", "EmbeddingError") else "rows"


def tensors(r: Random) -> bytes:
    """A .safetensors file of embeddings, its header or bytes damaged."""
    rng = np.random.default_rng(r.getrandbits(32))
    rows = rng.normal(size=r.choice(((3, 8), (3, 8), (8,), (0, 8), (2, 2, 2))))
    dtype = r.choice(("f2", "f4", "f4", "f8", "i8", "?"))
    data = save({r.choice(("embeddings", "embeddings", "other")): rows.astype(dtype)})
    if r.random() < 0.6:
        data = profiles._other_header(r, data)
    return damaged(r, data, [data, bytes(8)]) if r.random() < 0.4 else data


def check_tensors(data: bytes) -> str:
    from clipcodec.cli.inputs import embedding_rows
    from clipcodec.training.data import load_embeddings

    path = seeds.file(data, "rows.safetensors")
    outcomes = []
    for source in (data, str(path)):
        try:
            rows = embedding_rows(source, str(path))
            outcomes.append("no array" if rows is None else str(rows.shape))
        except EmbeddingError:
            outcomes.append("EmbeddingError")
    assert outcomes[0] == outcomes[1], f"bytes and file differ: {outcomes}"
    try:
        load_embeddings([path], 1)
    except TrainingError:
        return "TrainingError"
    return "rows"


# images

_PIXELS = 1 << 20  # PIL.Image.MAX_IMAGE_PIXELS while fuzzing, so that an input takes milliseconds


@lru_cache(maxsize=1)
def pictures() -> list[bytes]:
    """A small picture in every format and mode that Pillow writes here."""
    from PIL import Image

    Image.init()
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (9, 13, 3)).astype(np.uint8))
    out = []
    for name in sorted(Image.SAVE):
        for mode in ("RGB", "L", "P", "1", "RGBA", "LA", "I;16", "CMYK", "F"):
            buffer = io.BytesIO()
            with contextlib.suppress(Exception):  # what Pillow cannot write
                grey = pixels.convert("L") if mode == "I;16" else pixels
                exif = Image.Exif()
                exif[0x0112] = 6
                grey.convert(mode).save(buffer, name, exif=exif)
                if 0 < len(buffer.getvalue()) < 20_000:
                    out.append(buffer.getvalue())
    return out


def picture(r: Random) -> bytes:
    start = r.choice(pictures())
    return start if r.random() < 0.05 else damaged(r, start, pictures())


def check_picture(data: bytes) -> str:
    from PIL import Image

    from clipcodec.images import load_rgb

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _PIXELS
    try:
        image = load_rgb(data)
    except ImageError:
        return "ImageError"
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    assert image.mode == "RGB"
    assert image.width * image.height <= _PIXELS
    return "image"


# weights of a backbone, and its configuration


@lru_cache(maxsize=1)
def _network() -> tuple[Any, dict[str, bytes]]:
    """The description of a small network, and its weights in both file formats."""
    from tests.helpers.tiny_models import make_folder, make_model
    from tests.helpers.tiny_models import save as save_model

    folder = seeds.scratch() / "network"
    spec = make_folder(folder, layers=1, width=16)
    model = make_model(spec)
    model.transformer = None  # nothing of the text is read
    files = {name: save_model(model, folder / f"model{name}") for name in (".safetensors", ".pt")}
    return spec, {name: path.read_bytes() for name, path in files.items()}


def weights(r: Random) -> bytes:
    _, files = _network()
    start = files[r.choice(sorted(files))]
    way = r.random()
    if way < 0.5 and start[8:9] == b"{":
        return profiles._other_header(r, start)
    if way < 0.8:
        import torch

        state: Any = torch.load(io.BytesIO(files[".pt"]), weights_only=True)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of sparse and quantized tensors
            own = [name for name in sorted(state) if name.startswith("visual.")]
            names = [*own, "visual.more", "state_dict", "x", 3]
            for name in r.sample(names, r.choice((1, 1, 2))):
                state[name] = _other_tensor(r, state.get(name))
            torch.save(r.choice((state, {"state_dict": state}, [state])), buffer)
        return buffer.getvalue()
    return damaged(r, start, [start])


def _other_tensor(r: Random, value: Any) -> Any:
    """One of another type, layout, device or content; or something that is no tensor at all."""
    import torch

    if value is None or r.random() < 0.1:
        return r.choice((None, 3, "a", {}, [1], torch.zeros(2), torch.zeros(0)))
    return r.choice((
        value.int, value.bool, value.double, value.half, lambda: value.to(torch.complex64),
        value.to_sparse, lambda: value.to("meta"), lambda: value * float("nan"),
        lambda: value * 1e38, lambda: value * 0, lambda: value[:0], lambda: value[None],
        lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    ))()  # fmt: skip


def check_weights(data: bytes) -> str:
    """A network that embeds, or WeightsError."""
    from PIL import Image

    from clipcodec.models import Backbone

    spec, _ = _network()
    try:
        backbone = Backbone.load(spec, device="cpu", weights=seeds.file(data, "model.bin"))
    except WeightsError:
        return "WeightsError"
    try:
        backbone.embed([Image.new("RGB", (32, 32), (200, 100, 50))])
    except WeightsError:
        return "loaded, WeightsError"
    return "loaded"


# JSON: a card for training, a local network's configuration, the registry


def text(r: Random) -> bytes:
    from tests.helpers.tiny_models import config

    row = json.loads((Path(registry.__file__).parent / "shipped" / "registry.json").read_text())
    value = r.choice(({"data": "mine", "licence": {"a": [1, 2]}}, row,
                      {"model_cfg": config(), "preprocess_cfg": {}}))  # fmt: skip
    for _ in range(r.choice((0, 1, 2))):
        value = damaged_json(r, value)
    data = dumps(value).encode("utf-8", "surrogatepass")
    return damaged(r, data, [data]) if r.random() < 0.2 else data


def check_text(data: bytes) -> str:
    from clipcodec.cli.train import _card
    from clipcodec.models.spec import spec

    path = seeds.file(data, "open_clip_config.json")
    outcome = []
    try:
        _card(str(path))
        outcome.append("card")
    except TrainingError:
        outcome.append("TrainingError")
    try:
        spec(f"local-dir:{path.parent}")
        outcome.append("network")
    except ProfileError:
        outcome.append("ProfileError")
    outcome.append(_registry(path))
    return ", ".join(outcome)


def _registry(path: Path) -> str:
    folder = path.parent / "registry"
    folder.mkdir(exist_ok=True)
    (folder / "registry.json").write_bytes(path.read_bytes())
    kept = registry._FOLDER
    registry._FOLDER = folder
    registry.registered.cache_clear()
    try:
        registry.registered()
        return "registry"
    except WeightsError:
        return "WeightsError"
    finally:
        registry._FOLDER = kept
        registry.registered.cache_clear()


# the command line


def command(r: Random) -> bytes:
    """A byte that says which verb, then its file."""
    verb = r.randrange(5)
    if verb < 2:
        data = b"".join((damaged(r, r.choice(seeds.streams()[0]), seeds.streams()[0]),))
    elif verb == 2:
        data = array(r)
    else:
        data = profiles.damaged_file(r)
    return bytes([verb]) + data


def check_command(data: bytes) -> str:
    """Exit 0, 1 or 2; a failure is in words."""
    from clipcodec.cli import main

    if not data:
        return "empty"
    path = str(seeds.file(data[1:], "input.bin"))
    out = str(seeds.scratch() / "output")
    args = (
        ["info", path], ["decompress", "--json", path],
        ["compress", path, "--profile", "any/rotation", "-f", "-o", out],
        ["profiles", path], ["info", path, "--profile", path],
    )[data[0] % 5]  # fmt: skip
    said, failed = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed):
        code = main(args)
    assert code in (0, 1, 2)
    assert bool(failed.getvalue()) == bool(code), f"exit {code}, and said {failed.getvalue()!r}"
    assert len(failed.getvalue()) < 2000, "a message without end"
    return f"{args[0]} {code}"


TARGETS = [
    Target("profile", 0.015, profiles.damaged_file, check_profile),
    Target("array", 0.01, array, check_array),
    Target("tensors", 0.01, tensors, check_tensors),
    Target("image", 0.007, picture, check_picture),
    Target("weights", 0.0005, weights, check_weights),
    Target("text", 0.005, text, check_text),
    Target("command", 0.0025, command, check_command),
]

__all__ = ["TARGETS", "clipcodec"]
