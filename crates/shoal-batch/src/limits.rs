//! How large a micro-batch may be, and how much may wait.

/// The four numbers a batcher keeps to. Each counts as at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows in one micro-batch, at most.
    pub max_rows: usize,
    /// Bytes in one micro-batch, at most. The one exception: a single row that is larger travels alone.
    pub max_bytes: usize,
    /// Rows that wait, at most.
    pub queue_rows: usize,
    /// Bytes that wait, at most.
    pub queue_bytes: usize,
}

impl Limits {
    /// A limit of zero would hold work back forever, so it counts as one.
    pub(crate) fn at_least_one(self) -> Self {
        Self {
            max_rows: self.max_rows.max(1),
            max_bytes: self.max_bytes.max(1),
            queue_rows: self.queue_rows.max(1),
            queue_bytes: self.queue_bytes.max(1),
        }
    }
}
