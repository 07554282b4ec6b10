"""What both towers of a CLIP model share: finding weights, loading once, forks, pickles."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..errors import OptionError, WeightsError
from ..system.forks import Lock, loading
from .device import autocast, check_precision, device_of, one_thread_in_a_fork
from .hub import ENVIRONMENT_VARIABLE, locate
from .spec import BackboneSpec, spec

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .device import Device, Weights

T = TypeVar("T", bound="Tower")


class Tower:
    """A loaded encoder: float32 weights, evaluation mode, safe to share between threads.

    A pickle holds no weights: they are read from `path` again, once per process. In a forked
    process a tower on the CPU runs with one thread, as a fork does not copy OpenMP's threads. On
    another device it raises OptionError there: CUDA does not work after a fork.

    Attributes:
        spec: Which network it is.
        dim: Width D of the embeddings.
        device: Where it runs, as torch writes it: "cpu", "cuda:0", …
        path: The weights file that was loaded.
        precision: Of the arithmetic: "fp32", or "bf16" or "fp16" through torch.autocast.
    """

    _item: ClassVar[str]  # what one embedding is of, for messages

    def __init__(
        self, spec: BackboneSpec, path: Path, device: torch.device, precision: str = "fp32"
    ) -> None:
        self.spec, self.path, self.dim, self.device = spec, path, spec.dim, str(device)
        self.precision = precision
        self._process = os.getpid()
        self._build(device)

    def _build(self, device: torch.device) -> None:
        """Load the network from `self.path` and put it on the device."""
        raise NotImplementedError

    def __repr__(self) -> str:
        from ..system.shown import brief, counted, shown

        def parts() -> list[object]:
            return [brief(self.spec.name), counted(self.dim, "dimension"), f"device {self.device}",
                    self.precision, f"weights {self.path.name!r}"]  # fmt: skip

        return shown(f"models.{type(self).__name__}", parts)

    def __reduce__(self) -> tuple[Any, ...]:
        path = os.path.abspath(self.path)
        return _reopen, (type(self), self.spec, self.device, path, self.precision)

    def __copy__(self: T) -> T:
        return self

    def __deepcopy__(self: T, memo: object) -> T:
        return self

    @classmethod
    def load(
        cls: type[T],
        name_or_spec: str | BackboneSpec,
        *,
        device: Device = None,
        weights: Weights = None,
        precision: str = "fp32",
    ) -> T:
        """Find the weights, check that they fit, and put the encoder on a device.

        Names, shapes and finiteness of every tensor of the encoder are checked here. The SHA-256 is
        checked after a download and by `fetch`, but not at each load, as that would double the
        reading time.

        Args:
            name_or_spec: The backbone's name (see `clipcodec.models.spec`), or its network.
            device: "cpu", "cuda", …; None: CUDA if there is one, else Apple's MPS, else the CPU.
            weights: A .safetensors, .pt or .bin file. None: the file that CLIPCODEC_WEIGHTS names,
                else the Hugging Face cache, else a download into it, as open_clip does.
            precision: "fp32"; "bf16" and "fp16" are faster if the device supports them, but change
                the embeddings: cosine about 0.9999 to those of "fp32".

        Returns:
            The encoder.

        Raises:
            ProfileError: There is no such backbone.
            OptionError: The device or the precision cannot be used.
            WeightsUnavailableError: There is nothing on disk and no network.
            WeightsError: The file is damaged, or of another network.

        Examples:
            >>> from clipcodec.models import Backbone
            >>> Backbone.load("openai-vit-b-32", device="cpu")
            <clipcodec.models.Backbone 'openai-vit-b-32': 512 dimensions, device cpu, fp32, ...>
        """
        chosen = spec(name_or_spec) if isinstance(name_or_spec, str) else name_or_spec
        path = locate(chosen, weights)
        with loading:
            target = device_of(device)
            check_precision(precision, target)
            return cls(chosen, path, target, precision)

    @classmethod
    def cached(
        cls: type[T],
        name_or_spec: str | BackboneSpec,
        *,
        device: Device = None,
        weights: Weights = None,
        precision: str = "fp32",
    ) -> T:
        """Do what `load` does; the same arguments give the same object until the process ends.

        Args:
            name_or_spec: As for `load`.
            device: As for `load`.
            weights: As for `load`.
            precision: As for `load`.

        Returns:
            The encoder, which others may use, too.

        Raises:
            ProfileError: As `load`, and so are OptionError and WeightsError.

        Examples:
            >>> from clipcodec.models import TextTower
            >>> tower = TextTower.cached("openai-vit-b-32", device="cpu")
            >>> tower is TextTower.cached("openai-vit-b-32", device="cpu")
            True
        """
        path = None if weights is None else os.fspath(weights)
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        key = (cls, name_or_spec, str(device), path, named, precision)
        with _cache_lock:
            if key not in _cache:
                _cache[key] = cls.load(
                    name_or_spec, device=device, weights=weights, precision=precision
                )
            found: T = _cache[key]
            return found

    def _unit(self, features: Any) -> NDArray[np.float32]:
        """The network's output (N, D) as rows of unit norm; WeightsError if it is bad."""
        rows = features.float().cpu().numpy()
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if rows.shape[1:] != (self.dim,) or not np.all(np.isfinite(norms) & (norms > 0)):
            raise WeightsError(
                f"{self.path}: the network's output is not {self.dim} finite numbers per"
                f" {self._item}, so these are not working weights of backbone {self.spec.name!r}"
            )
        unit: NDArray[np.float32] = rows / norms
        return unit

    def _arithmetic(self) -> Any:
        return nullcontext() if self.precision == "fp32" else autocast(self.precision, self.device)

    def _check_fork(self) -> None:
        if self._process != os.getpid() and self.device != "cpu":
            raise OptionError(
                f"device {self.device!r} does not follow a fork: start processes with 'spawn' or"
                f" 'forkserver', or fork before the first {self._item}"
            )
        one_thread_in_a_fork()


_cache: dict[Any, Any] = {}
_cache_lock = Lock()


def _reopen(
    kind: type[Tower], spec: BackboneSpec, device: str, path: str, precision: str = "fp32"
) -> Tower:
    return kind.cached(spec, device=device, weights=path, precision=precision)
