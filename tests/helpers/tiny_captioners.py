"""A tiny GPT-2 with its tokenizer, as a folder, and planted pairs to learn."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

WIDTH = 32
PREFIX = 4  # tokens that a mapping network makes
END = "<|endoftext|>"
CAPTIONS = [
    "A dog runs on the beach.",
    "Two cats sleep on a red sofa.",
    "A plate of food on a table.",
    "A man rides a horse",  # without a full stop: it ends with the end of a text
    "Snow on the mountains.",
    "A bus in a busy street.",
]


def write_language_model(folder: Path, *, width: int = WIDTH, seed: int = 0, **config: Any) -> Path:
    """A GPT-2 of two layers with random weights, and a byte-level BPE tokenizer, as saved."""
    torch, transformers, tokenizers = map(import_module, ("torch", "transformers", "tokenizers"))
    bytes_to_text = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = bytes_to_text(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=[END], show_progress=False,
        initial_alphabet=bytes_to_text.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(CAPTIONS, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END
    )
    fast.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = {"n_layer": 2, "n_head": 4, "n_embd": width, "n_positions": 64} | config
        network = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=len(fast), bos_token_id=0, eos_token_id=0, **sizes)
        )
    network.save_pretrained(folder)
    return folder


def write_published(
    path: Path, lm: str, *, kind: str = "mlp", dim: int = 512, **sizes: int
) -> Path:
    """A state dict as ClipCap's authors save it, with the buffers of an old transformers."""
    from clipcodec.tasks.captioning import Layout
    from clipcodec.tasks.captioning.mapping import mapping_of

    torch, transformers = map(import_module, ("torch", "transformers"))
    layout = Layout(kind, dim, WIDTH, **({"prefix_length": PREFIX} | sizes))
    torch.manual_seed(0)
    state = {f"clip_project.{k}": v for k, v in mapping_of(layout).state_dict().items()}
    gpt = transformers.GPT2LMHeadModel.from_pretrained(lm)
    state |= {f"gpt.{k}": v for k, v in gpt.state_dict().items()}
    for layer in range(2):
        state[f"gpt.transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64).tril().byte()
        state[f"gpt.transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, path)
    return path
