"""Reads the signature of an ONNX file, and makes its outputs plain tensors.

- The first dimension of every tensor is the record and must be variable.
- `[N]` and `[N,1]` are scalar columns; other shapes are the record's shape, with -1 where unnamed.
- ZipMap (a list of dictionaries) is taken out: its tensor becomes the column, its keys the classes.
- Data in other files is taken along when the model is given by path; nothing outside is reached.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal import _native, runtime
from shoal.errors import PathError, RequirementError, UnsupportedModelError
from shoal.runtime import Binding, InputBinding, OutputBinding
from shoal.values import Column, Dtype, Signature

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL_FILE = "model.onnx"

_ZIPMAP = b"ZipMap"


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX model and the files beside it that hold its data."""

    model: bytes
    beside: Mapping[str, Path] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Class names of a tensor that a ZipMap had, by the tensor's name."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What an output was called before its ZipMap was taken out, by the tensor's name."""
    path: Path | None = None

    def files(self) -> dict[str, bytes | Path]:
        """The files as a package holds them."""
        return {MODEL_FILE: self.model, **self.beside}


def read_onnx(model: bytes | Path) -> OnnxFile:
    """Reads an ONNX model from bytes or a path.

    Raises:
        PathError: there is no file at the path.
        CorruptPackageError: the file is not a whole ONNX model.
        UnsupportedModelError: it needs a custom library, or data from outside its directory.
    """
    data = model if isinstance(model, bytes) else _file(model)
    runtime.check_domains(data)
    names = runtime.external_files(data)
    if names and isinstance(model, bytes):
        message = f"the model keeps data in other files: {', '.join(sorted(names))}"
        raise UnsupportedModelError(
            message, hint="Give the path of the model instead of its bytes."
        )
    beside = {name: _beside(model, name) for name in sorted(names)}  # type: ignore[arg-type] # a path, as there are names
    if _ZIPMAP in data:
        return without_zipmap(data, beside)
    return OnnxFile(data, beside, path=model if beside and isinstance(model, Path) else None)


def without_zipmap(data: bytes, beside: Mapping[str, Path] | None = None) -> OnnxFile:
    """Takes every ZipMap out: its input becomes the output, its keys the names of the classes.

    Raises:
        RequirementError: the package `onnx` is not installed.
    """
    model = parsed(data)
    classes, columns = {}, {}
    for node in [node for node in model.graph.node if node.op_type == "ZipMap"]:
        source, target = node.input[0], node.output[0]
        classes[source] = _labels(node)
        columns[source] = target
        model.graph.node.remove(node)
        _replace_output(model, target, source, len(classes[source]))
    return OnnxFile(model.SerializeToString(deterministic=True), beside or {}, classes, columns)


def parsed(data: bytes) -> Any:
    """The model as an object of the package `onnx`.

    Raises:
        RequirementError: the package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        message = "changing this model before it is sealed needs the package onnx"
        raise RequirementError(message, hint="pip install 'shoal[train]'") from error
    return onnx.load_model_from_string(data)


def inspect(file: OnnxFile) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The input and output tensors as ONNX Runtime sees them: name, dtype, shape.

    Raises:
        UnsupportedModelError: ONNX Runtime cannot open the model.
    """
    source = str(file.path) if file.path else file.model
    text = runtime.native(lambda: _native.inspect_onnx(source, str(runtime.library())))
    found = json.loads(text)
    return found["inputs"], found["outputs"]


def bind(file: OnnxFile) -> tuple[Signature, Binding]:
    """The signature and the binding that the tensors of a model give by themselves.

    Raises:
        UnsupportedModelError: a tensor has no record dimension or a type that columns lack.
    """
    inputs, outputs = inspect(file)
    signature = Signature(
        inputs=tuple(_column(tensor, tensor["name"]) for tensor in inputs),
        outputs=tuple(
            _column(tensor, _output_name(file, tensor), file.classes.get(tensor["name"]))
            for tensor in outputs
        ),
    )
    binding = Binding(
        file=MODEL_FILE,
        inputs=tuple(
            InputBinding(column=tensor["name"], tensor=tensor["name"], rank=len(tensor["shape"]))
            for tensor in inputs
        ),
        outputs=tuple(
            OutputBinding(column=_output_name(file, tensor), tensor=tensor["name"])
            for tensor in outputs
        ),
    )
    return signature, binding


def _output_name(file: OnnxFile, tensor: dict[str, Any]) -> str:
    name: str = tensor["name"]
    return file.columns.get(name, name)


def _column(tensor: dict[str, Any], name: str, classes: tuple[str, ...] | None = None) -> Column:
    shape = tensor["shape"]
    if tensor["dtype"] not in set(Dtype):
        message = f"the tensor {tensor['name']!r} has the type {tensor['dtype']}, no column has"
        raise UnsupportedModelError(message, hint="Export the model with plain tensors.")
    if not shape or shape[0] != -1:
        message = f"the tensor {tensor['name']!r} has the shape {shape}, not a variable first one"
        hint = "Export the model with a dynamic batch dimension, as the first of every tensor."
        raise UnsupportedModelError(message, hint=hint)
    record = () if shape[1:] in ([], [1]) else tuple(shape[1:])
    if classes is not None and record[-1:] != (len(classes),):
        classes = None
    return Column(name, Dtype(tensor["dtype"]), record, classes=classes)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise PathError(message) from error


def _beside(model: Path, name: str) -> Path:
    """A data file of a model, which must really lie below the model's directory."""
    place = model.parent / name
    inside = model.parent.resolve()
    if not place.resolve().is_relative_to(inside) or not place.is_file():
        message = f"the model keeps data in {name!r}, which is no file in its own directory"
        raise UnsupportedModelError(message, hint="Save the model with its data beside it.")
    return place


def _labels(node: Any) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings" and attribute.strings:
            return tuple(each.decode() for each in attribute.strings)
        if attribute.name == "classlabels_int64s" and attribute.ints:
            return tuple(str(each) for each in attribute.ints)
    return ()


def _replace_output(model: Any, old: str, new: str, width: int) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info(new, TensorProto.FLOAT, [None, width])
    for output in model.graph.output:
        if output.name == old:
            output.CopyFrom(value)
