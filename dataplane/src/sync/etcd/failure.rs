//! Why a list or a watch ended, and what follows from it.

use std::time::Duration;

use etcd_client::Error;

/// etcd's own words for a revision that is gone; the gRPC code alone is shared with other failures.
const COMPACTED: &str = "required revision has been compacted";
/// etcd's own words for a revision that is not there yet: its history is another one.
const FUTURE: &str = "required revision is a future revision";
/// The gRPC code for a missing or wrong login.
const UNAUTHENTICATED: i32 = 16;
/// The gRPC code for a missing right.
const PERMISSION_DENIED: i32 = 7;
/// etcd's own words for a request without a login where one is needed.
const NO_LOGIN: &str = "user name is empty";
/// The gRPC code tonic uses for a message above the limit.
const OUT_OF_RANGE: i32 = 11;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No answer in time; the connection may be half open.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The stream ended.
    #[error("the watch ended")]
    Ended,
    /// The history before this point is gone.
    #[error("the history from revision {0} on is compacted away")]
    Compacted(i64),
    /// etcd gave the watch up.
    #[error("etcd cancelled the watch ({0})")]
    Cancelled(String),
    /// Restored from an older snapshot.
    #[error("the store's revision went back from {from} to {to}: it was restored from an older snapshot")]
    WentBackwards {
        /// The newest revision seen before.
        from: i64,
        /// The revision now.
        to: i64,
    },
    /// Another cluster answers.
    #[error("another cluster answers at these endpoints")]
    AnotherCluster,
    /// The documents seen are not the ones the head names.
    #[error("the documents seen are not the ones the head names")]
    Incomplete,
    /// A right is missing; retrying fast cannot help.
    #[error("etcd refuses this node ({0}): check user, password and role in etcd and in the settings")]
    Denied(String),
    /// A certificate, key or password that was good at the start is not any more.
    #[error(transparent)]
    Unusable(#[from] lgsp_etcd::UnusableFile),
    /// More than a node takes.
    #[error("the configuration is larger than a node takes")]
    TooLarge,
    /// Anything else of the connection.
    #[error("{}", lgsp_etcd::explain(.0))]
    Client(Error),
}

impl Failure {
    /// Whether what was read so far cannot be continued.
    pub fn calls_for_a_list(&self) -> bool {
        match self {
            Failure::Compacted(_)
            | Failure::Cancelled(_)
            | Failure::WentBackwards { .. }
            | Failure::AnotherCluster
            | Failure::Incomplete
            | Failure::TooLarge => true,
            Failure::Silent(_) | Failure::Ended | Failure::Denied(_) | Failure::Unusable(_) | Failure::Client(_) => {
                false
            }
        }
    }

    /// Whether a page was larger than one message may be.
    pub fn is_a_large_message(&self) -> bool {
        let Failure::Client(Error::GRpcStatus(status)) = self else { return false };
        status.code() as i32 == OUT_OF_RANGE
    }

    /// Why etcd cancelled a watch.
    pub fn of_cancellation(compact_revision: i64, reason: &str) -> Self {
        if compact_revision > 0 {
            Failure::Compacted(compact_revision)
        } else if reason.contains("permission denied") || reason.contains("auth") {
            Failure::Denied(reason.to_owned())
        } else {
            Failure::Cancelled(reason.to_owned())
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Error::GRpcStatus(status) = &error else { return Failure::Client(error) };
        let denied = matches!(status.code() as i32, UNAUTHENTICATED | PERMISSION_DENIED);
        if denied || status.message().contains(NO_LOGIN) {
            return Failure::Denied(status.message().to_owned());
        }
        if status.message().contains(COMPACTED) {
            return Failure::Compacted(0);
        }
        if status.message().contains(FUTURE) {
            return Failure::Cancelled(status.message().to_owned());
        }
        Failure::Client(error)
    }
}
