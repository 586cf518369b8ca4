"""The tree of errors.

    ShoalError
    ├── InputError                    invalid_input
    │   ├── MalformedJsonError        malformed_json
    │   ├── InvalidRequestError       invalid_request
    │   ├── DtypeError                wrong_dtype
    │   ├── ShapeError                wrong_shape
    │   ├── MissingColumnError        missing_column
    │   ├── UnexpectedColumnError     unexpected_column
    │   ├── DuplicateColumnError      duplicate_column
    │   ├── NullError                 null_not_allowed
    │   ├── BinaryError               invalid_binary
    │   ├── ArrowError                invalid_arrow
    │   ├── ProtobufError             invalid_protobuf
    │   ├── ZoneError                 time_without_zone
    │   ├── DuplicateTaskError        duplicate_task
    │   ├── UnknownTableError         unknown_table
    │   ├── TooManyTasksError         too_many_tasks
    │   ├── TooManyRowsError          too_many_rows
    │   ├── NoRouteError              no_route
    │   ├── MergeError                merge_mismatch
    │   ├── IdempotencyError          idempotency_conflict
    │   ├── UnknownModelError         unknown_model
    │   ├── UnknownVersionError       unknown_version
    │   ├── UnknownRouteError         unknown_route
    │   ├── MethodError               method_not_allowed
    │   ├── BodyTooLargeError         body_too_large
    │   ├── UnauthorizedError         unauthorized
    │   ├── HeadersTooLargeError      headers_too_large
    │   ├── ConfigurationError        invalid_configuration
    │   ├── BudgetError               privacy_budget_exceeded
    │   ├── PathError                 path_not_found
    │   └── AddressError              address_in_use
    ├── OverloadedError               queue_full
    │   └── OutOfReachError           deadline_out_of_reach
    ├── BusyError                     server_busy
    ├── UnavailableError              shutting_down
    │   └── ModelUnavailableError     model_unavailable
    ├── DeadlineError                 deadline_exceeded
    ├── UnreachableError              server_unreachable
    ├── AnswerError                   invalid_answer
    ├── ModelError                    model_failed
    │   ├── WorkerLostError           worker_lost
    │   └── WorkerTimeoutError        worker_timeout
    ├── PackageError                  invalid_package
    │   ├── CorruptPackageError       corrupt_package
    │   ├── UntrustedPackageError     untrusted_package
    │   │   └── SignatureError        signature_refused
    │   ├── UnsupportedModelError     unsupported_model
    │   ├── RouterCycleError          router_cycle
    │   ├── RequirementError          unmet_requirement
    │   ├── ProofError                export_mismatch
    │   ├── BatchDependenceError      batch_dependent
    │   └── StorageError              storage_failed
    ├── PipelineError                 pipeline_failed
    │   ├── SourceError               source_failed
    │   ├── SinkError                 sink_failed
    │   └── ConflictError             output_conflict
    ├── RegistryError                 registry_failed
    │   ├── RegistryAccessError       registry_access_denied
    │   ├── RegistryNotFoundError     not_in_registry
    │   └── RegistryUnavailableError  registry_unavailable
    ├── DeployError                   deploy_failed
    │   ├── ClusterAccessError        cluster_access_denied
    │   ├── ClusterConflictError      cluster_conflict
    │   ├── ClusterLacksError         cluster_lacks
    │   ├── ClusterUnavailableError   cluster_unavailable
    │   └── RolloutError              rollout_failed
    └── InternalError                 internal

Rules:

- The message says what happened, the offending value, and what was expected;
  the remedy is apart, in `hint`.
- A code never changes its meaning and is never reused;
  `protocol/errors.toml` gives each its HTTP and gRPC status.
- An error's class is found by its code alone, so that it means the same wherever it was found:
  in this process, in the native core, or by a server far away.
- Secrets and whole payloads never go into a message.
"""

from __future__ import annotations

from typing import ClassVar


class ShoalError(Exception):
    """What every error of Shoal derives from; never raised itself.

    Attributes:
        code: The stable name of this error, as in `protocol/errors.toml`.
        hint: What to do about it, or None. A traceback shows it below the message.
    """

    code: ClassVar[str]
    hint: str | None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")

    def body(self) -> dict[str, str]:
        """Gives what every REST answer carries: `error`, `code`, and `hint` when there is one."""
        body = {"error": str(self), "code": self.code}
        return body if self.hint is None else {**body, "hint": self.hint}

    def render(self) -> str:
        """Gives the text for a terminal: the message, and the hint on a line of its own."""
        return str(self) if self.hint is None else f"{self}\nhint: {self.hint}"


class InputError(ShoalError):
    """The caller's data or request is wrong."""

    code = "invalid_input"


class MalformedJsonError(InputError):
    """The text is not JSON, or is nested too deeply to be read."""

    code = "malformed_json"


class InvalidRequestError(InputError):
    """The request has an unknown, missing or wrongly structured field."""

    code = "invalid_request"


class DtypeError(InputError):
    """A column has the wrong type, or a value that its type or encoding cannot carry."""

    code = "wrong_dtype"


class ShapeError(InputError):
    """A column has the wrong shape, or its data does not fill the shape it states."""

    code = "wrong_shape"


class MissingColumnError(InputError):
    """A column of the signature was not given."""

    code = "missing_column"


class UnexpectedColumnError(InputError):
    """A column was named that the signature does not have."""

    code = "unexpected_column"


class DuplicateColumnError(InputError):
    """The same column was named twice."""

    code = "duplicate_column"


class NullError(InputError):
    """A value is missing where the signature or the encoding needs one."""

    code = "null_not_allowed"


class BinaryError(InputError):
    """The binary part of a message is not what its JSON part announces."""

    code = "invalid_binary"


class ArrowError(InputError):
    """The bytes are not the Arrow IPC streams that their head announces."""

    code = "invalid_arrow"


class ProtobufError(InputError):
    """The bytes are not the protobuf message that they should be."""

    code = "invalid_protobuf"


class ZoneError(InputError):
    """A time has no zone, so that nobody knows which moment it is."""

    code = "time_without_zone"


class DuplicateTaskError(InputError):
    """Two tasks of one envelope have the same id."""

    code = "duplicate_task"


class UnknownTableError(InputError):
    """A task refers to a shared table that was not sent."""

    code = "unknown_table"


class TooManyTasksError(InputError):
    """The envelope has more tasks than the server takes."""

    code = "too_many_tasks"


class TooManyRowsError(InputError):
    """The tables of the envelope have more records than the server takes."""

    code = "too_many_rows"


class NoRouteError(InputError):
    """A record meets no rule of the router."""

    code = "no_route"


class MergeError(InputError):
    """The results cannot be joined into one table."""

    code = "merge_mismatch"


class IdempotencyError(InputError):
    """The key of idempotency was used for another task."""

    code = "idempotency_conflict"


class UnknownModelError(InputError):
    """No model of this name is served."""

    code = "unknown_model"


class UnknownVersionError(InputError):
    """The model is served, but not in this version."""

    code = "unknown_version"


class UnknownRouteError(InputError):
    """The server has nothing at this address."""

    code = "unknown_route"


class MethodError(InputError):
    """The address exists, but not for this HTTP method."""

    code = "method_not_allowed"


class BodyTooLargeError(InputError):
    """The request is larger than the server's limit."""

    code = "body_too_large"


class UnauthorizedError(InputError):
    """The request brings no API key, or one that this server does not know."""

    code = "unauthorized"


class HeadersTooLargeError(InputError):
    """The head of the request is larger than the server's limit."""

    code = "headers_too_large"


class ConfigurationError(InputError):
    """A file or choice given to the server cannot be used."""

    code = "invalid_configuration"


class BudgetError(InputError):
    """The privacy budget does not allow what was asked for."""

    code = "privacy_budget_exceeded"


class PathError(InputError):
    """A file or folder that was named does not exist."""

    code = "path_not_found"


class AddressError(InputError):
    """The server could not listen on the address it was given."""

    code = "address_in_use"


class OverloadedError(ShoalError):
    """The queue is full; the same request may succeed a little later."""

    code = "queue_full"


class OutOfReachError(OverloadedError):
    """Too much is waiting to answer the request within its timeout; it may succeed later."""

    code = "deadline_out_of_reach"


class BusyError(ShoalError):
    """The server holds as much as it may; the same request may succeed a little later."""

    code = "server_busy"


class UnavailableError(ShoalError):
    """The server is not ready or is shutting down; another one may answer."""

    code = "shutting_down"


class ModelUnavailableError(UnavailableError):
    """The model has no process that could answer now; another server may."""

    code = "model_unavailable"


class DeadlineError(ShoalError):
    """The request's time ran out before it was answered."""

    code = "deadline_exceeded"


class UnreachableError(ShoalError):
    """The server cannot be reached, or went away before it had answered."""

    code = "server_unreachable"


class AnswerError(ShoalError):
    """The server's answer cannot be understood."""

    code = "invalid_answer"


class ModelError(ShoalError):
    """The model raised an error or gave an answer that does not fit its signature."""

    code = "model_failed"


class WorkerLostError(ModelError):
    """The process that ran the model ended before it had answered."""

    code = "worker_lost"


class WorkerTimeoutError(ModelError):
    """The process that ran the model did not answer in time and was ended."""

    code = "worker_timeout"


class PackageError(ShoalError):
    """A package cannot be built, opened or used."""

    code = "invalid_package"


class CorruptPackageError(PackageError):
    """A package's content is not what its digests or its description say."""

    code = "corrupt_package"


class UntrustedPackageError(PackageError):
    """The package runs code, and running code was not allowed."""

    code = "untrusted_package"


class SignatureError(UntrustedPackageError):
    """The package is not signed, or not by the key asked for, or is not what was signed."""

    code = "signature_refused"


class UnsupportedModelError(PackageError):
    """This model cannot be sealed; the message says why."""

    code = "unsupported_model"


class RouterCycleError(PackageError):
    """A router leads to itself, or through more routers than are followed."""

    code = "router_cycle"


class RequirementError(PackageError):
    """Something the package or the command requires is not installed here."""

    code = "unmet_requirement"


class ProofError(PackageError):
    """The exported model does not answer as the trained one does."""

    code = "export_mismatch"


class BatchDependenceError(PackageError):
    """The answer for a record changes with the records beside it."""

    code = "batch_dependent"


class StorageError(PackageError):
    """The package could not be written; nothing half-written is left."""

    code = "storage_failed"


class PipelineError(ShoalError):
    """A run over a dataset or a stream cannot go on."""

    code = "pipeline_failed"


class SourceError(PipelineError):
    """Records could not be read where they come from."""

    code = "source_failed"


class SinkError(PipelineError):
    """Records could not be written where they go; what was committed before stays."""

    code = "sink_failed"


class ConflictError(PipelineError):
    """The output holds what another run wrote, or another run is writing to it."""

    code = "output_conflict"


class RegistryError(ShoalError):
    """A registry of packages and images did not do what was asked."""

    code = "registry_failed"


class RegistryAccessError(RegistryError):
    """The registry wants other credentials, or grants these less."""

    code = "registry_access_denied"


class RegistryNotFoundError(RegistryError):
    """The registry has no such repository, tag or digest."""

    code = "not_in_registry"


class RegistryUnavailableError(RegistryError):
    """The registry cannot be reached, is too slow, or breaks off."""

    code = "registry_unavailable"


class DeployError(ShoalError):
    """What was asked of a cluster or an image cannot be done."""

    code = "deploy_failed"


class ClusterAccessError(DeployError):
    """The cluster does not let this user do that."""

    code = "cluster_access_denied"


class ClusterConflictError(DeployError):
    """Someone else owns what would be changed in the cluster."""

    code = "cluster_conflict"


class ClusterLacksError(DeployError):
    """The cluster lacks something that this needs: a kind of object, a namespace, a version."""

    code = "cluster_lacks"


class ClusterUnavailableError(DeployError):
    """The cluster cannot be reached."""

    code = "cluster_unavailable"


class RolloutError(DeployError):
    """A new version did not come up, or was judged worse; the old one serves on."""

    code = "rollout_failed"


class InternalError(ShoalError):
    """Shoal failed in a way it does not know."""

    code = "internal"


def all_errors() -> tuple[type[ShoalError], ...]:
    """Gives every class of the tree that has a code, parents before their children."""
    found: list[type[ShoalError]] = []
    waiting: list[type[ShoalError]] = [ShoalError]
    while waiting:
        # Only this module's classes: a user's own subclass shares its parent's code.
        below = [kind for kind in waiting.pop(0).__subclasses__() if kind.__module__ == __name__]
        found += below
        waiting += below
    return tuple(found)


_CLASS_OF_CODE = {kind.code: kind for kind in all_errors()}


def error_for(code: str, message: str, hint: str | None = None) -> ShoalError:
    """Builds the error a code stands for; the caller raises it.

    Used where only the code crosses a boundary: the native core, or a server's answer.

    Args:
        code: A code of `protocol/errors.toml`. An unknown one (of a newer server) gives an
            `InternalError` whose message names it.
        message: What happened.
        hint: What to do about it.
    """
    kind = _CLASS_OF_CODE.get(code)
    if kind is None:
        return InternalError(f"{message} (unknown error code {code!r})", hint=hint)
    return kind(message, hint=hint)
