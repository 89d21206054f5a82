//! The refusals of the last minutes, for whoever asks why: bounded in number and age, in memory only.
//!
//! Filled by the writer thread from records that are closed already, so that no request waits for it and success
//! allocates nothing for it. It holds names, times and the reason: no query string, no payload, no secret, no signature.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use lgsp_shared::id::{CredentialId, Revision, ServiceId, SystemId};
use lgsp_shared::refusal::{Code, DecisionId};
use lgsp_shared::timestamp::UnixSeconds;

use super::{Exchange, RequestId};
use crate::admission::StatedSignature;

/// Refusals kept; about 400 bytes each, 1.5 KiB for the longest path, host and detail: 6 MiB at most. When more come
/// within [`REFUSALS_KEPT_SECS`], the oldest go first.
pub const REFUSALS_KEPT_MAX: usize = 4_096;
/// How long one is kept, in seconds.
pub const REFUSALS_KEPT_SECS: i64 = 900;
/// Bytes of the detail kept.
const DETAIL_BYTES_KEPT: usize = 512;
/// Bytes kept of the text that was expected to be signed: 8 MiB more, where it is shown at all.
const EXPECTED_BYTES_KEPT: usize = 2_048;

/// A refusal that is remembered.
#[derive(Debug, Clone)]
pub struct KeptRefusal {
    /// Names the exchange.
    pub request_id: RequestId,
    /// When it arrived.
    pub at: UnixSeconds,
    /// The reason.
    pub code: Code,
    /// The status it was answered with; 0 when there was no answer.
    pub status: u16,
    /// What the caller was told beside the reason.
    pub detail: Option<Box<str>>,
    /// What the node expected to be signed; only where the route's `debug_signatures`, or the platform's, is on. It is the
    /// one thing here that may hold a query string, as the caller was shown it too.
    pub expected: Option<Box<str>>,
    /// The revision that decided.
    pub revision: Option<Revision>,
    /// Names the decision.
    pub decision_id: Option<DecisionId>,
    /// The method.
    pub method: Box<str>,
    /// The path without its query.
    pub path: Box<str>,
    /// The host it named.
    pub host: Option<Box<str>>,
    /// The service it was for, or a session was asked for, as far as that was found out.
    pub service: Option<ServiceId>,
    /// Who sent it, once that was proved.
    pub source: Option<(SystemId, CredentialId)>,
    /// What its signature said of itself, where the decision looked at one.
    pub signature: Option<StatedSignature>,
    /// The access key, proved or not.
    pub access_key: Option<Box<str>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct RecentRefusals(Mutex<VecDeque<KeptRefusal>>);

impl RecentRefusals {
    /// Keeps what a closed record knows of its refusal.
    pub(super) fn keep(&self, exchange: Exchange, code: Code) {
        let kept = KeptRefusal::of(exchange, code);
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = kept.at.0.saturating_sub(REFUSALS_KEPT_SECS);
        while refusals.len() >= REFUSALS_KEPT_MAX || refusals.front().is_some_and(|first| first.at.0 < oldest) {
            refusals.pop_front();
        }
        refusals.push_back(kept);
    }

    /// The refusal of this exchange, unless it is too old.
    pub fn find(&self, request_id: RequestId, now: UnixSeconds) -> Option<KeptRefusal> {
        let oldest = now.0.saturating_sub(REFUSALS_KEPT_SECS);
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.iter().rev().find(|kept| kept.request_id == request_id && kept.at.0 >= oldest).cloned()
    }
}

impl KeptRefusal {
    fn of(exchange: Exchange, code: Code) -> Self {
        let reason = exchange.reason.map(|reason| *reason);
        let (detail, expected, stated) =
            reason.map_or((None, None, None), |reason| (reason.detail, reason.expected, reason.stated));
        let cut = |text: &str, bytes: usize| text.get(..text.floor_char_boundary(bytes)).unwrap_or_default().into();
        let (host, signature) = stated.map_or((None, None), |stated| (Some(stated.authority), stated.signature));
        let proved = exchange.credential.as_deref();
        let called = exchange.called.and_then(|called| called.service).map(|named| named.id().clone());
        let access_key = proved.map(|credential| credential.access_key.as_str().into());
        Self {
            request_id: exchange.request_id,
            at: exchange.arrived.unix,
            code,
            status: exchange.status,
            detail: detail.as_deref().map(|text| cut(text, DETAIL_BYTES_KEPT)),
            expected: expected.as_deref().map(|text| cut(text, EXPECTED_BYTES_KEPT)),
            revision: exchange.revision,
            decision_id: exchange.decision_id,
            method: exchange.method.into(),
            path: exchange.path,
            host,
            service: called.or_else(|| exchange.route.as_deref().map(|route| route.service.id.clone())),
            source: proved.map(|credential| (credential.system.id.clone(), credential.id.clone())),
            access_key: access_key.or_else(|| signature.as_ref().map(|signature| signature.access_key.clone())),
            signature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MonotonicMillis, Now};

    fn refused(at: i64) -> Exchange {
        let arrived = Now { unix: UnixSeconds(at), monotonic: MonotonicMillis(0) };
        Exchange { request_id: RequestId::new(), arrived, ..Exchange::default() }
    }

    #[test]
    fn a_refusal_is_found_by_its_id_until_it_is_too_old() {
        let refusals = RecentRefusals::default();
        let (one, other) = (refused(1_000), refused(1_001));
        let (id, unknown) = (one.request_id, RequestId::new());
        refusals.keep(one, Code::ClockSkew);
        refusals.keep(other, Code::Replayed);
        let found = |id, now| refusals.find(id, UnixSeconds(now)).map(|kept| kept.code);
        assert_eq!(found(id, 1_000 + REFUSALS_KEPT_SECS), Some(Code::ClockSkew));
        assert_eq!(found(id, 1_001 + REFUSALS_KEPT_SECS), None);
        assert_eq!(found(unknown, 1_000), None);
    }

    #[test]
    fn a_flood_costs_bounded_memory_and_the_newest_are_kept() {
        let refusals = RecentRefusals::default();
        let ids: Vec<RequestId> = (0..REFUSALS_KEPT_MAX + 10)
            .map(|_| {
                let exchange = refused(1_000);
                let id = exchange.request_id;
                refusals.keep(exchange, Code::KeyUnknown);
                id
            })
            .collect();
        let kept = ids.iter().filter(|id| refusals.find(**id, UnixSeconds(1_000)).is_some()).count();
        assert_eq!((kept, refusals.find(ids[9], UnixSeconds(1_000)).is_some()), (REFUSALS_KEPT_MAX, false));
        refusals.keep(refused(1_000 + REFUSALS_KEPT_SECS + 1), Code::KeyUnknown);
        assert_eq!(refusals.0.lock().unwrap().len(), 1, "those too old go with the next that comes");
    }
}
