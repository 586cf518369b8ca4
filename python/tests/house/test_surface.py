"""The public surface: what each room exports, in order. A name more is a promise more.

After a change that is meant: `pytest python/tests/house/test_surface.py --inline-snapshot=fix`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from inline_snapshot import snapshot

import shoal

ROOMS = sorted(path.parent.name for path in Path(shoal.__file__).parent.glob("*/__init__.py"))


SURFACE = snapshot(
    {
        "batch": [
            "EQUAL",
            "ByType",
            "Exactness",
            "Merge",
            "Merges",
            "Partial",
            "Split",
            "Workers",
            "by_type",
            "bytes",
            "confusion_matrix",
            "count",
            "histogram",
            "key",
            "max",
            "mean",
            "merge",
            "min",
            "nulls",
            "process",
            "processes",
            "rank_error",
            "relative",
            "rows",
            "split",
            "sum",
            "threads",
            "time",
            "variance",
        ],
        "cli": ["main"],
        "errors": [
            "AddressError",
            "BatchDependenceError",
            "BinaryError",
            "BodyTooLargeError",
            "BusyError",
            "ConfigurationError",
            "CorruptPackageError",
            "DeadlineError",
            "DtypeError",
            "DuplicateColumnError",
            "HeadersTooLargeError",
            "InputError",
            "InternalError",
            "InvalidRequestError",
            "MalformedJsonError",
            "MethodError",
            "MissingColumnError",
            "ModelError",
            "ModelUnavailableError",
            "NullError",
            "OutOfReachError",
            "OverloadedError",
            "PackageError",
            "PathError",
            "ProofError",
            "RequirementError",
            "ShapeError",
            "ShoalError",
            "StorageError",
            "UnauthorizedError",
            "UnavailableError",
            "UnexpectedColumnError",
            "UnknownModelError",
            "UnknownRouteError",
            "UnknownVersionError",
            "UnsupportedModelError",
            "UntrustedPackageError",
            "WorkerLostError",
            "WorkerTimeoutError",
            "all_errors",
            "error_for",
        ],
        "package": [
            "Attestation",
            "Identity",
            "Inspection",
            "Package",
            "Settings",
            "Verification",
            "build",
            "identify",
            "inspect",
            "open",
            "verify",
        ],
        "quickstart": ["Progress", "Report", "run"],
        "runtime": [
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
            "read_description",
            "write_description",
        ],
        "serve": ["Key", "Options", "Repository", "Server", "new_key", "start"],
        "values": [
            "Column",
            "Dtype",
            "InferRequest",
            "InferResponse",
            "Message",
            "Padding",
            "RequestedOutput",
            "ShapeGroup",
            "Signature",
            "WireColumn",
            "decode_request",
            "decode_response",
            "encode_request",
            "encode_response",
            "from_arrow",
            "from_binary",
            "from_json",
            "infer_columns",
            "join_groups",
            "match_columns",
            "read_follows",
            "read_padding",
            "schema_of",
            "split_by_shape",
            "to_arrow",
            "to_binary",
            "to_json",
        ],
    }
)


def test_every_room_exports_what_stands_here() -> None:
    assert {room: list(import_module(f"shoal.{room}").__all__) for room in ROOMS} == SURFACE


@pytest.mark.parametrize("room", ROOMS)
def test_every_exported_name_exists_and_none_bears_the_rooms_name(room: str) -> None:
    module = import_module(f"shoal.{room}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert room not in module.__all__
