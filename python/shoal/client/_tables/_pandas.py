"""pandas <-> columns.

- The index is left out. Names of columns are text.
- Columns of numpy's types are read as numpy: NaN in one of floats is NaN. In all others what pandas
  calls missing is missing: `NA`, `NaT`, and None or NaN beside objects.
- A categorical is what its categories are.
- Back: a column with missing records has pandas' nullable type, so that integers stay integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.client._tables._column import Column, Kind, of_records
from shoal.client._tables._dtypes import FLOATS, NUMPY_CODES
from shoal.errors import DtypeError, DuplicateColumnError, RequirementError

if TYPE_CHECKING:
    from shoal.client._tables._table import Table


def columns_of_frame(frame: Any) -> list[Column]:
    """Makes the columns of a `pandas.DataFrame`.

    Raises:
        DtypeError: A name is no text, or a type has no dtype of the protocol.
        DuplicateColumnError: Two columns have one name.
        ZoneError: A column holds times without a zone.
    """
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str):
            raise DtypeError(
                f"a column is called {name!r}, expected text",
                hint="frame.columns = frame.columns.astype(str)",
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateColumnError(f"column {twice!r} is there twice, expected unique names")
    return [column_of_series(name, frame.iloc[:, at]) for at, name in enumerate(names)]


def column_of_series(name: str, series: Any) -> Column:
    """Makes a column of a `pandas.Series`, or of an array of pandas; see `columns_of_frame`."""
    import numpy as np
    import pandas as pd

    series = pd.Series(series)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if series.dtype == object:
        return _objects(name, series)
    if isinstance(series.dtype, np.dtype):
        from shoal.client._tables._from_numpy import column_of_numpy

        return column_of_numpy(name, series.to_numpy())
    return _through_arrow(name, series)


def to_frame(table: Table) -> Any:
    """Gives a `pandas.DataFrame`; see `Table.to_pandas`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise RequirementError(
            f"pandas is not installed: {error}", hint="pip install pandas"
        ) from error
    columns = {column.name: _series(column) for column in table.columns}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.rows))


def _objects(name: str, series: Any) -> Column:
    import pandas as pd

    from shoal.client._tables._from_python import column_of_list

    values = [None if pd.api.types.is_scalar(each) and pd.isna(each) else each for each in series]
    return column_of_list(name, values) if values else of_records(name, Kind("MIXED"), [])


def _through_arrow(name: str, series: Any) -> Column:
    import pyarrow as pa

    from shoal.client._tables._from_arrow import column_of_arrow

    try:
        values = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DtypeError(
            f"column {name!r} is {series.dtype} in pandas, no dtype of the protocol: {error}",
            hint="convert it with astype: to a number, text or a timestamp",
        ) from error
    return column_of_arrow(name, values)


def _series(column: Column) -> Any:
    """Gives the values of a column in the type of pandas that holds them unchanged."""
    import numpy as np
    import pandas as pd

    if column.shape:
        values = list(column.elements()) if column.dtype in NUMPY_CODES else column.to_list()
        return _object_series(values, column)
    if column.dtype in {"MIXED", "BYTES", "DATE"}:
        return _object_series(column.to_list(), column)
    if column.dtype in {"UTF8", "TIMESTAMP"}:
        return column.to_arrow().to_pandas()
    if column.missing is None:
        return pd.Series(column.elements())
    kind = (
        pd.arrays.BooleanArray
        if column.dtype == "BOOL"
        else pd.arrays.FloatingArray
        if column.dtype in FLOATS
        else pd.arrays.IntegerArray
    )
    mask = np.frombuffer(column.missing, np.bool_).copy()
    elements = column.elements()
    if column.dtype == "FP16":  # pandas has no nullable type of it
        elements = elements.astype(np.float32)
    return pd.Series(kind(elements, mask))


def _object_series(values: list[Any], column: Column) -> Any:
    import numpy as np
    import pandas as pd

    objects = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        objects[at] = None if column.missing is not None and column.missing[at] else value
    return pd.Series(objects)
