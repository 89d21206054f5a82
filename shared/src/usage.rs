//! When credentials were last used, as nodes report it: in pages, so that thousands of keys fit and a change costs a page.
//!
//! ```text
//! /lgsp/v1/usage/<node>/<page>     under the node's lease; outside the watched prefix
//! <bundle>.status/<node>.usage     all pages of a node that reads a bundle
//! ```
//!
//! A page holds the access keys whose hash is its number. Times are rounded by their reporter: a key that is always in
//! use is told once in [`USAGE_RESOLUTION_SECS`], which is enough to see that one has not been used for days.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::id::{AccessKey, NodeId};
use crate::keyspace::bundle_status_dir;
use crate::timestamp::UnixSeconds;

/// All reports; ends in `/`.
pub const USAGE_PREFIX: &str = "/lgsp/v1/usage/";
/// Pages per node.
pub const USAGE_PAGES: usize = 64;
/// Keys in one page; what comes beyond is not reported. 64 pages hold a quarter of a million keys.
pub const USAGE_PAGE_KEYS_MAX: usize = 4_096;
/// The longest page a reader takes, in bytes: [`USAGE_PAGE_KEYS_MAX`] of the longest keys.
pub const USAGE_PAGE_BYTES_MAX: usize = 384 << 10;
/// A use is reported when it is at least this much later than the one reported before.
pub const USAGE_RESOLUTION_SECS: i64 = 3_600;

/// When keys were last used, as seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsagePage(pub BTreeMap<AccessKey, i64>);

impl UsagePage {
    /// Reads what a node reported, or a file of all its pages, at most `bytes_max` long.
    pub fn parse(bytes: &[u8], bytes_max: usize) -> Option<Self> {
        if bytes.len() > bytes_max {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }

    /// The page as JSON.
    pub fn to_json(&self) -> String {
        // Texts and numbers only: serialising cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a node has reported, and so what is worth reporting next.
#[derive(Debug, Default)]
pub struct UsageReport {
    told: BTreeMap<AccessKey, i64>,
}

impl UsageReport {
    /// The pages that changed since they were reported, by number, whole. Nothing changes unless they are: call
    /// [`UsageReport::keep`] when they were.
    pub fn changed(&self, used: impl Iterator<Item = (AccessKey, UnixSeconds)>) -> BTreeMap<usize, UsagePage> {
        let mut pages: BTreeMap<usize, (bool, UsagePage)> = BTreeMap::new();
        for (key, at) in used {
            let told = self.told.get(&key).copied();
            let news = told.is_none_or(|told| at.0.saturating_sub(told) >= USAGE_RESOLUTION_SECS);
            let (changed, page) = pages.entry(page_of(&key)).or_default();
            if page.0.len() < USAGE_PAGE_KEYS_MAX {
                *changed |= news;
                page.0.insert(key, if news { at.0 } else { told.unwrap_or(at.0) });
            }
        }
        let changed = pages.into_iter().filter(|(_, (changed, _))| *changed);
        changed.map(|(number, (_, page))| (number, page)).collect()
    }

    /// Remembers that this page was reported.
    pub fn keep(&mut self, page: &UsagePage) {
        self.told.extend(page.0.iter().map(|(key, at)| (key.clone(), *at)));
    }

    /// Everything that was reported.
    pub fn all(&self) -> UsagePage {
        UsagePage(self.told.clone())
    }
}

/// The page of a key: FNV-1a, the same on every node and in every version.
fn page_of(key: &AccessKey) -> usize {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    key.as_str().bytes().fold(0x811c_9dc5, mix) as usize % USAGE_PAGES
}

/// The key of a page.
pub fn usage_key(node: &NodeId, page: usize) -> String {
    format!("{USAGE_PREFIX}{node}/{page}")
}

/// The file in which `node` reports when it reads `bundle`.
pub fn bundle_usage_path(bundle: &Path, node: &NodeId) -> PathBuf {
    bundle_status_dir(bundle).join(format!("{node}.usage"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(keys: &[(&str, i64)]) -> Vec<(AccessKey, UnixSeconds)> {
        keys.iter().map(|(key, at)| (key.parse().unwrap(), UnixSeconds(*at))).collect()
    }

    fn report(report: &mut UsageReport, keys: &[(&str, i64)]) -> BTreeMap<AccessKey, i64> {
        let changed = report.changed(used(keys).into_iter());
        changed.values().for_each(|page| report.keep(page));
        changed.into_values().flat_map(|page| page.0).collect()
    }

    #[test]
    fn a_key_in_use_is_told_once_in_an_hour_and_a_new_one_at_once() {
        let mut kept = UsageReport::default();
        assert_eq!(report(&mut kept, &[("AAAAAAAA", 1_000)]).len(), 1);
        assert_eq!(report(&mut kept, &[("AAAAAAAA", 1_000 + USAGE_RESOLUTION_SECS - 1)]).len(), 0);
        let later = report(&mut kept, &[("AAAAAAAA", 1_000 + USAGE_RESOLUTION_SECS), ("BBBBBBBB", 7)]);
        assert_eq!(later.values().copied().collect::<Vec<_>>(), [1_000 + USAGE_RESOLUTION_SECS, 7]);
        assert_eq!(kept.all().0.len(), 2);
    }

    #[test]
    fn ten_thousand_keys_spread_over_the_pages_and_each_page_fits() {
        let keys: Vec<_> = (0..10_000).map(|at| (format!("LGSP{at:016}").parse().unwrap(), UnixSeconds(1))).collect();
        let pages = UsageReport::default().changed(keys.into_iter());
        assert_eq!(pages.len(), USAGE_PAGES);
        assert!(pages.values().all(|page| (50..400).contains(&page.0.len())));
        let longest =
            UsagePage((0..USAGE_PAGE_KEYS_MAX).map(|at| (format!("{at:064}").parse().unwrap(), i64::MAX)).collect());
        let text = longest.to_json();
        assert_eq!(UsagePage::parse(text.as_bytes(), USAGE_PAGE_BYTES_MAX), Some(longest));
        assert_eq!(UsagePage::parse(text.as_bytes(), 10), None);
    }
}
