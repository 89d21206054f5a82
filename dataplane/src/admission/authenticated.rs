//! Step two: the claim is true. The signature matches and the credential may be used.

use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::refusal::Code;
use lgsp_shared::resource::CredentialState;
use lgsp_shared::signature::Claim;

use super::refusal::Refusal;
use crate::clock::Now;
use crate::snapshot::{Credential, DIAGNOSES_PER_SECOND_MAX, Snapshot};

/// A claim whose signature was verified. Borrows it: a claim is over 1 KiB, and handing it from step to step by value cost
/// half as much as checking it.
#[derive(Clone, Copy)]
pub struct Authenticated<'c, 'a> {
    claim: &'c Claim<'a>,
    credential: &'c Arc<Credential>,
}

impl<'c, 'a> Authenticated<'c, 'a> {
    /// Verifies the signature first and looks at the credential's state after it, so that only who holds the secret
    /// learns that a key is disabled or expired. An unknown key costs what a wrong signature costs.
    pub fn check(
        claim: &'c Claim<'a>,
        head: &RequestHead<'a>,
        snapshot: &'c Snapshot,
        now: Now,
    ) -> Result<Self, Refusal> {
        let Some(credential) = snapshot.credential(claim.access_key()) else {
            let _ = claim.verify(head, snapshot.decoy());
            return Err(Refusal::new(Code::KeyUnknown).with_detail(unknown(claim.access_key())));
        };
        if claim.verify(head, &credential.key).is_err() {
            return Err(mismatch(claim, head, credential, snapshot, now));
        }
        match usable(credential, now) {
            Ok(()) => {
                credential.used.touch(now.unix);
                Ok(Self { claim, credential })
            }
            Err(code) => Err(Refusal::new(code).from(credential)),
        }
    }

    /// The claim.
    pub fn claim(&self) -> &'c Claim<'a> {
        self.claim
    }

    /// The credential that made the signature.
    pub fn credential(&self) -> &'c Arc<Credential> {
        self.credential
    }
}

/// The largest head in which differences are looked for, in bytes: it is verified up to 18 times.
const DIAGNOSED_BYTES_MAX: usize = 4 << 10;

/// Names what differs, which only who holds the secret is told; and shows what the node expected to be signed, where the
/// route, or else the platform's default, allows it. Who sent it is not proved, so that the search is bounded: by the
/// size of the head, and by how often it is made for one key.
#[cold]
fn mismatch(
    claim: &Claim<'_>,
    head: &RequestHead<'_>,
    credential: &Credential,
    snapshot: &Snapshot,
    now: Now,
) -> Refusal {
    let mut room = PathRoom::default();
    let path = MatchedPath::of(head.path, &mut room);
    let route = snapshot.router().find(head.authority, &path, head.method);
    let shows = route.map_or(snapshot.defaults.debug_signatures, |found| found.route.debug_signatures);
    let expected = shows.then(|| claim.expected_text(head).into());
    let detail = if head_bytes(head) > DIAGNOSED_BYTES_MAX {
        "the head is larger than 4 KiB, so that it was not looked for what differs: try it with a smaller request, or compare \
         the secret key and the exact text you signed"
            .into()
    } else if !credential.diagnoses.take(now.unix) {
        format!(
            "what differs was not looked for: that is done {DIAGNOSES_PER_SECOND_MAX} times a second for one access key; \
             send it again, or compare the secret key and the exact text you signed"
        )
    } else {
        claim.diagnose(head, &credential.key)
    };
    Refusal { expected, ..Refusal::new(Code::SignatureInvalid).with_detail(detail) }
}

fn head_bytes(head: &RequestHead<'_>) -> usize {
    let fields: usize = head.fields.iter().map(|field| field.name.len() + field.value.len()).sum();
    head.path.len() + head.query.map_or(0, str::len) + fields
}

#[cold]
fn unknown(access_key: &str) -> String {
    /// No more of a hostile key than its owner needs to recognise it.
    const SHOWN_CHARS_MAX: usize = 64;
    let readable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let shown: String = access_key.chars().take(SHOWN_CHARS_MAX).map(readable).collect();
    format!("the request names the access key `{shown}`")
}

/// Whether the credential may be used now; explanations ask the same.
pub(super) fn usable(credential: &Credential, now: Now) -> Result<(), Code> {
    let validity = credential.validity;
    let early = validity.not_before.is_some_and(|start| now.unix < start);
    let late = validity.not_after.is_some_and(|end| now.unix >= end);
    match credential.state {
        CredentialState::Disabled => Err(Code::KeyDisabled),
        CredentialState::Active | CredentialState::Retiring if early => Err(Code::KeyNotYetValid),
        CredentialState::Active if late => Err(Code::KeyExpired),
        CredentialState::Retiring if late => Err(Code::KeyRetired),
        CredentialState::Active | CredentialState::Retiring => Ok(()),
    }
}
