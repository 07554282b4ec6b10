"""A tiny GPT-2 with its tokenizer, as a folder, and planted pairs to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDTH = 32
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
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(CAPTIONS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = {"n_layer": 2, "n_head": 4, "n_embd": width, "n_positions": 64} | config
        network = GPT2LMHeadModel(
            GPT2Config(vocab_size=len(fast), bos_token_id=0, eos_token_id=0, **sizes)
        )
    network.save_pretrained(folder)
    return folder
