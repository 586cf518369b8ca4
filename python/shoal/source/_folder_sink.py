"""A folder of files of one format: records appear by whole epochs, exactly once.

    OUTPUT/part-000000000001-000.parquet     committed records, for every reader of such folders
    OUTPUT/_shoal/pipeline.json              whose folder this is, and its columns
    OUTPUT/_shoal/epochs/000000000001.json   what epoch 1 is: its range, and its parts
    OUTPUT/_shoal/history/000000000100.jsonl what the epochs up to 100 are
    OUTPUT/_shoal/staged/...                 what is not committed; readers pass over names with _

A commit has two steps, and what is committed is decided by the first alone:

1. The epoch's own file is made, if there is none of its number: a compare-and-set.
2. The parts that it names are moved from `staged` to their places.

The files of old epochs are put together in the history, where one process alone holds the folder:
as long as others might commit, it is by those files that an epoch is made once.

Whoever opens the folder finishes step 2 of the last epoch, and throws away what else is staged,
unless another run may be at work on it. So a crash at any point loses nothing and shows nothing
twice. What the files look like is the business of an `Encoding`.
"""

from __future__ import annotations

import uuid
from concurrent.futures import wait
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import pyarrow as pa

from shoal.errors import ConflictError, SinkError
from shoal.source._contract import Guarantee, Offset, SinkState, Token
from shoal.source._sync import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor, Future

ABOUT = "_shoal/pipeline.json"
LOCK = "_shoal/lock"
EPOCHS = "_shoal/epochs"
HISTORY = "_shoal/history"
STAGED = "_shoal/staged"
MANIFEST = "_manifest.json"

# So many epochs share one file of the history.
FOLDED = 100
# Rows are gathered to tables of about this size before they are encoded.
GATHERED_BYTES = 6 << 20


class Folder(Protocol):
    """What a sink needs of the place where its files lie, see `LocalFolder`."""

    is_exclusive: bool
    """Whether one process alone can hold it."""

    def names(self, below: str) -> list[str]:
        """The files directly in a folder inside this one, sorted."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def create(self, name: str, data: bytes) -> bool:
        """Makes a file that is not there; False if it is there."""

    def writer(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to be written, whole and durable when the block ends."""

    def sync(self, file: IO[bytes]) -> None:
        """Makes durable what was written so far, where that can be done before the end."""

    def move(self, name: str, target: str) -> None:
        """Gives a file another name."""

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""

    def held(self, name: str) -> AbstractContextManager[None]:
        """Holds the folder for this process."""


class Encoder(Protocol):
    """Writes the records of one file."""

    def write(self, table: pa.Table) -> None:
        """Encodes records, at least one."""

    def close(self) -> None:
        """Ends what it writes; the file stays open."""


class Encoding(NamedTuple):
    """What the files of a folder are.

    Attributes:
        format: Its name, as in the names of the files: `part-000000000001-000.parquet`.
        encoder: Begins a file of these columns.
    """

    format: str
    encoder: Callable[[IO[bytes], pa.Schema], Encoder]


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose folder it is; the format was not written down before there were several."""

    pipeline: str
    columns: str
    format: str = "parquet"


class Stored(msgspec.Struct, frozen=True):
    """One file of an epoch: where it is staged, and its name once it is committed."""

    staged: str
    rows: int
    size_bytes: int
    name: str = ""


class Epoch(msgspec.Struct, frozen=True):
    """What was committed at once."""

    epoch: int
    start: Offset
    end: Offset
    parts: tuple[Stored, ...]


class Part:
    """One part while it is written, by one thread.

    Somebody `beside` may make durable what is written while more is: in the end little is left.
    """

    def __init__(
        self,
        folder: Folder,
        name: str,
        schema: pa.Schema,
        encoding: Encoding,
        beside: Executor | None = None,
    ) -> None:
        self._folder = folder
        self._name = name
        self._schema = schema
        self._beside = beside
        self._syncs: list[Future[None]] = []
        self._open = ExitStack()
        self._file = self._open.enter_context(folder.writer(name))
        self._encoder = encoding.encoder(self._file, schema)
        self._open.callback(self._encoder.close)
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes records of the columns of the folder."""
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes >= GATHERED_BYTES:
            self._write()
            if self._beside is not None:
                self._syncs.append(self._beside.submit(self._folder.sync, self._file))

    def finish(self) -> None:
        """Writes the last of what was added, and the end of the file."""
        self._write()
        with refused(SinkError, Path(self._name)):
            self._encoder.close()

    def end(self) -> Token:
        """Stages what was added."""
        with self._open:
            self.finish()
            for sync in self._syncs:
                sync.result()  # what the system refuses is told once, and not by the last sync
            stored = Stored(self._name, self._rows, self._file.tell())
        token: Token = msgspec.to_builtins(stored)
        return token

    def abort(self) -> None:
        """Throws away what was added."""
        error = SinkError("the part was given up")
        wait([sync for sync in self._syncs if not sync.cancel()])
        self._open.__exit__(SinkError, error, None)

    def _write(self) -> None:
        table = pa.Table.from_batches(self._held, self._schema)
        if table.num_rows:
            with refused(SinkError, Path(self._name)):
                self._encoder.write(table)
        self._rows += table.num_rows
        self._held, self._held_bytes = [], 0


class FolderSink:
    """Writes parts to a folder, epoch by epoch."""

    guarantee = Guarantee.TRANSACTIONAL
    # Each commit leaves a file: many small ones are slow to read.
    least_commit_seconds = 5.0

    def __init__(self, folder: Folder, encoding: Encoding) -> None:
        """Takes a place; nothing is touched before `open`."""
        self._folder = folder
        self._encoding = encoding
        self._schema = pa.schema({})
        self._last: SinkState | None = None
        self._loose: list[str] = []
        self._open = ExitStack()

    def open(self, pipeline_id: str, schema: pa.Schema) -> SinkState | None:
        """Takes up where an earlier run ended; see `Sink.open`.

        Raises:
            ConflictError: the folder holds something else, or another process writes to it.
        """
        self._open.enter_context(self._folder.held(LOCK))
        self._schema = schema
        columns = schema.to_string(show_schema_metadata=False)
        self._claim(About(pipeline_id, columns, self._encoding.format))
        self._loose = self._folder.names(EPOCHS)
        if self._loose:
            last = self._read(self._loose[-1])
            self._show(last)
            self._last = SinkState(last.epoch, last.end)
        self._sweep()
        return self._last

    def begin(self, epoch: int, beside: Executor | None = None) -> Part:
        """A part to be written; several may be at once."""
        name = f"{STAGED}/{epoch:012}-{uuid.uuid4().hex}.staged"
        return Part(self._folder, name, self._schema, self._encoding, beside)

    def write(self, epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        """Stages one part; see `Sink.write`."""
        part = self.begin(epoch)
        try:
            for batch in batches:
                part.add(batch)
        except BaseException:
            part.abort()
            raise
        return part.end()

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        """Shows the parts of an epoch; see `Sink.commit`.

        Raises:
            ConflictError: the folder is not where this epoch starts.
        """
        wanted = Epoch(epoch, start, end, self._named(epoch, tokens))
        stored = self._committed(epoch)
        if stored is None:
            self._check_follows(wanted)
            data = msgspec.json.encode(wanted)
            created = self._folder.create(f"{EPOCHS}/{_file(epoch)}", data)
            stored = wanted if created else self._read(_file(epoch))
            self._loose.append(_file(epoch))
        if (stored.start, stored.end) != (start, end):
            raise _conflict(f"its epoch {epoch} is not the one from {start} to {end}")
        self._show(stored)
        self._last = SinkState(epoch, end)
        self._drop(tokens, stored)
        if len(self._loose) >= 2 * FOLDED and self._folder.is_exclusive:
            self._fold(self._loose[:FOLDED])

    def abort(self, epoch: int, tokens: Sequence[Token]) -> None:
        """Throws staged parts away; those that were committed stay."""
        self._drop(tokens, self._committed(epoch))

    def _drop(self, tokens: Sequence[Token], stored: Epoch | None) -> None:
        """Removes staged parts but those of an epoch that was committed."""
        kept = {part.staged for part in stored.parts} if stored else set()
        for part in msgspec.convert(tokens, list[Stored]):
            if part.staged not in kept:
                self._folder.remove(part.staged)

    def close(self) -> None:
        """Gives the folder back."""
        self._open.close()

    def rows(self) -> int:
        """How many records were committed."""
        return sum(part.rows for epoch in self.epochs() for part in epoch.parts)

    def epochs(self) -> Iterator[Epoch]:
        """All that was committed, in order."""
        folded = self._folder.names(HISTORY)
        for name in folded:
            lines = (self._folder.read(f"{HISTORY}/{name}") or b"").splitlines()
            yield from (_decoded(name, line) for line in lines)
        for name in self._folder.names(EPOCHS):
            if not folded or name > folded[-1]:
                yield self._read(name)

    def _fold(self, names: Sequence[str]) -> None:
        """Puts the files of old epochs together, so that there are not as many as epochs."""
        lines = [msgspec.json.encode(self._read(name)) + b"\n" for name in names]
        self._folder.create(f"{HISTORY}/{names[-1]}", b"".join(lines))
        self._forget(names)

    def _forget(self, names: Sequence[str]) -> None:
        """Removes files of epochs that are in the history."""
        for name in names:
            self._folder.remove(f"{EPOCHS}/{name}")
        self._loose = self._loose[len(names) :]

    def finish(self, about: dict[str, Any]) -> None:
        """Writes what the whole folder is, for people and programs: it is complete."""
        parts = [part for epoch in self.epochs() for part in epoch.parts]
        listed = [{"name": p.name, "rows": p.rows, "size_bytes": p.size_bytes} for p in parts]
        document = {**about, "rows": sum(part.rows for part in parts), "parts": listed}
        self._folder.create(MANIFEST, msgspec.json.format(msgspec.json.encode(document)))

    def _sweep(self) -> None:
        """Throws away what is staged; where another run may be at work, only what has lost."""
        if folded := self._folder.names(HISTORY):
            self._forget([name for name in self._loose if name <= folded[-1]])
        last = self._last.epoch if self._last else 0
        for name in self._folder.names(STAGED):
            if self._folder.is_exclusive or int(name.partition("-")[0]) <= last:
                self._folder.remove(f"{STAGED}/{name}")

    def _claim(self, about: About) -> None:
        found = self._folder.read(ABOUT)
        if found is None:
            if names := self._folder.names(""):
                raise _conflict(f"it holds other files, such as {names[0]}")
            self._folder.create(ABOUT, msgspec.json.encode(about))
            return
        stored = msgspec.json.decode(found, type=About)
        if stored.pipeline != about.pipeline:
            raise _conflict("it holds the result of other input, another package or other options")
        if stored.columns != about.columns:
            raise _conflict("its columns are not those of this run")
        if stored.format != about.format:
            raise _conflict(f"its files are {stored.format}, not {about.format}")

    def _named(self, epoch: int, tokens: Sequence[Token]) -> tuple[Stored, ...]:
        """The parts with their names; an empty one only in epoch 1, which shows the columns."""
        parts = [part for part in msgspec.convert(tokens, list[Stored]) if part.rows or epoch == 1]
        ending = self._encoding.format
        return tuple(
            msgspec.structs.replace(part, name=f"part-{epoch:012}-{number:03}.{ending}")
            for number, part in enumerate(parts)
        )

    def _check_follows(self, wanted: Epoch) -> None:
        last = self._last
        if last is not None and (last.epoch + 1, last.end) != (wanted.epoch, wanted.start):
            raise _conflict(
                f"it ends with epoch {last.epoch} at {last.end}; "
                f"epoch {wanted.epoch} starts at {wanted.start}"
            )

    def _show(self, epoch: Epoch) -> None:
        for part in epoch.parts:
            self._folder.move(part.staged, part.name)

    def _committed(self, epoch: int) -> Epoch | None:
        data = self._folder.read(f"{EPOCHS}/{_file(epoch)}")
        return None if data is None else _decoded(_file(epoch), data)

    def _read(self, name: str) -> Epoch:
        return _decoded(name, self._folder.read(f"{EPOCHS}/{name}") or b"")


def _decoded(name: str, data: bytes) -> Epoch:
    try:
        return msgspec.json.decode(data, type=Epoch)
    except msgspec.DecodeError as error:
        raise SinkError(f"{EPOCHS}/{name} is not what was written there: {error}") from error


def _file(epoch: int) -> str:
    return f"{epoch:012}.json"


def _conflict(message: str) -> ConflictError:
    hint = "Give another output folder, or remove this one."
    return ConflictError(f"the output folder cannot be gone on with: {message}", hint=hint)
