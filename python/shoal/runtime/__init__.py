"""What executes the model of a package.

- Runtime `onnx` runs in the native core, in Python exactly as in the server.
- Runtime `python` runs the package's code, and only when that is allowed: in this process when it
  is loaded here, in worker processes when it is served.
- Importing this room loads nothing heavy: a server of ONNX packages needs neither pyarrow nor
  numpy, and never Python's `onnxruntime`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.runtime._description import (
    Binding,
    Description,
    Golden,
    InputBinding,
    OutputBinding,
    Policy,
    RouterDescription,
    Tolerance,
    canonical_json,
    read_any_description,
    read_description,
    write_description,
)
from shoal.runtime._environment import lock_requirements
from shoal.runtime._files import Files, FilesInMemory
from shoal.runtime._launch import Environment, Launch
from shoal.runtime._library import library
from shoal.runtime._load import Model, Payload, load, payload
from shoal.runtime._model_file import check_domains, external_files
from shoal.runtime._onnx import native
from shoal.runtime._requirements import locked
from shoal.runtime._routes import Route, Rule, read_routes

if TYPE_CHECKING:
    from shoal.runtime._answer import as_array
    from shoal.runtime._pack import packed
    from shoal.runtime._python import infer_outputs

__all__ = [
    "Binding",
    "Description",
    "Environment",
    "Files",
    "FilesInMemory",
    "Golden",
    "InputBinding",
    "Launch",
    "Model",
    "OutputBinding",
    "Payload",
    "Policy",
    "Route",
    "RouterDescription",
    "Rule",
    "Tolerance",
    "as_array",
    "canonical_json",
    "check_domains",
    "external_files",
    "infer_outputs",
    "library",
    "load",
    "lock_requirements",
    "locked",
    "native",
    "packed",
    "payload",
    "read_any_description",
    "read_description",
    "read_routes",
    "write_description",
]

_LAZY = {"as_array": "_answer", "infer_outputs": "_python", "packed": "_pack"}


def __getattr__(name: str) -> Any:
    """Loads what needs numpy and pyarrow when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
