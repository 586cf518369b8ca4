"""Runs Python packages in this process, once per micro-batch.

In a server, this process is a worker (see `_worker`); for `Model.predict` it is the caller's own.

- The source is unpacked to a temporary directory that lives as long as the model, and imported
  under a name of its own (see `_source`).
- The object is a function from a table to a table, or a class that is made without arguments and
  has such a method `predict`. A table may also be given back as a dictionary of arrays or lists.
- What it gives back is checked: every declared column, nothing else, one row per record.
- Whatever it raises becomes a ModelError that keeps the cause.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from shoal.errors import CorruptPackageError, InputError, ModelError
from shoal.runtime._answer import as_batch
from shoal.runtime._launch import SOURCE_DIRECTORY, unpack_source
from shoal.runtime._requirements import check_requirements
from shoal.runtime._source import import_object
from shoal.runtime._table import predict_table
from shoal.values import from_arrow, infer_columns, to_arrow

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from shoal.runtime._description import Description
    from shoal.runtime._files import Files
    from shoal.values import Column, Signature, WireColumn

    Function = Callable[[pa.RecordBatch], object]


class PythonModel:
    """A Python object of a package; a worker calls it from one thread, one batch at a time."""

    def __init__(self, description: Description, source: Files | Path) -> None:
        """Imports the source and makes the object.

        Args:
            description: what the package says about itself.
            source: the package's files, or a directory in which they lie unpacked.

        Raises:
            RequirementError: the environment lacks a requirement.
            CorruptPackageError: the package lacks the object that it names.
            ModelError: the source raises while it is imported.
        """
        check_requirements(description.requirements)
        self._description = description
        place = source if isinstance(source, Path) else self._unpacked(source)
        self._function = _opened(description, place)

    def _unpacked(self, files: Files) -> Path:
        directory = tempfile.mkdtemp(prefix="shoal-")
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        unpack_source(self._description, files, Path(directory))
        return Path(directory)

    @property
    def signature(self) -> Signature:
        """The columns that the model takes and gives."""
        return self._description.signature

    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Answers each record; row i of the answer belongs to row i of the batch.

        Raises:
            InputError: the batch does not fit the signature; the message names the column.
            ModelError: the object raised, or gave back something else than it declares.
        """
        return predict_table(batch, self.signature, self.answer)

    def answer(self, columns: list[WireColumn]) -> list[WireColumn]:
        """The same for columns as they cross to another process: what a worker calls.

        Raises:
            ModelError: the object raised, or gave back something else than it declares.
        """
        batch = to_arrow(columns, self.signature.inputs)
        answer = self.call(batch)
        if answer.num_rows != batch.num_rows:
            message = f"the model answered {answer.num_rows} rows for {batch.num_rows} records"
            raise ModelError(message)
        try:
            return from_arrow(answer, self.signature.outputs)
        except InputError as error:
            message = f"the model gave back something else than it declares: {error}"
            raise ModelError(message) from error

    def call(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What the object gives for a batch, as a table, not yet compared with the signature."""
        try:
            answer = self._function(batch)
        except Exception as error:
            message = f"the model raised {type(error).__name__}: {error}"
            raise ModelError(message) from error
        return as_batch(answer)


def _opened(description: Description, directory: Path) -> Function:
    name = description.binding.object or ""
    try:
        found = import_object(directory / SOURCE_DIRECTORY, name)
        return _function(found, name)
    except (CorruptPackageError, ModelError):
        raise
    except Exception as error:
        message = f"{name} cannot be imported: {type(error).__name__}: {error}"
        raise ModelError(message) from error


def _function(found: Any, name: str) -> Function:
    made = found() if isinstance(found, type) else found
    function = getattr(made, "predict", made)
    if not callable(function):
        message = f"{name} is neither a function nor a class with a method `predict`"
        raise ModelError(message)
    return cast("Function", function)


def infer_outputs(
    description: Description, files: Files, batch: pa.RecordBatch
) -> tuple[Column, ...]:
    """The columns that a Python model gives for some rows; its code runs.

    Raises:
        ModelError: the object raised, or gave back no table of columns.
    """
    model = PythonModel(description, files)
    try:
        return infer_columns(model.call(batch))
    except InputError as error:
        message = f"the model gave back no table of columns: {error}"
        raise ModelError(message) from error
