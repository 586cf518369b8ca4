//! Files that the operator names, and when they change.
//!
//! A file is looked at once a second, by its name: so a change is also noticed where a folder is mounted anew or a link
//! is turned, as Kubernetes does with its secrets, and on file systems that tell of no changes. A look costs some
//! microseconds; a server without such files does not look.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::fault::{Code, Fault, Outcome};

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// A file of keys or certificates, at most.
const LIMIT_BYTES: u64 = 1 << 20;

/// Reads a text; `what` is what the file holds, for the fault.
///
/// # Errors
/// `PathNotFound`, `InvalidConfiguration` for what cannot be read or is no text.
pub(crate) fn read_text(path: &Path, what: &str) -> Outcome<String> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Fault::new(Code::InvalidConfiguration, format!("the {what} {} cannot be read: {error}", path.display()))
    };
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::new(Code::PathNotFound, format!("there is no {what} at {}", path.display())),
        _ => unreadable(&error),
    })?;
    if metadata.len() > LIMIT_BYTES {
        return Err(unreadable(&format!("it has {} bytes, expected at most {LIMIT_BYTES}", metadata.len())));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(&error))
}

/// What tells one state of a file from the next; None when it cannot be looked at.
pub(crate) type Stamp = Option<(SystemTime, u64, i64, i64, u64)>;

/// The present state of a file.
pub(crate) fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.ino(), metadata.ctime(), metadata.ctime_nsec(), metadata.len()))
}
