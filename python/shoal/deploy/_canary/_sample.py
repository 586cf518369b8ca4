"""Records for both versions: a Parquet file, or the golden rows of the new package.

- Only the first records of a file are read, in pieces: memory is bounded by the limit of records.
- An input takes the column of its own name, or those that the package says it packs; other columns
  are passed over.
- A request has records of one shape, and a bounded number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import ConfigurationError, InvalidRequestError, PathError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    import pyarrow.parquet as pq

    from shoal.runtime import Description
    from shoal.values import Column, Message

ROWS_OF_A_REQUEST = 50


@dataclass(frozen=True)
class Sample:
    """Records to ask a model for.

    Attributes:
        model: The name under which it is served.
        inputs: Its inputs.
        outputs: The outputs that are compared.
        batches: The records, of one shape each.
    """

    model: str
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    batches: tuple[pa.RecordBatch, ...]

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(batch.num_rows for batch in self.batches)


def sample_of(
    description: Description, *, records: str | None, limit_records: int, outputs: tuple[str, ...]
) -> Sample:
    """The records that are sent.

    Args:
        description: What the new package says of itself.
        records: A Parquet file; None for the golden rows.
        limit_records: How many records are sent at most.
        outputs: The outputs that are compared; none for those that are no floats, or else all.

    Raises:
        PathError: the file cannot be read.
        ConfigurationError: there are no records, or no such output.
        InputError: a record is none that the model takes.
    """
    from shoal.values import split_by_shape

    inputs = description.signature.inputs
    whole = _golden(description) if records is None else _read(description, records, limit_records)
    batches = tuple(
        group.batch.slice(start, ROWS_OF_A_REQUEST)
        for group in split_by_shape(whole, inputs)
        for start in range(0, group.batch.num_rows, ROWS_OF_A_REQUEST)
    )
    sample = Sample(description.name, inputs, _compared(description, outputs), batches)
    for batch in batches:
        request_of(sample, batch)  # a record that cannot travel is refused before anything begins
    return sample


def request_of(sample: Sample, batch: pa.RecordBatch) -> Message:
    """The request for some records; in binary, unless a record is missing.

    Raises:
        InputError: a record is none that the model takes.
    """
    from shoal.values import encode_request, from_arrow

    wire = from_arrow(batch, sample.inputs)
    return encode_request(
        wire,
        binary=[name for name, _, _, _, missing in wire if missing is None],
        parameters={"binary_data_output": True},
    )


def _compared(description: Description, names: tuple[str, ...]) -> tuple[Column, ...]:
    columns = description.signature.outputs
    if unknown := set(names) - {column.name for column in columns}:
        known = ", ".join(column.name for column in columns)
        message = f"disagreement.outputs names {min(unknown)!r}, the model gives {known}"
        raise ConfigurationError(message)
    if names:
        return tuple(column for column in columns if column.name in names)
    exact = tuple(column for column in columns if not column.dtype.value.startswith("FP"))
    return exact or columns


def _golden(description: Description) -> pa.RecordBatch:
    from shoal.values import from_json, to_arrow

    if description.golden == "none":
        hint = "Name a file of records in [disagreement] records."
        message = "the new package has no golden rows to compare answers with"
        raise ConfigurationError(message, hint=hint)
    inputs = description.signature.inputs
    return to_arrow(from_json(description.golden.inputs, inputs), inputs)


def _read(description: Description, place: str, limit_records: int) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from shoal.runtime import packed

    if not Path(place).is_file():
        raise PathError(f"there are no records at {place}")
    try:
        with pq.ParquetFile(place) as file:
            names = _taken(description, file.schema_arrow.names, place)
            batches = list(_first(file, names, limit_records))
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidRequestError(f"{place} cannot be read as Parquet: {error}") from error
    if not batches:
        raise ConfigurationError(f"there are no records in {place}")
    return packed(pa.concat_batches(batches), description)


def _taken(description: Description, there: list[str], place: str) -> list[str]:
    features = {each.column: each.features or () for each in description.binding.inputs}
    found = []
    for column in description.signature.inputs:
        wanted = [column.name] if column.name in there else list(features.get(column.name, ()))
        if not wanted or set(wanted) - set(there):
            raise InvalidRequestError(f"{place} has no column for the input {column.name!r}")
        found += wanted
    return found


def _first(file: pq.ParquetFile, names: list[str], limit_records: int) -> Iterator[pa.RecordBatch]:
    left = limit_records
    for batch in file.iter_batches(batch_size=ROWS_OF_A_REQUEST, columns=names):
        if batch.num_rows:
            yield batch.slice(0, left)
        left -= batch.num_rows
        if left <= 0:
            return
