"""The Rust core. Columns cross the border as `(name, dtype, shape, data, missing)`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from shoal.runtime import Launch
from shoal.values import WireColumn

class Keeper(Protocol):
    """Lists and opens the packages of a repository, see `shoal.serve._repository`."""

    def packages(
        self,
    ) -> list[tuple[str, str, str, str, tuple[str, str, str | None] | None]]: ...
    def open(self, place: str) -> AbstractContextManager[tuple[str, bytes | str | Launch]]: ...

__version__: str

class NativeError(Exception):
    """A fault of the core: `args` is (code, message, hint or None)."""

class Session:
    def __init__(
        self, description: str, model: bytes | str, library: str, workers: int | None = None
    ) -> None: ...
    def run(self, columns: list[WireColumn]) -> list[WireColumn]: ...

def inspect_onnx(model: bytes | str, library: str) -> str: ...

class Sizes:
    def __init__(self, max_rows: int) -> None: ...
    def begin(self, rows: int) -> None: ...
    def next(self) -> tuple[int, int] | None: ...
    def finish(self, seconds: float | None) -> None: ...

class Server:
    def __init__(
        self,
        models: list[tuple[str, str, bytes | str | Launch]],
        *,
        options: str,
        library: str,
        repository: Keeper | None = None,
    ) -> None: ...
    @property
    def http(self) -> str: ...
    @property
    def grpc(self) -> str: ...
    @property
    def admin(self) -> str | None: ...
    @property
    def problems(self) -> list[tuple[str, str, str]]: ...
    def close(self) -> None: ...
    def serve_until_signal(self, caught: Callable[[], object] | None = None) -> None: ...
