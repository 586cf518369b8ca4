//! What can go wrong, by stable code.
//!
//! One [`Code`] for each entry of `protocol/errors.toml` that this crate can raise; a test holds the two
//! together. A [`Fault`] says what happened, the offending value and what was expected; the remedy is a
//! separate hint.

use std::time::Duration;

/// A stable error code with its HTTP status and gRPC status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The body is not JSON, or nested too deeply.
    MalformedJson,
    /// A field is unknown, missing, repeated or of the wrong kind.
    InvalidRequest,
    /// A value or column has another dtype than the signature says.
    WrongDtype,
    /// A column has another shape than the signature says.
    WrongShape,
    /// A column of the signature is not in the request.
    MissingColumn,
    /// A column of the request is not in the signature.
    UnexpectedColumn,
    /// A column was sent twice.
    DuplicateColumn,
    /// A value is missing and the package does not say what a missing value becomes.
    NullNotAllowed,
    /// Binary tensors do not fit their header.
    InvalidBinary,
    /// The bytes are not the Arrow IPC streams that their head announces.
    InvalidArrow,
    /// The bytes are not the protobuf message that they should be.
    InvalidProtobuf,
    /// A time has no zone, so that nobody knows which moment it is.
    TimeWithoutZone,
    /// Two tasks of one envelope have the same id.
    DuplicateTask,
    /// A task refers to a shared table that was not sent.
    UnknownTable,
    /// The envelope has more tasks than the server takes.
    TooManyTasks,
    /// The tables of the envelope have more records than the server takes.
    TooManyRows,
    /// A record meets no rule of the router.
    NoRoute,
    /// The results cannot be joined into one table.
    MergeMismatch,
    /// The key of idempotency was used for another task.
    IdempotencyConflict,
    /// No model of that name is served.
    UnknownModel,
    /// The model is served, that version is not.
    UnknownVersion,
    /// No such path.
    UnknownRoute,
    /// The path exists, with another method.
    MethodNotAllowed,
    /// The body is over the limit.
    BodyTooLarge,
    /// The request brings no API key, or one that is not known.
    Unauthorized,
    /// The head of a request is over the limit.
    HeadersTooLarge,
    /// A file or choice of the operator cannot be used.
    InvalidConfiguration,
    /// A file does not exist.
    PathNotFound,
    /// A server could not bind its address.
    AddressInUse,
    /// The queue is full.
    QueueFull,
    /// What waits takes longer than the request can wait.
    DeadlineOutOfReach,
    /// The server holds as many connections or bodies as it may.
    ServerBusy,
    /// The server is shutting down.
    ShuttingDown,
    /// The deadline of the request passed.
    DeadlineExceeded,
    /// The model raised or answered wrongly.
    ModelFailed,
    /// No worker of the model can be started.
    ModelUnavailable,
    /// The worker process ended while it answered.
    WorkerLost,
    /// The worker process did not answer in time.
    WorkerTimeout,
    /// There is no package that could be used.
    InvalidPackage,
    /// The package is damaged.
    CorruptPackage,
    /// The package runs code, and that was not allowed.
    UntrustedPackage,
    /// The package is not signed as it has to be.
    SignatureRefused,
    /// The model cannot be run.
    UnsupportedModel,
    /// A router leads to itself, or through more routers than are followed.
    RouterCycle,
    /// Something that the package requires is not installed.
    UnmetRequirement,
    /// A defect of the server.
    Internal,
}

/// What travels of each code, in the order of [`Code::ALL`]: (name, HTTP status, gRPC status name).
const ENTRIES: [(Code, (&str, u16, &str)); Code::ALL.len()] = [
    (Code::MalformedJson, ("malformed_json", 400, "INVALID_ARGUMENT")),
    (Code::InvalidRequest, ("invalid_request", 400, "INVALID_ARGUMENT")),
    (Code::WrongDtype, ("wrong_dtype", 400, "INVALID_ARGUMENT")),
    (Code::WrongShape, ("wrong_shape", 400, "INVALID_ARGUMENT")),
    (Code::MissingColumn, ("missing_column", 400, "INVALID_ARGUMENT")),
    (Code::UnexpectedColumn, ("unexpected_column", 400, "INVALID_ARGUMENT")),
    (Code::DuplicateColumn, ("duplicate_column", 400, "INVALID_ARGUMENT")),
    (Code::NullNotAllowed, ("null_not_allowed", 400, "INVALID_ARGUMENT")),
    (Code::InvalidBinary, ("invalid_binary", 400, "INVALID_ARGUMENT")),
    (Code::InvalidArrow, ("invalid_arrow", 400, "INVALID_ARGUMENT")),
    (Code::InvalidProtobuf, ("invalid_protobuf", 400, "INVALID_ARGUMENT")),
    (Code::TimeWithoutZone, ("time_without_zone", 400, "INVALID_ARGUMENT")),
    (Code::DuplicateTask, ("duplicate_task", 400, "INVALID_ARGUMENT")),
    (Code::UnknownTable, ("unknown_table", 400, "INVALID_ARGUMENT")),
    (Code::TooManyTasks, ("too_many_tasks", 413, "RESOURCE_EXHAUSTED")),
    (Code::TooManyRows, ("too_many_rows", 413, "RESOURCE_EXHAUSTED")),
    (Code::NoRoute, ("no_route", 400, "INVALID_ARGUMENT")),
    (Code::MergeMismatch, ("merge_mismatch", 400, "INVALID_ARGUMENT")),
    (Code::IdempotencyConflict, ("idempotency_conflict", 409, "ALREADY_EXISTS")),
    (Code::UnknownModel, ("unknown_model", 404, "NOT_FOUND")),
    (Code::UnknownVersion, ("unknown_version", 404, "NOT_FOUND")),
    (Code::UnknownRoute, ("unknown_route", 404, "UNIMPLEMENTED")),
    (Code::MethodNotAllowed, ("method_not_allowed", 405, "UNIMPLEMENTED")),
    (Code::BodyTooLarge, ("body_too_large", 413, "RESOURCE_EXHAUSTED")),
    (Code::Unauthorized, ("unauthorized", 401, "UNAUTHENTICATED")),
    (Code::HeadersTooLarge, ("headers_too_large", 431, "RESOURCE_EXHAUSTED")),
    (Code::InvalidConfiguration, ("invalid_configuration", 400, "INVALID_ARGUMENT")),
    (Code::PathNotFound, ("path_not_found", 404, "NOT_FOUND")),
    (Code::AddressInUse, ("address_in_use", 409, "ALREADY_EXISTS")),
    (Code::QueueFull, ("queue_full", 429, "RESOURCE_EXHAUSTED")),
    (Code::DeadlineOutOfReach, ("deadline_out_of_reach", 503, "UNAVAILABLE")),
    (Code::ServerBusy, ("server_busy", 503, "UNAVAILABLE")),
    (Code::ShuttingDown, ("shutting_down", 503, "UNAVAILABLE")),
    (Code::DeadlineExceeded, ("deadline_exceeded", 504, "DEADLINE_EXCEEDED")),
    (Code::ModelFailed, ("model_failed", 500, "INTERNAL")),
    (Code::ModelUnavailable, ("model_unavailable", 503, "UNAVAILABLE")),
    (Code::WorkerLost, ("worker_lost", 500, "INTERNAL")),
    (Code::WorkerTimeout, ("worker_timeout", 504, "DEADLINE_EXCEEDED")),
    (Code::InvalidPackage, ("invalid_package", 422, "FAILED_PRECONDITION")),
    (Code::CorruptPackage, ("corrupt_package", 422, "DATA_LOSS")),
    (Code::UntrustedPackage, ("untrusted_package", 403, "PERMISSION_DENIED")),
    (Code::SignatureRefused, ("signature_refused", 422, "FAILED_PRECONDITION")),
    (Code::UnsupportedModel, ("unsupported_model", 422, "FAILED_PRECONDITION")),
    (Code::RouterCycle, ("router_cycle", 422, "FAILED_PRECONDITION")),
    (Code::UnmetRequirement, ("unmet_requirement", 422, "FAILED_PRECONDITION")),
    (Code::Internal, ("internal", 500, "INTERNAL")),
];

impl Code {
    /// Every code, in the order of the catalogue.
    pub const ALL: [Self; 46] = [
        Self::MalformedJson,
        Self::InvalidRequest,
        Self::WrongDtype,
        Self::WrongShape,
        Self::MissingColumn,
        Self::UnexpectedColumn,
        Self::DuplicateColumn,
        Self::NullNotAllowed,
        Self::InvalidBinary,
        Self::InvalidArrow,
        Self::InvalidProtobuf,
        Self::TimeWithoutZone,
        Self::DuplicateTask,
        Self::UnknownTable,
        Self::TooManyTasks,
        Self::TooManyRows,
        Self::NoRoute,
        Self::MergeMismatch,
        Self::IdempotencyConflict,
        Self::UnknownModel,
        Self::UnknownVersion,
        Self::UnknownRoute,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::Unauthorized,
        Self::HeadersTooLarge,
        Self::InvalidConfiguration,
        Self::PathNotFound,
        Self::AddressInUse,
        Self::QueueFull,
        Self::DeadlineOutOfReach,
        Self::ServerBusy,
        Self::ShuttingDown,
        Self::DeadlineExceeded,
        Self::ModelFailed,
        Self::ModelUnavailable,
        Self::WorkerLost,
        Self::WorkerTimeout,
        Self::InvalidPackage,
        Self::CorruptPackage,
        Self::UntrustedPackage,
        Self::SignatureRefused,
        Self::UnsupportedModel,
        Self::RouterCycle,
        Self::UnmetRequirement,
        Self::Internal,
    ];

    /// (name, HTTP status, gRPC status name).
    const fn entry(self) -> (&'static str, u16, &'static str) {
        ENTRIES[self as usize].1
    }

    /// The name that travels, for example `"wrong_shape"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// The HTTP status.
    #[must_use]
    pub const fn http(self) -> u16 {
        self.entry().1
    }

    /// The name of the gRPC status.
    #[must_use]
    pub const fn grpc(self) -> &'static str {
        self.entry().2
    }

    /// Whether a worker process was lost: nothing is said about the records that it held.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::WorkerLost | Self::WorkerTimeout)
    }

    /// The code of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

/// A message, at most; gRPC clients refuse headers of more than 8 KiB.
const MESSAGE_BYTES: usize = 1024;

/// Something went wrong: the code, what happened, and what to do.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// What happened, the offending value, what was expected.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// When it may be worth trying again, from now on.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault without a hint. A message is one line and not long: parts of it may be what a client sent, and over
    /// gRPC it travels in a header.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > MESSAGE_BYTES || message.contains(['\n', '\r']) {
            message = message.replace(['\n', '\r'], " ");
            if let Some((end, _)) = message.char_indices().find(|(place, _)| *place > MESSAGE_BYTES) {
                message.truncate(end);
                message.push_str("...");
            }
        }
        Self { code, message, hint: None, retry_after: None }
    }

    /// The same fault with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What most functions of this crate return.
pub type Outcome<T> = Result<T, Fault>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_not_long() {
        let fault = Fault::new(Code::Internal, format!("a\nb{}", "\u{e9}".repeat(10_000)));
        assert!(fault.message.starts_with("a b") && fault.message.ends_with("...") && fault.message.len() < 1100);
    }

    #[test]
    fn every_code_has_the_entry_of_its_own_place() {
        assert!(Code::ALL.iter().zip(ENTRIES).enumerate().all(|(place, (code, entry))| *code as usize == place && entry.0 == *code));
    }

    #[test]
    fn every_code_stands_in_the_catalogue_with_the_same_statuses() {
        let text = include_str!("../../../protocol/errors.toml");
        let catalogue: toml::Table = text.parse().unwrap();
        for code in Code::ALL {
            let entry = catalogue[code.name()].as_table().unwrap();
            assert_eq!(entry["http"].as_integer(), Some(i64::from(code.http())), "{}", code.name());
            assert_eq!(entry["grpc"].as_str(), Some(code.grpc()), "{}", code.name());
        }
    }
}
