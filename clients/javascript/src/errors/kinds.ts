// Written by tools/write_errors.ts from protocol/errors.toml; do not edit.

import { ShoalError } from "./error.js";

/** The caller's data or request is wrong. */
export class InputError extends ShoalError {
  static override readonly code: string = "invalid_input";
  override name = "InputError";
}

/** The text is not JSON, or is nested too deeply to be read. */
export class MalformedJsonError extends InputError {
  static override readonly code: string = "malformed_json";
  override name = "MalformedJsonError";
}

/** The request has an unknown, missing or wrongly structured field. */
export class InvalidRequestError extends InputError {
  static override readonly code: string = "invalid_request";
  override name = "InvalidRequestError";
}

/** A column has the wrong type, or a value that its type or encoding cannot carry. */
export class DtypeError extends InputError {
  static override readonly code: string = "wrong_dtype";
  override name = "DtypeError";
}

/** A column has the wrong shape, or its data does not fill the shape it states. */
export class ShapeError extends InputError {
  static override readonly code: string = "wrong_shape";
  override name = "ShapeError";
}

/** A column of the signature was not given. */
export class MissingColumnError extends InputError {
  static override readonly code: string = "missing_column";
  override name = "MissingColumnError";
}

/** A column was named that the signature does not have. */
export class UnexpectedColumnError extends InputError {
  static override readonly code: string = "unexpected_column";
  override name = "UnexpectedColumnError";
}

/** The same column was named twice. */
export class DuplicateColumnError extends InputError {
  static override readonly code: string = "duplicate_column";
  override name = "DuplicateColumnError";
}

/** A value is missing where the signature or the encoding needs one. */
export class NullError extends InputError {
  static override readonly code: string = "null_not_allowed";
  override name = "NullError";
}

/** The binary part of a message is not what its JSON part announces. */
export class BinaryError extends InputError {
  static override readonly code: string = "invalid_binary";
  override name = "BinaryError";
}

/** The bytes are not the Arrow IPC streams that their head announces. */
export class ArrowError extends InputError {
  static override readonly code: string = "invalid_arrow";
  override name = "ArrowError";
}

/** The bytes are not the protobuf message that they should be. */
export class ProtobufError extends InputError {
  static override readonly code: string = "invalid_protobuf";
  override name = "ProtobufError";
}

/** A time has no zone, so that nobody knows which moment it is. */
export class ZoneError extends InputError {
  static override readonly code: string = "time_without_zone";
  override name = "ZoneError";
}

/** Two tasks of one envelope have the same id. */
export class DuplicateTaskError extends InputError {
  static override readonly code: string = "duplicate_task";
  override name = "DuplicateTaskError";
}

/** A task refers to a shared table that was not sent. */
export class UnknownTableError extends InputError {
  static override readonly code: string = "unknown_table";
  override name = "UnknownTableError";
}

/** The envelope has more tasks than the server takes. */
export class TooManyTasksError extends InputError {
  static override readonly code: string = "too_many_tasks";
  override name = "TooManyTasksError";
}

/** The tables of the envelope have more records than the server takes. */
export class TooManyRowsError extends InputError {
  static override readonly code: string = "too_many_rows";
  override name = "TooManyRowsError";
}

/** A record meets no rule of the router. */
export class NoRouteError extends InputError {
  static override readonly code: string = "no_route";
  override name = "NoRouteError";
}

/** The results cannot be joined into one table. */
export class MergeError extends InputError {
  static override readonly code: string = "merge_mismatch";
  override name = "MergeError";
}

/** The key of idempotency was used for another task. */
export class IdempotencyError extends InputError {
  static override readonly code: string = "idempotency_conflict";
  override name = "IdempotencyError";
}

/** No model of this name is served. */
export class UnknownModelError extends InputError {
  static override readonly code: string = "unknown_model";
  override name = "UnknownModelError";
}

/** The model is served, but not in this version. */
export class UnknownVersionError extends InputError {
  static override readonly code: string = "unknown_version";
  override name = "UnknownVersionError";
}

/** The server has nothing at this address. */
export class UnknownRouteError extends InputError {
  static override readonly code: string = "unknown_route";
  override name = "UnknownRouteError";
}

/** The address exists, but not for this HTTP method. */
export class MethodError extends InputError {
  static override readonly code: string = "method_not_allowed";
  override name = "MethodError";
}

/** The request is larger than the server's limit. */
export class BodyTooLargeError extends InputError {
  static override readonly code: string = "body_too_large";
  override name = "BodyTooLargeError";
}

/** The request brings no API key, or one that this server does not know. */
export class UnauthorizedError extends InputError {
  static override readonly code: string = "unauthorized";
  override name = "UnauthorizedError";
}

/** The head of the request is larger than the server's limit. */
export class HeadersTooLargeError extends InputError {
  static override readonly code: string = "headers_too_large";
  override name = "HeadersTooLargeError";
}

/** A file or choice given to the server cannot be used. */
export class ConfigurationError extends InputError {
  static override readonly code: string = "invalid_configuration";
  override name = "ConfigurationError";
}

/** The privacy budget does not allow what was asked for. */
export class BudgetError extends InputError {
  static override readonly code: string = "privacy_budget_exceeded";
  override name = "BudgetError";
}

/** A file or folder that was named does not exist. */
export class PathError extends InputError {
  static override readonly code: string = "path_not_found";
  override name = "PathError";
}

/** The server could not listen on the address it was given. */
export class AddressError extends InputError {
  static override readonly code: string = "address_in_use";
  override name = "AddressError";
}

/** The queue is full; the same request may succeed a little later. */
export class OverloadedError extends ShoalError {
  static override readonly code: string = "queue_full";
  override name = "OverloadedError";
}

/** Too much is waiting to answer the request within its timeout; it may succeed later. */
export class OutOfReachError extends OverloadedError {
  static override readonly code: string = "deadline_out_of_reach";
  override name = "OutOfReachError";
}

/** The server holds as much as it may; the same request may succeed a little later. */
export class BusyError extends ShoalError {
  static override readonly code: string = "server_busy";
  override name = "BusyError";
}

/** The server is not ready or is shutting down; another one may answer. */
export class UnavailableError extends ShoalError {
  static override readonly code: string = "shutting_down";
  override name = "UnavailableError";
}

/** The model has no process that could answer now; another server may. */
export class ModelUnavailableError extends UnavailableError {
  static override readonly code: string = "model_unavailable";
  override name = "ModelUnavailableError";
}

/** The request's time ran out before it was answered. */
export class DeadlineError extends ShoalError {
  static override readonly code: string = "deadline_exceeded";
  override name = "DeadlineError";
}

/** The server cannot be reached, or went away before it had answered. */
export class UnreachableError extends ShoalError {
  static override readonly code: string = "server_unreachable";
  override name = "UnreachableError";
}

/** The server's answer cannot be understood. */
export class AnswerError extends ShoalError {
  static override readonly code: string = "invalid_answer";
  override name = "AnswerError";
}

/** The model raised an error or gave an answer that does not fit its signature. */
export class ModelError extends ShoalError {
  static override readonly code: string = "model_failed";
  override name = "ModelError";
}

/** The process that ran the model ended before it had answered. */
export class WorkerLostError extends ModelError {
  static override readonly code: string = "worker_lost";
  override name = "WorkerLostError";
}

/** The process that ran the model did not answer in time and was ended. */
export class WorkerTimeoutError extends ModelError {
  static override readonly code: string = "worker_timeout";
  override name = "WorkerTimeoutError";
}

/** A package cannot be built, opened or used. */
export class PackageError extends ShoalError {
  static override readonly code: string = "invalid_package";
  override name = "PackageError";
}

/** A package's content is not what its digests or its description say. */
export class CorruptPackageError extends PackageError {
  static override readonly code: string = "corrupt_package";
  override name = "CorruptPackageError";
}

/** The package runs code, and running code was not allowed. */
export class UntrustedPackageError extends PackageError {
  static override readonly code: string = "untrusted_package";
  override name = "UntrustedPackageError";
}

/** The package is not signed, or not by the key asked for, or is not what was signed. */
export class SignatureError extends UntrustedPackageError {
  static override readonly code: string = "signature_refused";
  override name = "SignatureError";
}

/** This model cannot be sealed; the message says why. */
export class UnsupportedModelError extends PackageError {
  static override readonly code: string = "unsupported_model";
  override name = "UnsupportedModelError";
}

/** A router leads to itself, or through more routers than are followed. */
export class RouterCycleError extends PackageError {
  static override readonly code: string = "router_cycle";
  override name = "RouterCycleError";
}

/** Something the package or the command requires is not installed here. */
export class RequirementError extends PackageError {
  static override readonly code: string = "unmet_requirement";
  override name = "RequirementError";
}

/** The exported model does not answer as the trained one does. */
export class ProofError extends PackageError {
  static override readonly code: string = "export_mismatch";
  override name = "ProofError";
}

/** The answer for a record changes with the records beside it. */
export class BatchDependenceError extends PackageError {
  static override readonly code: string = "batch_dependent";
  override name = "BatchDependenceError";
}

/** The package could not be written; nothing half-written is left. */
export class StorageError extends PackageError {
  static override readonly code: string = "storage_failed";
  override name = "StorageError";
}

/** A run over a dataset or a stream cannot go on. */
export class PipelineError extends ShoalError {
  static override readonly code: string = "pipeline_failed";
  override name = "PipelineError";
}

/** Records could not be read where they come from. */
export class SourceError extends PipelineError {
  static override readonly code: string = "source_failed";
  override name = "SourceError";
}

/** Records could not be written where they go; what was committed before stays. */
export class SinkError extends PipelineError {
  static override readonly code: string = "sink_failed";
  override name = "SinkError";
}

/** The output holds what another run wrote, or another run is writing to it. */
export class ConflictError extends PipelineError {
  static override readonly code: string = "output_conflict";
  override name = "ConflictError";
}

/** A registry of packages and images did not do what was asked. */
export class RegistryError extends ShoalError {
  static override readonly code: string = "registry_failed";
  override name = "RegistryError";
}

/** The registry wants other credentials, or grants these less. */
export class RegistryAccessError extends RegistryError {
  static override readonly code: string = "registry_access_denied";
  override name = "RegistryAccessError";
}

/** The registry has no such repository, tag or digest. */
export class RegistryNotFoundError extends RegistryError {
  static override readonly code: string = "not_in_registry";
  override name = "RegistryNotFoundError";
}

/** The registry cannot be reached, is too slow, or breaks off. */
export class RegistryUnavailableError extends RegistryError {
  static override readonly code: string = "registry_unavailable";
  override name = "RegistryUnavailableError";
}

/** What was asked of a cluster or an image cannot be done. */
export class DeployError extends ShoalError {
  static override readonly code: string = "deploy_failed";
  override name = "DeployError";
}

/** The cluster does not let this user do that. */
export class ClusterAccessError extends DeployError {
  static override readonly code: string = "cluster_access_denied";
  override name = "ClusterAccessError";
}

/** Someone else owns what would be changed in the cluster. */
export class ClusterConflictError extends DeployError {
  static override readonly code: string = "cluster_conflict";
  override name = "ClusterConflictError";
}

/** The cluster lacks something that this needs: a kind of object, a namespace, a version. */
export class ClusterLacksError extends DeployError {
  static override readonly code: string = "cluster_lacks";
  override name = "ClusterLacksError";
}

/** The cluster cannot be reached. */
export class ClusterUnavailableError extends DeployError {
  static override readonly code: string = "cluster_unavailable";
  override name = "ClusterUnavailableError";
}

/** A new version did not come up, or was judged worse; the old one serves on. */
export class RolloutError extends DeployError {
  static override readonly code: string = "rollout_failed";
  override name = "RolloutError";
}

/** Shoal failed in a way it does not know. */
export class InternalError extends ShoalError {
  static override readonly code: string = "internal";
  override name = "InternalError";
}
