"""Seals models: export, proof, law 1, golden rows, then one atomic write.

| given | sealed as | proved by |
|---|---|---|
| a fitted scikit-learn estimator or pipeline | ONNX | the original, on >= 200 held-out rows |
| an ONNX file, by path or as bytes | ONNX | law 1; what golden rows answer is its own |
| a Python function or class, or its name `module:object` | its source | the same |

Nothing is written before everything has been proved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shoal import runtime
from shoal.errors import InvalidRequestError, PathError, ProofError, UnsupportedModelError
from shoal.package import _names
from shoal.package._frames import to_batch
from shoal.package._onnx_file import OnnxFile, bind, parsed, read_onnx
from shoal.package._package import Package, open
from shoal.package._proving import _golden
from shoal.package._proving._law import (
    check_batch_independence,
    check_padding,
    is_padded,
    made_up_rows,
    rows_by_length,
)
from shoal.package._proving._made_up import plain_rows
from shoal.package._proving._proof import DisagreementError, check_agreement, check_rows
from shoal.package._python_source import SOURCE_DIRECTORY, collect
from shoal.package._rows import rows_of
from shoal.package._scikit._explain import explained
from shoal.package._scikit._export import export, is_estimator
from shoal.package._scikit._inputs import inputs_of, whole_numbers, with_floats
from shoal.package._scikit._words import words_of
from shoal.package._write import write_layout
from shoal.runtime import Binding, Description, FilesInMemory, Policy, Tolerance
from shoal.values import Signature, infer_columns, split_by_shape, with_moments, with_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from os import PathLike

    import pyarrow as pa

    from shoal.package._proving._golden import GoldenRows
    from shoal.package._proving._made_up import Words
    from shoal.package._rows import Rows
    from shoal.package._scikit._inputs import Inputs
    from shoal.runtime import Golden, Model
    from shoal.values import Padding

_PICKLES = (".pkl", ".pickle", ".joblib")


@dataclass(frozen=True)
class Settings:
    """What is rarely said when a package is built.

    Attributes:
        golden_rows: Which rows the package keeps with their answers, to be verified by:
            `synthetic`, made up and nobody's; `real`, a few records of the example, which everybody
            who has the package can read; or `none`.
        row_names: For an estimator: what messages call the rows of the example.
        policy: Limits of one micro-batch.
        tolerance: How far the floats of two answers to the same record may differ.
        missing: What a null becomes, by input column; float columns of an estimator become NaN.
        features: For an ONNX file: the names that pack into a `[k]` input, by input column.
        padding: For inputs of one variable dimension: how records are padded, so that those of
            different lengths share a micro-batch; refused where an answer depends on it.
        follows: For outputs of one variable dimension: the padded input whose length they have.
        moments: Inputs of INT64 scalars that hold moments, in seconds since 1970-01-01 UTC. The
            example, and whoever asks the model, may then give timestamps, dates and ISO 8601 text.
        requirements: For Python: distributions, as NAME or NAME==VERSION; None finds them.
        source: For Python: a directory to take whole, instead of the modules imported.
        pure: For Python: whether a record may be run again when a micro-batch fails. Say False for
            a model that does more than answer, such as one that writes to a database.
        lock: For Python: add the hashes of all that is required, so that a server can make the
            package's own environment. Needs uv, and the package index that uv is set to.
    """

    golden_rows: GoldenRows = "synthetic"
    row_names: Sequence[str] | None = None
    policy: Policy = field(default_factory=Policy)
    tolerance: Tolerance = field(default_factory=Tolerance)
    missing: Mapping[str, str | int | float] = field(default_factory=dict)
    features: Mapping[str, Sequence[str]] = field(default_factory=dict)
    padding: Mapping[str, Padding] = field(default_factory=dict)
    follows: Mapping[str, str] = field(default_factory=dict)
    moments: Collection[str] = ()
    requirements: Sequence[str] | None = None
    source: str | PathLike[str] | None = None
    pure: bool = True
    lock: bool = False


@dataclass(frozen=True)
class _Draft:
    """A package before its golden rows: described, opened, and asked for its rows."""

    description: Description
    files: Mapping[str, bytes | Path]
    model: Model
    rows: Rows
    answers: Rows | None
    """What the model answers to the rows of the example; None where none was given."""
    by_length: tuple[Rows, ...] = ()
    """Where records are padded: a few of each length."""
    words: Mapping[str, Words] = field(default_factory=dict)
    """What the model's own file holds, by the name of a column of text."""


@dataclass(frozen=True)
class _Request:
    name: str
    version: str
    example: Any
    weak_proof: bool
    settings: Settings


def build(  # noqa: PLR0913 - said once for each package; what is rare is in Settings
    model: object,
    *,
    name: str,
    version: str,
    output: str | PathLike[str],
    example: Any = None,
    weak_proof: bool = False,
    settings: Settings | None = None,
) -> Package:
    """Seals a model.

    Args:
        model: A fitted scikit-learn estimator or pipeline; an ONNX file as path or bytes; a Python
            function from table to table, a class with `predict`, or `module:object`.
        name: The package's name: small letters and digits, with . _ or - between.
        version: The package's version: letters, digits, . _ or -.
        output: A directory that is not there yet, or empty, or holds this very package.
        example: Rows of input. For an estimator at least 200 rows **that it was not fitted on**:
            the export has to answer them as the original does. A table, frame, matrix or
            dictionary of columns; Python models need it to learn their columns.
        weak_proof: Accept fewer than 200 rows.
        settings: What is rarely said.

    Returns:
        The package, opened from disk.

    Raises:
        InvalidRequestError: a name, the version, a setting or the example is of no use.
        UnsupportedModelError: the model cannot be sealed; the message says why.
        ProofError: the export disagrees with the original, or there are too few rows.
        BatchDependenceError: answers depend on who shares the batch, or on padding.
        RequirementError: a library is missing here.
        StorageError: the package cannot be written; nothing half-written stays.
    """
    _names.check_names(name, version)
    settings = settings or Settings()
    _golden.check_kind(settings.golden_rows)
    request = _Request(name, version, example, weak_proof, settings)
    draft = _draft(model, request)
    check_batch_independence(draft.model, draft.rows, settings.tolerance)
    if is_padded(draft.description):
        check_padding(draft.model, draft.description, draft.by_length)
    golden = _golden_rows(draft, settings.golden_rows)
    description = msgspec.structs.replace(draft.description, golden=golden)
    target = Path(output).absolute()
    write_layout(target, description, draft.files, read=runtime.read_description)
    return open(target)


def _golden_rows(draft: _Draft, kind: GoldenRows) -> Golden | Literal["none"]:
    if kind == "none":
        return "none"
    if kind != "real":
        return _golden.made_up(draft.model, draft.words)
    if draft.answers is None:
        message = "golden rows are to be real, and there is no example to take them from"
        raise InvalidRequestError(message, hint="Give example=..., or leave golden_rows as it is.")
    return _golden.of_records(draft.rows, draft.answers)


def _draft(model: Any, request: _Request) -> _Draft:
    _refuse_mistakes(model)
    if isinstance(model, bytes | Path) or (isinstance(model, str) and ":" not in model):
        return _onnx_draft(read_onnx(Path(model) if isinstance(model, str) else model), request)
    if hasattr(model, "SerializeToString"):
        return _onnx_draft(read_onnx(model.SerializeToString(deterministic=True)), request)
    if is_estimator(model):
        return _estimator_draft(model, request)
    if isinstance(model, str) or callable(model):
        return _python_draft(model, request)
    message = f"a {type(model).__name__} cannot be sealed"
    hint = "Give a fitted estimator, an ONNX file, a function, or module:object."
    raise InvalidRequestError(message, hint=hint)


def _refuse_mistakes(model: Any) -> None:
    if isinstance(model, str | Path) and str(model).endswith(_PICKLES):
        message = f"{model} is a pickle, which is never read"
        hint = "Load it yourself, and give the estimator: package.build(joblib.load(...), ...)."
        raise InvalidRequestError(message, hint=hint)
    if isinstance(model, type) and hasattr(model, "fit") and hasattr(model, "get_params"):
        message = f"{model.__name__} is a class of estimators, not a fitted one"
        hint = f"Give a fitted instance: {model.__name__}().fit(...)."
        raise InvalidRequestError(message, hint=hint)


def _estimator_draft(model: Any, request: _Request) -> _Draft:
    _need_example(request, "proves the export against the original")
    if request.settings.padding or request.settings.follows:
        message = "the columns of an estimator have no variable dimension that could be padded"
        raise InvalidRequestError(message)
    settings = request.settings
    inputs = inputs_of(model, request.example, settings.missing, settings.moments)
    check_rows(inputs.given, weak_proof=request.weak_proof)
    try:
        return _exported_draft(model, request, inputs)
    except (UnsupportedModelError, ProofError) as error:
        refusal = error
    if (draft := _second_draft(model, request, inputs)) is not None:
        return draft
    if isinstance(refusal, DisagreementError):
        settings = request.settings
        raise explained(refusal, model, inputs, settings.tolerance, settings.row_names)
    raise _with_floats_hint(refusal, inputs)


def _second_draft(model: object, request: _Request, inputs: Inputs) -> _Draft | None:
    """Once more with whole numbers as floats; where that fails too, the first error stands."""
    floats = with_floats(inputs)
    if floats is None:
        return None
    try:
        return _exported_draft(model, request, floats)
    except (UnsupportedModelError, ProofError):
        return None


def _with_floats_hint(
    error: UnsupportedModelError | ProofError, inputs: Inputs
) -> UnsupportedModelError | ProofError:
    """Whole numbers that single precision does not hold may be what an export cannot express."""
    names = [inputs.columns[at].name for at in whole_numbers(inputs)]
    if not names or with_floats(inputs) is not None:
        return error
    cast = ", ".join(f"{name!r}: float" for name in names)
    hint = f"Fit and seal with floats: example.astype({{{cast}}}). {error.hint or ''}".strip()
    return type(error)(str(error), hint=hint)


def _exported_draft(model: object, request: _Request, inputs: Inputs) -> _Draft:
    exported = export(model, inputs)
    description = _described(request, "onnx", exported.signature, exported.binding)
    opened = runtime.load(description, FilesInMemory(exported.file.files()))
    tolerance = request.settings.tolerance
    answers = check_agreement(opened, inputs.batch, exported.references, tolerance)
    rows = rows_of(inputs.batch, description.signature.inputs)
    words = words_of(parsed(exported.file.model), exported.binding)
    return _Draft(description, exported.file.files(), opened, rows, answers, words=words)


def _onnx_draft(file: OnnxFile, request: _Request) -> _Draft:
    signature, binding = bind(file)
    signature, binding = _with_settings(signature, binding, request.settings)
    signature = _padded(signature, request.settings)
    description = _described(request, "onnx", signature, binding)
    opened = runtime.load(description, FilesInMemory(file.files()))
    if request.example is None:
        rows = plain_rows(opened)
        by_length = made_up_rows(opened) if is_padded(description) else ()
        return _Draft(description, file.files(), opened, rows, None, by_length)
    batch = runtime.packed(to_batch(request.example, signature.inputs), description)
    return _answered(description, file.files(), opened, batch)


def _python_draft(model: object, request: _Request) -> _Draft:
    _need_example(request, "shows which columns the model takes and gives")
    settings = request.settings
    place = None if settings.source is None else Path(settings.source)
    if place is not None and not place.is_dir():
        message = f"{place} is not a directory of source"
        raise PathError(message)
    source = collect(model, source=place, requirements=settings.requirements)
    if settings.lock:
        source = source.locked()
    binding = Binding(file=SOURCE_DIRECTORY, object=source.object)
    batch = with_seconds(to_batch(request.example), settings.moments)
    columns = infer_columns(batch)
    inputs = with_moments(columns, settings.moments)
    signature = Signature(inputs=inputs, outputs=columns)
    description = _described(request, "python", signature, binding, source.requirements)
    files = FilesInMemory(source.all_files())
    outputs = runtime.infer_outputs(description, files, batch)
    signature = Signature(inputs=inputs, outputs=outputs)
    signature = _padded(signature, settings)
    description = msgspec.structs.replace(description, signature=signature)
    opened = runtime.load(description, files, allow_code=True)
    return _answered(description, source.all_files(), opened, batch)


def _answered(
    description: Description,
    files: Mapping[str, bytes | Path],
    model: Model,
    batch: pa.RecordBatch,
) -> _Draft:
    """A draft whose golden answers are the model's own; rows of one shape only."""
    if not batch.num_rows:
        message = "the example has no rows"
        raise InvalidRequestError(message)
    part = split_by_shape(batch, description.signature.inputs)[0].batch
    rows = rows_of(part, description.signature.inputs)
    answers = rows_of(model.predict(part), description.signature.outputs)
    by_length = rows_by_length(description, batch) if is_padded(description) else ()
    return _Draft(description, files, model, rows, answers, by_length)


def _described(
    request: _Request,
    kind: Any,
    signature: Signature,
    binding: Binding,
    requirements: tuple[str, ...] = (),
) -> Description:
    return Description(
        format=1,
        name=request.name,
        version=request.version,
        runtime=kind,
        pure=kind == "onnx" or request.settings.pure,
        signature=signature,
        binding=binding,
        policy=request.settings.policy,
        tolerance=request.settings.tolerance,
        golden="none",
        requirements=requirements,
    )


def _with_settings(
    signature: Signature, binding: Binding, settings: Settings
) -> tuple[Signature, Binding]:
    """Features and stated values for nulls, which an ONNX file itself cannot say."""
    known = {column.name for column in signature.inputs}
    if unknown := sorted({*settings.missing, *settings.features} - known):
        message = f"the settings name {unknown[0]!r}, which is no input of the model"
        raise InvalidRequestError(message, hint=f"The inputs are {', '.join(sorted(known))}.")
    columns = tuple(
        msgspec.structs.replace(column, nullable=column.name in settings.missing)
        for column in signature.inputs
    )
    bound = tuple(
        msgspec.structs.replace(
            each,
            missing=settings.missing.get(each.column),
            features=tuple(settings.features.get(each.column, ())) or None,
        )
        for each in binding.inputs
    )
    columns = with_moments(columns, settings.moments)
    signature = msgspec.structs.replace(signature, inputs=columns)
    return signature, msgspec.structs.replace(binding, inputs=bound)


def _padded(signature: Signature, settings: Settings) -> Signature:
    return signature.with_padding(settings.padding, follows=settings.follows)


def _need_example(request: _Request, why: str) -> None:
    if request.example is None:
        message = "there are no example rows"
        raise InvalidRequestError(message, hint=f"Give example=...: it {why}.")
