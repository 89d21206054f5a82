//! Why a record was not kept: a closed set, because each reason is a metric label and a word in `/readyz?verbose`.

/// Why a record was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The queue to the writer was full.
    QueueFull,
    /// It could not be written, and what waits for another try has reached its bound.
    Unwritable,
    /// Nobody proved to have sent the request, and the quota for such records was used up.
    Unauthenticated,
}

impl Loss {
    /// Every reason.
    pub const ALL: [Loss; 3] = [Loss::QueueFull, Loss::Unwritable, Loss::Unauthenticated];

    /// Metric label.
    pub fn label(self) -> &'static str {
        match self {
            Loss::QueueFull => "queue-full",
            Loss::Unwritable => "unwritable",
            Loss::Unauthenticated => "unauthenticated",
        }
    }
}
