//! Steps 1 and 2: a source asks for a session with one target service and gets a session key and a ticket.

use lgsp_shared::path::{document_form, is_below};
use lgsp_shared::refusal::Code;
use lgsp_shared::session::message::{CoveredScope, SessionAnswer, SessionRequest};
use lgsp_shared::session::scope::{ITEMS_MAX, Scope};
use lgsp_shared::session::{Granted, SessionKey, TicketError};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_shared::validate::{check_method, check_prefix};

use super::reply::Reply;
use super::{Call, Random, read};
use crate::admission::Refusal;
use crate::clock::Now;
use crate::record::{Called, Verdict};
use crate::snapshot::{Grant, Service};

const CREATED: u16 = 201;

pub(super) fn answer(
    call: &Call,
    body: &[u8],
    now: Now,
    random: &Random,
    called: &mut Called,
) -> Result<Reply, Refusal> {
    let mut asked: SessionRequest = read(body)?;
    called.service = Some(call.named(&asked.service));
    check(&asked)?;
    asked.paths.iter_mut().for_each(|path| *path = document_form(path));
    let source = &call.caller.system.id;
    // A service that does not exist and one the source has no right to are told alike.
    let service = call.snapshot.service(asked.service.as_str()).ok_or(Code::PermissionMissing)?;
    let grants = call.snapshot.grants().of(source, &service.id);
    let held: Vec<&Grant> =
        grants.iter().map(|grant| &**grant).filter(|grant| grant.validity.holds_at(now.unix)).collect();
    let scopes = scopes(&held, &asked);
    if scopes.is_empty() {
        return Err(Code::PermissionMissing.into());
    }
    let lifetime_secs = lifetime_secs(service, &held, now.unix);
    let granted = Granted {
        source,
        access_key: &call.caller.access_key,
        service: &service.id,
        scopes: &scopes,
        issued: now.unix,
        lifetime_secs,
        revision: call.snapshot.revision,
    };
    let (session_key, nonce) = random.split_first_chunk().ok_or(Code::Internal)?;
    let session_key = SessionKey::new(*session_key);
    let nonce = *nonce.first_chunk().ok_or(Code::Internal)?;
    let ticket = call.snapshot.ticket_keys().seal(&granted, &session_key, nonce).map_err(refusal_of)?;
    let answer = SessionAnswer {
        ticket,
        session_key: session_key.to_hex().to_string(),
        service: service.id.clone(),
        expires: UnixSeconds(now.unix.0.saturating_add(lifetime_secs.into())),
        expires_in_secs: lifetime_secs,
        scopes: scopes.iter().map(told).collect(),
    };
    let reply = Reply::signed(call, CREATED, &answer, now)?;
    called.verdict = Some(Verdict::Granted);
    Ok(reply)
}

fn check(asked: &SessionRequest) -> Result<(), Refusal> {
    let malformed = |detail: String| Refusal::new(Code::BodyMalformed).with_detail(detail);
    let SessionRequest { service: _, methods, paths } = asked;
    for (name, items, rule) in [("methods", methods, check_method as fn(&str) -> _), ("paths", paths, check_prefix)] {
        if items.len() > ITEMS_MAX {
            return Err(malformed(format!("`{name}`: name {ITEMS_MAX} at most")));
        }
        if let Some(message) = items.iter().find_map(|item| rule(item).err()) {
            return Err(malformed(format!("`{name}`: {message}")));
        }
    }
    Ok(())
}

/// What is both granted and asked for.
fn scopes<'a>(grants: &[&'a Grant], asked: &'a SessionRequest) -> Vec<Scope<'a>> {
    let scope = |grant: &&'a Grant| {
        let wanted = |method: &&'a str| asked.methods.is_empty() || asked.methods.iter().any(|asked| asked == method);
        let methods: Vec<&str> = grant.methods.iter().map(|method| &**method).filter(wanted).collect();
        let paths: Vec<&str> = grant.paths.iter().flat_map(|granted| narrowed(granted, &asked.paths)).collect();
        (!methods.is_empty() && !paths.is_empty()).then_some(Scope { methods, paths })
    };
    grants.iter().filter_map(scope).collect()
}

/// What of a granted prefix lies below the paths asked for, or those of them that lie below it.
fn narrowed<'a>(granted: &'a str, asked: &'a [String]) -> Vec<&'a str> {
    if asked.is_empty() {
        return vec![granted];
    }
    let one = |asked: &'a String| {
        let asked = asked.trim_end_matches('/');
        match (is_below(asked, granted), is_below(granted, asked)) {
            (true, _) => Some(asked),
            (false, true) => Some(granted),
            (false, false) => None,
        }
    };
    asked.iter().filter_map(one).collect()
}

/// As long as the service says, but no longer than the last of the grants.
fn lifetime_secs(service: &Service, grants: &[&Grant], now: UnixSeconds) -> u32 {
    /// What validation allows; a revision that went around it gets no longer sessions.
    const LIFETIME_SECS_MAX: u32 = 3_600;
    let policy = service.session_lifetime_secs.clamp(1, LIFETIME_SECS_MAX);
    let left = |grant: &&Grant| grant.validity.not_after.map_or(i64::MAX, |end| end.0.saturating_sub(now.0));
    let longest = grants.iter().map(left).max().unwrap_or_default();
    u32::try_from(longest).map_or(policy, |longest| policy.min(longest))
}

fn refusal_of(error: TicketError) -> Refusal {
    let code = match error {
        TicketError::TooLarge => Code::SessionScopeTooLarge,
        TicketError::NoKey | TicketError::Malformed | TicketError::KeyUnknown | TicketError::Forged => Code::Internal,
    };
    Refusal::new(code).with_detail(error.to_string())
}

fn told(scope: &Scope<'_>) -> CoveredScope {
    let path = |path: &&str| if path.is_empty() { "/".to_owned() } else { (*path).to_owned() };
    CoveredScope {
        methods: scope.methods.iter().map(|method| (*method).to_owned()).collect(),
        paths: scope.paths.iter().map(path).collect(),
    }
}
