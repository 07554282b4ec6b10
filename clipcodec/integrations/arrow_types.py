"""What a column of an Arrow type can hold: vectors, images, streams; columns of other libraries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, brief
from ..system.arrow import as_column
from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")


def is_vector(type: pa.DataType) -> bool:
    """Lists of numbers, of one length or of many, and what holds no more than such a list.

    That is: lists of one item around them; tensors of which all dimensions but one have size 1.
    """
    if is_tensor(type):
        return _is_vector_tensor(type)
    depth, number = nesting(type)
    if depth == 1:
        return _is_real(number)
    return depth > 1 and _is_real(number) and not _is_pixel(number) and _is_single(type, depth)


def is_image(type: pa.DataType) -> bool:
    """Bytes of files, paths of files, Hugging Face's struct of both, tensors or lists of pixels."""
    if is_tensor(type):
        if pa.types.is_struct(storage_type(type)):  # each has its own shape
            return True
        type = value_type(type)
        order = list(getattr(type, "permutation", None) or ())
        return len(type.shape) <= 3 and order == sorted(order) and not _is_vector_tensor(type)
    type = storage_type(type)
    if pa.types.is_struct(type):
        place = type.get_field_index("bytes")
        return place >= 0 and is_stream(type.field(place).type)
    depth, number = nesting(type)
    if depth:
        return depth in (2, 3) and _is_pixel(number)
    text = pa.types.is_string(type) or pa.types.is_large_string(type)
    return bool(_is_binary(type) or text or pa.types.is_string_view(type))


def is_stream(type: pa.DataType) -> bool:
    """Bytes, of any of Arrow's binary types."""
    return _is_binary(storage_type(type))


def is_text(type: pa.DataType) -> bool:
    """Text, of any of Arrow's string types: streams may be kept so (`clipcodec.to_text`)."""
    kinds, type = pa.types, storage_type(type)
    return bool(kinds.is_string(type) or kinds.is_large_string(type) or kinds.is_string_view(type))


def as_array(value: Any, fault: Callable[[str], Exception]) -> pa.Array | pa.ChunkedArray:
    """A column of pyarrow, or of what speaks Arrow's C data interface, as pyarrow's.

    fault  makes the error that is raised for anything else
    """
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return value
    column = as_column(value)
    if not isinstance(column, (pa.Array, pa.ChunkedArray)):
        raise fault(
            f"{type(value).__name__} is no Arrow column: give a pyarrow array, or what speaks "
            "Arrow's C data interface, such as a Series of Polars"
        )
    return column


def as_table(value: Any) -> pa.Table:
    """A table of pyarrow, or of what speaks Arrow's C data interface, as pyarrow's.

    Raises OptionError for anything else.
    """
    if isinstance(value, pa.Table):
        return value
    try:
        return pa.table(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise OptionError(
            f"{type(value).__name__} is no Arrow table: give a pyarrow table, or what speaks "
            f"Arrow's C data interface, such as a DataFrame of Polars ({brief(error)})"
        ) from error


def is_tensor(type: pa.DataType) -> bool:
    """Tensors of several dimensions: Arrow's, Ray's or Hugging Face's, of one shape or of many."""
    type = value_type(type)
    if not isinstance(type, pa.BaseExtensionType):
        return False
    stored = storage_type(type)
    if pa.types.is_struct(stored):
        return {field.name for field in stored} == {"data", "shape"}
    return len(getattr(type, "shape", ())) > 1


def fixed_width(type: pa.DataType) -> int | None:
    """The numbers of every embedding of a column, if its type says it."""
    if is_tensor(type):
        shape = getattr(value_type(type), "shape", (None,))
        return None if None in shape else math.prod(shape)
    type = storage_type(type)
    while _is_list(type) and _is_list(storage_type(type.value_type)):
        type = storage_type(type.value_type)
    return int(type.list_size) if pa.types.is_fixed_size_list(type) else None


def nesting(type: pa.DataType) -> tuple[int, pa.DataType]:
    """How many lists are around each value of a column, and the type of these values."""
    depth, type = 0, storage_type(type)
    while _is_list(type):
        depth, type = depth + 1, storage_type(type.value_type)
    return depth, type


def value_type(type: pa.DataType) -> pa.DataType:
    """The type of the values that a dictionary or runs stand for."""
    while pa.types.is_dictionary(type) or pa.types.is_run_end_encoded(type):
        type = type.value_type
    return type


def storage_type(type: pa.DataType) -> pa.DataType:
    """The type of the values themselves, without extension types, dictionaries and runs around."""
    inner = value_type(type)
    while isinstance(inner, pa.BaseExtensionType):
        inner = value_type(inner.storage_type)
    return inner


def _is_vector_tensor(type: pa.DataType) -> bool:
    """Whether the tensor has one dimension besides those of size 1, and holds no pixels."""
    depth, number = nesting(type)
    shape = list(getattr(value_type(type), "shape", ()))
    if not depth or not shape or not _is_real(number) or _is_pixel(number):
        return False
    rest = shape if depth == 1 else shape[:-1]  # of lists in lists, the numbers are the last
    return len([size for size in rest if size != 1]) <= (depth == 1)


def _is_single(type: pa.DataType, depth: int) -> bool:
    """Whether the outer lists may all have one item."""
    type = storage_type(type)
    for _ in range(depth - 1):
        if pa.types.is_fixed_size_list(type) and type.list_size != 1:
            return False
        type = storage_type(type.value_type)
    return True


def _is_list(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_fixed_size_list(type)
        or kinds.is_list(type)
        or kinds.is_large_list(type)
        or kinds.is_list_view(type)
        or kinds.is_large_list_view(type)
    )


def _is_pixel(type: pa.DataType) -> bool:
    return bool(pa.types.is_uint8(type))


def _is_real(type: pa.DataType) -> bool:
    return bool(pa.types.is_floating(type) or pa.types.is_integer(type))


def _is_binary(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_binary(type)
        or kinds.is_large_binary(type)
        or kinds.is_fixed_size_binary(type)
        or kinds.is_binary_view(type)
    )
