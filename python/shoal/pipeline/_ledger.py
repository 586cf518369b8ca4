"""The ledger: what was planned, what was committed, and what is kept between epochs.

- One SQLite file in write-ahead mode, written by one process and flushed at each commit. Whoever
  else looks at it reads.
- `commit(N)` and `plan(N + 1)` are one transaction. A plan is there before anything that it leads
  to can be seen outside; so after a crash the same records are taken again, whatever came since.
- It does not grow with the number of epochs: the last ones are kept, and of the state a snapshot
  and what came after it.

Source of the write-ahead mode and its guarantees: sqlite.org/wal.html; `synchronous=FULL`.
"""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import apsw
import msgspec
import pyarrow as pa

from shoal.batch import Partial
from shoal.errors import ConflictError, PathError, PipelineError
from shoal.pipeline._event_time._watermarks import Watermark
from shoal.source import Offset, Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

FORMAT = 1
FILE, LOCK = "ledger.db", "lock"
KEPT_EPOCHS = 100
# Who asks whether a ledger is held holds it for a moment, which is waited out.
LOCK_PAUSES_SECONDS = (0.01, 0.02, 0.05, 0.0)
# Pages of the write-ahead log after which it is folded into the file.
LOG_PAGES = 256
SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE epoch (number INTEGER PRIMARY KEY, plan TEXT NOT NULL, result TEXT);
CREATE TABLE state (aggregate INTEGER, epoch INTEGER, piece INTEGER, kind TEXT NOT NULL,
    before_us INTEGER NOT NULL, after_us INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (aggregate, epoch, kind, piece)) WITHOUT ROWID;
CREATE TABLE dead (number INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL,
    reason TEXT NOT NULL, place TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
    record TEXT NOT NULL, data BLOB, rows INTEGER NOT NULL, replayed INTEGER);
"""

DEAD = "SELECT reason, place, code, message, record, data, rows, epoch, number, replayed FROM dead"
AGAIN = (
    "UPDATE dead SET replayed = 0 WHERE reason = 'failed' AND data IS NOT NULL AND replayed IS NULL"
)


class Plan(msgspec.Struct, frozen=True):
    """What an epoch takes.

    Attributes:
        epoch: Its number, from 1.
        start: Where it starts.
        end: Where it ends.
        splits: The parts of that range.
        awaited: Partitions that hold the watermark back.
        at_least_us: Where the watermark stands after it, whatever comes.
        dead: Numbers of dead letters that it takes again.
    """

    epoch: int
    start: Offset
    end: Offset
    splits: tuple[Split, ...]
    awaited: tuple[str, ...] = ()
    at_least_us: int = -(1 << 62)
    dead: tuple[int, ...] = ()


class Result(msgspec.Struct, frozen=True):
    """What an epoch came to.

    Attributes:
        end: Where it ended.
        rows_in: Records that it took.
        rows_out: Records that it gave to the sink.
        rows_dead: Records that are dead letters now.
        seconds: From its plan to its commit.
        watermark: How far event time has come.
        sink_epoch: The last epoch that the sink has, by the sink's count.
        sink_end: Where that ended.
        totals: All records taken, given and dead since the first epoch.
        committed_at: When, in seconds since 1970.
    """

    end: Offset
    rows_in: int
    rows_out: int
    rows_dead: int
    seconds: float
    watermark: Watermark
    sink_epoch: int
    sink_end: Offset
    totals: tuple[int, int, int]
    committed_at: float


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that was set aside; of late records, those of one micro-batch together.

    Attributes:
        reason: `failed`, `unreadable` or `late`.
        place: Where it came from.
        code: The code of the error.
        message: What is wrong with it.
        record: The (first) record, for people.
        data: The records as an Arrow stream; None where they were never read.
        rows: How many records there are.
        epoch: The epoch that set it aside.
        number: Its number; 0 until it is stored.
        replayed: The epoch that took it again; 0 while that is asked for.
    """

    reason: str
    place: str
    code: str
    message: str
    record: str
    data: bytes | None = None
    rows: int = 1
    epoch: int = 0
    number: int = 0
    replayed: int | None = None


class Kept(msgspec.Struct, frozen=True):
    """Rows of state as they are written down."""

    aggregate: int
    kind: str
    before_us: int
    after_us: int
    data: bytes


class Ledger:
    """One open ledger; its methods are called by one thread at a time."""

    def __init__(self, connection: apsw.Connection, held: IO[bytes] | None) -> None:
        self._connection = connection
        self._held = held

    @classmethod
    def open(cls, directory: Path, *, must_exist: bool = False) -> Ledger:
        """Opens a ledger to write to it, and makes it where there is none.

        Raises:
            PathError: there is none, and it is not to be made.
            ConflictError: another process has it.
            PipelineError: it cannot be used.
        """
        if must_exist:
            _check_exists(directory)
        with _named(directory):
            directory.mkdir(parents=True, exist_ok=True)
            held = _locked(directory)
            connection = apsw.Connection(str(directory / FILE))
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                f"wal_autocheckpoint={LOG_PAGES}",
            ):
                connection.execute(f"PRAGMA {pragma}")
            if not connection.pragma("user_version"):
                with connection:
                    connection.execute(SCHEMA)
                    connection.execute(f"PRAGMA user_version={FORMAT}")
            _check_format(directory, connection)
            return cls(connection, held)

    @classmethod
    def read(cls, directory: Path) -> Ledger:
        """Opens a ledger to look at it, also while a pipeline runs.

        Raises:
            PathError: there is none.
        """
        _check_exists(directory)
        with _named(directory):
            flags = apsw.SQLITE_OPEN_READWRITE
            connection = apsw.Connection(str(directory / FILE), flags=flags)
            connection.pragma("query_only", 1)
            connection.set_busy_timeout(5000)
            _check_format(directory, connection)
            return cls(connection, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the ledger back."""
        self._connection.close()
        if self._held is not None:
            self._held.close()

    def about(self) -> dict[str, str]:
        """What is known about the pipeline."""
        rows = self._connection.execute("SELECT name, value FROM about ORDER BY name")
        return {str(name): str(value) for name, value in rows}

    def set_about(self, **values: str) -> None:
        """Says something about the pipeline."""
        with _named(), self._connection:
            rows = list(values.items())
            self._connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

    def last(self) -> tuple[int, Result] | None:
        """The last epoch that was committed."""
        rows = self.results(1)
        return rows[0] if rows else None

    def results(self, limit: int = KEPT_EPOCHS) -> list[tuple[int, Result]]:
        """The last epochs that were committed, the newest first."""
        found = self._connection.execute(
            "SELECT number, result FROM epoch WHERE result IS NOT NULL "
            "ORDER BY number DESC LIMIT ?",
            (limit,),
        )
        return [(number, msgspec.json.decode(result, type=Result)) for number, result in found]

    def planned(self) -> Plan | None:
        """The epoch that was planned and is not committed."""
        found = self._connection.execute("SELECT plan FROM epoch WHERE result IS NULL").fetchone()
        return msgspec.json.decode(found[0], type=Plan) if found else None

    def plan(self, plan: Plan) -> None:
        """Stores a plan by itself."""
        with _named(), self._connection:
            self._plan(plan)

    def commit(
        self,
        done: Plan,
        result: Result,
        following: Plan | None,
        *,
        kept: Sequence[Kept] = (),
        dead: Sequence[DeadLetter] = (),
    ) -> None:
        """Stores what an epoch came to, and the plan of the next one if it is known, at once."""
        with _named(), self._connection:
            execute, epoch = self._connection.execute, done.epoch
            encoded = msgspec.json.encode(result).decode()
            execute("UPDATE epoch SET result = ? WHERE number = ?", (encoded, epoch))
            execute("DELETE FROM epoch WHERE number <= ?", (epoch - KEPT_EPOCHS,))
            self._keep(epoch, kept)
            taken_again = [(epoch, number) for number in done.dead]
            self._connection.executemany(
                "UPDATE dead SET replayed = ? WHERE number = ?", taken_again
            )
            self._bury(epoch, dead)
            if following is not None:
                self._plan(following)

    def state(self, aggregate: int) -> Iterator[tuple[str, int, int, Partial]]:
        """What is kept of an aggregate, in the order in which it is to be taken."""
        rows = self._connection.execute(
            "SELECT kind, before_us, after_us, data FROM state WHERE aggregate = ? "
            "ORDER BY epoch, kind DESC, piece",  # a snapshot stands for all up to its epoch
            (aggregate,),
        )
        for kind, before_us, after_us, data in rows:
            yield kind, before_us, after_us, partial_of(data)

    def dead(self, *, limit: int = 1000, after: int = 0) -> list[DeadLetter]:
        """Dead letters in the order in which they were set aside."""
        rows = self._connection.execute(
            f"{DEAD} WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
        )
        return [DeadLetter(*row) for row in rows]

    def wanted(self) -> list[DeadLetter]:
        """Dead letters that are to be taken again."""
        rows = self._connection.execute(f"{DEAD} WHERE replayed = 0 ORDER BY number")
        return [DeadLetter(*row) for row in rows]

    def dead_counts(self) -> dict[str, int]:
        """How many dead letters there are for each reason, without those that were taken again."""
        rows = self._connection.execute(
            "SELECT reason, sum(rows) FROM dead WHERE replayed IS NULL OR replayed = 0 "
            "GROUP BY reason"
        )
        return {str(reason): int(count) for reason, count in rows}

    def ask_again(self, numbers: Sequence[int] | None) -> int:
        """Wants dead letters to be taken again, all if none is named; says how many."""
        before = self._connection.total_changes()
        with _named(), self._connection:
            if numbers is None:
                self._connection.execute(AGAIN)
            else:
                self._connection.executemany(f"{AGAIN} AND number = ?", [(n,) for n in numbers])
        return self._connection.total_changes() - before

    def forget_state(self) -> None:
        """Drops the state of all aggregates."""
        with _named(), self._connection:
            self._connection.execute("DELETE FROM state")

    def _plan(self, plan: Plan) -> None:
        encoded = msgspec.json.encode(plan).decode()
        self._connection.execute("INSERT INTO epoch VALUES (?, ?, NULL)", (plan.epoch, encoded))

    def _keep(self, epoch: int, kept: Sequence[Kept]) -> None:
        for aggregate in {each.aggregate for each in kept if each.kind == "snapshot"}:
            self._connection.execute("DELETE FROM state WHERE aggregate = ?", (aggregate,))
        self._connection.executemany(
            "INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (each.aggregate, epoch, piece, each.kind, each.before_us, each.after_us, each.data)
                for piece, each in enumerate(kept)
            ],
        )

    def _bury(self, epoch: int, dead: Sequence[DeadLetter]) -> None:
        self._connection.executemany(
            "INSERT INTO dead (epoch, reason, place, code, message, record, data, rows) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(epoch, d.reason, d.place, d.code, d.message, d.record, d.data, d.rows) for d in dead],
        )


def bytes_of(partial: Partial) -> bytes:
    """Rows of state as Arrow IPC."""
    about = {b"shoal.merged": partial.schema.serialize().to_pybytes()}
    states = partial.states.replace_schema_metadata(about)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, states.schema, options=options) as writer:
        writer.write_batch(states)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def partial_of(data: bytes) -> Partial:
    """What `bytes_of` wrote."""
    with pa.ipc.open_stream(data) as reader:
        states = reader.read_next_batch()
    merged = pa.ipc.read_schema(pa.py_buffer(states.schema.metadata[b"shoal.merged"]))
    return Partial(merged, states.replace_schema_metadata(None))


def records_bytes(records: pa.RecordBatch) -> bytes:
    """Records as Arrow IPC: of a slice, what it holds."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, records.schema, options=options) as writer:
        writer.write_batch(records)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def records_of(data: bytes) -> pa.RecordBatch:
    """What `records_bytes` wrote."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()


def now_seconds() -> float:
    """The time of day."""
    return time.time()


def _check_exists(directory: Path) -> None:
    if not (directory / FILE).is_file():
        raise PathError(f"there is no ledger at {directory}")


def _locked(directory: Path) -> IO[bytes]:
    held = (directory / LOCK).open("ab")
    for pause_seconds in LOCK_PAUSES_SECONDS:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause_seconds)
        else:
            return held
    held.close()
    message = f"another process runs the pipeline of {directory}"
    raise ConflictError(message, hint="Wait until it has ended, or end it.")


def _check_format(directory: Path, connection: apsw.Connection) -> None:
    found: Any = connection.pragma("user_version")
    if found != FORMAT:
        message = f"the ledger at {directory} has format {found}, expected {FORMAT}"
        raise PipelineError(message, hint="Use the version of Shoal that wrote it.")


@contextmanager
def _named(directory: Path | None = None) -> Iterator[None]:
    """What SQLite or the system refuses becomes an error that says so."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        place = f" at {directory}" if directory else ""
        raise PipelineError(f"the ledger{place} cannot be used: {error}") from error
