"""Looks at packages: what is in one, and whether it still is what was sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shoal.errors import CorruptPackageError
from shoal.package._package import open
from shoal.package._proving import _golden
from shoal.runtime import Route

if TYPE_CHECKING:
    from os import PathLike

    from shoal.package._attested import Attestation
    from shoal.package._package import Package
    from shoal.package._signing._keys import PublicKey


class Inspection(msgspec.Struct, frozen=True):
    """What is in a package, ready to be shown or written as JSON."""

    path: str
    digest: str
    name: str
    version: str
    runtime: str
    runs_code: bool
    files: dict[str, int]
    """The size of each file, in bytes."""
    signature: Any
    golden_rows: int
    golden_origin: Literal["real", "synthetic", "none"]
    """Whether golden rows are records of the example, or made up."""
    requirements: tuple[str, ...]
    attestations: list[dict[str, Any]]
    routes: list[Route] = []
    """Where a router sends records; nothing of a model."""


class Verification(msgspec.Struct, frozen=True):
    """What a verification found; a package that is not as sealed raises instead."""

    digest: str
    files: int
    golden: Literal["matched", "none", "not run"]
    golden_rows: int
    attestations: int
    signed_by: str | None = None
    """The fingerprint of the key that was asked for, and has signed the package."""


def inspect(path: str | PathLike[str]) -> Inspection:
    """What is in a package; its digests are verified, its code is not run.

    Raises:
        PathError: there is nothing at the path.
        CorruptPackageError: it is not, byte for byte, a package.
    """
    package = open(path)
    return Inspection(
        path=str(package.path),
        digest=package.digest,
        name=package.name,
        version=package.version,
        runtime=package.runtime,
        runs_code=package.runtime == "python",
        files=package.sizes_bytes(),
        attestations=[_listed(each) for each in package.attestations()],
        **(_of_router(package) if package.routes else _of_model(package)),
    )


def _of_model(package: Package) -> dict[str, Any]:
    description = package.description
    return {
        "signature": msgspec.to_builtins(description.signature),
        "golden_rows": _golden_rows(package),
        "golden_origin": "none" if description.golden == "none" else description.golden.origin,
        "requirements": description.requirements,
    }


def _of_router(package: Package) -> dict[str, Any]:
    return {
        "signature": {"inputs": [], "outputs": []},
        "golden_rows": 0,
        "golden_origin": "none",
        "requirements": (),
        "routes": list(package.routes),
    }


def verify(
    path: str | PathLike[str],
    *,
    allow_code: bool = False,
    key: PublicKey | str | PathLike[str] | None = None,
) -> Verification:
    """Verifies all digests, and who signed, then answers the golden rows again by the runtime.

    Args:
        path: The package's directory.
        allow_code: Whether a Python package may run. If not, its golden rows are not run.
        key: A PEM file of the public key that has to have signed it; None asks for no signature.

    Raises:
        PathError: there is nothing at the path, or no key.
        CorruptPackageError: a byte or a golden answer is not as it was sealed.
        SignatureError: the key has not signed the package; then nothing of it is run.
        ConfigurationError: the key cannot be used.
        PackageError: the model cannot be opened here.
    """
    package = open(path)
    signed_by = None if key is None else _signed_by(package, key)
    rows = _golden_rows(package)
    state: Literal["matched", "none", "not run"] = "matched" if rows else "none"
    if rows and package.runtime == "python" and not allow_code:
        state = "not run"
    if state == "matched":
        difference = _golden.check(package.description, package.model(allow_code=allow_code))
        if difference is not None:
            message = (
                f"the package {package.name} {package.version} answers otherwise: {difference}"
            )
            hint = "The runtime here computes differently from the one that sealed the package."
            raise CorruptPackageError(message, hint=hint)
    stated = len(package.attestations())
    return Verification(package.digest, len(package.files()), state, rows, stated, signed_by)


def _signed_by(package: Package, key: PublicKey | str | PathLike[str]) -> str:
    from shoal.package._signing._sign import verify_signature

    return verify_signature(package, key).key


def _golden_rows(package: Package) -> int:
    golden = "none" if package.routes else package.description.golden
    if golden == "none":
        return 0
    rows: int = golden.inputs[0]["shape"][0]
    return rows


def _listed(attestation: Attestation) -> dict[str, Any]:
    """As it is shown: the size of each file by its name, the predicate type where there is one."""
    listed = {
        "kind": attestation.kind,
        "digest": attestation.digest,
        "document": attestation.document,
    }
    if attestation.predicate_type is not None:
        listed["predicate_type"] = attestation.predicate_type
    if attestation.files:
        listed["files"] = {file.name: file.size_bytes for file in attestation.files}
    return listed
