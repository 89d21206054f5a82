//! What this node answers when it is asked why: its snapshot and its recent refusals, as an explanation.

use lgsp_shared::explain::{Explanation, Question, Recorded, Source};
use lgsp_shared::id::{NodeId, ServiceId};
use lgsp_shared::refusal::{Code, Decision, Language, Step};
use lgsp_shared::session::is_for_platform;

use crate::admission::explain::{Asked, Walk, explain};
use crate::clock::Now;
use crate::edge::Rooms;
use crate::record::{KeptRefusal, RequestId};
use crate::snapshot::Snapshot;

/// Whether a request would pass; none before the first revision.
pub fn answer(node: &NodeId, rooms: &Rooms, question: &Question, now: Now) -> Option<Explanation> {
    let snapshot = rooms.snapshots.load()?;
    let Question { source, method, path, host, service } = question;
    let asked = Asked {
        source: Some(source),
        method,
        authority: host.as_deref().unwrap_or_default(),
        path,
        service: service.as_ref(),
        signed: None,
        nonce: None,
    };
    let walk = explain(&asked, &snapshot, &rooms.replay, now);
    Some(told(node, &snapshot, &asked, &walk, now))
}

fn told(node: &NodeId, snapshot: &Snapshot, asked: &Asked<'_>, walk: &Walk, now: Now) -> Explanation {
    // Before these steps nobody has read the body of a session call, which names the service.
    let service = |code: Code| asked.service.filter(|_| is_for_platform(asked.path) && code.step() > Step::Route);
    let decision = |code| Decision {
        revision: Some(snapshot.revision),
        code,
        credential: walk.credential.as_deref().map(|credential| credential.id.as_str()),
        route: walk.found.as_ref().map(|found| found.route.id.as_str()),
        service: service(code).map(ServiceId::as_str),
    };
    Explanation {
        node: node.clone(),
        at: now.unix,
        revision: Some(snapshot.revision),
        recorded: None,
        code: walk.code().map(|code| code.label().to_owned()),
        decision_id: walk.code().map(|code| decision(code).id().to_string()),
        lines: walk.lines(),
    }
}

/// Why this request was refused, if this node refused it lately. What depends on time is told as of then, everything
/// else as it is configured now.
pub fn recorded(node: &NodeId, rooms: &Rooms, request_id: RequestId, now: Now) -> Option<Explanation> {
    let kept = rooms.records.refusals().find(request_id, now.unix)?;
    let snapshot = rooms.snapshots.load()?;
    let source = kept.access_key.as_deref().and_then(|key| key.parse().ok()).map(Source::AccessKey);
    let asked = Asked {
        source: source.as_ref(),
        method: &kept.method,
        authority: kept.host.as_deref().unwrap_or_default(),
        path: &kept.path,
        service: kept.service.as_ref().filter(|_| is_for_platform(&kept.path)),
        signed: kept.signature.as_ref().map(|signature| signature.at),
        nonce: None,
    };
    let then = Now { unix: kept.at, ..now };
    let mut walk = explain(&asked, &snapshot, &rooms.replay, then);
    let title = kept.code.advice(Language::English).title;
    let told_then = kept.detail.as_deref().map_or(title.to_owned(), |detail| format!("{title}: {detail}"));
    walk.as_recorded(kept.code, &told_then, kept.source.is_some());
    if let Some(expected) = &kept.expected {
        walk.add_facts(Step::Signature, expected.lines().map(|line| format!("expected: {line}")));
    }
    let explanation = told(node, &snapshot, &asked, &walk, now);
    let decision_id = kept.decision_id.map(|id| id.to_string());
    Some(Explanation { decision_id, recorded: Some(facts_of(kept)), ..explanation })
}

fn facts_of(kept: KeptRefusal) -> Recorded {
    Recorded {
        request_id: kept.request_id.to_string(),
        at: kept.at,
        code: kept.code.label().to_owned(),
        status: kept.status,
        detail: kept.detail.map(String::from),
        revision: kept.revision,
        decision_id: kept.decision_id.map(|id| id.to_string()),
        method: kept.method.into(),
        path: kept.path.into(),
        host: kept.host.map(String::from),
        access_key: kept.access_key.map(String::from),
        source: kept.source.map(|(system, _)| system.to_string()),
    }
}
