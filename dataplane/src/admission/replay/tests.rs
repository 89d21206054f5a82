use std::sync::atomic::{AtomicUsize, Ordering};

use lgsp_shared::signature::Nonce;

use super::*;

fn see(window: &ReplayWindow, key: &str, nonce: &str, until: i64, now: i64) -> Seen {
    window.see(&window.name(key, Nonce::Given(nonce)), UnixSeconds(until), UnixSeconds(now)).0
}

/// A key of many, so that none has more than its share.
fn key(at: usize) -> String {
    format!("KEY{}", at % 100)
}

#[test]
fn a_nonce_is_good_once_per_key_until_it_expires() {
    let window = ReplayWindow::new(1 << 10);
    let peek = || window.peek(&window.name("KEY1", Nonce::Given("n")), UnixSeconds(50));
    assert_eq!([peek(), peek()], [Seen::First; 2], "asking remembers nothing");
    assert_eq!(see(&window, "KEY1", "n", 100, 50), Seen::First);
    assert_eq!(peek(), Seen::Again);
    assert_eq!(see(&window, "KEY1", "n", 100, 50), Seen::Again);
    assert_eq!(see(&window, "KEY1", "n", 400, 100), Seen::Again, "signed anew with an old nonce");
    assert_eq!(see(&window, "KEY2", "n", 100, 50), Seen::First);
    assert_eq!(see(&window, "KEY1", "n", 401, 101), Seen::Again, "what was refused later stays refused as long");
    assert_eq!(see(&window, "KEY1", "n", 702, 402), Seen::First);
}

#[test]
fn a_signature_is_not_mistaken_for_a_nonce() {
    let window = ReplayWindow::new(1 << 10);
    let (until, now) = (UnixSeconds(9), UnixSeconds(1));
    let see = |byte| window.see(&window.name("KEY1", Nonce::Signature([byte; 32])), until, now).0;
    assert_eq!([see(7), see(7), see(8)], [Seen::First, Seen::Again, Seen::First]);
}

#[test]
fn a_full_window_refuses_instead_of_forgetting_and_recovers_with_time() {
    let window = ReplayWindow::new(SHARDS * SHARD_SLOTS_MIN);
    let fill = |now: i64, round: &str| {
        (0..20_000).filter(|at| see(&window, &key(*at), &format!("{round}{at}"), now + 10, now) == Seen::First).count()
    };
    let first: Vec<Seen> = (0..20_000).map(|at| see(&window, &key(at), &at.to_string(), 10, 0)).collect();
    let remembered = first.iter().filter(|seen| **seen == Seen::First).count();
    assert_eq!(remembered, SHARDS * SHARD_SLOTS_MIN, "every slot is used");
    for (at, seen) in first.iter().enumerate().filter(|(_, seen)| **seen == Seen::First) {
        assert_eq!(see(&window, &key(at), &at.to_string(), 10, 10), Seen::Again, "{at} {seen:?}");
    }
    assert_eq!(fill(200, "later "), SHARDS * SHARD_SLOTS_MIN);
}

#[test]
fn many_threads_with_the_same_nonce_are_let_through_once() {
    let window = ReplayWindow::new(1 << 10);
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for nonce in 0..500 {
                    if see(&window, "KEY1", &nonce.to_string(), 10, 0) == Seen::First {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 500);
}

#[test]
fn one_key_cannot_take_the_places_of_the_others() {
    let window = ReplayWindow::new(1 << 14);
    let places = 1 << 14;
    let flood = (0..places).filter(|at| see(&window, "GREEDY", &at.to_string(), 300, 0) == Seen::First).count();
    assert!((places * 4 / 10..places * 6 / 10).contains(&flood), "half of all, as nobody else wants them: {flood}");
    let name = window.name("GREEDY", Nonce::Given("one more"));
    assert_eq!(window.peek(&name, UnixSeconds(0)), Seen::OverShare);
    let some = places / 8;
    let others = (0..some).filter(|at| see(&window, &key(*at), &format!("{at}"), 300, 0) == Seen::First).count();
    // In shards this small a run of neighbours may be full although the shard is not.
    assert!(others * 100 >= some * 95, "everybody else has room: {others} of {some}");
    assert_eq!(see(&window, "GREEDY", "one more", 300, 0), Seen::OverShare);
    assert_eq!(see(&window, "GREEDY", "later", 900, 400), Seen::First, "when its nonces have expired it goes on");
}

#[test]
fn a_nonce_that_is_kept_alive_counts_for_as_long_as_it_lives() {
    let window = ReplayWindow::new(1 << 14);
    let all = || (0..1_usize << 14).filter(|at| at % 3 == 0);
    let filled = all().filter(|at| see(&window, "GREEDY", &at.to_string(), 300, 0) == Seen::First).count();
    // Each is sent again with a later signature: refused, and remembered for longer.
    assert!(all().all(|at| see(&window, "GREEDY", &at.to_string(), 500, 200) == Seen::Again));
    let more =
        (0..1_usize << 14).filter(|at| see(&window, "GREEDY", &format!("new {at}"), 700, 400) == Seen::First).count();
    assert!(filled + more < (1 << 14) * 6 / 10, "{filled} were kept and {more} came");
}

#[test]
fn what_was_taken_back_is_good_again_unless_a_later_request_was_refused_for_it() {
    let window = ReplayWindow::new(1 << 10);
    let name = window.name("KEY1", Nonce::Given("n"));
    let used = Used::new(&name, UnixSeconds(300), true);
    assert_eq!(see(&window, "KEY1", "n", 300, 0), Seen::First);
    window.forget(&used, UnixSeconds(0));
    assert_eq!([0, 0].map(|_| see(&window, "KEY1", "n", 300, 0)), [Seen::First, Seen::Again]);
    assert_eq!(see(&window, "KEY1", "n", 310, 10), Seen::Again);
    window.forget(&used, UnixSeconds(10));
    assert_eq!(see(&window, "KEY1", "n", 300, 10), Seen::Again);
}

#[test]
fn a_successor_knows_what_was_handed_over_and_is_asked_about_what_came_later() {
    let (old, new) = (ReplayWindow::new(1 << 12), ReplayWindow::new(1 << 10));
    for at in 0..500 {
        assert_eq!(see(&old, "KEY1", &at.to_string(), 300, 0), Seen::First);
    }
    see(&old, "KEY1", "expired", 5, 0);
    new.set_hash_key(old.hash_key());
    let mut moved = 0;
    for index in 0..SHARDS {
        for (hash, until) in old.hand_over(index, UnixSeconds(10)) {
            assert_eq!(new.see_hash(hash, until, UnixSeconds(10)), (Seen::First, false));
            moved += 1;
        }
    }
    assert_eq!(moved, 500);
    assert!((0..500).all(|at| see(&new, "KEY1", &at.to_string(), 300, 10) == Seen::Again));
    let later = old.name("KEY1", Nonce::Given("later"));
    assert_eq!(old.see(&later, UnixSeconds(300), UnixSeconds(10)), (Seen::First, true));
    assert_eq!(new.name("KEY1", Nonce::Given("later")).hash(), later.hash());
    old.take_back();
    let alone = old.name("KEY1", Nonce::Given("alone"));
    assert_eq!(old.see(&alone, UnixSeconds(300), UnixSeconds(10)), (Seen::First, false));
}
