"""Evidence as a statement of in-toto, and back.

| evidence | in the predicate, a provenance of SLSA |
|---|---|
| plan, seed | `buildDefinition.externalParameters` |
| Python and platform | `buildDefinition.internalParameters` |
| data, code, lock, distributions | `buildDefinition.resolvedDependencies` |
| when it was done | `runDetails.metadata.finishedOn` |
| report and other files | `runDetails.byproducts` |
| metrics, privacy | `runDetails.shoal_metrics`, `shoal_privacy`: fields that SLSA does not know |

What a reader does not know it ignores, as in-toto asks.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._private._spent import PrivacySpent
from shoal.train._seal._evidence import Code, Data, Environment, Evidence
from shoal.train._seal._here import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shoal.package import Package

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# Names of our own, by reversed domain as in annotations (RFC 7595, section 3.8).
BUILD_TYPE = "io.shoal:train/v1"
BUILDER = "io.shoal:train"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DATA, _PYPI = "data/", "pkg:pypi/"
_CODE, _LOCK, _REPORT = "code", "lock", "report"


class _Descriptor(msgspec.Struct, rename="camel", omit_defaults=True):
    """A ResourceDescriptor of in-toto."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    media_type: str = ""
    annotations: dict[str, Any] = {}


class _Definition(msgspec.Struct, rename="camel"):
    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = {}
    resolved_dependencies: list[_Descriptor] = []


class _Details(msgspec.Struct, omit_defaults=True):
    builder: dict[str, Any]
    metadata: dict[str, str] = {}
    byproducts: list[_Descriptor] = []
    shoal_metrics: Any = None
    shoal_privacy: PrivacySpent | None = None


class _Predicate(msgspec.Struct, rename="camel"):
    build_definition: _Definition
    run_details: _Details


class _Statement(msgspec.Struct, rename="camel"):
    type: str = msgspec.field(name="_type")
    subject: list[_Descriptor]
    predicate_type: str
    predicate: _Predicate


def written(
    package: Package, evidence: Evidence, files: Mapping[str, bytes | Path]
) -> dict[str, Any]:
    """The statement about a package.

    Raises:
        InvalidRequestError: a digest of the evidence is none.
        PathError: a file cannot be read.
    """
    statement = _Statement(
        type=TYPE,
        subject=[
            _Descriptor(
                name=f"{package.name}:{package.version}", digest=_digests("package", package.digest)
            )
        ],
        predicate_type=PREDICATE_TYPE,
        predicate=_Predicate(
            build_definition=_definition(evidence), run_details=_details(evidence, files)
        ),
    )
    found: dict[str, Any] = msgspec.to_builtins(statement)
    return found


class _TypedDefinition(msgspec.Struct, rename="camel"):
    build_type: str


class _TypedPredicate(msgspec.Struct, rename="camel"):
    build_definition: _TypedDefinition


class _Typed(msgspec.Struct):
    """As much of a statement as every provenance of SLSA 1 has."""

    predicate: _TypedPredicate


def is_own(document: Any) -> bool:
    """Whether a statement says how Shoal trained; other builders have build types of their own."""
    try:
        found = msgspec.convert(document, _Typed).predicate.build_definition.build_type
    except msgspec.ValidationError:
        return False
    return found == BUILD_TYPE


def read(document: Any) -> Evidence:
    """The evidence that a statement holds, of those that are `is_own`.

    Raises:
        InvalidRequestError: it is not in the form that `written` gives.
    """
    try:
        predicate = msgspec.convert(document, _Statement).predicate
        definition, details = predicate.build_definition, predicate.run_details
        return Evidence(
            plan=definition.external_parameters["plan"],
            data=tuple(_data(definition.resolved_dependencies)),
            environment=_environment(definition),
            code=_code(definition.resolved_dependencies),
            seed=definition.external_parameters.get("seed"),
            metrics=details.shoal_metrics,
            privacy=details.shoal_privacy,
            report=_named(details.byproducts, _REPORT),
            finished_at=_finished(details.metadata.get("finishedOn")),
        )
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        message = f"the statement is not one of how Shoal trained: {error!r}"
        raise InvalidRequestError(message) from error


def _finished(text: str | None) -> datetime | None:
    found = None if text is None else datetime.fromisoformat(text)
    if found is not None and found.tzinfo is None:
        message = f"finishedOn is {text!r}, expected a time with a zone"
        raise ValueError(message)
    return found


def _definition(evidence: Evidence) -> _Definition:
    environment = evidence.environment
    return _Definition(
        build_type=BUILD_TYPE,
        external_parameters={"plan": evidence.plan, "seed": evidence.seed},
        internal_parameters={"python": environment.python, "platform": environment.platform},
        resolved_dependencies=list(_dependencies(evidence)),
    )


def _dependencies(evidence: Evidence) -> Iterator[_Descriptor]:
    for data in evidence.data:
        rows = {} if data.rows is None else {"rows": data.rows}
        digest = _digests(f"the data {data.name!r}", data.digest)
        yield _Descriptor(name=f"{_DATA}{data.name}", digest=digest, annotations=rows)
    if evidence.code is not None:
        yield _Descriptor(
            name=_CODE,
            digest={"gitCommit": evidence.code.commit},
            annotations={"changed": evidence.code.changed},
        )
    if evidence.environment.lock is not None:
        yield _Descriptor(name=_LOCK, digest=_digests("the lock", evidence.environment.lock))
    for name, version in sorted(evidence.environment.distributions.items()):
        yield _Descriptor(name=name, uri=f"{_PYPI}{name}@{version}")


def _details(evidence: Evidence, files: Mapping[str, bytes | Path]) -> _Details:
    finished = evidence.finished_at
    version = evidence.environment.distributions.get("shoal")
    byproducts = [
        _Descriptor(name=name, digest=_digests(name, _digest_of(files[name])))
        for name in sorted(files)
    ]
    if evidence.report is not None:
        digest = _digests("the report", evidence.report)
        byproducts.append(_Descriptor(name=_REPORT, digest=digest))
    return _Details(
        builder={"id": BUILDER, **({"version": {"shoal": version}} if version else {})},
        metadata={} if finished is None else {"finishedOn": _time(finished)},
        byproducts=byproducts,
        shoal_metrics=evidence.metrics,
        shoal_privacy=evidence.privacy,
    )


def _time(moment: datetime) -> str:
    """As RFC 3339 has it, in UTC."""
    if moment.tzinfo is None:
        message = f"the time {moment.isoformat()} has no zone, expected one"
        raise InvalidRequestError(message, hint="datetime.now(UTC) has one.")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _digests(what: str, digest: str) -> dict[str, str]:
    if _DIGEST.fullmatch(digest) is None:
        message = f"the digest of {what} is {digest!r}, expected sha256: and 64 digits"
        raise InvalidRequestError(message)
    return {"sha256": digest.removeprefix("sha256:")}


def _digest_of(content: bytes | Path) -> str:
    if isinstance(content, Path):
        return digest_of_file(content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _data(dependencies: list[_Descriptor]) -> Iterator[Data]:
    for each in dependencies:
        if each.name.startswith(_DATA):
            name, rows = each.name.removeprefix(_DATA), each.annotations.get("rows")
            yield Data(name=name, digest=f"sha256:{each.digest['sha256']}", rows=rows)


def _code(dependencies: list[_Descriptor]) -> Code | None:
    for each in dependencies:
        if each.name == _CODE:
            changed = bool(each.annotations.get("changed", True))
            return Code(commit=each.digest["gitCommit"], changed=changed)
    return None


def _environment(definition: _Definition) -> Environment:
    found = (each.uri.removeprefix(_PYPI) for each in definition.resolved_dependencies if each.uri)
    pairs = (each.rpartition("@") for each in found)
    return Environment(
        python=definition.internal_parameters["python"],
        platform=definition.internal_parameters["platform"],
        distributions={name: version for name, _, version in pairs},
        lock=_named(definition.resolved_dependencies, _LOCK),
    )


def _named(descriptors: list[_Descriptor], name: str) -> str | None:
    for each in descriptors:
        if each.name == name:
            return f"sha256:{each.digest['sha256']}"
    return None
