"""`Backbone`: the reference's embeddings, or an error that names the file and the remedy.

All models here are tiny and random, made and saved by open_clip itself, and loaded the usual way.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from clipcodec.errors import (
    MissingDependencyError,
    OptionError,
    ProfileError,
    WeightsError,
    WeightsUnavailableError,
)
from clipcodec.models import BACKBONES, Backbone, BackboneSpec, fetch, spec
from clipcodec.models import hub as hub_module
from tests.helpers import tiny_models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytest.importorskip("open_clip")
torch: Any = import_module("torch")
open_clip: Any = import_module("open_clip")

RNG = np.random.default_rng(0)
IMAGES = [
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
    for height, width in [(50, 70), (200, 90), (32, 32), (7, 5), (1, 1), (30, 31)]
]


@dataclass(frozen=True)
class Tiny:
    spec: BackboneSpec
    model: Any
    folder: Path
    safetensors: Path
    pt: Path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    made = tiny_models.make_folder(folder / "model")
    model = tiny_models.make_model(made)
    files = [tiny_models.save(model, folder / name) for name in ("tiny.safetensors", "tiny.pt")]
    return Tiny(made, model, folder, *files)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPCODEC_WEIGHTS", raising=False)


def reference(model: Any, images: list[Image.Image]) -> NDArray[np.float32]:
    """What open_clip's own few lines give."""
    preprocess = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        rows = [model.encode_image(preprocess(image)[None], normalize=True) for image in images]
    return np.asarray(torch.cat(rows).numpy())


# --- embeddings ---


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_embeddings_are_those_of_open_clip(tiny: Tiny, suffix: str) -> None:
    backbone = Backbone.load(tiny.spec, weights=getattr(tiny, suffix), device="cpu")
    found = backbone.embed(IMAGES)
    assert (backbone.dim, backbone.device) == (16, "cpu")
    assert found.dtype == np.float32
    assert np.allclose(found, reference(tiny.model, IMAGES), atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.std(found, axis=0).max() > 1e-3, "the images must not all look the same"


def test_the_activation_is_the_configured_one(tiny: Tiny) -> None:
    """The reference with GELU in place of QuickGELU differs, so the comparison above can tell."""
    plain = open_clip.create_model(tiny.spec.arch, load_weights=False, quick_gelu=False)
    plain.load_state_dict(tiny.model.state_dict())
    assert np.abs(reference(plain.eval(), IMAGES) - reference(tiny.model, IMAGES)).max() > 1e-4


def test_the_network_is_in_evaluation_mode(tmp_path: Path) -> None:
    """This one drops half of its patches at random while in training mode."""
    made = tiny_models.make_folder(tmp_path / "dropping", dropout=0.5)
    model = tiny_models.make_model(made)
    path = tiny_models.save(model, tmp_path / "dropping.pt")
    found = Backbone.load(made, weights=path, device="cpu").embed(IMAGES)
    assert np.allclose(found, reference(model, IMAGES), atol=1e-5)
    assert np.abs(found - reference(model.train(), IMAGES)).max() > 1e-3


@pytest.mark.slow
def test_more_images_than_one_batch_and_none_at_all(tiny: Tiny) -> None:
    backbone = Backbone.load(tiny.spec, weights=tiny.pt, device="cpu")
    many = (IMAGES * 23)[:130]
    assert np.allclose(backbone.embed(many), reference(tiny.model, many), atol=1e-5)
    assert backbone.embed([]).shape == (0, 16)


def test_a_tower_that_gives_tokens_too_is_understood(tiny: Tiny) -> None:
    """open_clip's CoCa models give (embedding, tokens)."""
    backbone = Backbone.load(tiny.spec, weights=tiny.pt, device="cpu")
    plain, inner = backbone.embed(IMAGES), backbone._tower
    backbone._tower = lambda values: (inner(values), None)
    assert np.array_equal(backbone.embed(IMAGES), plain)


def test_a_very_long_image_costs_no_gigabytes_and_keeps_its_centre(tiny: Tiny) -> None:
    """2 x 60000 would be resized to 32 x 960000 by the reference; the centre is what counts."""
    wide = RNG.integers(0, 256, (2, 60_000, 3), dtype=np.uint8)
    backbone = Backbone.load(tiny.spec, weights=tiny.pt, device="cpu")
    sizes: list[tuple[int, int]] = []
    inner = backbone._preprocess

    def preprocess(image: Image.Image) -> Any:
        sizes.append(image.size)
        return inner(image)

    vars(backbone)["_preprocess"] = preprocess
    found = backbone.embed([Image.fromarray(wide), Image.fromarray(wide.transpose(1, 0, 2))])
    assert sizes == [(64, 2), (2, 64)]
    centre = Image.fromarray(wide[:, 29_990:30_010])
    assert float(found[0] @ reference(tiny.model, [centre])[0]) > 0.999
    assert float(found[1] @ reference(tiny.model, [centre])[0]) < 0.999, "turned, so another image"


@pytest.mark.slow
def test_loading_prints_nothing_and_leaves_logging_alone(tiny: Tiny) -> None:
    code = (
        "import sys, logging, warnings; warnings.simplefilter('error', UserWarning)\n"
        "from clipcodec.models import Backbone, spec\n"
        "Backbone.load(spec(sys.argv[1]), weights=sys.argv[2], device='cpu')\n"
        "assert logging.getLogger().handlers == [] and logging.getLogger().filters == []\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, tiny.spec.name, str(tiny.pt)], capture_output=True, text=True
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_other_log_messages_pass_while_loading(tiny: Tiny, caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("someone").warning("kept")
        Backbone.load(tiny.spec, weights=tiny.pt, device="cpu")
        logging.getLogger().warning("kept, too")
    assert "randomly" not in caplog.text
    assert caplog.messages[0] == "kept"
    assert caplog.messages[-1] == "kept, too"


def test_cached_loads_once_for_all_threads(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    real = Backbone.load.__func__  # type: ignore[attr-defined]

    def load(cls: Any, *args: Any, **options: Any) -> Any:
        loads.append(1)
        time.sleep(0.05)
        return real(cls, *args, **options)

    monkeypatch.setattr(Backbone, "load", classmethod(load))
    found: list[Backbone] = []

    def work() -> None:
        found.append(Backbone.cached(tiny.spec, weights=tiny.pt, device="cpu"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(found) == 4
    assert len({id(backbone) for backbone in found}) == 1
    assert Backbone.cached(tiny.spec, weights=str(tiny.safetensors)) is not found[0]


# --- which backbone ---


def test_registered_backbones_agree_with_open_clip() -> None:
    for name, row in BACKBONES.items():
        assert (name, spec(name)) == (row.name, row)
        config = open_clip.get_model_config(row.arch)
        tag = open_clip.get_pretrained_cfg(row.arch, row.pretrained)
        assert config["embed_dim"] == row.dim
        assert tag["hf_hub"] == row.hub
        assert config["quick_gelu"]
        assert tag["quick_gelu"]
    assert {name: row.dim for name, row in BACKBONES.items()} == {
        "openai-vit-b-32": 512,
        "openai-vit-l-14-336": 768,
    }


def test_any_pair_of_open_clip_and_any_local_folder_has_a_spec(tiny: Tiny) -> None:
    found = spec("open_clip:ViT-L-14:datacomp_xl_s13b_b90k")
    assert (found.arch, found.pretrained, found.dim) == ("ViT-L-14", "datacomp_xl_s13b_b90k", 768)
    assert spec(tiny.spec.name) == tiny.spec


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit-b-32", "openai-vit-b-32, openai-vit-l-14-336; open_clip:ARCH:TAG"),
        ("", "no backbone ''"),
        ("open_clip:ViT-B-32", "no backbone"),
        ("open_clip::openai", "no backbone"),
        ("open_clip:ViT-B-32:", "no backbone"),
        ("open_clip:ViT-C-32:openai", "no architecture 'ViT-C-32'"),
        ("open_clip:ViT-B-32-quickgelu:nobody", "no tag 'nobody', but openai"),
        ("local-dir:/nowhere/at/all", "cannot read"),
        ("local-dir:", "cannot read"),
    ],
)
def test_an_unknown_name_says_what_exists(name: str, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        spec(name)


@pytest.mark.parametrize(
    ("arch", "tag", "right"),
    [
        ("ViT-B-32", "openai", "open_clip:ViT-B-32-quickgelu:openai"),
        ("ViT-L-14-336", "openai", "open_clip:ViT-L-14-336-quickgelu:openai"),
    ],
)
def test_weights_with_another_activation_are_refused(arch: str, tag: str, right: str) -> None:
    with pytest.raises(ProfileError, match=f"activation.*use {right}"):
        spec(f"open_clip:{arch}:{tag}")


def test_a_hand_made_spec_with_another_activation_is_refused_on_loading(tiny: Tiny) -> None:
    wrong = BackboneSpec("mine", "ViT-B-32", "openai", 512)
    with pytest.raises(ProfileError, match="activation"):
        Backbone.load(wrong, weights=tiny.pt, device="cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_cfg": 3}', '{"model_cfg": {}}', "\xff"])
def test_a_damaged_configuration_is_a_profile_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "open_clip_config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ProfileError, match=r"open_clip_config\.json"):
        spec(f"local-dir:{tmp_path}")


def test_a_configuration_that_open_clip_cannot_build_is_a_profile_error(tmp_path: Path) -> None:
    text = '{"model_cfg": {"embed_dim": 16, "vision_cfg": {"layers": "two"}, "text_cfg": {}}}'
    (tmp_path / "open_clip_config.json").write_text(text)
    (tmp_path / "open_clip_model.safetensors").write_bytes(
        tiny_weights({"visual.proj": torch.zeros(2, 2)})
    )
    with pytest.raises(ProfileError, match="open_clip cannot build"):
        Backbone.load(f"local-dir:{tmp_path}", device="cpu")


def tiny_weights(tensors: dict[str, Any]) -> bytes:
    return bytes(import_module("safetensors.torch").save(tensors))


# --- which file ---


def test_the_environment_variable_names_the_weights_and_the_argument_wins(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPCODEC_WEIGHTS", str(tiny.pt))
    assert Backbone.load(tiny.spec, device="cpu").path == tiny.pt
    assert Backbone.load(tiny.spec, weights=tiny.safetensors).path == tiny.safetensors
    monkeypatch.setenv("CLIPCODEC_WEIGHTS", str(tiny.folder / "absent.pt"))
    with pytest.raises(WeightsUnavailableError, match=r"absent\.pt.*CLIPCODEC_WEIGHTS.*not exist"):
        Backbone.load(tiny.spec, device="cpu")


@pytest.mark.slow
def test_a_local_folder_brings_its_weights(tmp_path: Path) -> None:
    made = tiny_models.make_folder(tmp_path / "model")
    with pytest.raises(WeightsUnavailableError, match=r"open_clip_model\.safetensors"):
        Backbone.load(made, device="cpu")
    model = tiny_models.make_model(made, seed=3)
    path = tiny_models.save(model, tmp_path / "model" / "open_clip_model.safetensors")
    backbone = Backbone.load(made.name, device="cpu")
    assert backbone.path == path == fetch(made)
    assert np.allclose(backbone.embed(IMAGES), reference(model, IMAGES), atol=1e-5)


def test_a_safetensors_file_is_known_by_its_content(tiny: Tiny, tmp_path: Path) -> None:
    """Files in the Hugging Face cache are named by a digest, without a suffix."""
    path = tmp_path / "0123abcd"
    path.write_bytes(tiny.safetensors.read_bytes())
    assert Backbone.load(tiny.spec, weights=path, device="cpu").dim == 16


@pytest.mark.slow
@pytest.mark.parametrize("wrap", ["state_dict", "module", "half"])
def test_training_checkpoints_and_half_precision_load(
    tiny: Tiny, tmp_path: Path, wrap: str
) -> None:
    state: dict[str, Any] = dict(tiny.model.state_dict())
    if wrap == "half":
        state = {name: value.half() for name, value in state.items()}
    elif wrap == "module":
        state = {"state_dict": {f"module.{name}": value for name, value in state.items()}}
    else:
        state = {"epoch": 3, "state_dict": state}
    torch.save(state, tmp_path / "w.pt")
    found = Backbone.load(tiny.spec, weights=tmp_path / "w.pt", device="cpu").embed(IMAGES)
    tolerance = 5e-3 if wrap == "half" else 1e-5
    assert np.allclose(found, reference(tiny.model, IMAGES), atol=tolerance)


def test_a_torchscript_archive_is_run_only_if_openai_published_it(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's originals are such archives; here a tiny one plays their part, by its SHA-256."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tiny_models.save_torchscript(tiny.model, tmp_path / "original.pt")
    config = tiny.folder / "clipcodec-tiny.json"
    config.write_text(import_module("json").dumps(tiny_models.config()))
    open_clip.add_model_config(config)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = import_module("open_clip.pretrained")._PRETRAINED
    for published in (digest, "0" * 64):
        tag = {"url": f"https://example.org/{published}/original.pt", "quick_gelu": True}
        monkeypatch.setitem(rows, "clipcodec-tiny", {"openai": tag})
        chosen = spec("open_clip:clipcodec-tiny:openai")
        if published == digest:
            found = Backbone.load(chosen, weights=path, device="cpu").embed(IMAGES)
            assert np.allclose(found, reference(tiny.model, IMAGES), atol=1e-5)
        else:
            with pytest.raises(WeightsError, match=r"TorchScript program.*not run"):
                Backbone.load(chosen, weights=path, device="cpu")
    with pytest.raises(WeightsError, match=r"TorchScript program.*not run"):
        Backbone.load(tiny.spec, weights=path, device="cpu")


# --- bad files ---


def refused(tiny: Tiny, path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        Backbone.load(tiny.spec, weights=path, device="cpu")
    assert repr(str(path)) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_truncated_file_is_refused_at_every_length(
    tiny: Tiny, tmp_path: Path, suffix: str
) -> None:
    data = getattr(tiny, suffix).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for size in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1000, len(data) - 1]:
        path.write_bytes(data[:size])
        message = refused(tiny, path)
        assert "damaged, cut short" in message
        assert f"{size} bytes found" in message


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "bin"])
def test_random_bytes_are_refused(tiny: Tiny, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"noise.{suffix}"
    for seed in range(20):
        path.write_bytes(np.random.default_rng(seed).bytes(3000))
        assert "damaged, cut short" in refused(tiny, path)


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("form", ["bare pickle", "torch.save"])
def test_a_pickle_in_the_weights_file_is_not_executed(
    tiny: Tiny, tmp_path: Path, form: str
) -> None:
    path, target = tmp_path / "bomb.pt", tmp_path / "executed"
    content = {"visual.proj": torch.zeros(2, 2), "x": Bomb(target)}
    if form == "torch.save":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"x": Bomb(target)}, protocol=2))
    assert "something other than tensors" in refused(tiny, path)
    assert not target.exists()
    torch.load(path, weights_only=False) if form == "torch.save" else pickle.loads(
        path.read_bytes()
    )
    assert target.exists(), "the bomb must be a real one"


def test_files_without_an_image_encoder_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    contents: list[Any] = [
        {"vision_model.proj": torch.zeros(2)},
        {"visual.proj": "text"},
        [1, 2],
        torch.zeros(3),
        {},
    ]
    for content in contents:
        torch.save(content, tmp_path / "w.pt")
        assert "no image encoder" in refused(tiny, tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": 48}, "visual.class_embedding (48,) instead of (32,)"),
        ({"layers": 3}, "visual.transformer.resblocks.2"),
        ({"layers": 1}, "visual.transformer.resblocks.1.attn.in_proj_bias missing"),
        ({"dim": 24}, "visual.proj (32, 24) instead of (32, 16)"),
        ({"image": 64}, "visual.positional_embedding (65, 32) instead of (17, 32)"),
    ],
)
def test_weights_of_another_architecture_are_refused_and_named(
    tiny: Tiny, tmp_path: Path, options: dict[str, int], named: str
) -> None:
    """The last one is what open_clip itself would resample without an error."""
    other = tiny_models.make_model(tiny_models.make_folder(tmp_path / "other", **options))
    message = refused(tiny, tiny_models.save(other, tmp_path / "other.safetensors"))
    assert named in message
    assert tiny.spec.arch in message


def test_another_embedding_size_than_the_spec_says_is_refused(tiny: Tiny) -> None:
    with pytest.raises(WeightsError, match="gives 16 dimensions, and 512 were expected"):
        Backbone.load(replace(tiny.spec, dim=512), weights=tiny.pt, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tiny: Tiny, tmp_path: Path, value: float) -> None:
    state = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    state["visual.conv1.weight"][0, 0, 0, 0] = value
    torch.save(state, tmp_path / "w.pt")
    assert "visual.conv1.weight holds NaN or infinity" in refused(tiny, tmp_path / "w.pt")


def test_a_network_with_zero_output_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    state = {name: torch.zeros_like(value) for name, value in tiny.model.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    backbone = Backbone.load(tiny.spec, weights=tmp_path / "w.pt", device="cpu")
    with pytest.raises(WeightsError, match="not working weights"):
        backbone.embed(IMAGES)


def test_missing_files_and_folders_are_unavailable(tiny: Tiny, tmp_path: Path) -> None:
    for path, words in [(tmp_path / "absent.pt", "does not exist"), (tmp_path, "is not a file")]:
        with pytest.raises(WeightsUnavailableError, match=words) as caught:
            Backbone.load(tiny.spec, weights=path)
        assert isinstance(caught.value, OSError)
        assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x", "cuda:99", "meta", "cuda:-2"])
def test_a_device_that_does_not_exist_is_an_option_error(tiny: Tiny, device: str) -> None:
    with pytest.raises(OptionError, match=f"device '{device}' cannot be used"):
        Backbone.load(tiny.spec, weights=tiny.pt, device=device)


# --- the network ---

LOAD = """
import sys, time
from clipcodec.models import Backbone, fetch
from clipcodec.errors import WeightsUnavailableError
def sleep(seconds):  # huggingface_hub does, before each of its retries
    sys.exit("waits")
time.sleep = sleep
for verb in (Backbone.load, fetch):
    try:
        verb("openai-vit-b-32")
    except WeightsUnavailableError as error:
        print(error)
print("torch" in sys.modules)
"""


def run(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "CLIPCODEC_", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    kept |= {"HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | environment
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=kept, timeout=100
    )


@pytest.mark.parametrize("why", ["HF_HUB_OFFLINE", "refused", "silent"])
def test_without_weights_and_network_nothing_is_tried_again_and_the_remedy_is_named(
    tmp_path: Path, why: str
) -> None:
    """Switched off, connection refused, or accepted and never answered; torch is not imported."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if why == "silent":
            server.listen(8)
        environment = {"HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}"}
        if why == "HF_HUB_OFFLINE":
            environment = {"HF_HUB_OFFLINE": "1"}
        found = run(LOAD, tmp_path / "home", **environment)
        if why == "silent":
            server.setblocking(False)
            for _ in range(2):  # asked once by each verb
                server.accept()[0].close()
            with pytest.raises(BlockingIOError):
                server.accept()
    *messages, torch_imported = found.stdout.splitlines()
    assert found.stderr == ""
    assert len(messages) == 2
    for message in messages:
        assert str(tmp_path / "home" / "hub") in message
        assert environment.get("HF_ENDPOINT", "HF_HUB_OFFLINE") in message
        for remedy in ("clipcodec fetch openai-vit-b-32", "--weights", "CLIPCODEC_WEIGHTS"):
            assert remedy in message
    assert torch_imported == "False"


@pytest.fixture
def hub(tiny: Tiny) -> Iterator[tuple[str, list[str]]]:
    """A Hugging Face hub of two repositories, one with safetensors and one with .bin only.

    It is a proxy, too. Asked for slow.invalid, or as localhost, it takes a second for each answer.
    """
    files = {
        "/tiny/weights/resolve/main/open_clip_model.safetensors": tiny.safetensors.read_bytes(),
        "/tiny/old/resolve/main/open_clip_pytorch_model.bin": tiny.pt.read_bytes(),
    }
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            requests.append(f"{self.command} {self.path}")
            if self.headers["Host"].startswith(("slow", "localhost")):
                time.sleep(1)
            data = files.get(urlsplit(self.path).path)
            self.send_response(404 if data is None else 200)
            if data is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "c0ffee".ljust(40, "0"))
            self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if body and data is not None:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()


FETCH = """
import sys
from clipcodec.models import BackboneSpec, fetch
from clipcodec.errors import WeightsError
try:
    print(fetch(BackboneSpec("tiny", "unused", "tag", 16, "tiny/weights/")))
except WeightsError as error:
    print(type(error).__name__, error)
"""


def test_fetch_fills_the_cache_once_and_verifies_the_file_each_time(
    tiny: Tiny, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Nothing is printed, as no terminal is there. A damaged cached file is named, to be
    deleted.
    """
    endpoint, requests = hub
    first = run(FETCH, tmp_path, HF_ENDPOINT=endpoint)
    path = Path(first.stdout.strip())
    assert (first.stderr, path.name) == ("", "open_clip_model.safetensors")
    assert path.read_bytes() == tiny.safetensors.read_bytes()
    assert tmp_path / "hub" in path.parents
    seen = len(requests)
    second = run(FETCH, tmp_path, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert len(requests) == seen
    blob = path.resolve()
    damaged = bytearray(blob.read_bytes())
    damaged[-5] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(damaged)
    third = run(FETCH, tmp_path, HF_ENDPOINT=endpoint).stdout
    assert third.startswith("WeightsError")
    assert str(blob) in third
    assert "delete it and run 'clipcodec fetch tiny'" in third


NO_PROXIES = {
    name: ""  # of either case, since an empty name in lower case hides the other
    for lower in ("http_proxy", "https_proxy", "all_proxy")
    for name in (lower, lower.upper())
}
IMPATIENT = "import clipcodec.models.hub as hub; hub._PROBE_SECONDS = 0.4\n"


@pytest.mark.parametrize("proxy", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("host", ["hub.invalid", "slow.invalid"])
def test_a_hub_that_only_a_proxy_reaches(
    tiny: Tiny, hub: tuple[str, list[str]], tmp_path: Path, proxy: str, host: str
) -> None:
    """A slow one, too: whether it answers in time is for the download to say."""
    environment = NO_PROXIES | {proxy: hub[0], proxy.upper(): hub[0]}
    environment["HF_ENDPOINT"] = f"http://{host}"
    found = run(IMPATIENT + FETCH, tmp_path, **environment)
    assert Path(found.stdout.strip()).read_bytes() == tiny.safetensors.read_bytes(), found
    assert hub[1][0].startswith(f"HEAD http://{host}")


def test_a_slow_hub_is_waited_for_as_long_as_the_download_would(
    tiny: Tiny, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    environment = NO_PROXIES | {"HF_ENDPOINT": hub[0].replace("127.0.0.1", "localhost")}
    environment |= {"NO_PROXY": "localhost", "no_proxy": "localhost"}
    refused = run(IMPATIENT + FETCH, tmp_path, **environment).stdout
    assert "(no answer within 0.4 s, which HF_HUB_ETAG_TIMEOUT changes)" in refused
    found = run(IMPATIENT + FETCH, tmp_path, **environment, HF_HUB_ETAG_TIMEOUT="9").stdout
    assert Path(found.strip()).read_bytes() == tiny.safetensors.read_bytes()


def test_what_stops_the_downloads_client_is_said_at_once(tmp_path: Path) -> None:
    """A proxy that is not there, and one of a kind that it does not know."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        for proxy, why in ((f"http://127.0.0.1:{port}", "refused"), ("gopher://a", "gopher")):
            environment = NO_PROXIES | {"all_proxy": proxy, "HF_ENDPOINT": "http://hub.invalid"}
            found = run(LOAD, tmp_path, **environment)
            *messages, _ = found.stdout.splitlines()
            assert len(messages) == 2, found
            for message in messages:
                assert "http://hub.invalid cannot be reached" in message
                assert why in message


def test_a_client_that_has_not_come_back_is_slow_behind_a_proxy_and_silent_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A busy machine may need longer than the client's own limits."""
    hold = threading.Event()

    class Held:
        def head(self, *_: object, **__: object) -> None:
            hold.wait()

    monkeypatch.setattr(import_module("huggingface_hub.utils"), "get_session", Held)
    monkeypatch.setattr(hub_module, "_PROBE_SECONDS", 0.01)
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
    for name, value in NO_PROXIES.items():
        monkeypatch.setenv(name, value)
    try:
        assert "no answer within 0.01 s" in (hub_module.unanswered() or "")
        monkeypatch.setenv("all_proxy", "http://proxy.invalid")
        assert hub_module.unanswered() is None
    finally:
        hold.set()


def test_the_clients_own_settings_hold(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    """A program may have given huggingface_hub a client of its own."""
    code = """
import huggingface_hub
if not hasattr(huggingface_hub, "set_client_factory"):
    sys.exit("older")
client = type(huggingface_hub.get_session())
huggingface_hub.set_client_factory(lambda: client(proxy="HUB", follow_redirects=True))
"""
    code = "import sys" + code.replace("HUB", hub[0]) + FETCH
    found = run(code, tmp_path, **NO_PROXIES, HF_ENDPOINT="http://hub.invalid")
    if found.stderr == "older\n":
        pytest.skip("this huggingface_hub has no client factories")
    assert Path(found.stdout.strip()).name == "open_clip_model.safetensors"


def test_fetch_of_a_file_that_the_hub_does_not_have_is_unavailable(
    hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    code = FETCH.replace("tiny/weights/", "tiny/other/")
    found = run(code, tmp_path, HF_ENDPOINT=hub[0]).stdout
    assert found.startswith("WeightsUnavailableError the weights of backbone 'tiny' are not in")
    assert "downloading tiny/other failed" in found


def test_an_older_repository_with_only_a_bin_file_is_downloaded(
    tiny: Tiny, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    code = FETCH.replace("tiny/weights/", "tiny/old/")
    path = Path(run(code, tmp_path, HF_ENDPOINT=hub[0]).stdout.strip())
    assert path.name == "open_clip_pytorch_model.bin"
    assert path.read_bytes() == tiny.pt.read_bytes()


@pytest.mark.slow
def test_open_clip_finds_what_fetch_has_fetched(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    ours = run(FETCH, tmp_path, HF_ENDPOINT=hub[0]).stdout
    code = "import open_clip.pretrained as p; print(p.download_pretrained_from_hf('tiny/weights'))"
    assert run(code, tmp_path, HF_HUB_OFFLINE="1").stdout == ours


@pytest.mark.slow
def test_a_cache_filled_by_open_clip_is_used_without_network(tiny: Tiny, tmp_path: Path) -> None:
    """The layout of the Hugging Face cache, as copied from another machine."""
    repository = tmp_path / "hub" / "models--tiny--weights"
    snapshot = repository / "snapshots" / ("c0ffee".ljust(40, "0"))
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    (snapshot / "open_clip_model.safetensors").write_bytes(tiny.safetensors.read_bytes())
    found = run(FETCH, tmp_path, HF_HUB_OFFLINE="1")
    assert Path(found.stdout.strip()) == snapshot / "open_clip_model.safetensors"
    (snapshot / "open_clip_model.safetensors").write_bytes(b"cut")
    assert run(FETCH, tmp_path, HF_HUB_OFFLINE="1").stdout.startswith("WeightsError weights file")


def test_a_spec_without_published_weights_asks_for_a_file() -> None:
    with pytest.raises(WeightsUnavailableError, match="no weights are published"):
        Backbone.load(BackboneSpec("mine", "ViT-B-32", None, 512))


def test_a_missing_package_is_named_with_the_remedy(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingDependencyError, match=r"needs open_clip.*pip install"):
        Backbone.load(tiny.spec, weights=tiny.pt, device="cpu")


def test_importing_the_module_imports_neither_torch_nor_open_clip_nor_pillow() -> None:
    heavy = "{'torch', 'open_clip', 'PIL', 'huggingface_hub', 'torchvision', 'safetensors'}"
    code = f"import sys, clipcodec.models; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
