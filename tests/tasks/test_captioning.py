"""ClipCap on decoded embeddings: a tiny GPT-2, planted pairs, published names and shapes."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec
from clipcodec.errors import (
    DecodeError,
    EmbeddingError,
    MissingDependencyError,
    OptionError,
    OutputExistsError,
    TrainingError,
    WeightsError,
    WeightsUnavailableError,
)
from clipcodec.target import Target
from clipcodec.tasks.captioning import Captioner, Layout, Recipe, train
from clipcodec.tasks.captioning import language as languages
from clipcodec.tasks.captioning.data import read_captions
from clipcodec.tasks.captioning.files import read
from clipcodec.tasks.captioning.layout import check_shapes, found_layout
from clipcodec.tasks.captioning.training import checkpoint_path
from tests.helpers.profiles import drawn, one_torch_thread
from tests.helpers.tiny_captioners import (
    CAPTIONS,
    PREFIX,
    WIDTH,
    write_language_model,
    write_published,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TARGET = Target(max_bytes=50)
FAST = "openai-vit-b-32/pqvae-400"
# overfits the planted pairs in about a second
QUICK = Recipe(
    prefix_length=PREFIX, epochs=60, batch_size=6, learning_rate=1e-2, warmup=5,
    tune_language_model=True,
)  # fmt: skip
ONE_EPOCH = replace(QUICK, epochs=1, tune_language_model=False)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Embeddings such as the default profile's backbone makes, one for each caption."""
    return drawn(len(CAPTIONS))


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_language_model(tmp_path_factory.mktemp("captions") / "language model"))


@pytest.fixture(scope="module")
def trained(rows: np.ndarray, lm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner that knows the planted pairs, GPT-2 included."""
    path = tmp_path_factory.mktemp("trained") / "captioner.safetensors"
    with one_torch_thread():
        train(rows, CAPTIONS, path, QUICK, target=TARGET, language_model=lm)
    return path


@pytest.fixture(scope="module")
def speaks(trained: Path, lm: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A language model that knows the captions' words, but of no embedding."""
    folder = tmp_path_factory.mktemp("captions") / "speaks"
    captioner = Captioner.load(trained)
    captioner.language.network.save_pretrained(folder)
    captioner.language.tokenizer.save_pretrained(folder)
    return str(folder)


# the whole way


@pytest.mark.parametrize("beams", [1, 3])
def test_planted_captions_come_out_through_the_codec(
    trained: Path, rows: np.ndarray, tmp_path: Path, beams: int
) -> None:
    """Of streams of at most 50 bytes, of a container, and of the embeddings themselves."""
    captioner = Captioner.load(trained)
    streams = clipcodec.encode_embeddings(rows, max_bytes=50)
    assert max(map(len, streams)) <= 50
    assert captioner.caption(streams, beams=beams) == CAPTIONS
    with clipcodec.create(tmp_path / "x.clpc") as writer:
        writer.extend(streams)
    with clipcodec.open(tmp_path / "x.clpc") as container:
        assert captioner.caption(container, beams=beams) == CAPTIONS
    assert captioner.caption(rows, beams=beams) == CAPTIONS
    assert captioner.caption(7 * rows[::-1].astype(np.float64), beams=beams) == CAPTIONS[::-1]
    assert captioner.caption(rows[2], beams=beams) == [CAPTIONS[2]]
    assert captioner.caption(torch.from_numpy(rows), beams=beams) == CAPTIONS
    assert captioner.caption(rows.tolist(), beams=beams) == CAPTIONS
    assert captioner.caption(iter(streams), beams=beams) == CAPTIONS
    assert captioner.caption(np.array(streams, dtype=object), beams=beams) == CAPTIONS
    assert captioner.caption([], beams=beams) == []


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_the_mapping_network_alone_is_trained_by_default(
    kind: str, rows: np.ndarray, speaks: str, tmp_path: Path
) -> None:
    """GPT-2 stays as it is, and is not in the file: its folder is."""
    out = tmp_path / "captioner.safetensors"
    recipe = replace(
        QUICK, kind=kind, tune_language_model=False, epochs=40,
        layers=2 if kind == "transformer" else None,
    )  # fmt: skip
    result = train(rows, CAPTIONS, out, recipe, target=TARGET, language_model=speaks)
    assert result.losses[-1] < result.losses[0] / 2
    found = read(out)
    assert found.language == {}
    assert found.facts is not None
    assert found.facts.language_model == speaks
    assert Captioner.load(out).caption(clipcodec.encode_embeddings(rows, max_bytes=50)) == CAPTIONS


def test_beam_search_finds_likelier_captions_than_greedy(lm: str, tmp_path: Path) -> None:
    """On untrained weights, where the two differ: by the mean log likelihood of a token."""
    captioner = Captioner.load(write_published(tmp_path / "c.pt", lm), scale=1, language_model=lm)
    rows = drawn(6, seed=3)

    def score(row: np.ndarray, caption: str) -> float:
        tokens = torch.tensor([captioner.language.tokens(caption)])
        with torch.inference_mode():
            prefix = captioner.prefixes(torch.from_numpy(row[None]))
            words = captioner.language.network.get_input_embeddings()(tokens)
            out = captioner.language.network(inputs_embeds=torch.cat([prefix, words], dim=1))
            likely = out.logits[:, PREFIX - 1 : -1].log_softmax(-1)
        return float(likely.gather(2, tokens[:, :, None]).mean())

    def scores(beams: int) -> list[float]:
        found = captioner.caption(rows, beams=beams, max_tokens=3)
        return [score(row, text) if text else 0.0 for row, text in zip(rows, found, strict=True)]

    greedy, beam = scores(1), scores(8)
    assert greedy != beam
    assert np.mean(beam) > np.mean(greedy)


def test_captions_end_with_the_full_stop_or_the_end_of_a_text(
    trained: Path, rows: np.ndarray
) -> None:
    """Also where others in the batch are longer; `max_tokens` cuts."""
    captioner = Captioner.load(trained)
    assert [text[-1] == "." for text in captioner.caption(rows)] == [
        text[-1] == "." for text in CAPTIONS
    ]
    assert not all(text.endswith(".") for text in CAPTIONS)
    cut = captioner.caption(rows, max_tokens=2)
    assert all(whole.startswith(text) and text for whole, text in zip(CAPTIONS, cut, strict=True))
    assert cut != CAPTIONS


def test_the_batch_does_not_change_captions(trained: Path, rows: np.ndarray) -> None:
    many = np.tile(rows, (7, 1))  # more than are captioned at a time
    assert Captioner.load(trained).caption(many) == CAPTIONS * 7


def test_saved_and_loaded_again_it_is_the_same(
    trained: Path, rows: np.ndarray, tmp_path: Path
) -> None:
    captioner = Captioner.load(trained, scale=2.5)
    captioner.save(tmp_path / "again.safetensors")
    again = Captioner.load(tmp_path / "again.safetensors")
    assert again.facts == captioner.facts
    assert again.facts.scale == 2.5
    assert again.caption(rows) == captioner.caption(rows)
    with pytest.raises(OutputExistsError):
        captioner.save(tmp_path / "again.safetensors")


def test_images_are_embedded_by_the_backbone(lm: str, tmp_path: Path) -> None:
    from PIL import Image

    from tests.helpers.tiny_models import make_folder, make_model, save

    spec = make_folder(tmp_path / "model")
    weights = save(make_model(spec), tmp_path / "weights.safetensors")
    images = [Image.new("RGB", (40, 40), (255, 0, 0)), Image.new("RGB", (40, 40), (0, 0, 255))]
    embeddings = clipcodec.Codec(backbone=spec.name, weights=weights, device="cpu").embed_images(
        images
    )
    out = tmp_path / "captioner.safetensors"
    train(embeddings, CAPTIONS[:2], out, replace(QUICK, epochs=30), backbone=spec.name,
          language_model=lm)  # fmt: skip
    captioner = Captioner.load(out)
    assert captioner.facts.backbone == spec.name
    captions = captioner.caption_images(images, weights=weights)
    assert captions == captioner.caption(embeddings)
    assert captions[0] != captions[1]
    captioner.facts = replace(captioner.facts, backbone=None)
    with pytest.raises(OptionError, match="backbone=NAME"):
        captioner.caption_images(images)


# published weights


MLP_SHAPES = {  # of coco_weights.pt and conceptual_weights.pt: ViT-B/32, prefix length 10
    "model.0.weight": (3840, 512), "model.0.bias": (3840,),
    "model.2.weight": (7680, 3840), "model.2.bias": (7680,),
}  # fmt: skip
TRANSFORMER_SHAPES = {  # of transformer_weights.pt: RN50x4, prefix and clip length 40
    "prefix_const": (40, 768), "linear.weight": (30720, 640), "linear.bias": (30720,),
} | {
    f"transformer.layers.{number}.{name}": shape
    for number in range(8)
    for name, shape in {
        "norm1.weight": (768,), "norm1.bias": (768,),
        "attn.to_queries.weight": (768, 768), "attn.to_keys_values.weight": (1536, 768),
        "attn.project.weight": (768, 768), "attn.project.bias": (768,),
        "norm2.weight": (768,), "norm2.bias": (768,),
        "mlp.fc1.weight": (1536, 768), "mlp.fc1.bias": (1536,),
        "mlp.fc2.weight": (768, 1536), "mlp.fc2.bias": (768,),
    }.items()
}  # fmt: skip


@pytest.mark.parametrize(
    ("shapes", "layout"),
    [
        (MLP_SHAPES, Layout("mlp", 512, 768, 10)),
        (TRANSFORMER_SHAPES, Layout("transformer", 640, 768, 40, 40, 8, 8)),
    ],
)
def test_published_shapes_are_those_of_our_networks(
    shapes: dict[str, tuple[int, ...]], layout: Layout
) -> None:
    """Names and shapes at their real size, without memory for them."""
    from clipcodec.tasks.captioning.mapping import mapping_of

    assert found_layout(shapes, 768, "file") == layout
    with torch.device("meta"):
        network = mapping_of(layout)
    assert {name: tuple(t.shape) for name, t in network.state_dict().items()} == shapes
    with torch.device("meta"):
        prefix = network(torch.empty(3, layout.dim))
    assert prefix.shape == (3, layout.prefix_length, 768)


def test_published_gpt2_has_the_names_of_ours() -> None:
    with torch.device("meta"):
        own = transformers.GPT2LMHeadModel(transformers.GPT2Config()).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    assert shapes["transformer.wte.weight"] == (50257, 768)
    assert shapes["transformer.h.11.attn.c_attn.weight"] == (768, 2304)
    assert shapes["lm_head.weight"] == (50257, 768)
    assert not [name for name in shapes if re.search(r"\.attn\.(masked_)?bias$", name)]


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_a_published_state_dict_is_loaded(
    kind: str, lm: str, rows: np.ndarray, tmp_path: Path
) -> None:
    """Its GPT-2 counts, not that of the folder; old buffers are left out."""
    sizes = {} if kind == "mlp" else {"clip_length": 3, "layers": 2, "heads": 8}
    path = write_published(tmp_path / "coco_weights.pt", lm, kind=kind, **sizes)
    state = torch.load(path, weights_only=True)
    state["gpt.transformer.wte.weight"] += 1
    state["gpt.lm_head.weight"] = state["gpt.transformer.wte.weight"]
    torch.save(state, path)
    captioner = Captioner.load(path, language_model=lm, scale=1)
    assert captioner.layout == Layout(kind, 512, WIDTH, PREFIX, **sizes)
    for name, value in captioner.mapping.state_dict().items():
        assert torch.equal(value, state[f"clip_project.{name}"])
    for name, value in captioner.language.network.state_dict().items():
        assert torch.equal(value, state[f"gpt.{name}"])
    assert len(captioner.caption(rows, max_tokens=4)) == len(rows)


def test_a_state_dict_as_safetensors_and_in_half_precision(lm: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = torch.load(write_published(tmp_path / "c.pt", lm), weights_only=True)
    half = {name: t.clone().half() for name, t in state.items() if ".attn.bias" not in name}
    save_file(half, tmp_path / "c.safetensors")
    captioner = Captioner.load(tmp_path / "c.safetensors", language_model=lm, scale=1)
    weight = captioner.mapping.state_dict()["model.0.weight"]
    assert weight.dtype == torch.float32
    assert torch.allclose(weight, state["clip_project.model.0.weight"], atol=1e-3)


def test_the_transformer_computes_what_clipcap_publishes(rows: np.ndarray) -> None:
    """Against the formulas, in NumPy: pre-norm layers, keys before values, ReLU."""
    from clipcodec.tasks.captioning.mapping import mapping_of

    layout = Layout("transformer", 512, 16, 3, 2, 2, 4)
    torch.manual_seed(1)
    network = mapping_of(layout)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    w = {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}

    def norm(x: Any, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def attention(x: Any, name: str) -> Any:
        q, kv = linear(x, f"{name}.to_queries"), linear(x, f"{name}.to_keys_values")
        out = np.empty_like(x)
        for head in range(4):
            part = slice(4 * head, 4 * head + 4)
            scores = q[:, part] @ kv[:, :16][:, part].T / np.sqrt(4)
            weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            out[:, part] = weights @ kv[:, 16:][:, part]
        return linear(out, f"{name}.project")

    for row in rows[:3].astype(np.float64):
        x = np.concatenate([linear(row, "linear").reshape(2, 16), w["prefix_const"]])
        for number in range(2):
            name = f"transformer.layers.{number}"
            x = x + attention(norm(x, f"{name}.norm1"), f"{name}.attn")
            hidden = np.maximum(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1"), 0)
            x = x + linear(hidden, f"{name}.mlp.fc2")
        with torch.inference_mode():
            found = network(torch.from_numpy(row.astype(np.float32))[None])[0]
        assert np.allclose(found.numpy(), x[2:], atol=1e-3)


def test_the_scale_reaches_the_mapping_network(lm: str, tmp_path: Path, rows: np.ndarray) -> None:
    """A published MLP does not say its scale, which is warned of."""
    path = write_published(tmp_path / "c.pt", lm)
    with pytest.warns(UserWarning, match=r"norm is about 10.*--scale"):
        one = Captioner.load(path, language_model=lm)
    ten = Captioner.load(path, language_model=lm, scale=10)
    x = torch.from_numpy(rows)
    assert torch.allclose(ten.prefixes(x), one.mapping(10 * x))
    assert not torch.allclose(ten.prefixes(x), one.prefixes(x))
    with pytest.raises(OptionError, match="above 0"):
        Captioner.load(path, language_model=lm, scale=0)


# files that are refused


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "pickle", "language model"])
def test_code_in_a_pickle_is_never_run(how: str, lm: str, tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "weights.pt"
    if how == "torch":
        torch.save({"clip_project.model.0.weight": Evil(trap)}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(Evil(trap)))
    else:
        folder = write_language_model(tmp_path / "lm")
        (folder / "model.safetensors").unlink()
        torch.save({"transformer.wte.weight": Evil(trap)}, folder / "pytorch_model.bin")
        with pytest.raises(WeightsError, match="cannot be read"):
            languages.load(str(folder))
        assert not trap.exists()
        return
    with pytest.raises(WeightsError, match="whose code is never run"):
        Captioner.load(path, language_model=lm)
    assert not trap.exists()


def test_weights_of_another_prefix_length(lm: str, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has 4 prefix vectors, and 10 were asked for"):
        Captioner.load(trained, prefix_length=10)
    assert Captioner.load(trained, prefix_length=4).layout.prefix_length == 4
    state = torch.load(write_published(tmp_path / "c.pt", lm), weights_only=True)
    for name in ("model.2.weight", "model.2.bias"):  # the hidden layer is of another
        state[f"clip_project.{name}"] = state[f"clip_project.{name}"][: 3 * WIDTH]
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(WeightsError, match="another prefix length"):
        Captioner.load(tmp_path / "c.pt", language_model=lm)
    long = write_published(tmp_path / "long.pt", lm, prefix_length=64)
    with pytest.raises(WeightsError, match="no room for words"):
        Captioner.load(long, language_model=lm, scale=1)


def test_weights_for_a_language_model_of_another_width(
    lm: str, speaks: str, rows: np.ndarray, tmp_path: Path
) -> None:
    wide = str(write_language_model(tmp_path / "wide", width=48))
    with pytest.raises(WeightsError, match=r"GPT-2 and the language model .* differ"):
        Captioner.load(write_published(tmp_path / "c.pt", lm), language_model=wide, scale=1)
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    torch.save({k: v for k, v in state.items() if k.startswith("clip_project")}, tmp_path / "m.pt")
    with pytest.raises(WeightsError, match=r"no prefix vectors of width 48.*--language-model"):
        Captioner.load(tmp_path / "m.pt", language_model=wide)
    out = tmp_path / "own.safetensors"
    train(rows, CAPTIONS, out, ONE_EPOCH, language_model=speaks)
    with pytest.raises(WeightsError, match=r"of width 32, and .* has 48"):
        Captioner.load(out, language_model=wide)


def test_embeddings_of_another_width_or_backbone(trained: Path, rows: np.ndarray) -> None:
    captioner = Captioner.load(trained)
    large = "openai-vit-l-14-336/predictive"
    wide = drawn(2, large)
    with pytest.raises(EmbeddingError, match=r"768 dimensions, .*vit-b-32 of 512.*train-captioner"):
        captioner.caption(wide)
    with pytest.raises(EmbeddingError, match="768 dimensions"):
        captioner.caption(clipcodec.encode_embeddings(wide, profile=large))
    captioner.facts = replace(captioner.facts, backbone="openai-rn50")
    with pytest.raises(DecodeError, match=r"stream 0 .*whose embeddings openai-vit-b-32 makes"):
        captioner.caption(clipcodec.encode_embeddings(rows))
    streams = clipcodec.encode_embeddings(rows, profile="any/rotation", quality=60)
    assert len(captioner.caption(streams, max_tokens=1)) == len(rows)  # nobody knows whose
    with pytest.raises(DecodeError, match="not a source of streams"):
        captioner.caption(streams[0])
    with pytest.raises(DecodeError, match="768 dimensions, expected 512"):
        Captioner.load(trained).caption(
            [*streams, *clipcodec.encode_embeddings(wide, profile=large)]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_project.model.0.weight": None}, "no mapping network"),
        ({"clip_project.model.0.bias": None}, r"lacks the tensor clip_project.model.0.bias"),
        ({"clip_project.more": torch.ones(1)}, r"has also the tensor clip_project.more"),
        ({"encoder.weight": torch.ones(1)}, "has the tensor 'encoder.weight', which ClipCap"),
        ({"clip_project.model.0.bias": torch.full((64,), float("nan"))}, "NaN or infinite"),
        ({"clip_project.model.0.bias": torch.ones(64).int()}, "not a tensor of floats"),
        ({"gpt.transformer.ln_f.weight": None}, "differ, as in gpt.transformer.ln_f.weight"),
        ({"gpt.transformer.h.2.attn.bias": torch.ones(1)}, None),
    ],
)
def test_state_dicts_that_are_not_whole(
    change: dict[str, Any], message: str | None, lm: str, tmp_path: Path
) -> None:
    state = torch.load(write_published(tmp_path / "c.pt", lm), weights_only=True) | change
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "c.pt")
    if message is None:
        Captioner.load(tmp_path / "c.pt", language_model=lm, scale=1)
        return
    with pytest.raises(WeightsError, match=message):
        Captioner.load(tmp_path / "c.pt", language_model=lm, scale=1)


def test_damaged_and_foreign_captioner_files(
    trained: Path, rows: np.ndarray, tmp_path: Path
) -> None:
    data = trained.read_bytes()
    path = tmp_path / "x.safetensors"
    for damaged in (data[:100], data[: len(data) // 2], b"", b"\0" * 100):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError):
            Captioner.load(path)
    path.write_bytes(data.replace(b'\\"kind\\": \\"mlp\\"', b'\\"kind\\": \\"xyz\\"'))
    with pytest.raises(WeightsError, match="metadata"):
        Captioner.load(path)
    path.write_bytes(data.replace(b'\\"version\\": 1', b'\\"version\\": 7'))
    with pytest.raises(WeightsError, match=r"version 7.*upgrade clipcodec"):
        Captioner.load(path)
    np.save(tmp_path / "x.npy", rows)
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("x.npy", "list.pt"):
        with pytest.raises(WeightsError):
            Captioner.load(tmp_path / name)
    for missing in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(WeightsUnavailableError, match="train-captioner"):
            Captioner.load(missing)


def test_a_language_model_that_is_not_there(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsUnavailableError, match=r"HF_HUB_OFFLINE.*save_pretrained"):
        Captioner.load(trained, language_model="no-such/gpt2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(languages, "unanswered", lambda: "no route")
    with pytest.raises(WeightsUnavailableError, match=r"cannot be reached \(no route\): save it"):
        Captioner.load(trained, language_model="no-such/gpt2")
    with pytest.raises(WeightsUnavailableError, match="no such folder"):
        Captioner.load(trained, language_model=str(tmp_path / "none"))
    with pytest.raises(WeightsUnavailableError, match=r"has no config\.json"):
        Captioner.load(trained, language_model=str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="no name on the Hugging Face hub"):
        Captioner.load(trained, language_model="a b?")
    for kind, message in (('"bert"', "is of type 'bert'"), ("", "cannot be read")):
        folder = write_language_model(tmp_path / f"lm{kind.strip(chr(34))}")
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"gpt2"', kind))
        with pytest.raises(WeightsError, match=message):
            Captioner.load(trained, language_model=str(folder))


def test_a_language_model_that_is_damaged(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_language_model(tmp_path / "lm")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="weights cannot be read"):
        languages.load(str(folder))
    weights.write_bytes(whole)
    tensors = load_file(weights)
    tensors.pop("transformer.wpe.weight")
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensors, such as transformer\.wpe\.weight"):
        languages.load(str(folder))
    weights.write_bytes(whole)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match="tokenizer cannot be read"):
        languages.load(str(folder))


def test_loading_leaves_the_settings_of_transformers_alone(lm: str) -> None:
    log = transformers.utils.logging
    before = log.get_verbosity(), log.is_progress_bar_enabled()
    languages.load(lm)
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before


def test_without_transformers_the_remedy_is_named(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)

    class Block:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == "transformers":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Block(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match=r'pip install "clipcodec\[caption\]"') as info:
        Captioner.load(trained)
    assert info.value.name == "transformers"


@pytest.mark.parametrize(
    "options", [{"beams": 0}, {"beams": 1.5}, {"max_tokens": 0}, {"beams": True}]
)
def test_search_options_are_checked(
    options: dict[str, Any], trained: Path, rows: np.ndarray
) -> None:
    with pytest.raises(OptionError, match="expected a whole number"):
        Captioner.load(trained).caption(rows, **options)


def test_devices_are_checked(trained: Path) -> None:
    for device in ("meta", "nonsense"):
        with pytest.raises(OptionError, match="cannot be used"):
            Captioner.load(trained, device=device)


# training


class Stopped(Exception):
    pass


@pytest.mark.parametrize("tune", [False, True])
def test_a_stopped_training_goes_on_to_the_same_bits(
    tune: bool, lm: str, rows: np.ndarray, tmp_path: Path
) -> None:
    """With dropout, where GPT-2 is trained: the state of the random numbers is kept."""
    recipe = replace(QUICK, epochs=4, batch_size=4, tune_language_model=tune)
    options: dict[str, Any] = {"profile": FAST, "language_model": lm}
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train(rows, CAPTIONS, whole, recipe, **options)
    assert not checkpoint_path(whole).exists()

    def stop(epoch: int, loss: float) -> None:
        if epoch == 3:
            raise Stopped  # before its checkpoint is written

    with pytest.raises(Stopped):
        train(rows, CAPTIONS, parts, recipe, on_epoch=stop, **options)
    assert checkpoint_path(parts).exists()
    assert not parts.exists()
    with pytest.raises(OutputExistsError, match="--resume"):
        train(rows, CAPTIONS, parts, recipe, **options)
    steps: list[int] = []
    torch.manual_seed(99)  # what the program does with random numbers does not matter
    result = train(rows, CAPTIONS, parts, recipe, resume=True,
                   progress=lambda done, total: steps.append(done), **options)  # fmt: skip
    assert steps[0] == 4
    assert result.steps == steps[-1] == 8
    assert parts.read_bytes() == whole.read_bytes()
    assert not checkpoint_path(parts).exists()


def test_resume_refuses_other_settings(lm: str, rows: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "c.safetensors"

    def stop(epoch: int, loss: float) -> None:
        if epoch == 2:
            raise Stopped

    def go(x: Any = rows, captions: Any = CAPTIONS, target: Any = None, **changes: Any) -> None:
        train(x, captions, out, replace(ONE_EPOCH, **({"epochs": 2} | changes)), target=target,
              profile=FAST, language_model=lm, resume=True, on_epoch=stop)  # fmt: skip

    with pytest.raises(Stopped):
        go()
    for changed, message in (
        ({"seed": 1}, r"seed \(0 then, 1 now\)"),
        ({"epochs": 3}, "epochs"),
        ({"x": drawn(len(CAPTIONS), seed=5)}, "the embeddings, decoded changed"),
        ({"captions": CAPTIONS[::-1]}, "the captions changed"),
        ({"target": Target(entropy="rans")}, "target"),
    ):
        with pytest.raises(OptionError, match=message):
            go(**changed)
    checkpoint_path(out).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="delete it"):
        go()


def test_training_leaves_random_numbers_of_the_program_alone(
    lm: str, rows: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    train(rows, CAPTIONS, tmp_path / "c.safetensors", ONE_EPOCH, language_model=lm)
    assert torch.equal(torch.rand(3), expected)


def test_training_goes_on_from_published_weights(lm: str, rows: np.ndarray, tmp_path: Path) -> None:
    """Their GPT-2 stays in the new file; sizes come from them, and others are refused."""
    begun = write_published(tmp_path / "c.pt", lm)
    out = tmp_path / "out.safetensors"
    recipe = replace(ONE_EPOCH, prefix_length=None, learning_rate=1e-9)
    train(rows, CAPTIONS, out, recipe, target=TARGET, start=begun, language_model=lm)
    found = read(out)
    assert found.layout().prefix_length == PREFIX
    state = torch.load(begun, weights_only=True)
    assert torch.equal(found.language["transformer.wpe.weight"],
                       state["gpt.transformer.wpe.weight"])  # fmt: skip
    assert torch.allclose(found.mapping["model.0.weight"], state["clip_project.model.0.weight"],
                          atol=1e-6)  # fmt: skip
    assert found.facts is not None
    assert found.facts.card["start"] == "c.pt"
    for changed in ({"prefix_length": 10}, {"kind": "transformer"}):
        with pytest.raises(OptionError, match="leave it out"):
            train(rows, CAPTIONS, out, replace(recipe, **changed), start=begun, language_model=lm,
                  overwrite=True)  # fmt: skip
    with pytest.raises(TrainingError, match=r"768 dimensions, .* takes 512"):
        train(drawn(6, "openai-vit-l-14-336/predictive"), CAPTIONS, out, recipe, start=begun,
              language_model=lm, overwrite=True)  # fmt: skip


def test_what_the_codec_loses_is_what_is_trained_on(
    lm: str, rows: np.ndarray, tmp_path: Path
) -> None:
    """The result and the file say it: bytes of a stream, cosine, profile and backbone."""
    out = tmp_path / "c.safetensors"
    result = train(rows, CAPTIONS, out, ONE_EPOCH, target=TARGET, language_model=lm)
    streams = clipcodec.encode_embeddings(rows, max_bytes=50)
    decoded = clipcodec.decode_batch(streams)
    assert result.stream_bytes == pytest.approx(np.mean([len(s) for s in streams]))
    assert result.cosine == pytest.approx(float((decoded * rows).sum(1).mean()), abs=1e-5)
    facts = read(out).facts
    assert facts is not None
    assert facts.backbone == "openai-vit-b-32"
    assert facts.card["target"]["max_bytes"] == 50
    plain = train(rows, CAPTIONS, out, ONE_EPOCH, language_model=lm, overwrite=True)
    assert (plain.stream_bytes, plain.cosine) == (None, 1.0)
    assert plain.losses != result.losses
    fixed = train(rows, CAPTIONS, out, ONE_EPOCH, profile=FAST,
                  language_model=lm, overwrite=True)  # fmt: skip
    assert fixed.stream_bytes is not None
    assert fixed.stream_bytes < 60


def test_several_captions_of_an_embedding_and_none(
    lm: str, rows: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "captions.tsv"
    path.write_text(
        "0\tA dog.\n0\tA  small dog.\n\n".replace("\n\n", "\n") + "5\tA bus.\n", "utf-8"
    )
    assert [(pair.row, pair.caption) for pair in read_captions(path, 6)] == [
        (0, "A dog."), (0, "A small dog."), (5, "A bus."),
    ]  # fmt: skip
    result = train(rows, path, tmp_path / "c.safetensors", ONE_EPOCH, language_model=lm)
    assert (result.rows, result.captions) == (6, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"A dog.\n", "has 1 lines, and there are 2 embeddings"),
        (b"A dog.\n\nA cat.", "has 3 lines"),
        (b"\nA cat.", "line 1: an empty caption"),
        (b"0\tA dog.\n1\t ", "line 2: an empty caption"),
        (b"0\tA dog.\n2\tA cat.", "line 2: a caption of embedding 2, and there are 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b"\n\n", "has no captions"),
    ],
)
def test_captions_that_are_refused(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    path.write_bytes(text)
    with pytest.raises(TrainingError, match=message):
        read_captions(path, 2)


def test_training_data_that_are_refused(lm: str, rows: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "c.safetensors"

    def go(x: Any, captions: Any, **options: Any) -> None:
        train(x, captions, out, ONE_EPOCH, **({"language_model": lm} | options))

    with pytest.raises(TrainingError, match="5 captions for 6 embeddings"):
        go(rows, CAPTIONS[:5])
    with pytest.raises(TrainingError, match=r"caption 0: a caption of 80 tokens.* takes 60"):
        go(rows, ["z " * 40, *CAPTIONS[1:]])
    with pytest.raises(TrainingError, match="no such file"):
        go(tmp_path / "none.npy", CAPTIONS)
    with pytest.raises(TrainingError, match=r"none\.txt: No such file"):
        go(rows, tmp_path / "none.txt")
    with pytest.raises(EmbeddingError, match="embedding 2: all zero"):
        go(np.where(np.arange(6)[:, None] == 2, 0, rows), CAPTIONS, target=TARGET)
    with pytest.raises(EmbeddingError, match=r"40 dimensions, profile .* any/rotation"):
        go(rows[:, :40], CAPTIONS, target=TARGET)
    assert not out.exists()
    assert not checkpoint_path(out).exists()


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": 2}, {"seed": -1},
     {"warmup": 1.5}, {"scale": -1}],
)  # fmt: skip
def test_recipes_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        Recipe(**options)


@pytest.mark.parametrize(
    "options",
    [{"kind": "linear"}, {"prefix_length": 0}, {"layers": 3}, {"clip_length": 3},
     {"kind": "transformer", "layers": 0}],
)  # fmt: skip
def test_layouts_are_checked(
    options: dict[str, Any], lm: str, rows: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=[*options][-1]):
        train(rows, CAPTIONS, tmp_path / "c.safetensors", replace(ONE_EPOCH, **options),
              language_model=lm)  # fmt: skip


def test_a_loss_that_is_not_finite_is_an_error(lm: str, rows: np.ndarray, tmp_path: Path) -> None:
    recipe = replace(ONE_EPOCH, epochs=20, learning_rate=1.0, warmup=0, scale=1e39)
    with pytest.raises(TrainingError, match="give a lower learning rate"):
        train(rows, CAPTIONS, tmp_path / "c.safetensors", recipe, language_model=lm)


def test_the_learning_rate_rises_then_falls_in_straight_lines() -> None:
    from clipcodec.tasks.captioning.loop import learning_rate_share

    shares = [learning_rate_share(step, 10, 4) for step in range(10)]
    assert np.allclose(shares[:4], [0.25, 0.5, 0.75, 1])
    assert np.allclose(np.diff(shares[4:]), -1 / 6)
    assert shares[-1] > 0


def test_the_card_says_how_it_was_trained(trained: Path) -> None:
    facts = read(trained).facts
    assert facts is not None
    assert json.loads(json.dumps(facts.card)) == facts.card
    assert facts.card["recipe"]["epochs"] == QUICK.epochs
    assert facts.card["profile"] == "openai-vit-b-32/predictive"
    check_shapes(facts.layout, facts.layout.shapes(), "itself")
