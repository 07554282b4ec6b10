"""Tiny models of other packages with random weights, in the folders that these packages load."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

TEXT = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a the cat dog two dogs on beach red car photo of query passage"
    " : how to hello world is and in an embedding ."
)
WORDS = TEXT.split()
SIZES = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
IMAGE = {**SIZES, "image_size": 32, "patch_size": 8}
SIDE = {"height": 32, "width": 32}
TEXT_LENGTH = 64  # tokens that the text tower of `siglip` takes


def _transformers() -> Any:
    import_module("torch").manual_seed(0)
    return import_module("transformers")


def clip(folder: Path, dim: int = 512, inside: int = 16) -> Any:
    """CLIPModel: `inside` is the width before the projection, `dim` that of embeddings."""
    transformers = _transformers()
    width = {"hidden_size": inside}
    ends = {"bos_token_id": WORDS.index("[CLS]"), "eos_token_id": WORDS.index("[SEP]")}
    config = transformers.CLIPConfig(
        text_config={**SIZES, **width, **ends, "vocab_size": len(WORDS)},
        vision_config={**IMAGE, **width},
        projection_dim=dim,
    )
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    return _save(transformers.CLIPModel(config), folder, processor, tokenizer(77))


def siglip(folder: Path, dim: int = 768) -> Any:
    """SiglipModel; SigLIP 2 of a fixed resolution is this class, too."""
    transformers = _transformers()
    width = {"hidden_size": dim}
    config = transformers.SiglipConfig(
        text_config={**SIZES, **width, "vocab_size": len(WORDS), "projection_size": dim,
                     "max_position_embeddings": TEXT_LENGTH},
        vision_config={**IMAGE, **width},
    )  # fmt: skip
    model = transformers.SiglipModel(config)
    processor = transformers.SiglipImageProcessor(size=SIDE)
    return _save(model, folder, processor, tokenizer(TEXT_LENGTH))


def naflex(folder: Path, dim: int = 768) -> Any:
    """Siglip2Model: SigLIP 2 of any resolution."""
    transformers = _transformers()
    width = {"hidden_size": dim}
    config = transformers.Siglip2Config(
        text_config={**SIZES, **width, "vocab_size": len(WORDS), "projection_size": dim,
                     "max_position_embeddings": TEXT_LENGTH},
        vision_config={**SIZES, **width, "patch_size": 8, "num_patches": 16},
    )  # fmt: skip
    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return _save(transformers.Siglip2Model(config), folder, processor, tokenizer(TEXT_LENGTH))


def dinov2(folder: Path, dim: int = 768) -> Any:
    transformers = _transformers()
    config = transformers.Dinov2Config(**IMAGE, hidden_size=dim, mlp_ratio=1)
    processor = transformers.BitImageProcessor(size={"shortest_edge": 36}, crop_size=SIDE)
    return _save(_rough(transformers.Dinov2Model(config)), folder, processor)


def dinov3(folder: Path, dim: int = 768) -> Any:
    transformers = _transformers()
    config = transformers.DINOv3ViTConfig(**IMAGE, hidden_size=dim, num_register_tokens=4)
    model = transformers.DINOv3ViTModel(config)
    return _save(_rough(model), folder, transformers.BitImageProcessor(size=SIDE, crop_size=SIDE))


def sentence_clip(folder: Path) -> Any:
    """`clip-ViT-B-32` as sentence-transformers has it: CLIPModel of transformers, as a module."""
    modules = import_module("sentence_transformers.models")
    return _sentences(folder, modules.CLIPModel(str(_folder(clip, folder))))


def sentence_text(folder: Path, dim: int = 384, prompts: dict[str, str] | None = None) -> Any:
    """A text model such as all-MiniLM-L6-v2: BERT, the mean of its tokens, unit norm."""
    modules = import_module("sentence_transformers.models")
    network = modules.Transformer(str(_folder(lambda place: _bert(place, dim), folder)))
    parts = (network, modules.Pooling(dim, pooling_mode="mean"), modules.Normalize())
    return _sentences(folder, *parts, prompts=prompts)


def _sentences(folder: Path, *modules: Any, prompts: dict[str, str] | None = None) -> Any:
    library = import_module("sentence_transformers")
    model = library.SentenceTransformer(modules=list(modules), device="cpu", prompts=prompts)
    model.save(str(folder), create_model_card=False)
    return model


def _folder(make: Any, folder: Path) -> Path:
    """A model of transformers beside the folder that will hold it."""
    place = folder.with_name(f"{folder.name}-inside")
    make(place)
    return place


def _bert(folder: Path, dim: int) -> Any:
    transformers = _transformers()
    config = transformers.BertConfig(**SIZES, hidden_size=dim, vocab_size=len(WORDS))
    return _save(transformers.BertModel(config), folder, tokenizer(64))


def tokenizer(length: int) -> Any:
    """One of whole words, which keeps [CLS] and [SEP] around a text."""
    tokenizers, processors = import_module("tokenizers"), import_module("tokenizers.processors")
    words = {word: number for number, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(w, words[w]) for w in ("[CLS]", "[SEP]")]
    )
    return import_module("transformers").PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=length,
    )  # fmt: skip


def _rough(model: Any) -> Any:
    """Random scales of layers: fresh ones are so small that all pictures look alike."""
    torch = import_module("torch")
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lambda1" in name:
                value.fill_(1.0)
            elif name.endswith(("cls_token", "register_tokens")):
                value.normal_()
    return model


def _save(model: Any, folder: Path, *parts: Any) -> Any:
    for part in (model.eval(), *parts):
        part.save_pretrained(folder)
    return model
