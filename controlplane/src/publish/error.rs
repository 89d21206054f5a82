//! Why a revision is not published, as operators read it.

use lgsp_shared::id::Revision;

use crate::store::StoreError;

/// Why a revision is not published. All but [`PublishError::Older`] and [`PublishError::NotOurs`] pass by themselves.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file cannot be written.
    #[error("cannot write the bundle `{path}`; check that its directory exists and has room")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// etcd does not do what it was asked.
    #[error("etcd does not answer as it should ({0}); check that it runs and that its endpoints are right")]
    Etcd(String),
    /// etcd's quota is used up.
    #[error(
        "etcd has no space left, so nothing is published, revocations neither: compact and defragment it \
         (`etcdctl compact`, `etcdctl defrag`), raise `--quota-backend-bytes`, then `etcdctl alarm disarm`; run it with \
         `--auto-compaction-retention=1h`"
    )]
    NoSpace,
    /// A certificate, key or password that was good at the start is not any more.
    #[error(transparent)]
    Unusable(#[from] lgsp_etcd::UnusableFile),
    /// The lead was taken over, or could not be kept.
    #[error("the lead among control planes was lost; it is sought again")]
    Lost,
    /// Whether something published is this database's cannot be told.
    #[error("the database cannot say whether the published configuration is its own")]
    Database(#[source] StoreError),
    /// The leader has another database.
    #[error(
        "revision {revision} is published by `{leader}` with other content: that control plane has another database; \
         stop one of them, or give each its own etcd"
    )]
    Foreign {
        /// Who publishes.
        leader: String,
        /// Which revision.
        revision: Revision,
    },
    /// The place holds a later revision that this database does not know.
    #[error(
        "revision {found} is published, and this database is only at {current}: it was restored from an older backup, or \
         another control plane publishes here; to take its place on purpose use `lgspctl publish --allow-older`"
    )]
    Older {
        /// What is published.
        found: Revision,
        /// What would be.
        current: Revision,
    },
    /// The place holds something that this database never made.
    #[error(
        "the published revision {found}{of} was not made by this database: it was restored from an older backup, or \
         another control plane publishes here; nodes keep the published revision. To take its place on purpose use \
         `lgspctl publish --allow-older`"
    )]
    NotOurs {
        /// What is published.
        found: Revision,
        /// Whose it says it is, as an addition to the sentence; may be empty.
        of: String,
    },
}

impl PublishError {
    /// Whether the published configuration belongs to another database.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::Older { .. } | Self::NotOurs { .. })
    }
}
