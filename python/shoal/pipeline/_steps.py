"""What happens to records one micro-batch at a time: functions, packages, filters, lookups.

- A step is **bound** to the columns that come in, and says which go out, before the first record:
  a function is tried on no records at all, so that a run does not fail after an hour.
- A function takes a record batch and answers with a table, a mapping of columns or a list of
  mappings. It may answer with more records or fewer, but must look at each record by itself: how
  records are cut into micro-batches is nobody's promise.
- What a function raises is the record's fault (`ModelError`), save a lost connection or a time-out
  (`UnavailableError`), which is tried again.
- A step **describes** itself by what decides its answers, for the fingerprint of the pipeline.
"""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import acero

from shoal import batch
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MissingColumnError,
    ModelError,
    ShoalError,
    UnavailableError,
)
from shoal.pipeline._mapping import Plan
from shoal.values import no_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shoal.package import Package
    from shoal.runtime import Model
    from shoal.values import Signature

Function: TypeAlias = "str | Callable[[pa.RecordBatch], Any]"
Missing = Literal["null", "drop"]
# What a function raises when it is not the record that is wrong.
TRANSIENT = (ConnectionError, TimeoutError)


class Step(Protocol):
    """One step."""

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Takes the columns that come in and how many threads will call; gives those that go out.

        Raises:
            ShoalError: the step cannot work with these columns.
        """

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """What becomes of records; any thread may call."""

    def describe(self) -> object:
        """What decides the answers, as JSON."""

    def check_durable(self) -> None:
        """Whether another process can find it again.

        Raises:
            InvalidRequestError: it cannot.
        """


@dataclass
class Call:
    """A function of the user's, and its name."""

    given: Function
    called: Callable[[pa.RecordBatch], Any] = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        """Finds the function.

        Raises:
            InvalidRequestError: there is none of that name.
        """
        self.called = batch.find_function(self.given) if isinstance(self.given, str) else self.given
        module, name = (getattr(self.called, at, "") for at in ("__module__", "__qualname__"))
        self.name = f"{module}:{name}" if name else type(self.called).__name__

    def __call__(self, records: pa.RecordBatch) -> Any:
        """What the function answers.

        Raises:
            UnavailableError: a connection was lost or a time passed.
            ModelError: it raised anything else.
        """
        try:
            return self.called(records)
        except ShoalError:
            raise
        except TRANSIENT as error:
            message = f"{self.name} raised {type(error).__name__}: {error}"
            raise UnavailableError(message) from error
        except Exception as error:
            message = f"{self.name} raised {type(error).__name__}: {error}"
            raise ModelError(message) from error

    def describe(self) -> object:
        """Its name, and a digest of its source."""
        try:
            source = inspect.getsource(inspect.unwrap(self.called))
        except (OSError, TypeError):
            source = ""  # a builtin or an object: its name is all there is
        return {"function": self.name, "source": hashlib.sha256(source.encode()).hexdigest()}

    def check_durable(self) -> None:
        """Refuses a lambda or a closure.

        Raises:
            InvalidRequestError: nobody could find the function by its name.
        """
        if not isinstance(self.given, str):
            batch.path_of_function(self.given)


@dataclass
class Map:
    """Records become what a function makes of them."""

    call: Call
    schema: pa.Schema | None = None

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Tries the function on no records, unless its columns were given."""
        del workers
        if self.schema is None:
            self.schema = as_records(
                _tried(self.call, schema, self.call.name), self.call.name
            ).schema
        if not self.schema.names:
            message = f"{self.call.name} answered no records without saying their columns"
            raise InvalidRequestError(message, hint="Say them: map(function, schema=...).")
        return self.schema

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """The function's answer, in the columns that it was bound to."""
        answer = as_records(self.call(records), self.call.name)
        return conformed(answer, self.schema, self.call.name)

    def describe(self) -> object:
        """The function."""
        return {"map": self.call.describe()}

    def check_durable(self) -> None:
        """See `Call`."""
        self.call.check_durable()


@dataclass
class Answer:
    """Records get a model's answers beside them."""

    package: Package
    columns: Mapping[str, Sequence[str]]
    keep: Sequence[str] | None
    allow_code: bool
    signature: Signature = field(init=False)
    plan: Plan = field(init=False)
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        """Refuses a router, which has no signature, before anything runs."""
        self.signature = self.package.signature

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Settles which columns the model takes, and loads it."""
        self.plan = Plan(self.package, self.columns, self.keep)
        self.plan.fit(schema)
        self.model = self.package.model(allow_code=self.allow_code, workers=workers)
        bound = self.plan.schema(schema)
        self(no_records(schema))
        return bound

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """The answers beside what goes along."""
        return self.plan.beside(records, self.model.predict(self.plan.asked(records)))

    def describe(self) -> object:
        """The package's digest."""
        columns = {name: list(each) for name, each in self.columns.items()}
        keep = None if self.keep is None else list(self.keep)
        return {"package": self.package.digest, "columns": columns, "keep": keep}

    def check_durable(self) -> None:
        """A package is found by its digest."""


@dataclass
class Filter:
    """Only some records go on."""

    condition: pc.Expression | Call

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Tries the condition on no records."""
        del workers
        _tried(self, schema, self.name)
        return schema

    @property
    def name(self) -> str:
        """The condition, for people."""
        return self.condition.name if isinstance(self.condition, Call) else str(self.condition)

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """The records for which the condition holds; a null does not.

        Raises:
            InputError: the condition does not answer with one truth value for each record.
        """
        if isinstance(self.condition, pc.Expression):
            mask = _evaluated(self.condition, records)
        else:
            mask = _mask(self.condition, records)
        return records.filter(mask, null_selection_behavior="drop")

    def describe(self) -> object:
        """The condition."""
        if isinstance(self.condition, pc.Expression):
            return {"filter": str(self.condition)}
        return {"filter": self.condition.describe()}

    def check_durable(self) -> None:
        """See `Call`."""
        if isinstance(self.condition, Call):
            self.condition.check_durable()


@dataclass
class Lookup:
    """Records get the columns of a table's row with the same key."""

    table: pa.Table
    on: str
    missing: Missing

    def __post_init__(self) -> None:
        """Looks at the keys.

        Raises:
            MissingColumnError: the table has no column of that name.
            InvalidRequestError: a key stands in it twice.
        """
        if self.on not in self.table.column_names:
            message = f"the table has no column {self.on!r}"
            raise MissingColumnError(f"{message}, only {', '.join(self.table.column_names)}")
        self._keys = self.table.column(self.on).combine_chunks()
        if len(self._keys.unique()) != len(self._keys):
            hint = "Give a table with one row for each key."
            raise InvalidRequestError(f"a key of {self.on!r} stands in the table twice", hint=hint)
        self._columns = self.table.drop_columns([self.on]).combine_chunks()

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Compares the columns.

        Raises:
            DuplicateColumnError: the records have a column of the table already.
            DtypeError: the keys are of other types.
        """
        del workers
        if both := [name for name in self._columns.column_names if name in schema.names]:
            raise DuplicateColumnError(f"the records have a column {both[0]!r} already")
        if self.on not in schema.names:
            raise MissingColumnError(f"there is no column {self.on!r} to look up")
        mine, theirs = schema.field(self.on).type, self._keys.type
        if mine != theirs:
            raise DtypeError(f"column {self.on!r} is {mine}, that of the table {theirs}")
        fields = [self._columns.schema.field(name) for name in self._columns.column_names]
        return pa.schema([*schema.remove_metadata(), *fields])

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """The records with the columns of the table."""
        place = pc.index_in(records.column(self.on), self._keys)
        if self.missing == "drop" and place.null_count:
            records, place = records.filter(place.is_valid()), place.drop_null()
        taken = [column.combine_chunks().take(place) for column in self._columns.columns]
        names = [*records.schema.names, *self._columns.column_names]
        return pa.RecordBatch.from_arrays([*records.columns, *taken], names=names)

    def describe(self) -> object:
        """A digest of the table."""
        return {"lookup": self.on, "missing": self.missing, "table": _digest(self.table)}

    def check_durable(self) -> None:
        """The table's digest stands for it."""


def _evaluated(condition: pc.Expression, records: pa.RecordBatch) -> pa.Array:
    """The value of an expression; in this thread, since all others have work of their own."""
    table = acero.TableSourceNodeOptions(pa.Table.from_batches([records]))
    steps = [
        acero.Declaration("table_source", table),
        acero.Declaration("project", acero.ProjectNodeOptions([condition], ["value"])),
    ]
    try:
        values = acero.Declaration.from_sequence(steps).to_table(use_threads=False).column("value")
    except (pa.ArrowException, ValueError) as error:
        raise ModelError(f"{condition} cannot be computed: {error}") from error
    if not pa.types.is_boolean(values.type):
        raise ModelError(f"{condition} is {values.type}, expected a truth value")
    return values.combine_chunks()


def _mask(condition: Call, records: pa.RecordBatch) -> pa.Array:
    answer = condition(records)
    if isinstance(answer, pa.ChunkedArray):
        answer = answer.combine_chunks()
    expected = f"expected one truth value for each of {records.num_rows} records"
    try:
        mask = pa.array(answer, pa.bool_())
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"{condition.name} answered with a {type(answer).__name__}, {expected}"
        raise ModelError(message) from error
    if len(mask) != records.num_rows:
        raise ModelError(f"{condition.name} answered with {len(mask)} values, {expected}")
    return mask


def as_records(answer: object, name: str) -> pa.RecordBatch:
    """An answer of a function, as records.

    Raises:
        ModelError: it is none.
    """
    try:
        if isinstance(answer, pa.RecordBatch):
            return answer
        if isinstance(answer, pa.Table):
            batches = answer.combine_chunks().to_batches()
            return batches[0] if batches else no_records(answer.schema)
        if isinstance(answer, dict):
            return pa.RecordBatch.from_pydict(answer)
        if isinstance(answer, list):
            return pa.RecordBatch.from_pylist(answer)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ModelError(f"{name} answered with what is no table: {error}") from error
    message = f"{name} answered with a {type(answer).__name__}"
    raise ModelError(f"{message}, expected a record batch, a table, a mapping or a list")


def conformed(answer: pa.RecordBatch, schema: pa.Schema | None, name: str) -> pa.RecordBatch:
    """An answer in the columns that were settled.

    Raises:
        ModelError: it has others, or values that do not fit.
    """
    if schema is None or answer.schema.equals(schema):
        return answer
    if set(answer.schema.names) != set(schema.names):
        message = f"{name} answered with the columns {', '.join(answer.schema.names)}"
        raise ModelError(f"{message}, expected {', '.join(schema.names)}")
    try:
        return answer.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise ModelError(f"{name} answered with values of another type: {error}") from error


def _tried(call: Callable[[pa.RecordBatch], Any], schema: pa.Schema, name: str) -> Any:
    try:
        return call(no_records(schema))
    except ShoalError as error:
        hint = "Let it accept a batch without records; map(function, schema=...) need not try."
        raise InvalidRequestError(f"{name} was tried on no records: {error}", hint=hint) from error


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()
