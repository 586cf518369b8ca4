"""The rows of a query as an input: streamed by the server, and only read.

- Rows are fetched as many at a time as make a micro-batch; none are held by the driver beyond that.
- The transaction cannot write where the database knows such a thing (PostgreSQL, SQLite).
- No message, cause or lineage holds a password: the database's own message is passed on without
  it, and the driver's exceptions, which hold the address, are not kept as causes.

Source: SQLAlchemy, "Fetching Large Result Sets with Server Side Cursors".
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pyarrow as pa

from shoal.errors import InvalidRequestError, PathError, RequirementError, SourceError
from shoal.source import Place
from shoal.train._collect._reading import check_unique_names
from shoal.train._collect._values import array_of

try:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
except ImportError as error:
    message = f"Sql needs {error.name}, which is not installed"
    raise RequirementError(message, hint="pip install 'shoal[train]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shoal.source import Placed
    from shoal.train._collect._inputs import Input, Sql

BATCH_BYTES = 3 << 19
BATCH_ROWS = (1 << 7, 1 << 14)
HIDDEN = "***"


class SqlReader:
    """Reads the rows of a query."""

    is_text = False

    def __init__(self, described: Input) -> None:
        """Takes a query; nothing is asked of the database yet.

        Raises:
            InvalidRequestError: the address cannot be read, or its database is not known.
            PathError: there is no such file of SQLite.
            RequirementError: the driver is not installed.
        """
        self._sql: Sql = described.source
        self.label = described.name or "the query"
        self._stated = frozenset(described.types)
        self._engine, self._is_ours = _engine(self._sql.database)
        self._url = self._engine.url

    def batches(self) -> Iterator[Placed]:
        """All rows; see `Reader`."""
        with self._refused():
            connection = self._engine.connect()
        try:
            yield from self._rows(connection)
        finally:
            connection.close()
            if self._is_ours:
                self._engine.dispose()

    def done_bytes(self) -> tuple[int, int] | None:
        """A database does not tell."""
        return None

    def lineage(self) -> dict[str, object]:
        """The database, without user and password, and the query, without values."""
        url = self._url
        host = f"{url.host}:{url.port}" if url.port else url.host or ""
        database = f"{url.get_backend_name()}://{host}/{url.database or ''}"
        about = {"database": database, "query": self._sql.query}
        return {**about, "parameters": sorted(self._sql.parameters)}

    def _rows(self, connection: Any) -> Iterator[Placed]:
        with self._refused():
            result = self._executed(connection)
        if not result.returns_rows:
            raise InvalidRequestError(f"{self.label} gives no rows, expected a query that does")
        try:
            yield from self._batches(result)
        finally:
            # Here, and not when it is collected as garbage: a cursor of a server is told to close.
            result.close()

    def _batches(self, result: Any) -> Iterator[Placed]:
        names = list(result.keys())
        check_unique_names(names, self.label)
        first, size = 0, BATCH_ROWS[0]
        while True:
            with self._refused():
                rows = result.fetchmany(size)
            if not rows:
                return
            place = Place(self.label, "row", first)
            batch = self._batch(names, rows, place)
            yield place, batch
            first += batch.num_rows
            size = _size(batch)

    def _executed(self, connection: Any) -> Any:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("pragma query_only = on")
        options = {
            "stream_results": True,
            "max_row_buffer": BATCH_ROWS[0],
            "postgresql_readonly": True,
        }
        reading = connection.execution_options(**options)
        return reading.execute(sqlalchemy.text(self._sql.query), dict(self._sql.parameters))

    def _batch(self, names: list[str], rows: Sequence[Any], place: Place) -> pa.RecordBatch:
        columns = [
            array_of(name, values, place, is_stated=name in self._stated)
            for name, values in zip(names, zip(*rows, strict=True), strict=True)
        ]
        return pa.record_batch(columns, names=names)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """What the database or its driver says, without the password."""
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig)
        except SQLAlchemyError as error:
            said = str(error)
        except UnicodeDecodeError as error:
            said = str(error)
        else:
            return
        message = f"{self.label} cannot be read: {_without(said, self._url.password)}"
        raise SourceError(message)


def _engine(database: Any) -> tuple[Any, bool]:
    """An engine, and whether it is ours to end."""
    if isinstance(database, sqlalchemy.Engine):
        return database, False
    try:
        url = sqlalchemy.make_url(database)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        _check_file(url)
        return sqlalchemy.create_engine(url, hide_parameters=True), True
    except NoSuchModuleError:
        message = "the address of the database names one that SQLAlchemy does not know here"
    except (ArgumentError, ValueError, TypeError):
        # The exception may repeat the address, in which a password may stand.
        message = "the address of the database cannot be read"
    except ImportError as error:
        message = f"the driver {error.name} of the database is not installed"
        raise RequirementError(message, hint=f"pip install {error.name}") from None
    raise InvalidRequestError(message, hint=_HINT)


def _check_file(url: Any) -> None:
    """SQLite would make an empty database of a name that is mistyped."""
    name = url.database
    is_file = url.get_backend_name() == "sqlite" and name and name != ":memory:"
    if is_file and not name.startswith("file:") and not Path(name).exists():
        raise PathError(f"there is no database at {name}")


def _without(said: str, password: Any) -> str:
    """In one line, without the password in any form in which an address can hold it."""
    line = " ".join(said.split())
    secret = str(password or "")
    for form in sorted({secret, quote(secret), quote(secret, ""), quote_plus(secret)}, key=len):
        line = line.replace(form, HIDDEN) if form else line
    return line


def _size(batch: pa.RecordBatch) -> int:
    """How many rows are fetched next, by the width of those before."""
    least, most = BATCH_ROWS
    width_bytes = max(batch.nbytes / batch.num_rows, 1.0)
    return min(max(int(BATCH_BYTES / width_bytes), least), most)


_HINT = "Give it as SQLAlchemy reads it: sqlite:///shop.db, postgresql://user:password@host/name."
