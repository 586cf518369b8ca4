"""A table of PostgreSQL: an epoch's records and its number are written in one transaction.

    SCHEMA.TABLE           the records; made if it is not there
    SCHEMA.shoal_epochs    the last epoch of each pipeline that writes to this schema, and its end

- The row of the pipeline is locked first, and tells whether the epoch is the next one, or was
  committed already: so a commit may be repeated, by whomever.
- Without keys records are added. With keys a record takes the place of the one with the same
  values there (`insert ... on conflict`); of several in one epoch the last one stays.
- A connection that is lost, or a server that is started again, is waited for up to
  `retry_seconds`. Whether the lost commit had happened is read from the row, never guessed: where
  the old transaction still ends, its lock is waited for.
- A server that is silent is given up after 30 seconds (`tcp_user_timeout`), not after hours.

Source: PostgreSQL documentation, "COPY", "INSERT" (ON CONFLICT Clause), "Explicit Locking".
"""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING, Any

from shoal.errors import ConflictError, InvalidRequestError, RequirementError, SinkError
from shoal.source._backoff import Backoff
from shoal.source._contract import Guarantee, SinkState
from shoal.source._spooled._postgres_columns import Kind, copied, kinds
from shoal.source._spooled._spool import Spool

try:
    import psycopg
    from psycopg import conninfo as connection_info
    from psycopg.sql import SQL, Composed, Identifier
    from psycopg.types.json import Jsonb
except ImportError as error:
    message = f"PostgresSink needs {error.name}, which is not installed"
    raise RequirementError(message, hint="pip install 'shoal[postgres]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from shoal.source._contract import Offset, Token

RETRY_SECONDS = 60.0
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.1, 5.0
EPOCHS = "shoal_epochs"
STAGED = "shoal_staged"
# Where the connection does not say it: no call may wait for ever for a server that is gone.
DEFAULTS = {
    "application_name": "shoal",
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# These may pass: the connection, the server, a deadlock. All others stay as they are.
PASSING = (psycopg.OperationalError, psycopg.InterfaceError)

FIND_COLUMNS = """
    select attname::text, format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum
"""
FIND_UNIQUE = """
    select array_agg(attname::text) from pg_index join pg_attribute on attrelid = indrelid
        and attnum = any((indkey::int2[])[0:indnkeyatts - 1])
    where indrelid = to_regclass(%s) and indisunique and indisvalid
        and indpred is null and indexprs is null
    group by indexrelid
"""


class PostgresSink:
    """Writes records to a table."""

    guarantee = Guarantee.TRANSACTIONAL
    least_commit_seconds = 0.0

    def __init__(
        self,
        conninfo: str,
        table: str,
        *,
        keys: Sequence[str] = (),
        schema: str = "public",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Takes a table; nothing is asked of the server before `open`.

        Args:
            conninfo: Where the database is: `host=... dbname=...` or `postgresql://...`.
            table: Its name.
            keys: The columns that tell records apart: later ones replace earlier ones.
            schema: Where the table is; it must be there.
            retry_seconds: How long a commit waits for a server that is gone.

        Raises:
            InvalidRequestError: the connection cannot be read as one.
        """
        try:
            found = connection_info.conninfo_to_dict(conninfo)
        except psycopg.ProgrammingError:
            # The driver's own message repeats the text, in which a password may stand.
            message = "conninfo is none: expected 'host=... dbname=...' or 'postgresql://...'"
            raise InvalidRequestError(message) from None
        self._connection_options: dict[str, Any] = {**DEFAULTS, **found}
        self._table = Identifier(schema, table)
        self._epochs = Identifier(schema, EPOCHS)
        self._keys = tuple(keys)
        self._retry_seconds = retry_seconds
        self._name = f"table {schema}.{table}"
        self._pipeline = ""
        self._columns: dict[str, Kind] = {}
        self._schema: pa.Schema | None = None
        self._spool = Spool()
        self._connection: psycopg.Connection | None = None
        self._closed = Event()

    def open(self, pipeline_id: str, schema: pa.Schema) -> SinkState | None:
        """Makes the tables if they are not there, and reads where the pipeline ended.

        Raises:
            ConflictError: the table has other columns, or does not tell records apart by the keys.
            SinkError: the server cannot be reached or refuses, or a column has no type there.
        """
        self._columns, self._schema, self._pipeline = kinds(schema), schema, pipeline_id
        if missing := [key for key in self._keys if key not in self._columns]:
            raise SinkError(f"key {missing[0]!r} is no column; there are {', '.join(schema.names)}")
        try:
            with self._connected().transaction(), self._connected().cursor() as cursor:
                self._prepare(cursor)
                return self._last(cursor)
        except psycopg.Error as error:
            self._disconnect()
            raise self._refused(error) from error
        except BaseException:
            self._disconnect()
            raise

    def write(self, _epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        """Holds records here until the commit; see `Sink.write`."""
        return self._spool.write(self._schema, batches)

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        """Writes an epoch; see `Sink.commit`.

        Raises:
            ConflictError: the table is not where this epoch starts.
            SinkError: the server refuses, or was not there for so long.
        """
        ends_at = time.monotonic() + self._retry_seconds
        backoff = Backoff(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS)
        while True:
            try:
                self._commit(SinkState(epoch, end), start, tokens)
                break
            except psycopg.Error as error:
                self._disconnect()
                left_seconds = ends_at - time.monotonic()
                if not isinstance(error, PASSING) or left_seconds <= 0:
                    raise self._refused(error) from error
                if self._closed.wait(min(backoff.failed(), left_seconds)):
                    raise SinkError(f"{self._name} was closed before its commit") from error
        self._spool.drop(tokens)

    def abort(self, _epoch: int, tokens: Sequence[Token]) -> None:
        """Throws away what was not committed."""
        self._spool.drop(tokens)

    def close(self) -> None:
        """Gives the connection back; a commit that waits for the server ends."""
        self._closed.set()
        self._spool.clear()
        self._disconnect()

    def _prepare(self, cursor: psycopg.Cursor) -> None:
        """Makes what is not there; one at a time, since `if not exists` alone is a race."""
        cursor.execute("select pg_advisory_xact_lock(hashtext('shoal_epochs'))")
        cursor.execute(
            SQL(
                "create table if not exists {} "
                "(pipeline text primary key, epoch bigint, end_offset jsonb)"
            ).format(self._epochs)
        )
        found: dict[str, str] = dict(
            cursor.execute(FIND_COLUMNS, [self._table.as_string()]).fetchall()
        )
        if found:
            self._check(cursor, found)
        else:
            cursor.execute(self._creation())
        # A row that is there can be locked, also by the first epoch.
        add = SQL("insert into {} (pipeline) values (%s) on conflict do nothing")
        cursor.execute(add.format(self._epochs), [self._pipeline])

    def _creation(self) -> Composed:
        columns = [
            SQL("{} {}").format(Identifier(name), SQL(kind.name))
            for name, kind in self._columns.items()
        ]
        if self._keys:
            columns.append(SQL("primary key ({})").format(_names(self._keys)))
        return SQL("create table {} ({})").format(self._table, SQL(", ").join(columns))

    def _check(self, cursor: psycopg.Cursor, found: dict[str, str]) -> None:
        """Compares the table that is there with what will be written."""
        wanted = {name: kind.name for name, kind in self._columns.items()}
        for name in [*wanted, *found]:
            if found.get(name) != wanted.get(name):
                is_there, is_wanted = found.get(name, "missing"), wanted.get(name, "missing")
                message = f"column {name!r} is {is_there} there and {is_wanted} in the records"
                raise self._conflict(message)
        if self._keys:
            unique = cursor.execute(FIND_UNIQUE, [self._table.as_string()]).fetchall()
            if set(self._keys) not in [set(names) for (names,) in unique]:
                raise self._conflict(f"no unique index is on ({', '.join(self._keys)})")

    def _last(self, cursor: psycopg.Cursor) -> SinkState | None:
        """The last epoch; its row stays locked until the transaction ends."""
        select = SQL("select epoch, end_offset from {} where pipeline = %s for update")
        row = cursor.execute(select.format(self._epochs), [self._pipeline]).fetchone()
        if row is None:
            raise self._conflict(f"the row of this pipeline is gone from {EPOCHS}")
        return None if row[0] is None else SinkState(row[0], row[1])

    def _commit(self, wanted: SinkState, start: Offset, tokens: Sequence[Token]) -> None:
        """Writes an epoch in one transaction, if it is not there already."""
        with self._connected().transaction(), self._connected().cursor() as cursor:
            last = self._last(cursor)
            if last == wanted:
                return
            if last is not None and (last.epoch + 1, last.end) != (wanted.epoch, start):
                raise self._conflict(
                    f"this pipeline ended with epoch {last.epoch} at {last.end}; "
                    f"epoch {wanted.epoch} starts at {start} and ends at {wanted.end}"
                )
            if self._keys:
                self._replace(cursor, tokens)
            else:
                self._copy(cursor, self._table, tokens)
            update = SQL("update {} set epoch = %s, end_offset = %s where pipeline = %s")
            values = [wanted.epoch, Jsonb(wanted.end), self._pipeline]
            cursor.execute(update.format(self._epochs), values)

    def _copy(self, cursor: psycopg.Cursor, table: Identifier, tokens: Sequence[Token]) -> None:
        copy = SQL("copy {} ({}) from stdin (format csv)")
        with cursor.copy(copy.format(table, _names(self._columns))) as to:
            for batch in self._spool.read(tokens):
                for piece in copied(batch, self._columns):
                    to.write(piece)

    def _replace(self, cursor: psycopg.Cursor, tokens: Sequence[Token]) -> None:
        """Through a table of this transaction: the last record of each key, in their order."""
        staged, columns, keys = Identifier(STAGED), _names(self._columns), _names(self._keys)
        create = SQL("create temp table {} on commit drop as select {} from {} with no data")
        cursor.execute(create.format(staged, columns, self._table))
        number = SQL("alter table {} add column shoal_row bigint generated always as identity")
        cursor.execute(number.format(staged))
        self._copy(cursor, staged, tokens)
        others = [name for name in self._columns if name not in self._keys]
        sets = [SQL("{0} = excluded.{0}").format(Identifier(name)) for name in others]
        action = SQL("update set {}").format(SQL(", ").join(sets)) if sets else SQL("nothing")
        insert = SQL(
            "insert into {} ({}) select distinct on ({}) {} from {} order by {}, shoal_row desc "
            "on conflict ({}) do {}"
        )
        parts = (self._table, columns, keys, columns, staged, keys, keys, action)
        cursor.execute(insert.format(*parts))

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                **self._connection_options, autocommit=True, client_encoding="utf8"
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refused(self, error: psycopg.Error) -> SinkError:
        """What the server or the driver said, in one line, without values and passwords."""
        said = error.diag.message_primary or str(error).strip().partition("\n")[0]
        password = str(self._connection_options.get("password") or "")
        said = said.replace(password, "***") if password else said
        return SinkError(f"{self._name} cannot be written: {said}")

    def _conflict(self, reason: str) -> ConflictError:
        hint = "Write to another table, or change this one."
        return ConflictError(f"{self._name} cannot be gone on with: {reason}", hint=hint)


def _names(names: Sequence[str] | dict[str, Kind]) -> Composed:
    return SQL(", ").join(Identifier(name) for name in names)
