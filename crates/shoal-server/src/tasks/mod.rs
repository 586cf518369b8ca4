//! Tasks: many in one envelope, each answered by its own result or its own error.

mod merge;
