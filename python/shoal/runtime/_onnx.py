"""Runs ONNX packages in the native core: the very session that the server uses.

- Python's own `onnxruntime` is never imported; its shared library is handed to the core.
- The model is opened when the object is made, so that a broken file is refused then.
- Tables (pyarrow) are imported when `predict` is first called, not before.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shoal import _native
from shoal.errors import CorruptPackageError, ShoalError, error_for
from shoal.runtime._description import write_description
from shoal.runtime._library import library
from shoal.runtime._model_file import check_domains, external_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from shoal.runtime._description import Description
    from shoal.runtime._files import Files
    from shoal.values import Signature, WireColumn

T = TypeVar("T")


class OnnxModel:
    """An ONNX model of a package; may be called from many threads at once."""

    def __init__(
        self, description: Description, files: Files, *, workers: int | None = None
    ) -> None:
        """Opens the model.

        Args:
            description: what the package says about itself.
            files: the package's files.
            workers: see `shoal.runtime.load`.

        Raises:
            CorruptPackageError: the file is not whole, or names data that the package lacks.
            UnsupportedModelError: the file reaches outside the package or needs a custom library.
        """
        self._description = description
        text = write_description(description).decode()
        with onnx_file(description, files) as model:
            self._session = native(lambda: _native.Session(text, model, str(library()), workers))

    @property
    def signature(self) -> Signature:
        """The columns that the model takes and gives."""
        return self._description.signature

    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Answers each record; row i of the answer belongs to row i of the batch.

        Where an input packs named features, the batch may hold the packed column or the features
        as columns of their own, in any order.

        Raises:
            InputError: the batch does not fit the signature; the message names the column.
            ModelError: the model failed.
        """
        from shoal.runtime._pack import packed
        from shoal.runtime._table import check_table, predict_table

        check_table(batch)
        table = packed(batch, self._description)
        return predict_table(table, self.signature, self._run)

    def _run(self, columns: list[WireColumn]) -> list[WireColumn]:
        return native(lambda: self._session.run(columns))


@contextmanager
def onnx_file(description: Description, files: Files) -> Iterator[bytes | str]:
    """The model as the native core takes it: its bytes, or a path where data lies beside it.

    The path is only valid inside the context; an opened session needs it no longer.

    Raises:
        CorruptPackageError: the file is not whole, or names data that the package lacks.
        UnsupportedModelError: the file reaches outside the package or needs a custom library.
    """
    name = description.binding.file
    model = files.read(name)
    check_domains(model)
    beside = external_files(model)
    if not beside:
        yield model
        return
    if missing := sorted(beside - set(files.names())):
        message = f"{name} keeps data in {missing[0]!r}, which the package does not hold"
        raise CorruptPackageError(message)
    with tempfile.TemporaryDirectory(prefix="shoal-") as directory:
        for each in {name, *beside}:
            place = Path(directory, each)
            place.parent.mkdir(parents=True, exist_ok=True)
            files.copy(each, place)
        yield str(Path(directory, name))


def native(call: Callable[[], T]) -> T:
    """Calls the native core; its faults become this product's errors, by their code."""
    try:
        return call()
    except _native.NativeError as error:
        raise _translated(error) from None


def _translated(error: _native.NativeError) -> ShoalError:
    code, message, hint = error.args
    return error_for(code, message, hint)
