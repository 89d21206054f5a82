//! Permissions, compiled: for one source and one service, the grants that may apply.

use std::sync::Arc;

use lgsp_shared::id::{PermissionId, ServiceId, SystemId};
use lgsp_shared::path::MatchedPath;
use lgsp_shared::timestamp::{UnixSeconds, Validity};

use super::Table;
use super::quota::Quota;
use super::watched::Watched;
use crate::upstream::SourceShare;

/// One grant.
#[derive(Debug)]
pub struct Grant {
    /// The permission's name, kept in the record.
    pub id: PermissionId,
    /// Methods granted.
    pub methods: Box<[Box<str>]>,
    /// Path prefixes granted, in matched form and without a trailing `/`; the empty prefix grants every path.
    pub paths: Box<[Box<str>]>,
    /// When it is granted.
    pub validity: Validity,
    /// What the source holds at the service; one for all its grants there.
    pub share: Arc<SourceShare>,
    /// Its quota.
    pub quota: Option<Arc<Quota>>,
    /// What is counted for it, while it is tried.
    pub watched: Option<Arc<Watched>>,
}

impl Grant {
    /// Whether it covers this method and path now; its quota apart.
    pub fn covers(&self, method: &str, path: &MatchedPath<'_>, now: UnixSeconds) -> bool {
        self.validity.holds_at(now) && self.grants_method(method) && self.grants_path(path)
    }

    /// Whether it covers this method.
    pub fn grants_method(&self, method: &str) -> bool {
        self.methods.iter().any(|granted| &**granted == method)
    }

    /// Whether it covers this path.
    pub fn grants_path(&self, path: &MatchedPath<'_>) -> bool {
        self.paths.iter().any(|prefix| path.is_below(prefix))
    }
}

/// All grants, by source and service. Groups that did not change are shared with the snapshot before.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    effective: Arc<ByService>,
    /// Those that grant nothing and are only counted.
    shadow: Arc<ByService>,
}

type ByService = Table<ServiceId, Arc<BySource>>;
type BySource = Table<SystemId, Vec<Arc<Grant>>>;

impl Grants {
    /// Adds one while compiling; `shadow` when it grants nothing.
    pub(super) fn add(&mut self, source: &SystemId, service: &ServiceId, grant: &Arc<Grant>, shadow: bool) {
        let services = Arc::make_mut(self.table(shadow));
        let sources = Arc::make_mut(services.entry(service.clone()).or_default());
        let grants = sources.entry(source.clone()).or_default();
        // Those that are retiring come last, so that one is used only where no other would do.
        let before = |other: &Grant| (other.watched.is_some(), &other.id) < (grant.watched.is_some(), &grant.id);
        grants.insert(grants.partition_point(|other| before(other)), grant.clone());
    }

    /// Removes one while compiling.
    pub(super) fn remove(&mut self, source: &SystemId, service: &ServiceId, grant: &Grant, shadow: bool) {
        let services = Arc::make_mut(self.table(shadow));
        let Some(sources) = services.get_mut(service).map(Arc::make_mut) else { return };
        let Some(grants) = sources.get_mut(source) else { return };
        grants.retain(|other| other.id != grant.id);
        if grants.is_empty() {
            sources.remove(source);
        }
        if sources.is_empty() {
            services.remove(service);
        }
    }

    fn table(&mut self, shadow: bool) -> &mut Arc<ByService> {
        if shadow { &mut self.shadow } else { &mut self.effective }
    }

    /// The grants of `source` at `service`, in the order of their names, those that are retiring last.
    pub fn of(&self, source: &SystemId, service: &ServiceId) -> &[Arc<Grant>] {
        of(&self.effective, source, service)
    }

    /// Those of `source` at `service` that grant nothing and are only counted.
    pub fn shadow_of(&self, source: &SystemId, service: &ServiceId) -> &[Arc<Grant>] {
        of(&self.shadow, source, service)
    }
}

fn of<'t>(table: &'t ByService, source: &SystemId, service: &ServiceId) -> &'t [Arc<Grant>] {
    table.get(service).and_then(|sources| sources.get(source)).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use lgsp_shared::path::PathRoom;

    use super::*;

    #[test]
    fn a_grant_covers_its_methods_paths_and_time_and_nothing_else() {
        let grant = Grant {
            id: "p".parse().unwrap(),
            methods: ["GET".into()].into(),
            paths: ["/ho-tich".into()].into(),
            validity: Validity { not_before: Some(UnixSeconds(10)), not_after: Some(UnixSeconds(20)) },
            share: Arc::default(),
            quota: None,
            watched: None,
        };
        for (method, path, at, covered) in [
            ("GET", "/ho-tich/1", 10, true),
            ("GET", "/%68o-tich;x/1", 10, true),
            ("POST", "/ho-tich/1", 10, false),
            ("get", "/ho-tich/1", 10, false),
            ("GET", "/ho-tich-khac", 10, false),
            ("GET", "/ho-tich%2Fkhac", 10, false),
            ("GET", "/ho-tich/1", 20, false),
        ] {
            let mut room = PathRoom::default();
            assert_eq!(grant.covers(method, &MatchedPath::of(path, &mut room), UnixSeconds(at)), covered, "{path}");
        }
    }
}
