"""The class of each row, as the command line gives it: a file, or an array beside the rows."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..errors import InputError, OptionError, brief
from .inputs import first_bytes, is_pipe, label_of, open_input

Source = str | bytes  # the path of a file, or all its bytes


def labels_of(
    value: str, inputs: Sequence[tuple[str, Source]], option: str = "--labels"
) -> NDArray[Any]:
    """What --labels, or another `option`, means: (N,) whole numbers or names, one for each row of
    the inputs together.

    value   a .npy file, lines of text, or the name of an array that each input holds
    inputs  .npz or .safetensors files: what messages call each, and its path or bytes

    Raises OptionError if there is no such file or array; InputError if the file is damaged.
    """
    if os.path.isfile(value) or is_pipe(value):
        return _of_file(value)
    found = [_named(value, name, source, option) for name, source in inputs]
    for (name, _), array in zip(inputs, found, strict=True):
        if array.ndim != 1:
            raise OptionError(f"{option} {value}: of shape {array.shape} in {name}, expected (N,)")
    return np.concatenate(found)


def _of_file(name: str) -> NDArray[Any]:
    head = first_bytes(name, len(arrays.NPY))
    with open_input(name) as file:
        data = file.read()
    if head == arrays.NPY:
        try:
            found: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        except Exception as error:  # damaged files make NumPy raise nearly anything
            raise InputError(
                f"{label_of(name)}: not a readable .npy file of labels ({brief(error)}): save "
                "whole numbers, or names as an array of dtype str"
            ) from error
        return found
    return _lines(data, label_of(name))


def _lines(data: bytes, name: str) -> NDArray[Any]:
    """A label in each line; whole numbers if all are."""
    try:
        lines = data.decode("utf-8-sig").rstrip("\r\n ").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: neither a .npy file nor text in UTF-8 ({error}): expected a label in each "
            "line"
        ) from error
    labels = [line.strip() for line in lines]
    for number, label in enumerate(labels, 1):
        if not label:
            raise InputError(f"{name}: line {number} is empty: expected a label in each line")
    if all(label.isascii() and label.isdigit() and len(label) < 19 for label in labels):
        return np.array([int(label) for label in labels], np.int64)
    return np.array(labels)


def _named(value: str, name: str, source: Source, option: str) -> NDArray[Any]:
    """The array `value` of an input."""
    kind = _kind(name, source)
    missing = OptionError(f"{option} {value}: there is no such file, and no such array in {name}")
    try:
        if kind == ".npz":
            archive = np.load(io.BytesIO(source) if isinstance(source, bytes) else source)
            with archive:
                if value not in archive:
                    raise missing
                found: NDArray[Any] = archive[value]
                return found
        if kind == ".safetensors":
            return _tensor(value, source, missing)
    except OptionError:
        raise
    except Exception as error:  # as above
        raise InputError(f"{name}: array {value!r} cannot be read: {brief(error)}") from error
    raise OptionError(
        f"{option} {value}: there is no such file: check its name; or, to name an array of the "
        f"input, keep rows and {option.strip('-')} in one .npz or .safetensors file"
    )


def _kind(name: str, source: Source) -> str | None:
    if isinstance(source, bytes):
        return arrays.kind_of(name, source[: arrays.HEAD])
    return arrays.kind_of_file(source)


def _tensor(value: str, source: Source, missing: OptionError) -> NDArray[Any]:
    from safetensors import safe_open
    from safetensors.numpy import load

    if isinstance(source, bytes):
        tensors = load(source)
        if value not in tensors:
            raise missing
        return np.asarray(tensors[value])
    with safe_open(source, framework="numpy") as file:
        if value not in file.keys():  # noqa: SIM118
            raise missing
        return np.asarray(file.get_tensor(value))
