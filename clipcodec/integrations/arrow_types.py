"""What a column of an Arrow type can hold: vectors, images, streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .extras import need

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = need("pyarrow", "arrow")


def is_vector(type: pa.DataType) -> bool:
    """Lists of numbers, of one length or of many; tensors of one dimension."""
    stored = storage_type(type)
    return not is_tensor(type) and _is_list(stored) and _is_real(stored.value_type)


def is_image(type: pa.DataType) -> bool:
    """Bytes of files, paths of files, Hugging Face's struct of both, or tensors of pixels."""
    if is_tensor(type):
        if pa.types.is_struct(storage_type(type)):  # each has its own shape
            return True
        order = list(getattr(type, "permutation", None) or ())
        return len(type.shape) <= 3 and order == sorted(order)
    type = storage_type(type)
    if pa.types.is_struct(type):
        place = type.get_field_index("bytes")
        return place >= 0 and _is_binary(type.field(place).type)
    text = pa.types.is_string(type) or pa.types.is_large_string(type)
    return bool(_is_binary(type) or text or pa.types.is_string_view(type))


def is_stream(type: pa.DataType) -> bool:
    """Bytes, of any of Arrow's binary types."""
    return _is_binary(storage_type(type))


def is_tensor(type: pa.DataType) -> bool:
    """Tensors of more than one dimension: Arrow's, or Ray's, of one shape or of many."""
    if not isinstance(type, pa.BaseExtensionType):
        return False
    stored = storage_type(type)
    if pa.types.is_struct(stored):
        return {field.name for field in stored} == {"data", "shape"}
    return len(getattr(type, "shape", ())) > 1


def fixed_width(type: pa.DataType) -> int | None:
    """The length of all lists of a column, if its type says it."""
    type = storage_type(type)
    return int(type.list_size) if pa.types.is_fixed_size_list(type) else None


def storage_type(type: pa.DataType) -> pa.DataType:
    """The type of the values themselves, without extension types around it."""
    while isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    return type


def _is_list(type: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_fixed_size_list(type)
        or kinds.is_list(type)
        or kinds.is_large_list(type)
        or kinds.is_list_view(type)
        or kinds.is_large_list_view(type)
    )


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
