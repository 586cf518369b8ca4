"""Exports fitted scikit-learn estimators and pipelines to ONNX, and proves the export.

- The graph has a fixed name and what is inside it names in order, so the same model gives the same
  bytes.
- Probabilities are one tensor with the names of its classes, never a list of dictionaries.
- Text is folded in the C locale: every container has it, others are often missing.
- The opset is one that current servers read (ONNX 18, ONNX-ML 3).
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.errors import RequirementError, UnsupportedModelError
from shoal.package._onnx_file import MODEL_FILE, OnnxFile, inspect, parsed, without_zipmap
from shoal.package._scikit._estimator import Reference, parts, references, refuse_wrong_exports
from shoal.package._scikit._folding import fold_scalers
from shoal.package._scikit._labels import shorten_labels
from shoal.package._scikit._naming import name_in_order
from shoal.package._scikit._scaling import write_out_scalers
from shoal.runtime import Binding, InputBinding, OutputBinding
from shoal.values import Column, Dtype, Signature

if TYPE_CHECKING:
    from shoal.package._rows import Array
    from shoal.package._scikit._inputs import Inputs

_OPSET = {"": 18, "ai.onnx.ml": 3}
_GRAPH = "shoal"
_LETTERS = r"[\p{L}\p{N}_]"
_WORDS = {
    r"(?u)\b\w\w+\b": "{2,}",
    r"\b\w\w+\b": "{2,}",
    r"\w\w+": "{2,}",
    r"(?u)\b\w+\b": "+",
    r"\b\w+\b": "+",
    r"\w+": "+",
}
"""Patterns of words: in scikit-learn of any letters, but of ASCII in the export's own syntax."""


@dataclass(frozen=True)
class Exported:
    """An exported model, how it is bound, and what the original answers to the example."""

    file: OnnxFile
    signature: Signature
    binding: Binding
    references: tuple[Array, ...]


def is_estimator(model: object) -> bool:
    """Whether something is a scikit-learn estimator; scikit-learn is not imported to find out."""
    return hasattr(model, "get_params") and hasattr(model, "fit") and not isinstance(model, type)


def export(model: Any, inputs: Inputs) -> Exported:
    """Exports a fitted model; the proof is left to the caller.

    Raises:
        UnsupportedModelError: the model cannot be exported, or its export is known to be wrong.
        RequirementError: skl2onnx is not installed.
    """
    refuse_wrong_exports(model)
    answers = _references(model, inputs)
    plain = without_zipmap(_converted(model, inputs))
    answers = _with_both_scores(answers, plain)
    file = _finished(plain, answers, is_negated=_has_negated_scores(model, answers))
    tensors, outputs = inspect(file)
    bindings = tuple(
        _renamed(binding, tensor["name"])
        for binding, tensor in zip(inputs.bindings, tensors, strict=True)
    )
    bound = tuple(
        OutputBinding(column=answer.column, tensor=tensor["name"])
        for answer, tensor in zip(answers, outputs, strict=True)
    )
    columns = tuple(
        _column(answer, tensor) for answer, tensor in zip(answers, outputs, strict=True)
    )
    return Exported(
        file=file,
        signature=Signature(inputs=inputs.columns, outputs=columns),
        binding=Binding(file=MODEL_FILE, inputs=bindings, outputs=bound),
        references=tuple(answer.values for answer in answers),
    )


def _references(model: Any, inputs: Inputs) -> tuple[Reference, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return references(model, inputs.original)
    except UnsupportedModelError:
        raise
    except Exception as error:
        message = f"the model cannot answer the example: {type(error).__name__}: {error}"
        hint = "Give rows as the model was fitted on them, and a fitted model."
        raise UnsupportedModelError(message, hint=hint) from error


def _converted(model: Any, inputs: Inputs) -> bytes:
    try:
        from skl2onnx import to_onnx
    except ImportError as error:
        message = "exporting a scikit-learn model needs the package skl2onnx"
        raise RequirementError(message, hint="pip install 'shoal[train]'") from error
    types = [_initial_type(inputs, i) for i in range(len(inputs.columns))]
    whole = _exportable(model)
    options = _options(whole)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = to_onnx(
                whole,
                initial_types=types,
                name=_GRAPH,
                target_opset=_OPSET,
                options=options,
            )
    except Exception as error:
        message = f"{type(model).__name__} cannot be exported: {type(error).__name__}: {error}"
        hint = "Seal it as a Python package, or use steps that ONNX can express."
        raise UnsupportedModelError(message, hint=hint) from error
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _initial_type(inputs: Inputs, at: int) -> tuple[str, Any]:
    from skl2onnx.common import data_types

    column, binding = inputs.columns[at], inputs.bindings[at]
    kinds = {
        Dtype.FP32: data_types.FloatTensorType,
        Dtype.INT64: data_types.Int64TensorType,
        Dtype.BOOL: data_types.BooleanTensorType,
        Dtype.BYTES: data_types.StringTensorType,
    }
    shape = [None, *column.shape] if column.shape else [None, 1][: binding.rank]
    return column.name, kinds[column.dtype](shape)


def _options(model: Any) -> dict[int, dict[str, Any]]:
    """What the converter is told about single parts of the model.

    Its own tokens for text are ASCII and may have one letter; in a pipeline it loses the names of
    a LinearSVC's classes (skl2onnx 1.20).
    """
    options: dict[int, dict[str, Any]] = {}
    for part in parts(model):
        if getattr(part, "token_pattern", None) and part.analyzer == "word":
            options[id(part)] = {"tokenexp": _token_pattern(part.token_pattern)}
        if type(part).__name__ == "LinearSVC":
            options[id(part)] = {"nocl": False}
    return options


def _token_pattern(pattern: str) -> str:
    if pattern in _WORDS:
        return _LETTERS + _WORDS[pattern]
    if "\\" in pattern:
        message = f"the token_pattern {pattern!r} means something else once exported"
        hint = r"Use the default, r'\w+', or a pattern of plain characters such as '[a-z]+'."
        raise UnsupportedModelError(message, hint=hint)
    return pattern


def _exportable(model: Any) -> Any:
    """The model with what the converter asks for; the caller's own is left as it is."""
    if not any(getattr(part, "flatten_transform", False) for part in parts(model)):
        return model
    changed = copy.deepcopy(model)
    for part in parts(changed):
        if getattr(part, "flatten_transform", False):
            # It only shapes what `transform` gives; the converter insists on False.
            part.flatten_transform = False
    return changed


def _with_both_scores(answers: tuple[Reference, ...], plain: OnnxFile) -> tuple[Reference, ...]:
    """Where the export scores both of two classes, the original's one score becomes two."""
    last = answers[-1]
    classes = next(iter(plain.classes.values()), ())
    if last.column != "scores" or last.values.ndim > 1 or len(classes) != 2:  # noqa: PLR2004
        return answers
    both = np.stack([-last.values, last.values], axis=1)
    return (*answers[:-1], Reference(last.column, both, classes))


def _has_negated_scores(model: Any, answers: tuple[Reference, ...]) -> bool:
    """Whether the converter gives each of two classes the score of the other.

    It does for support vector machines of two classes (skl2onnx 1.20); the proof would tell.
    """
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    scores = answers[-1]
    is_machine = type(last).__name__ in {"SVC", "NuSVC"}
    return is_machine and scores.column == "scores" and scores.values.shape[1:] == (2,)


def _finished(plain: OnnxFile, answers: tuple[Reference, ...], *, is_negated: bool) -> OnnxFile:
    """The export with correctly declared outputs, one for each reference."""
    model = parsed(plain.model)
    outputs = model.graph.output
    if len(outputs) < len(answers):
        message = f"the export has {len(outputs)} outputs, the model gives {len(answers)}"
        raise UnsupportedModelError(message)
    del outputs[len(answers) :]
    for output, answer in zip(outputs, answers, strict=True):
        _declare_width(output, answer.values)
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            _fold_in_c_locale(node)
    if is_negated:
        _negate(model, outputs[-1])
    write_out_scalers(model)
    fold_scalers(model)
    shorten_labels(model)
    _order_opsets(model)
    name_in_order(model)
    return OnnxFile(model.SerializeToString(deterministic=True), classes=plain.classes)


def _declare_width(output: Any, values: Array) -> None:
    """Some converters declare a wrong or no width; the original's answer knows it."""
    shape = output.type.tensor_type.shape
    rank = len(shape.dim)
    widths = values.shape[1:] or ((1,) if rank > 1 else ())
    del shape.dim[:]
    shape.dim.add()
    for width in widths:
        shape.dim.add().dim_value = width


def _order_opsets(model: Any) -> None:
    """The converter lists the domains in the order of a set, which differs between processes."""
    from onnx import helper

    versions: dict[str, int] = {}
    for each in model.opset_import:
        versions[each.domain] = max(each.version, versions.get(each.domain, 0))
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*each) for each in sorted(versions.items()))


def _negate(model: Any, output: Any) -> None:
    from onnx import helper

    source, output.name = output.name, f"{output.name}_negated"
    model.graph.node.append(helper.make_node("Neg", [source], [output.name]))


def _fold_in_c_locale(node: Any) -> None:
    from onnx import helper

    for attribute in [each for each in node.attribute if each.name == "locale"]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("locale", "C"))


def _renamed(binding: InputBinding, tensor: str) -> InputBinding:
    """The converter renames tensors whose column has a space or a sign in its name."""
    return InputBinding(
        column=binding.column,
        tensor=tensor,
        rank=binding.rank,
        missing=binding.missing,
        features=binding.features,
    )


def _column(answer: Reference, tensor: dict[str, Any]) -> Column:
    shape = tuple(answer.values.shape[1:])
    return Column(answer.column, Dtype(tensor["dtype"]), shape, classes=answer.classes)
