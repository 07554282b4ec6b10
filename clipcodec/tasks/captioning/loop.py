"""The steps of a training: one epoch after the other, from a new state or a checkpoint's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import TrainingError
from .captioner import Captioner
from .checkpoints import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], object]
_NO_LABEL = -100  # torch's number of a token that the loss leaves out


class Settings(Protocol):
    """What of a recipe the steps need, see `training.Recipe`."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup(self) -> int: ...
    @property
    def tune_language_model(self) -> bool: ...


@contextmanager
def random_numbers(seed: int, device: Any) -> Iterator[None]:
    """Random numbers from this seed; the program's own go on as before."""
    import torch

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def learning_rate_share(step: int, steps: int, warmup: int) -> float:
    """The share of the highest learning rate that a step, counted from 0, has.

    It rises during the warm-up and falls after it, in straight lines.
    """
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / max(1, steps - warmup)


class Run:
    """The state of a training."""

    def __init__(
        self,
        captioner: Captioner,
        recipe: Settings,
        rows: Any,
        row_of: list[int],
        tokens: list[list[int]],
    ) -> None:
        import torch

        self.captioner, self.recipe = captioner, recipe
        self._rows, self._row_of, self._tokens = torch.from_numpy(rows), row_of, tokens
        self._network = captioner.language.network
        self._trained = list(captioner.mapping.parameters())
        for parameter in self._network.parameters():
            parameter.requires_grad_(recipe.tune_language_model)
        if recipe.tune_language_model:
            self._trained += list(self._network.parameters())
        self._optimiser = torch.optim.AdamW(
            self._trained, lr=recipe.learning_rate, eps=1e-6, weight_decay=0.0
        )
        self._steps = recipe.epochs * math.ceil(len(tokens) / recipe.batch_size)
        self._warmup = min(recipe.warmup, self._steps // 2)
        self.step = 0
        self.losses: list[float] = []

    def epoch(self, progress: Progress) -> None:
        """See every caption once."""
        import torch

        recipe = self.recipe
        self.captioner.mapping.train()
        self._network.train(recipe.tune_language_model)  # dropout only where it is trained
        progress(self.step, self._steps)
        order = torch.randperm(len(self._tokens)).tolist()
        total = count = 0.0
        for at in range(0, len(order), recipe.batch_size):
            loss, tokens = self._loss(order[at : at + recipe.batch_size])
            if not math.isfinite(loss.item()):
                raise TrainingError(
                    f"the loss is {loss.item()} at step {self.step}: give a lower learning rate"
                )
            share = learning_rate_share(self.step, self._steps, self._warmup)
            for group in self._optimiser.param_groups:
                group["lr"] = recipe.learning_rate * share
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self.step += 1
            total, count = total + loss.item() * tokens, count + tokens
            progress(self.step, self._steps)
        self.losses.append(total / count)
        self.captioner.mapping.eval()
        self._network.eval()

    def _loss(self, chosen: list[int]) -> tuple[Tensor, int]:
        """Mean cross entropy of the captions' tokens, each after the prefix and those before it."""
        import torch
        from torch.nn.functional import cross_entropy

        device = self.captioner.device
        texts = [torch.tensor(self._tokens[i]) for i in chosen]
        padded = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=_NO_LABEL)
        labels = padded.to(device)
        rows = self._rows[[self._row_of[i] for i in chosen]].to(device)
        prefix = self.captioner.prefixes(rows)
        words = self._network.get_input_embeddings()(labels.clamp(min=0))
        seen = torch.cat([torch.ones(prefix.shape[:2], device=device), labels != _NO_LABEL], dim=1)
        out = self._network(inputs_embeds=torch.cat([prefix, words], dim=1), attention_mask=seen)
        logits = out.logits[:, prefix.shape[1] - 1 : -1]
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=_NO_LABEL)
        return loss, int((labels != _NO_LABEL).sum())

    def checkpoint(self, identity: dict[str, Any]) -> Checkpoint:
        import torch

        device = self.captioner.device
        tuned = self.recipe.tune_language_model
        return Checkpoint(
            identity, self.step, self.losses, self.captioner.mapping.state_dict(),
            self.captioner.language.tensors() if tuned else {}, self._optimiser.state_dict(),
            torch.get_rng_state(),
            torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        )  # fmt: skip

    def restore(self, kept: Checkpoint) -> None:
        import torch

        self.captioner.mapping.load_state_dict(kept.mapping)
        if kept.language:
            self._network.load_state_dict(kept.language, strict=False)
        self._optimiser.load_state_dict(kept.optimiser)
        self.step, self.losses = kept.step, list(kept.losses)
        torch.set_rng_state(kept.random)
        device = self.captioner.device
        if kept.random_cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(kept.random_cuda, device)
