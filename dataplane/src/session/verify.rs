//! Steps 4 and 5: a target asks about a request that reached it directly, and gets a verdict it can check.

use lgsp_shared::refusal::Code;
use lgsp_shared::resource::OwnerUnreachable;
use lgsp_shared::session::message::{Accepted, HEADERS_MAX, Refused, Verdict, VerificationRequest};
use lgsp_shared::signature::{BodyRule, ContentDigest};

use super::reply::Reply;
use super::{Call, read};
use crate::admission::{Direct, Question, Refusal, ReplayWindow, admit_direct};
use crate::clock::Now;
use crate::record::{Called, Verdict as Said};

const OK: u16 = 200;

pub(super) async fn answer<F>(
    call: &Call,
    body: &[u8],
    replay: &ReplayWindow,
    now: Now,
    first_use: impl FnOnce(Question, OwnerUnreachable) -> F,
    called: &mut Called,
) -> Result<Reply, Refusal>
where
    F: Future<Output = Result<(), Code>>,
{
    let asked: VerificationRequest = read(body)?;
    called.service = Some(call.named(&asked.service));
    if asked.request.headers.len() > HEADERS_MAX {
        let detail = format!("`request.headers`: send {HEADERS_MAX} at most: those that are signed");
        return Err(Refusal::new(Code::BodyMalformed).with_detail(detail));
    }
    let mut decided = decide(call, &asked, replay, now);
    if let Ok(Direct { question: Some(question), .. }) = &decided {
        let policy = call.snapshot.defaults.replay_owner_unreachable;
        if let Err(code) = first_use(*question, policy).await {
            decided = decided.and_then(|direct| Err(Refusal::new(code).from(&direct.credential)));
        }
    }
    let verdict = match decided {
        Ok(direct) => {
            called.verdict = Some(Said::Accepted);
            called.verified = Some(direct.credential.clone());
            called.grant = Some(direct.grant.clone());
            Verdict::Accepted(accepted(&asked, direct))
        }
        Err(refusal) => {
            called.verdict = Some(Said::Refused(refusal.code));
            called.verified = refusal.credential;
            let detail = refusal.detail.map(|detail| detail.into_owned());
            Verdict::Refused(Refused::new(refusal.code, call.language, detail))
        }
    };
    Reply::signed(call, OK, &verdict, now)
}

/// A service of somebody else is as unknown as one that does not exist.
fn decide(call: &Call, asked: &VerificationRequest, replay: &ReplayWindow, now: Now) -> Result<Direct, Refusal> {
    let service =
        call.snapshot.service(asked.service.as_str()).filter(|service| service.owner.id == call.caller.system.id);
    let service = service.ok_or(Code::SessionUnknown)?;
    let fields = asked.request.fields();
    admit_direct(&asked.request.head(&fields), service, &call.snapshot, replay, now)
}

fn accepted(asked: &VerificationRequest, direct: Direct) -> Accepted {
    let content_digest = match &direct.body {
        BodyRule::Digest(expected) => {
            let mut text = Vec::new();
            ContentDigest::format(expected, &mut text);
            String::from_utf8(text).ok()
        }
        BodyRule::Empty | BodyRule::Unsigned | BodyRule::UnsignedChunks { .. } | BodyRule::Chunked { .. } => None,
    };
    let system = &direct.credential.system;
    Accepted {
        source: system.id.as_str().to_owned(),
        agency: system.agency_code.as_str().to_owned(),
        service: asked.service.as_str().to_owned(),
        method: asked.request.method.clone(),
        path: asked.request.path.clone(),
        nonce: direct.nonce,
        expires: direct.expires,
        content_digest,
    }
}
