//! The decoder of frames as a target of [`crate::fuzz`]: what a broken or malicious worker could send.

use std::sync::LazyLock;

use super::frames::{HEADER_BYTES, read_answer, read_columns, read_header};
use super::tests::{frame, vectors};
use crate::description::Column;
use crate::fuzz::Input;

/// The columns that the golden frames declare.
static DECLARED: LazyLock<Vec<Vec<Column>>> = LazyLock::new(|| vectors().into_iter().map(|vector| vector.columns).collect());

/// Every golden frame.
pub(crate) fn corpus() -> Vec<Input> {
    vectors().iter().map(|vector| Input::from(frame(vector))).collect()
}

/// Reads a frame with every set of columns that may have been declared; the body may be shorter than its header says.
pub(crate) fn run(input: &Input) -> String {
    let Some((head, body)) = input.body.split_first_chunk::<HEADER_BYTES>() else { return "short".into() };
    let kind = match read_header(head) {
        Ok((kind, _)) => kind,
        Err(refused) => return refused,
    };
    DECLARED.iter().map(|declared| read(kind, body, declared)).collect::<Vec<_>>().join(" | ")
}

fn read(kind: super::frames::Kind, body: &[u8], declared: &[Column]) -> String {
    if let Ok(table) = read_columns(body, declared) {
        // Offsets are gone, and flags for booleans are as wide as they were.
        assert!(table.size_bytes() <= 2 * body.len(), "{} bytes of memory from a frame of {}", table.size_bytes(), body.len());
    }
    match read_answer(kind, body, declared) {
        Ok(Ok(_)) => "ok".into(),
        Ok(Err(fault)) => fault.code.name().into(),
        Err(refused) => refused,
    }
}
