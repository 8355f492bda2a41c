//! What a directory can be watched for.

/// What to watch a directory for. The system may report more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    Added,
    Removed,
}
