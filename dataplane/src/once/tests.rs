use lgsp_shared::signature::Nonce;

use super::*;
use crate::admission::{KeyId, SHARDS};
use crate::clock::Now;

fn question(hash: u64) -> Question {
    let now = Now::read().unix;
    Question {
        hash,
        created: now,
        until: UnixSeconds(now.0 + 300),
        nonce: None,
        ahead: None,
        unknown: false,
        handed_over: false,
        again: Code::Replayed,
    }
}

#[tokio::test]
async fn a_node_alone_refuses_what_it_cannot_know_unless_the_route_says_otherwise() {
    let once = Once::default();
    let unknown = Question { unknown: true, ..question(1) };
    assert_eq!(once.first_use(&unknown, OwnerUnreachable::Refuse).await, Err(Code::ReplayUnknown));
    assert_eq!(once.first_use(&unknown, OwnerUnreachable::AcceptLocal).await, Ok(()));
    assert_eq!(once.first_use(&question(1), OwnerUnreachable::Refuse).await, Ok(()));
}

#[tokio::test]
async fn a_source_whose_clock_is_ahead_leaves_its_mark_before_it_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let now = Now::read().unix;
    let marks = Arc::new(Marks::open(directory.path(), now).unwrap().0);
    let once = Once { marks: Some(marks), ..Once::default() };
    let (key, created) = (KeyId::of("AHEAD"), UnixSeconds(now.0 + 200));
    let ahead = Question { ahead: Some((key, 200)), created, ..question(1) };
    assert_eq!(once.first_use(&ahead, OwnerUnreachable::Refuse).await, Ok(()));
    let (_, known) = Marks::open(directory.path(), now).unwrap();
    assert_eq!(known.get(&key), Some(&created));
}

/// A process and the socket on which it waits for a successor.
struct Old {
    once: Arc<Once>,
    replay: Arc<ReplayWindow>,
    giving: tokio::task::JoinHandle<()>,
    socket: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

async fn old() -> Old {
    let directory = tempfile::tempdir().unwrap();
    let (once, replay) = (Arc::new(Once::default()), Arc::new(ReplayWindow::new(1)));
    let socket = HandOver::path(directory.path(), 7);
    let hand_over = HandOver::new(socket.clone(), once.successor.clone(), replay.clone());
    let giving = tokio::spawn(async move { hand_over.run(std::future::pending()).await });
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
    Old { once, replay, giving, socket, _directory: directory }
}

impl Old {
    /// Takes a request as the decision does.
    async fn take(&self, nonce: &str) -> Result<(), Code> {
        let (name, now) = (self.replay.name("KEY1", Nonce::Given(nonce)), Now::read().unix);
        let (seen, handed_over) = self.replay.see(&name, UnixSeconds(now.0 + 300), now);
        assert_eq!(seen, Seen::First, "{nonce}");
        self.once.first_use(&Question { handed_over, ..question(name.hash()) }, OwnerUnreachable::Refuse).await
    }
}

fn sees(replay: &ReplayWindow, nonce: &str) -> Seen {
    let now = Now::read().unix;
    replay.see(&replay.name("KEY1", Nonce::Given(nonce)), UnixSeconds(now.0 + 300), now).0
}

#[tokio::test]
async fn a_successor_knows_what_was_taken_and_what_its_predecessor_takes_while_it_drains() {
    let old = old().await;
    old.take("before").await.unwrap();
    old.replay.span().begin(UnixSeconds(5), crate::admission::Ahead::from([(KeyId(1), UnixSeconds(9))]));
    let new = Arc::new(ReplayWindow::new(1));
    new.span().wait(Default::default());
    assert!(!new.span().covers("KEY1", UnixSeconds(1 << 40)), "nothing is taken before the memory is there");
    let memory = Predecessor::take_over(&old.socket, &new).await.unwrap();
    let answering = tokio::spawn(memory.answer());
    assert_eq!((new.span().began(), new.span().marks().len()), (UnixSeconds(5), 1));
    old.once.hands_over(&old.replay, UnixSeconds(77));
    assert!(old.replay.span().covers("KEY1", UnixSeconds(78)), "it may go on, as it can ask");
    old.take("while it drains").await.unwrap();
    assert_eq!(sees(&new, "first at the successor"), Seen::First);
    assert_eq!(old.take("first at the successor").await, Err(Code::Replayed));
    assert_eq!(["before", "while it drains"].map(|nonce| sees(&new, nonce)), [Seen::Again; 2]);

    answering.abort();
    let _ = answering.await;
    assert_eq!(old.take("without an answer").await, Err(Code::ReplayUnknown), "it cannot ask, so it refuses");
    old.giving.abort();
}

#[tokio::test]
async fn a_successor_that_ends_before_it_serves_changes_nothing() {
    let old = old().await;
    let new = Arc::new(ReplayWindow::new(1));
    drop(Predecessor::take_over(&old.socket, &new).await.unwrap());
    for at in 0..100 {
        old.take(&at.to_string()).await.unwrap();
    }
    lgsp_testkit::eventually::eventually(std::time::Duration::from_secs(20), "it is alone again", async || {
        let now = Now::read().unix;
        (0..SHARDS as u64).all(|hash| !old.replay.see_hash(hash, now, now).1)
    })
    .await;
    old.once.hands_over(&old.replay, UnixSeconds(77));
    let covers = |created| old.replay.span().covers("KEY1", UnixSeconds(created));
    assert_eq!((covers(77), covers(78)), (true, false), "without a memory handed over the time decides");
    old.giving.abort();
}

#[tokio::test]
async fn the_socket_for_a_successor_is_for_its_own_user_alone() {
    let old = old().await;
    lgsp_testkit::eventually::eventually(std::time::Duration::from_secs(20), "it is private", async || {
        let mode = std::os::unix::fs::PermissionsExt::mode(&old.socket.metadata().unwrap().permissions());
        mode & 0o077 == 0
    })
    .await;
    old.giving.abort();
}
