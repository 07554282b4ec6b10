"""The image encoder: built by open_clip, filled with checked weights, run in batches."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, ProfileError, WeightsError
from ..system.forks import inherited_torch, loading
from .hub import ENVIRONMENT_VARIABLE, locate, replacement
from .preprocess import Preprocess, shorten
from .spec import BackboneSpec, load_module, settings, spec
from .weights import read_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

    Device = str | torch.device | None
    Weights = str | os.PathLike[str] | None

BATCH = 64  # images that go through the network at once
PRECISIONS = ("fp32", "bf16", "fp16")
# Only the image tower is used. A text tower of one layer saves seconds and half the memory.
_NO_TEXT = {"layers": 1, "width": 64, "heads": 1, "context_length": 8, "vocab_size": 8}


class Backbone:
    """A loaded image encoder: float32 weights, evaluation mode, safe to share between threads.

    dim        width D of the embeddings
    device     where it runs, as torch writes it: "cpu", "cuda:0", …
    path       the weights file that was loaded
    precision  of the arithmetic: "fp32", or "bf16" or "fp16" through torch.autocast

    A pickle holds no weights: they are read from `path` again, once per process. In a forked
    process a backbone on the CPU runs with one thread, as a fork does not copy OpenMP's threads.
    On another device it raises `OptionError` there: CUDA does not work after a fork.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        path: Path,
        device: torch.device,
        tower: Any,
        preprocess: Any,
        precision: str = "fp32",
    ) -> None:
        self.spec, self.path, self.dim, self.device = spec, path, spec.dim, str(device)
        self.precision = precision
        self._tower = tower
        self._preprocess, self._normalize = preprocess
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.spec, self.device, os.path.abspath(self.path), self.precision)

    def __copy__(self) -> Backbone:
        return self

    def __deepcopy__(self, memo: object) -> Backbone:
        return self

    @classmethod
    def load(
        cls,
        name_or_spec: str | BackboneSpec,
        *,
        device: Device = None,
        weights: Weights = None,
        precision: str = "fp32",
    ) -> Backbone:
        """Find the weights, check that they fit, and put the image encoder on `device`.

        weights    a .safetensors, .pt or .bin file. None: the file that CLIPCODEC_WEIGHTS names,
                   else the Hugging Face cache, else a download into it, as open_clip does
        device     None: CUDA if there is one, else Apple's MPS, else the CPU
        precision  "fp32"; "bf16" and "fp16" are faster if the device supports them, but change the
                   embeddings: cosine about 0.9999 to those of "fp32"

        Names, shapes and finiteness of every tensor of the image encoder are checked here. The
        SHA-256 is checked after a download and by `fetch`, but not at each load, as that would
        double the reading time.

        Raises `ProfileError` (no such backbone), `OptionError` (device, precision),
        `WeightsUnavailableError` (nothing on disk and no network) or `WeightsError` (damaged, or of
        another network).
        """
        chosen = spec(name_or_spec) if isinstance(name_or_spec, str) else name_or_spec
        path = locate(chosen, weights)
        with loading:
            target = _device(device)
            _check_precision(precision, target)
            tower, preprocess = _load_tower(chosen, path)
            return cls(chosen, path, target, tower.to(target), preprocess, precision)

    @classmethod
    def cached(
        cls,
        name_or_spec: str | BackboneSpec,
        *,
        device: Device = None,
        weights: Weights = None,
        precision: str = "fp32",
    ) -> Backbone:
        """As `load`, but the same arguments give the same object until the process ends."""
        path = None if weights is None else os.fspath(weights)
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        key = (name_or_spec, str(device), path, named, precision)
        with _cache_lock:
            if key not in _cache:
                _cache[key] = cls.load(
                    name_or_spec, device=device, weights=weights, precision=precision
                )
            return _cache[key]

    def embed(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """N RGB images → (N, D) float32, rows of unit norm; N may be 0.

        Preprocessing is open_clip's for this model; an image more than 32 times as long as wide is
        cut first (`shorten`). Another device or batch size changes a row by about 1e-5.

        Raises `WeightsError` if the network's output is zero or not finite, and `OptionError` in a
        forked process if the backbone is on a device other than the CPU.
        """
        import numpy as np

        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(images), BATCH):
            batch = [self._preprocess(shorten(item)) for item in images[start : start + BATCH]]
            rows.append(self.embed_pixels(np.stack(batch)))
        return np.concatenate(rows)

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing: `preprocess(shorten(image))` gives pixels (H, W, 3), without torch."""
        preprocess: Preprocess = self._preprocess
        return preprocess

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One batch of preprocessed images (N, H, W, 3) uint8 → (N, D), as `embed` does."""
        import numpy as np
        import torch

        self._check_fork()
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in self._normalize)
        values = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        values = values.permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)
        with torch.inference_mode(), self._arithmetic():
            features = self._tower(values.sub_(mean).div_(std))
        if isinstance(features, tuple):  # CoCa's tower also returns its tokens
            features = features[0]
        rows = features.float().cpu().numpy()
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if rows.shape[1:] != (self.dim,) or not np.all(np.isfinite(norms) & (norms > 0)):
            raise WeightsError(
                f"{self.path}: the network's output is not {self.dim} finite numbers per image,"
                f" so these are not working weights of backbone {self.spec.name!r}"
            )
        unit: NDArray[np.float32] = rows / norms
        return unit

    def _arithmetic(self) -> Any:
        return nullcontext() if self.precision == "fp32" else _autocast(self.precision, self.device)

    def _check_fork(self) -> None:
        if self._process != os.getpid() and self.device != "cpu":
            raise OptionError(
                f"device {self.device!r} does not follow a fork: start processes with 'spawn' or"
                " 'forkserver', or fork before the first image"
            )
        _one_thread_in_a_fork()


_cache: dict[Any, Backbone] = {}
_cache_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child: a thread of the parent may have held the lock, and is not here."""
    global _cache_lock
    _cache_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _reopen(spec: BackboneSpec, device: str, path: str, precision: str = "fp32") -> Backbone:
    return Backbone.cached(spec, device=device, weights=path, precision=precision)


def _one_thread_in_a_fork() -> None:
    """OpenMP in a forked child would wait for ever for its threads, which a fork does not copy."""
    if inherited_torch():
        load_module("torch").set_num_threads(1)


def _load_tower(spec: BackboneSpec, path: Path) -> tuple[Any, Any]:
    """The image encoder with the file's weights, float32 on the CPU, and its preprocessing.

    The latter is what `_build` returns.
    """
    torch = load_module("torch")
    tensors = read_tensors(path, spec)
    tower, preprocess = _build(spec)
    own = tower.state_dict()
    expected = {name: tuple(value.shape) for name, value in own.items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    faults = [
        f"visual.{name} {found.get(name, 'missing')} instead of {expected.get(name, 'none')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise WeightsError(
            f"weights file {str(path)!r} is not of {spec.arch} (backbone {spec.name!r}):"
            f" {'; '.join(faults[:3])}{more}; give the file of that architecture"
        )
    state = {}
    for name, value in tensors.items():
        dense = value.layout is torch.strided and value.device.type == "cpu"
        same_type = value.is_floating_point() == own[name].is_floating_point()
        if not (dense and same_type) or value.is_quantized:
            raise WeightsError(
                f"weights file {str(path)!r}: visual.{name} is a tensor of {value.dtype},"
                f" {value.layout}, on {value.device}, where plain {own[name].dtype} is expected"
            )
        if value.is_floating_point():
            # A copy, because safetensors maps the file, and it may be replaced while we run.
            value = value.to(torch.float32, copy=True)
            if not bool(
                torch.isfinite(value.sum())
            ):  # one pass: NaN or infinity makes the sum so, too
                raise WeightsError(
                    f"weights file {str(path)!r} is damaged: visual.{name} holds NaN or infinity;"
                    f" {replacement(path, spec)}"
                )
        state[name] = value
    tower.load_state_dict(state, strict=True, assign=True)
    return tower.eval().requires_grad_(False), preprocess


def _build(spec: BackboneSpec) -> tuple[Any, Any]:
    """The image encoder without weights, and (its `Preprocess`, (mean, std) of its input)."""
    torch, open_clip = load_module("torch"), load_module("open_clip")
    config, tag = settings(spec.name, spec.arch, spec.pretrained)
    if config["embed_dim"] != spec.dim:
        raise WeightsError(
            f"backbone {spec.name!r}: {spec.arch} gives {config['embed_dim']} dimensions, and"
            f" {spec.dim} were expected"
        )
    try:
        for device in ("meta", "cpu"):  # "meta" spends no time on random initial weights
            with _quiet(), torch.device(device):
                model = open_clip.create_model(
                    spec.arch,
                    device=device,
                    load_weights=False,
                    pretrained_text=False,
                    text_cfg=dict(_NO_TEXT),
                    force_preprocess_cfg=tag,
                )
            saved = model.visual.state_dict()
            if all(name in saved for name, _ in model.visual.named_buffers()):
                break  # else some buffers are computed, not saved, and "meta" does not compute them
        cfg = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
        normalize = open_clip.transform.image_transform_v2(cfg, is_train=False).transforms[-1]
        return model.visual, (Preprocess.from_config(cfg), (normalize.mean, normalize.std))
    except (
        Exception
    ) as error:  # with a malformed local configuration open_clip raises errors of any type
        raise ProfileError(
            f"backbone {spec.name!r}: open_clip cannot build {spec.arch} ({error}); check its"
            " configuration and that open_clip_torch is recent"
        ) from error


def _device(device: Device) -> torch.device:
    """The torch device that is asked for; OptionError if it cannot be used. It is tried out."""
    library = load_module("torch")
    _one_thread_in_a_fork()
    if device is None:
        mps = library.backends.mps.is_available()
        device = "cuda" if library.cuda.is_available() else "mps" if mps else "cpu"
    try:
        chosen: torch.device = library.device(device)
        library.zeros(1, device=chosen).cpu()  # fails for "meta" and for absent hardware
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OptionError(
            f"device {str(device)!r} cannot be used ({reason}): give 'cpu', 'cuda', 'cuda:1',"
            " 'mps' or None"
        ) from error
    return chosen


def _check_precision(precision: str, device: torch.device) -> None:
    """Raise OptionError unless the device can compute so. It is tried: torch would only warn."""
    if precision not in PRECISIONS:
        raise OptionError(f"precision={precision!r}: expected {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return
    torch = load_module("torch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with torch.inference_mode(), _autocast(precision, str(device)):
                one = torch.ones(8, 8, device=device)
                done = torch.nn.functional.linear(one, one)
        works = done.dtype == _dtype(precision) and float(done.float().sum()) == 512
        reason = "it computes in another precision"
    except (RuntimeError, ValueError, TypeError, UserWarning) as error:
        works, reason = False, (str(error).strip() or type(error).__name__).splitlines()[0]
    if not works:
        raise OptionError(
            f"precision {precision!r} does not work on device {str(device)!r} ({reason}): give"
            " fp32, or another device"
        )


def _autocast(precision: str, device: str) -> Any:
    torch = load_module("torch")
    return torch.autocast(torch.device(device).type, dtype=_dtype(precision))


def _dtype(precision: str) -> Any:
    torch = load_module("torch")
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide open_clip's log messages ("Model initialized randomly"). It logs to the root logger."""
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        return record.thread != thread or "open_clip" not in Path(record.pathname).parts

    root, handler = logging.getLogger(), logging.NullHandler()
    root.addFilter(keep)
    root.addHandler(handler)  # without a handler, logging.info() would install one that prints
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(keep)
