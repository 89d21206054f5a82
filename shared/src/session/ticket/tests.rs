use proptest::prelude::*;

use super::*;
use crate::path::{MatchedPath, PathRoom};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn keys(names: &[&str]) -> TicketKeys {
    let names: Vec<TicketKeyId> = names.iter().map(|name| name.parse().unwrap()).collect();
    TicketKeys::derive(&SealKeys::parse(KEY).unwrap(), &names)
}

fn sealed(keys: &TicketKeys, paths: &[&str]) -> Result<String, TicketError> {
    let scopes = [Scope { methods: vec!["GET", "POST"], paths: paths.to_vec() }];
    let granted = Granted {
        source: &"mot-cua".parse().unwrap(),
        access_key: &"LGSPSOURCE1".parse().unwrap(),
        service: &"ho-tich".parse().unwrap(),
        scopes: &scopes,
        issued: UnixSeconds(1_800_000_000),
        lifetime_secs: 600,
        revision: Revision(7),
    };
    keys.seal(&granted, &SessionKey::new([9; SESSION_KEY_BYTES]), [3; NONCE_BYTES])
}

fn refused(keys: &TicketKeys, text: &str) -> Option<TicketError> {
    keys.open(text, &mut TicketRoom::default()).err()
}

#[test]
fn what_was_granted_is_read_back_by_any_node_with_the_same_key() {
    let text = sealed(&keys(&["1"]), &["/ho-tich"]).unwrap();
    assert!(
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
        "safe in a header: {text}"
    );
    let mut room = TicketRoom::default();
    let other_node = keys(&["1"]);
    let ticket = other_node.open(&text, &mut room).unwrap();
    assert_eq!((ticket.source, ticket.access_key, ticket.service), ("mot-cua", "LGSPSOURCE1", "ho-tich"));
    assert_eq!((ticket.issued, ticket.expires), (UnixSeconds(1_800_000_000), UnixSeconds(1_800_000_600)));
    assert_eq!(ticket.revision, Revision(7));
    let mut room = PathRoom::default();
    let path = MatchedPath::of("/ho-tich/1", &mut room);
    assert!(ticket.scopes.cover("POST", &path) && !ticket.scopes.cover("PUT", &path));
    let proof = SessionKey::new([9; SESSION_KEY_BYTES]).proof("n");
    assert!(ticket.is_proved_by("n", &proof) && !ticket.is_proved_by("m", &proof));
    assert!(!format!("{ticket:?}").contains('9'), "no key is printed");
}

#[test]
fn tickets_of_before_and_after_a_rotation_open_while_the_old_key_is_listed() {
    let (before, during, after) = (keys(&["1"]), keys(&["2", "1"]), keys(&["2"]));
    let (old, new) = (sealed(&before, &["/a"]).unwrap(), sealed(&during, &["/a"]).unwrap());
    assert_eq!((refused(&during, &old), refused(&during, &new)), (None, None));
    assert_eq!((refused(&after, &old), refused(&after, &new)), (Some(TicketError::KeyUnknown), None));
    assert_eq!(refused(&before, &new), Some(TicketError::KeyUnknown));
    let renamed = old.replacen("1.1.", "1.2.", 1);
    assert_eq!(refused(&during, &renamed), Some(TicketError::Forged), "every name is another key");
}

#[test]
fn a_ticket_of_another_platform_is_forged_here() {
    let other = SealKeys::parse(&KEY.replace("00", "ff")).unwrap();
    let theirs = TicketKeys::derive(&other, &["1".parse().unwrap()]);
    assert_eq!(refused(&keys(&["1"]), &sealed(&theirs, &["/a"]).unwrap()), Some(TicketError::Forged));
}

#[test]
fn while_one_key_encryption_key_follows_another_every_nodes_tickets_open() {
    let new = KEY.replace("00", "ff");
    let of = |text: &str| TicketKeys::derive(&SealKeys::parse(text).unwrap(), &["1".parse().unwrap()]);
    let (added, used, removed) = (of(&format!("{KEY}\n{new}")), of(&format!("{new}\n{KEY}")), of(&new));
    for (theirs, ours) in [(&added, &used), (&used, &added), (&used, &removed)] {
        assert_eq!(refused(ours, &sealed(theirs, &["/a"]).unwrap()), None);
    }
    assert_eq!(refused(&removed, &sealed(&added, &["/a"]).unwrap()), Some(TicketError::Forged));
}

#[test]
fn a_sealed_secret_of_the_same_platform_is_no_ticket() {
    let key = SealKeys::parse(KEY).unwrap();
    let secret = key.seal(&crate::seal::Secret::new(vec![1; 32]), "x", [1; 12]).unwrap();
    let body = secret.as_str().rsplit('.').next().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_");
    assert_eq!(refused(&keys(&["1"]), &format!("1.1.{body}")), Some(TicketError::Forged));
}

#[test]
fn each_tampered_byte_is_noticed() {
    let keys = keys(&["1"]);
    let text = sealed(&keys, &["/ho-tich"]).unwrap();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(refused(&keys, std::str::from_utf8(&changed).unwrap()).is_some(), "byte {at}");
        assert!(refused(&keys, &text[..at]).is_some(), "cut at {at}");
    }
    assert!(refused(&keys, &format!("{text}A")).is_some());
}

#[test]
fn what_does_not_fit_is_refused_and_what_just_fits_is_not_too_long() {
    let keys = keys(&["abcdefghijklmnop"]);
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    let fits = (1..SEALED_BYTES_MAX).rfind(|length| sealed(&keys, &[&path(*length)]).is_ok()).unwrap();
    let longest = sealed(&keys, &[&path(fits)]).unwrap();
    assert!(fits > 1_300 && longest.len() <= TICKET_BYTES_MAX, "{fits} {}", longest.len());
    assert_eq!(refused(&keys, &longest), None);
    assert_eq!(sealed(&keys, &[&path(fits + 1)]), Err(TicketError::TooLarge));
    assert_eq!(refused(&keys, &"1".repeat(TICKET_BYTES_MAX + 1)), Some(TicketError::Malformed));
    assert_eq!(sealed(&TicketKeys::derive(&SealKeys::parse(KEY).unwrap(), &[]), &["/a"]), Err(TicketError::NoKey));
}

proptest! {
    #[test]
    fn whatever_else_is_sent_is_refused_without_a_panic(text in "(1\\.1\\.)?[A-Za-z0-9._=-]{0,200}") {
        prop_assert!(refused(&keys(&["1"]), &text).is_some());
    }

    #[test]
    fn content_of_any_bytes_is_read_or_refused_without_a_panic(content: Vec<u8>) {
        if let Some(ticket) = Ticket::read(&content) {
            prop_assert!(!ticket.scopes.cover("no such method", &MatchedPath::of("/", &mut PathRoom::default())));
            prop_assert!(ticket.expires >= ticket.issued);
        }
    }
}
