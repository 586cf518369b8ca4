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


class ShoalError(Exception):
    """What every error of Shoal derives from; never raised itself.

    Attributes:
        code: The stable name of this error, as in `protocol/errors.toml`.
        retryable: Whether the same request may be sent again unchanged.
        hint: What to do about it, or None. A traceback shows it below the message.
        retry_after_ms: When to send it again, where a server said so.
        task_id: The task of an envelope that failed with it, where it is one's.
    """

    code: str
    retryable: bool = False
    hint: str | None
    retry_after_ms: int | None = None
    task_id: str | None = None

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
    retryable = True


class OutOfReachError(OverloadedError):
    """Too much is waiting to answer the request within its timeout; it may succeed later."""

    code = "deadline_out_of_reach"


class BusyError(ShoalError):
    """The server holds as much as it may; the same request may succeed a little later."""

    code = "server_busy"
    retryable = True


class UnavailableError(ShoalError):
    """The server is not ready or is shutting down; another one may answer."""

    code = "shutting_down"
    retryable = True


class ModelUnavailableError(UnavailableError):
    """The model has no process that could answer now; another server may."""

    code = "model_unavailable"


class DeadlineError(ShoalError):
    """The request's time ran out before it was answered."""

    code = "deadline_exceeded"


class UnreachableError(ShoalError):
    """The server cannot be reached, or went away before it had answered."""

    code = "server_unreachable"
    retryable = True


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


class InternalError(ShoalError):
    """Shoal failed in a way it does not know."""

    code = "internal"
