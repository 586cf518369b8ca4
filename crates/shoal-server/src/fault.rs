//! What can go wrong, by stable code.
//!
//! One [`Code`] for each entry of `protocol/errors.toml` that this crate can raise; a test holds the two
//! together. A [`Fault`] says what happened, the offending value and what was expected; the remedy is a
//! separate hint.

use std::ops::{Deref, DerefMut};
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

    /// (name, HTTP status, gRPC status name) of each code.
    const ENTRIES: [(&'static str, u16, &'static str); Self::ALL.len()] = [
        ("malformed_json", 400, "INVALID_ARGUMENT"),
        ("invalid_request", 400, "INVALID_ARGUMENT"),
        ("wrong_dtype", 400, "INVALID_ARGUMENT"),
        ("wrong_shape", 400, "INVALID_ARGUMENT"),
        ("missing_column", 400, "INVALID_ARGUMENT"),
        ("unexpected_column", 400, "INVALID_ARGUMENT"),
        ("duplicate_column", 400, "INVALID_ARGUMENT"),
        ("null_not_allowed", 400, "INVALID_ARGUMENT"),
        ("invalid_binary", 400, "INVALID_ARGUMENT"),
        ("invalid_arrow", 400, "INVALID_ARGUMENT"),
        ("invalid_protobuf", 400, "INVALID_ARGUMENT"),
        ("time_without_zone", 400, "INVALID_ARGUMENT"),
        ("duplicate_task", 400, "INVALID_ARGUMENT"),
        ("unknown_table", 400, "INVALID_ARGUMENT"),
        ("too_many_tasks", 413, "RESOURCE_EXHAUSTED"),
        ("too_many_rows", 413, "RESOURCE_EXHAUSTED"),
        ("no_route", 400, "INVALID_ARGUMENT"),
        ("merge_mismatch", 400, "INVALID_ARGUMENT"),
        ("idempotency_conflict", 409, "ALREADY_EXISTS"),
        ("unknown_model", 404, "NOT_FOUND"),
        ("unknown_version", 404, "NOT_FOUND"),
        ("unknown_route", 404, "UNIMPLEMENTED"),
        ("method_not_allowed", 405, "UNIMPLEMENTED"),
        ("body_too_large", 413, "RESOURCE_EXHAUSTED"),
        ("unauthorized", 401, "UNAUTHENTICATED"),
        ("headers_too_large", 431, "RESOURCE_EXHAUSTED"),
        ("invalid_configuration", 400, "INVALID_ARGUMENT"),
        ("path_not_found", 404, "NOT_FOUND"),
        ("address_in_use", 409, "ALREADY_EXISTS"),
        ("queue_full", 429, "RESOURCE_EXHAUSTED"),
        ("deadline_out_of_reach", 503, "UNAVAILABLE"),
        ("server_busy", 503, "UNAVAILABLE"),
        ("shutting_down", 503, "UNAVAILABLE"),
        ("deadline_exceeded", 504, "DEADLINE_EXCEEDED"),
        ("model_failed", 500, "INTERNAL"),
        ("model_unavailable", 503, "UNAVAILABLE"),
        ("worker_lost", 500, "INTERNAL"),
        ("worker_timeout", 504, "DEADLINE_EXCEEDED"),
        ("invalid_package", 422, "FAILED_PRECONDITION"),
        ("corrupt_package", 422, "DATA_LOSS"),
        ("untrusted_package", 403, "PERMISSION_DENIED"),
        ("signature_refused", 422, "FAILED_PRECONDITION"),
        ("unsupported_model", 422, "FAILED_PRECONDITION"),
        ("router_cycle", 422, "FAILED_PRECONDITION"),
        ("unmet_requirement", 422, "FAILED_PRECONDITION"),
        ("internal", 500, "INTERNAL"),
    ];

    const fn entry(self) -> (&'static str, u16, &'static str) {
        Self::ENTRIES[self as usize]
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

/// Something went wrong: what is known of it, in a place of its own. Outcomes are handed on many times, and few of them are faults.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.message)]
pub struct Fault(Box<Report>);

/// The code, what happened, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The stable code.
    pub code: Code,
    /// What happened, the offending value, what was expected.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// When it may be worth trying again, from now on.
    pub retry_after: Option<Duration>,
    /// The method that the address takes, where another was used.
    pub allowed: Option<&'static str>,
}

impl Fault {
    /// A fault without a hint. A message is one line and not long: parts of it may be what a client sent, and over
    /// gRPC it travels in a header.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Report { code, message: short(message.into()), hint: None, retry_after: None, allowed: None }))
    }

    /// The same fault with another message.
    #[must_use]
    pub fn told(mut self, message: impl Into<String>) -> Self {
        self.message = short(message.into());
        self
    }

    /// The same fault with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault with another code.
    #[must_use]
    pub fn coded(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same fault, after which it may be worth trying again.
    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }
}

/// A message of one line that is not long.
fn short(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES || message.contains(['\n', '\r']) {
        message = message.replace(['\n', '\r'], " ");
        if let Some((end, _)) = message.char_indices().find(|(place, _)| *place > MESSAGE_BYTES) {
            message.truncate(end);
            message.push_str("...");
        }
    }
    message
}

impl Deref for Fault {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

impl DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.0
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
    fn every_code_stands_in_the_catalogue_with_the_same_statuses() {
        let text = include_str!("../../../protocol/errors.toml");
        let catalogue: toml::Table = text.parse().unwrap();
        for (place, code) in Code::ALL.into_iter().enumerate() {
            // The name is that of the variant: neither list is out of step.
            assert_eq!((code as usize, code.name().replace('_', "")), (place, format!("{code:?}").to_lowercase()));
            let entry = catalogue[code.name()].as_table().unwrap();
            assert_eq!(entry["http"].as_integer(), Some(i64::from(code.http())), "{}", code.name());
            assert_eq!(entry["grpc"].as_str(), Some(code.grpc()), "{}", code.name());
        }
    }
}
