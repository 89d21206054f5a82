//! Permissions, compiled: for one source and one service, the grants that may apply.

use std::sync::Arc;

use lgsp_shared::head::is_below;
use lgsp_shared::id::{PermissionId, ServiceId, SystemId};
use lgsp_shared::timestamp::{UnixSeconds, Validity};

use super::Table;
use super::quota::Quota;

/// One grant.
#[derive(Debug)]
pub struct Grant {
    /// The permission's name, kept in the record.
    pub id: PermissionId,
    /// Methods granted.
    pub methods: Box<[Box<str>]>,
    /// Path prefixes granted, without a trailing `/`; the empty prefix grants every path.
    pub paths: Box<[Box<str>]>,
    /// When it is granted.
    pub validity: Validity,
    /// Its quota.
    pub quota: Option<Arc<Quota>>,
}

impl Grant {
    /// Whether it covers this method and path now; its quota apart.
    pub fn covers(&self, method: &str, path: &str, now: UnixSeconds) -> bool {
        self.validity.holds_at(now)
            && self.methods.iter().any(|granted| &**granted == method)
            && self.paths.iter().any(|prefix| is_below(path, prefix))
    }
}

/// All grants, by source and service.
#[derive(Debug, Default)]
pub struct Grants(Table<ServiceId, Table<SystemId, Vec<Arc<Grant>>>>);

impl Grants {
    /// Adds one while compiling.
    pub(super) fn add(&mut self, source: SystemId, service: ServiceId, grant: Arc<Grant>) {
        self.0.entry(service).or_default().entry(source).or_default().push(grant);
    }

    /// The grants of `source` at `service`, in the order of their names.
    pub fn of(&self, source: &SystemId, service: &ServiceId) -> &[Arc<Grant>] {
        self.0.get(service).and_then(|sources| sources.get(source)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_grants_whole_segments_only() {
        for (path, prefix, below) in [
            ("/a", "/a", true),
            ("/a/b", "/a", true),
            ("/ab", "/a", false),
            ("/", "", true),
            ("/anything", "", true),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(is_below(path, prefix), below, "{path} below {prefix}");
        }
    }

    #[test]
    fn a_grant_covers_its_methods_paths_and_time_and_nothing_else() {
        let grant = Grant {
            id: "p".parse().unwrap(),
            methods: ["GET".into()].into(),
            paths: ["/ho-tich".into()].into(),
            validity: Validity { not_before: Some(UnixSeconds(10)), not_after: Some(UnixSeconds(20)) },
            quota: None,
        };
        assert!(grant.covers("GET", "/ho-tich/1", UnixSeconds(10)));
        assert!(!grant.covers("POST", "/ho-tich/1", UnixSeconds(10)));
        assert!(!grant.covers("get", "/ho-tich/1", UnixSeconds(10)));
        assert!(!grant.covers("GET", "/ho-tich-khac", UnixSeconds(10)));
        assert!(!grant.covers("GET", "/ho-tich/1", UnixSeconds(20)));
    }
}
