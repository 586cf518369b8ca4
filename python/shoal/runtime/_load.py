"""Opens the model of a package: what decides whether its code may run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from shoal.errors import UntrustedPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from shoal.runtime._description import Description
    from shoal.runtime._files import Files
    from shoal.runtime._launch import Environment, Launch
    from shoal.values import Signature


Payload: TypeAlias = "bytes | str | Launch"


class Model(Protocol):
    """A function from a table to a table: what every package opens to."""

    @property
    def signature(self) -> Signature:
        """The columns that the model takes and gives."""

    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Answers each record: as many rows, row i answers row i."""


def load(
    description: Description,
    files: Files,
    *,
    allow_code: bool = False,
    workers: int | None = None,
) -> Model:
    """Opens a model.

    Args:
        description: what the package says about itself.
        files: the package's files.
        allow_code: whether a package of the runtime `python` may run its code, here in this
            process; what a server runs in workers is a `payload`.
        workers: None where one call at a time is made, which has all cores; or how many are made
            at a time, for throughput: each has its share of the cores, and a table of any size is
            answered in micro-batches of the size that proves cheapest. Runtime `onnx` only.

    Raises:
        UntrustedPackageError: the package runs code, and that is not allowed.
        PackageError: the files do not make a model.
    """
    if description.runtime == "onnx":
        from shoal.runtime._onnx import OnnxModel

        return OnnxModel(description, files, workers=workers)
    _check_allowed(description, allow_code=allow_code)
    from shoal.runtime._python import PythonModel

    return PythonModel(description, files)


@contextmanager
def payload(
    description: Description,
    files: Files,
    *,
    allow_code: bool = False,
    environment: Environment = "current",
) -> Iterator[Payload]:
    """What the native server takes for a package: a model's bytes or path, or how workers start.

    A path is only valid inside the context. A `Launch` keeps the unpacked source as long as it
    lives; `environment` says what its workers may import. No code of the package runs here.

    Raises:
        UntrustedPackageError: the package runs code, and that is not allowed.
        PackageError: the files do not make a model, or the environment cannot be made.
    """
    if description.runtime == "onnx":
        from shoal.runtime._onnx import onnx_file

        with onnx_file(description, files) as model:
            yield model
    else:
        _check_allowed(description, allow_code=allow_code)
        from shoal.runtime._launch import Launch

        yield Launch(description, files, environment)


def _check_allowed(description: Description, *, allow_code: bool) -> None:
    if not allow_code:
        message = f"the package {description.name} {description.version} runs Python code"
        hint = "If you trust its origin, open it with allow_code=True (--allow-code)."
        raise UntrustedPackageError(message, hint=hint)
