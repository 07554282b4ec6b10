"""A tower without weights, as open_clip builds it, and the weights that are put into it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProfileError, WeightsError
from .hub import replacement
from .spec import BackboneSpec, load_module, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A tower that is not used is built as small as can be: that saves seconds and memory.
NO_TEXT = {"text_cfg": {"layers": 1, "width": 64, "heads": 1, "context_length": 8, "vocab_size": 8}}
NO_VISION = {
    "vision_cfg": {"layers": 1, "width": 64, "head_width": 64, "image_size": 32, "patch_size": 32}
}


def build(spec: BackboneSpec, unused: dict[str, Any], part: Callable[[Any], Any]) -> Any:
    """open_clip's model of this architecture without weights, float32.

    unused  NO_TEXT or NO_VISION
    part    model → the module that is used

    Raises `ProfileError` if open_clip cannot build it, and `WeightsError` if its embeddings are of
    another width than `spec` says.
    """
    torch, open_clip = load_module("torch"), load_module("open_clip")
    config, tag = settings(spec.name, spec.arch, spec.pretrained)
    if config["embed_dim"] != spec.dim:
        raise WeightsError(
            f"backbone {spec.name!r}: {spec.arch} gives {config['embed_dim']} dimensions, and"
            f" {spec.dim} were expected"
        )
    with _explained(spec):
        for device in ("meta", "cpu"):  # "meta" spends no time on random initial weights
            with _quiet(), torch.device(device):
                model = open_clip.create_model(
                    spec.arch,
                    device=device,
                    load_weights=False,
                    pretrained_text=False,
                    force_preprocess_cfg=tag,
                    **{name: dict(values) for name, values in unused.items()},
                )
            module = part(model)
            saved = module.state_dict()
            if all(name in saved for name, _ in module.named_buffers()):
                break  # else some buffers are computed, not saved, and "meta" does not compute them
        return model


@contextmanager
def _explained(spec: BackboneSpec) -> Iterator[None]:
    try:
        yield
    except (
        Exception
    ) as error:  # with a malformed local configuration open_clip raises errors of any type
        raise ProfileError(
            f"backbone {spec.name!r}: open_clip cannot build {spec.arch} ({error}); check its"
            " configuration and that open_clip_torch is recent"
        ) from error


def fill(
    module: Any, tensors: dict[str, Any], spec: BackboneSpec, path: Path, prefix: str = ""
) -> Any:
    """Put the tensors of a weights file into a module; it is in evaluation mode then.

    prefix  of the tensors' names in the file, for messages

    Raises `WeightsError` unless names, shapes and types are the module's and all numbers finite.
    """
    torch = load_module("torch")
    own = module.state_dict()
    expected = {name: tuple(value.shape) for name, value in own.items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    faults = [
        f"{prefix}{name} {found.get(name, 'missing')} instead of {expected.get(name, 'none')}"
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
                f"weights file {str(path)!r}: {prefix}{name} is a tensor of {value.dtype},"
                f" {value.layout}, on {value.device}, where plain {own[name].dtype} is expected"
            )
        if value.is_floating_point():
            # A copy, because safetensors maps the file, and it may be replaced while we run.
            value = value.to(torch.float32, copy=True)
            if not bool(
                torch.isfinite(value.sum())
            ):  # one pass: NaN or infinity makes the sum so, too
                raise WeightsError(
                    f"weights file {str(path)!r} is damaged: {prefix}{name} holds NaN or infinity;"
                    f" {replacement(path, spec)}"
                )
        state[name] = value
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


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
