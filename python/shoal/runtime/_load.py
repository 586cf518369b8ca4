"""Opens the model of a package: what decides whether its code may run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from shoal.errors import UntrustedPackageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from shoal.runtime._description import Description
    from shoal.runtime._files import Files
    from shoal.runtime._python import PythonModel
    from shoal.values import Signature, WireColumn


Payload: TypeAlias = "bytes | str | Callable[[list[WireColumn]], list[WireColumn]]"


class Model(Protocol):
    """A function from a table to a table: what every package opens to."""

    @property
    def signature(self) -> Signature:
        """The columns that the model takes and gives."""

    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Answers each record: as many rows, row i answers row i."""


def load(description: Description, files: Files, *, allow_code: bool = False) -> Model:
    """Opens a model.

    Args:
        description: what the package says about itself.
        files: the package's files.
        allow_code: whether a package of the runtime `python` may run its code in this process.

    Raises:
        UntrustedPackageError: the package runs code, and that is not allowed.
        PackageError: the files do not make a model.
    """
    if description.runtime == "onnx":
        from shoal.runtime._onnx import OnnxModel

        return OnnxModel(description, files)
    return _python(description, files, allow_code=allow_code)


@contextmanager
def payload(
    description: Description, files: Files, *, allow_code: bool = False
) -> Iterator[Payload]:
    """What the native server takes for a package: a model's bytes or path, or a function.

    A path is only valid inside the context. The function maps columns to columns as they cross to
    the native core, and keeps its unpacked source alive.

    Raises:
        UntrustedPackageError: the package runs code, and that is not allowed.
        PackageError: the files do not make a model.
    """
    if description.runtime == "onnx":
        from shoal.runtime._onnx import onnx_file

        with onnx_file(description, files) as model:
            yield model
    else:
        yield _python(description, files, allow_code=allow_code).answer


def _python(description: Description, files: Files, *, allow_code: bool) -> PythonModel:
    if not allow_code:
        message = f"the package {description.name} {description.version} runs Python code"
        hint = "If you trust its origin, open it with allow_code=True (--allow-code)."
        raise UntrustedPackageError(message, hint=hint)
    from shoal.runtime import _python as python

    return python.PythonModel(description, files)
