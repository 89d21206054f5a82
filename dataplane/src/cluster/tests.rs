use super::members::*;
use super::wire::{QUESTION_BYTES, push_question, read_question};
use super::*;
use crate::admission::NonceId;

fn question(nonce: &str, created: i64) -> NonceQuestion {
    let id = NonceId::of("KEY12345", lgsp_shared::signature::Nonce::Given(nonce));
    NonceQuestion { id, created: UnixSeconds(created), until: UnixSeconds(created + 300) }
}

fn members(names: &[(&str, u64)]) -> Vec<Arc<Member>> {
    let member = |(name, incarnation): &(&str, u64)| {
        let asks = (*name != "me").then(|| mpsc::channel(1).0);
        Arc::new(Member::new(name.parse().unwrap(), *incarnation, asks))
    };
    names.iter().map(member).collect()
}

fn me() -> NodeId {
    "me".parse().unwrap()
}

fn heard(views: &Views, names: &[(&str, u64)], now: i64) -> Option<Views> {
    let known = |member: Arc<Member>| views.known(member.node(), member.incarnation()).unwrap_or(member);
    views.replaced_by(members(names).into_iter().map(known).collect(), &me(), UnixSeconds(now))
}

/// How many of many nonces have to be asked for elsewhere, and for how many an owner is missing.
fn shares(views: &Views, created: i64) -> (usize, usize) {
    let owners: Vec<Owners> = (0..3_000).map(|at| views.owners(&question(&at.to_string(), created), false)).collect();
    let elsewhere = owners.iter().filter(|owners| !owners.elsewhere.is_empty()).count();
    (elsewhere, owners.iter().filter(|owners| owners.missing).count())
}

const HOUR: i64 = 3_600;

#[test]
fn nobody_knows_an_owner_before_the_first_list() {
    assert_eq!(shares(&Views::unknown(), 0), (0, 3_000));
}

#[test]
fn a_node_alone_asks_nobody_and_what_it_cannot_know_is_not_for_the_lists_to_say() {
    let alone = heard(&Views::unknown(), &[("me", 1)], 0).unwrap();
    // Whether this process itself can know is in its span: see `once`.
    assert_eq!(shares(&alone, HOUR), (0, 0));
}

#[test]
fn nonces_are_spread_evenly_and_every_node_finds_the_same_owner() {
    let names = [("a", 1), ("b", 1), ("me", 1)];
    let views = heard(&Views::unknown(), &names, 0).unwrap();
    let (elsewhere, missing) = shares(&views, HOUR);
    assert!((1_850..2_150).contains(&elsewhere) && missing == 0, "{elsewhere}");
    let turned = heard(&Views::unknown(), &[("me", 1), ("b", 1), ("a", 1)], 0).unwrap();
    for at in 0..100 {
        let asked = question(&at.to_string(), HOUR);
        let name = |views: &Views| views.owners(&asked, false).elsewhere.first().map(|owner| owner.node().clone());
        assert_eq!(name(&views), name(&turned));
    }
}

#[test]
fn the_same_list_again_is_no_change_and_another_incarnation_is() {
    let views = heard(&Views::unknown(), &[("a", 1), ("me", 1)], 0).unwrap();
    assert!(heard(&views, &[("me", 1), ("a", 1)], 9).is_none());
    assert!(heard(&views, &[("me", 1), ("a", 2)], 9).is_some());
}

#[test]
fn for_a_while_the_owner_of_before_is_asked_too() {
    let two = heard(&Views::unknown(), &[("a", 1), ("me", 1)], 0).unwrap();
    let three = heard(&two, &[("a", 1), ("b", 1), ("me", 1)], HOUR).unwrap();
    let asked =
        |created| (0..500).map(|at| three.owners(&question(&at.to_string(), created), false).elsewhere.len()).max();
    assert_eq!((asked(HOUR), asked(HOUR + 300), asked(HOUR + 301)), (Some(2), Some(2), Some(1)));
    assert_eq!(shares(&three, HOUR).1, 0, "nobody is gone");
}

#[test]
fn what_a_node_that_is_gone_may_have_seen_misses_its_owner_and_what_is_signed_later_does_not() {
    let three = heard(&Views::unknown(), &[("a", 1), ("b", 1), ("me", 1)], 0).unwrap();
    for list in [&[("a", 1), ("me", 1)][..], &[("a", 1), ("b", 2), ("me", 1)]] {
        let left = heard(&three, list, HOUR).unwrap();
        let missing = |created| shares(&left, created).1;
        assert!((850..1_150).contains(&missing(HOUR)), "its share: {}", missing(HOUR));
        assert_eq!(missing(HOUR + CLOCK_SLACK_SECS + 1), 0, "signed after it was noticed");
    }
}

#[test]
fn lists_that_no_longer_matter_are_forgotten() {
    let mut views = heard(&Views::unknown(), &[("a", 1), ("me", 1)], 0).unwrap();
    for at in 1..30 {
        views = heard(&views, &[("a", at + 1), ("me", 1)], i64::try_from(at).unwrap()).unwrap();
    }
    assert_eq!(views.former_count(), FORMER_MAX);
    let later = heard(&views, &[("me", 1)], 10 * HOUR).unwrap();
    assert_eq!(later.former_count(), 1);
}

#[test]
fn a_question_is_read_as_it_was_written() {
    let (asked, mut bytes) = (question("n", 7), Vec::new());
    push_question(&asked, &mut bytes);
    let bytes: [u8; QUESTION_BYTES] = bytes.try_into().unwrap();
    assert_eq!(read_question(&bytes), Some((asked.id, asked.until)));
}

#[test]
fn what_an_owner_of_a_forgotten_list_may_have_seen_misses_it() {
    let mut views = heard(&Views::unknown(), &[("a", 1), ("b", 1), ("me", 1)], 0).unwrap();
    let missing = |views: &Views, created| shares(views, created).1;
    for at in 1..=8 {
        // One node in a crash loop, and in the middle of it another that went away for good.
        let list = [("a", u64::try_from(at).unwrap() + 1), ("me", 1)];
        views = heard(&views, &list, HOUR + at).unwrap();
    }
    let before = missing(&views, HOUR - 60);
    assert!((1_900..3_000).contains(&before), "what `a` and `b` owned: {before}");
    for at in 9..=20 {
        views = heard(&views, &[("a", u64::try_from(at).unwrap() + 1), ("me", 1)], HOUR + at).unwrap();
    }
    assert_eq!(missing(&views, HOUR - 60), 3_000, "nobody knows any more who owned what");
    assert_eq!(missing(&views, HOUR + 20 + CLOCK_SLACK_SECS + 1), 0, "signed after the last change");
}

#[test]
fn a_request_from_far_ahead_is_asked_of_everyone() {
    let views = heard(&Views::unknown(), &[("a", 1), ("b", 1), ("c", 1), ("me", 1)], 0).unwrap();
    for at in 0..50 {
        let owners = views.owners(&question(&at.to_string(), HOUR), true);
        assert_eq!((owners.elsewhere.len(), owners.missing), (3, false));
    }
}
