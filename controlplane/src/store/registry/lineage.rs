//! What a code became and what it came from, through any number of reorganisations.

use std::collections::{BTreeSet, VecDeque};

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::timestamp::UnixSeconds;

use super::super::{Store, StoreError};
use crate::registry::directory::Agency;
use crate::registry::reorganisation::{CHAIN_MAX, Succession};

/// Where a code leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The agency that has the code, or had it.
    pub asked: Agency,
    /// The agencies that exist now in its place: itself, its successors, or none.
    pub current: Vec<Agency>,
    /// Until when an old code resolves; absent while the agency exists.
    pub alias_until: Option<UnixSeconds>,
}

impl Resolved {
    /// Whether the code still leads somewhere.
    pub fn resolves_at(&self, now: UnixSeconds) -> bool {
        !self.current.is_empty() && self.alias_until.is_none_or(|until| now < until)
    }
}

impl Store {
    /// Follows a code to what exists now; none when it was never known.
    pub async fn resolve_agency(&self, code: &AgencyCode) -> Result<Option<Resolved>, StoreError> {
        let Some(asked) = self.agency(code).await? else { return Ok(None) };
        let (mut current, mut alias_until) = (Vec::new(), None);
        let mut seen = BTreeSet::from([asked.code.clone()]);
        let mut ahead = VecDeque::from([asked.clone()]);
        while let Some(agency) = ahead.pop_front() {
            if agency.ended.is_none() {
                current.push(agency);
                continue;
            }
            let links = self.successions_from(&agency.code).await?;
            // A code may have ended more than once; what counts is the last time.
            let last = links.iter().map(|link| link.reorganisation).max();
            for link in links.into_iter().filter(|link| Some(link.reorganisation) == last) {
                if agency.code == asked.code {
                    alias_until = Some(link.alias_until);
                }
                let Some(new) = link.new else { continue };
                if seen.len() < CHAIN_MAX
                    && seen.insert(new.clone())
                    && let Some(next) = self.agency(&new).await?
                {
                    ahead.push_back(next);
                }
            }
        }
        Ok(Some(Resolved { asked, current, alias_until }))
    }

    /// Every link that leads to or from a code, in the order of time; at most [`CHAIN_MAX`] codes are followed.
    pub async fn lineage(&self, code: &AgencyCode) -> Result<Vec<Succession>, StoreError> {
        let mut links: Vec<Succession> = Vec::new();
        for direction in [Direction::Forward, Direction::Back] {
            let (mut seen, mut ahead) = (BTreeSet::from([code.clone()]), VecDeque::from([code.clone()]));
            while let Some(code) = ahead.pop_front() {
                let found = match direction {
                    Direction::Forward => self.successions_from(&code).await?,
                    Direction::Back => self.successions_to(&code).await?,
                };
                for link in found {
                    let next = match direction {
                        Direction::Forward => link.new.clone(),
                        Direction::Back => Some(link.old.clone()),
                    };
                    if !links.contains(&link) {
                        links.push(link);
                    }
                    if let Some(next) = next
                        && seen.len() < CHAIN_MAX
                        && seen.insert(next.clone())
                    {
                        ahead.push_back(next);
                    }
                }
            }
        }
        links.sort_by(|one, other| {
            (one.at, one.reorganisation, &one.old, &one.new).cmp(&(
                other.at,
                other.reorganisation,
                &other.old,
                &other.new,
            ))
        });
        Ok(links)
    }
}

/// Which way links are followed.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Forward,
    Back,
}
