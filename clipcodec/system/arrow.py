"""Columns and tables of other libraries, through Arrow's C data interface.

Polars, DuckDB, ADBC, nanoarrow and others give their data so: `__arrow_c_array__` and
`__arrow_c_stream__` (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html).
pyarrow reads them, where it is installed.
"""

from __future__ import annotations

from typing import Any


def speaks(value: Any) -> bool:
    """Whether a value gives its data through the interface, and is no object of pyarrow."""
    if type(value).__module__.partition(".")[0] == "pyarrow":
        return False
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def as_column(value: Any) -> Any:
    """A column of another library as pyarrow's; anything else as it is, and so is what fails.

    A table of one column is that column; one of several a table of pyarrow.
    """
    if not speaks(value):
        return value
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        return value
    try:
        column = imported(value)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return value
    if not pa.types.is_struct(column.type):
        return column
    table = pa.Table.from_struct_array(column)  # a result, which may be read only once
    return table.column(0) if table.num_columns == 1 else table


def imported(value: Any) -> Any:
    """What speaks the interface as an array or a chunked array of pyarrow; errors are pyarrow's."""
    import pyarrow as pa

    if hasattr(value, "__arrow_c_array__"):
        return pa.array(value)
    return pa.chunked_array(value)
