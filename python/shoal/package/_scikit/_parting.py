"""In which step an export parts from its original: the model is cut after each step, and compared.

- Steps are cut in the order in which they are computed: those of a pipeline one after the other,
  inside the parts of a `ColumnTransformer` and a `FeatureUnion` too.
- A part is exported and asked as the whole is, so what a converter does wrong it does wrong here.
- The first step that differs beyond the tolerance is where they part. If there is none, the first
  that differs at all is, where the original's last step answers otherwise to what the export gives
  it; else the last step is.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shoal import runtime
from shoal.errors import ShoalError
from shoal.package._onnx_file import parsed
from shoal.package._proving._proof import like
from shoal.package._rows import disagreement, rows_of
from shoal.package._scikit._estimator import references
from shoal.package._scikit._export import export
from shoal.runtime import Description, FilesInMemory, Policy, Tolerance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.package._rows import Array
    from shoal.package._scikit._export import Exported
    from shoal.package._scikit._inputs import Inputs

_LEAVES_OUT = {"drop", "passthrough"}
_MOST_OPERATORS = 3
_PLUMBING = frozenset(
    {
        *("ArrayFeatureExtractor", "Cast", "Concat", "Flatten", "Identity", "LabelEncoder"),
        *("Reshape", "Shape", "Squeeze", "Unsqueeze", "ZipMap"),
    }
)
"""What every export is held together with; it is told only where a step adds nothing else."""


class Parting(NamedTuple):
    """Where an export parts from its original.

    Attributes:
        path: Names of steps, from outside in, with a point between them; empty for a lone one.
        step: The scikit-learn object.
        operators: ONNX operators that the step is exported as.
        is_rounding: Whether what it gives lies within the tolerance, and only what the last step
            decides by it does not.
        last: The last step.
        given: What the original gives the last step for the row; None where it is the only one, or
            the answers part before it.
        by: How far the step's own output is off at the row; None where that is not known.
    """

    path: str
    step: Any
    operators: tuple[str, ...]
    is_rounding: bool
    last: Any
    given: Array | None
    by: float | None


class _Stage(NamedTuple):
    path: tuple[str, ...]
    step: Any
    model: Any
    """All that is computed up to this step, as a model of its own."""
    base: tuple[str, ...] | None
    """The stage that this one goes on from; None where it is the first."""


class _Seen(NamedTuple):
    stage: _Stage
    operators: tuple[str, ...]
    found: Array
    expected: Array
    tolerances: float

    def by(self, row: int) -> float:
        return _largest(self.found[row], self.expected[row])


def parting(model: Any, whole: Exported, inputs: Inputs, row: int, tolerance: Tolerance) -> Parting:
    """Where the answers to one row part.

    Args:
        model: The original.
        whole: Its export.
        inputs: The rows that both were asked.
        row: Which of them is answered otherwise.
        tolerance: How far floats may differ.
    """
    *before, last = _stages(model)
    known: dict[tuple[str, ...] | None, Counter[str]] = {}
    seen = []
    for stage in before:
        found = _compared(stage, inputs, row, tolerance, known)
        if found is None:
            continue
        seen.append(found)
        if found.tolerances > 1:
            return _parting(found, last, row, None)
    operators = _added(_operators(whole), known.get(last.base))
    rounded = next((each for each in seen if each.by(row) > 0), None)
    base = next((each for each in seen if each.stage.path == last.base), None)
    given = None if base is None else base.expected[row]
    if rounded is not None and base is not None and _turns(last.step, base, row, tolerance):
        return _parting(rounded, last, row, given)
    path = ".".join(last.path)
    return Parting(path, last.step, operators, False, last.step, given, None)  # noqa: FBT003 - named by the class


def _parting(seen: _Seen, last: _Stage, row: int, given: Array | None) -> Parting:
    """That a step differs, or rounds where it is known what the last step is given."""
    path, step, is_rounding = ".".join(seen.stage.path), seen.stage.step, seen.tolerances <= 1
    return Parting(path, step, seen.operators, is_rounding, last.step, given, seen.by(row))


def _turns(step: Any, before: _Seen, row: int, tolerance: Tolerance) -> bool:
    """Whether the original's last step answers otherwise to what the exported steps give it."""
    if before.found.dtype.kind != "f":  # what is exact was equal, or they would have parted there
        return False
    rows = np.array([row])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that columns have no names
        found = references(step, before.found[rows])
        expected = references(step, before.expected[rows])
    return any(
        disagreement(one.values, other.values, tolerance).max() > 1
        for one, other in zip(found, expected, strict=True)
    )


def _compared(
    stage: _Stage,
    inputs: Inputs,
    row: int,
    tolerance: Tolerance,
    known: dict[tuple[str, ...] | None, Counter[str]],
) -> _Seen | None:
    """How far a part of the model is off; None for one that has no export of its own."""
    try:
        exported = export(stage.model, inputs)
        found = _answers(exported, inputs)
    except ShoalError:
        return None
    known[stage.path] = _operators(exported)
    operators = _added(known[stage.path], known.get(stage.base))
    expected = like(exported.references[0], found)
    tolerances = disagreement(found, expected, tolerance)[row]
    return _Seen(stage, operators, found, expected, float(tolerances))


def _answers(exported: Exported, inputs: Inputs) -> Array:
    description = Description(
        format=1,
        name="part",
        version="1",
        runtime="onnx",
        pure=True,
        signature=exported.signature,
        binding=exported.binding,
        policy=Policy(),
        tolerance=Tolerance(),
        golden="none",
    )
    model = runtime.load(description, FilesInMemory(exported.file.files()))
    return rows_of(model.predict(inputs.batch), exported.signature.outputs).values[0]


def _largest(found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        return np.inf
    if found.dtype.kind != "f":
        return 0.0 if np.array_equal(found, expected) else np.inf
    # What a package could hold at best is the original rounded to single precision.
    rounded = expected.astype(found.dtype).astype(np.float64)
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(found.astype(np.float64) - rounded))
    return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _operators(exported: Exported) -> Counter[str]:
    """How often each operator is there; those outside of plain ONNX first."""
    nodes = parsed(exported.file.model).graph.node
    ordered = sorted(nodes, key=lambda node: not node.domain)
    return Counter(node.op_type for node in ordered)


def _added(counted: Counter[str], known: Counter[str] | None) -> tuple[str, ...]:
    """What a step adds."""
    added = list(counted - (known or Counter()))
    chosen = [name for name in added if name not in _PLUMBING] or added
    return tuple(chosen[:_MOST_OPERATORS])


def _stages(model: Any) -> Iterator[_Stage]:
    """The model cut after each of its steps; the last one is whole."""
    if hasattr(model, "steps"):
        yield from _of_pipeline(model)
        return
    if hasattr(model, "transformers_"):
        yield from _of_columns(model)
    elif hasattr(model, "transformer_list"):
        yield from _of_union(model)
    yield _Stage((), model, model, None)


def _of_pipeline(pipeline: Any) -> Iterator[_Stage]:
    steps = [each for each in pipeline.steps if each[1] not in {None, "passthrough"}]
    before: tuple[str, ...] | None = None
    for at, (name, step) in enumerate(steps):
        for stage in _stages(step):
            cut = copy.copy(pipeline)
            cut.steps = [*steps[:at], (name, stage.model)]
            yield _inside(name, stage, cut, before)
        before = (name, *stage.path)


def _of_columns(model: Any) -> Iterator[_Stage]:
    for at, (name, part, columns) in enumerate(model.transformers_):
        if isinstance(part, str) and part in _LEAVES_OUT:
            continue
        for stage in _stages(part):
            cut = copy.copy(model)
            cut.transformers_ = [
                (name, stage.model, columns) if place == at else (other, "drop", those)
                for place, (other, _, those) in enumerate(model.transformers_)
            ]
            yield _inside(name, stage, cut, None)


def _of_union(model: Any) -> Iterator[_Stage]:
    for name, part in model.transformer_list:
        if isinstance(part, str) and part in _LEAVES_OUT:
            continue
        for stage in _stages(part):
            cut = copy.copy(model)
            cut.transformer_list = [(name, stage.model)]
            yield _inside(name, stage, cut, None)


def _inside(name: str, stage: _Stage, cut: Any, before: tuple[str, ...] | None) -> _Stage:
    base = before if stage.base is None else (name, *stage.base)
    return _Stage((name, *stage.path), stage.step, cut, base)
