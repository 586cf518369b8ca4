"""States beside a package how it came to be, and reads that again.

- The statement is a provenance of SLSA 1 in a statement of in-toto 1. It refers to the package's
  digest, and does not change it. It is not signed: whoever can write the package can write it.
- Files such as a report come along, and the statement names their digests.
- A package whose training is said to be private must not hold records as golden rows.

Source: https://slsa.dev/spec/v1.2/build-provenance, and the in-toto attestation framework 1.2
(Statement v1, ResourceDescriptor).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shoal import package as packages
from shoal.errors import InvalidRequestError
from shoal.package import Package
from shoal.train._seal import _statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from pathlib import Path

    from shoal.train._seal._evidence import Evidence

KIND = "provenance"


def attest(
    package: Package | str | PathLike[str],
    evidence: Evidence,
    *,
    files: Mapping[str, bytes | Path] | None = None,
) -> Package:
    """States beside a package how it came to be; its digest stays the same.

    Args:
        package: The package, or its directory.
        evidence: What is stated.
        files: What comes along, by name, such as `report.html`: at most 16 files of 16 MiB.

    Returns:
        The package as it is then; the same statement is held once.

    Raises:
        InvalidRequestError: the evidence cannot be stored, its digests are none, or the package
            holds records although its training is said to be private.
        StorageError: the package cannot be written.
    """
    opened = package if isinstance(package, Package) else packages.open(package)
    golden = opened.description.golden
    if evidence.privacy is not None and golden != "none" and golden.origin == "real":
        message = f"{opened.name} holds records as golden rows, and its training is to be private"
        raise InvalidRequestError(message, hint="Seal it with golden_rows='synthetic'.")
    return opened.attest(KIND, _statement.written(opened, evidence, files or {}), files=files)


def evidence_of(package: Package | str | PathLike[str]) -> Evidence:
    """What is stated beside a package of how it came to be; of several statements the latest.

    A provenance that something else wrote, which its build type tells, is passed over.

    Raises:
        InvalidRequestError: nothing is stated, or not in the form that `attest` writes.
    """
    opened = package if isinstance(package, Package) else packages.open(package)
    found = [
        _statement.read(attestation.document)
        for attestation in opened.attestations()
        if attestation.predicate_type == _statement.PREDICATE_TYPE
        and _statement.is_own(attestation.document)
    ]
    if not found:
        message = f"nothing beside {opened.name} {opened.version} says how it came to be"
        raise InvalidRequestError(message, hint="shoal.train.attest states it.")
    return max(found, key=_time_of)


def _time_of(evidence: Evidence) -> datetime:
    return evidence.finished_at or datetime.min.replace(tzinfo=UTC)
