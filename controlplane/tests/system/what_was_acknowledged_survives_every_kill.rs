//! A thousand applies by several operators at once, while everything they depend on is killed at random points. What
//! was acknowledged is there afterwards; nothing is there twice, in part, or out of order.
//!
//! The points come from a seed, which a failing test shows; `LGSP_SEED` repeats it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lgsp_shared::bundle::content_hash;
use lgsp_shared::keyspace::{HEAD_KEY, Head};
use lgsp_shared::resource::Document;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::postgres::Postgres;
use serde_json::{Value, json};

use crate::platform::Platform;

const APPLIES: u64 = 1_000;
const APPLIERS: u64 = 4;
const KILLS: u64 = 15;
/// Few documents, each changed many times, so that every revision can be put together again.
const DOCUMENTS: u64 = 40;
const DEADLINE: Duration = Duration::from_secs(60);

/// What the appliers share.
struct Work {
    server: Mutex<String>,
    token: String,
    next: AtomicU64,
    acknowledged: Mutex<HashMap<u64, u64>>,
    ended: AtomicBool,
}

/// What can be killed.
struct Victims {
    platform: Platform,
    etcd: Option<Etcd>,
    postgres: Option<Postgres>,
}

impl Work {
    fn done(&self) -> u64 {
        u64::try_from(self.acknowledged.lock().unwrap().len()).unwrap()
    }

    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE));
        config.build().new_agent()
    }

    /// Applies numbered changes until enough are acknowledged. What is not acknowledged is not tried again.
    fn run(&self) {
        let agent = Self::agent();
        while !self.ended.load(Ordering::Relaxed) && self.done() < APPLIES {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let server = self.server.lock().unwrap().clone();
            let sent = agent
                .post(format!("{server}/v1/changes"))
                .header("authorization", format!("Bearer {}", self.token))
                .send(change(number).to_string());
            let Ok(mut answer) = sent else { continue };
            let status = answer.status().as_u16();
            let Ok(body) = answer.body_mut().read_to_string() else { continue };
            assert!(status == 200 || status == 503, "{status}: {body}");
            let Ok(body) = serde_json::from_str::<Value>(&body) else { continue };
            if status == 200 {
                self.acknowledged.lock().unwrap().insert(number, body["revision"].as_u64().unwrap());
            }
        }
    }
}

fn change(number: u64) -> Value {
    let code = format!("H61.{}", number % DOCUMENTS);
    let spec = json!({"code": code, "title": format!("apply {number}")});
    let put = json!({"kind": "Agency", "name": format!("a{}", number % DOCUMENTS), "spec": spec});
    json!({"puts": [put], "message": format!("apply {number}")})
}

/// xorshift64*, which is random enough to choose victims.
struct Dice(u64);

impl Dice {
    fn seeded() -> Self {
        let from_clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        let seed = std::env::var("LGSP_SEED").map_or_else(|_| from_clock(), |text| text.parse().unwrap());
        eprintln!("LGSP_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

impl Victims {
    async fn kill_one(&mut self, dice: &mut Dice, work: &Work) {
        match (dice.below(3), &mut self.etcd, &mut self.postgres) {
            (1, Some(etcd), _) => {
                etcd.kill();
                etcd.restart().await.unwrap();
            }
            (2, _, Some(postgres)) => {
                postgres.kill();
                postgres.restart().await.unwrap();
            }
            _ => {
                self.platform.kill();
                self.platform.restart().await;
                *work.server.lock().unwrap() = self.platform.url();
            }
        }
    }

    /// Lets the appliers work, and kills between them.
    async fn ordeal(&mut self) -> Arc<Work> {
        let token = std::fs::read_to_string(self.platform.path("token")).unwrap().trim().to_owned();
        let work = Arc::new(Work {
            server: Mutex::new(self.platform.url()),
            token,
            next: AtomicU64::new(1),
            acknowledged: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let appliers: Vec<_> = (0..APPLIERS)
            .map(|_| {
                let work = work.clone();
                std::thread::spawn(move || work.run())
            })
            .collect();
        let mut dice = Dice::seeded();
        for kill in 1..=KILLS {
            let point = kill * APPLIES / (KILLS + 1) + dice.below(APPLIES / KILLS / 2);
            eventually(DEADLINE, "changes are acknowledged again", async || work.done() >= point).await;
            self.kill_one(&mut dice, &work).await;
        }
        eventually(DEADLINE, "all are acknowledged", async || work.done() >= APPLIES).await;
        work.ended.store(true, Ordering::Relaxed);
        for applier in appliers {
            applier.join().unwrap();
        }
        work
    }

    /// Every revision, put together from the changes, is what its hash says, in an unbroken row, and nothing twice.
    async fn verify(&mut self, work: &Work) {
        let (agent, server) = (Work::agent(), self.platform.url());
        let ask = |path: String| -> Value {
            let request =
                agent.get(format!("{server}{path}")).header("authorization", format!("Bearer {}", work.token));
            serde_json::from_str(&request.call().unwrap().body_mut().read_to_string().unwrap()).unwrap()
        };
        let current = self.platform.revision();
        let mut documents = HashMap::new();
        let mut made = HashMap::new();
        for number in 1..=current {
            let revision = ask(format!("/v1/revisions/{number}"));
            assert_eq!(revision["base"], number - 1);
            let changes = revision["changes"].as_array().unwrap();
            assert_eq!(changes.len(), 1, "revision {number}");
            let name = changes[0]["document"].as_str().unwrap().strip_prefix("Agency/").unwrap().to_owned();
            let spec = changes[0]["spec"].clone();
            assert_eq!(spec["title"], revision["message"]);
            documents.insert(name.clone(), Document { kind: "Agency".into(), name, spec });
            let all: Vec<Document> = documents.values().cloned().collect();
            assert_eq!(content_hash(&all).as_str(), revision["hash"].as_str().unwrap(), "revision {number} is whole");
            let apply: u64 = revision["message"].as_str().unwrap().strip_prefix("apply ").unwrap().parse().unwrap();
            assert_eq!(made.insert(apply, number), None, "apply {apply} was made twice");
        }
        let acknowledged = work.acknowledged.lock().unwrap().clone();
        let lost: Vec<_> = acknowledged.iter().filter(|(apply, revision)| made.get(apply) != Some(revision)).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        eventually(DEADLINE, "the head is published", async || {
            self.platform.json(&["nodes"])["publish"]["published"] == current
        })
        .await;
        let all: Vec<Document> = documents.into_values().collect();
        assert_eq!(self.published().await, (current, content_hash(&all).to_string()));
        eprintln!(
            "{} acknowledged, {current} revisions, {} attempts",
            acknowledged.len(),
            work.next.load(Ordering::Relaxed)
        );
    }

    async fn published(&self) -> (u64, String) {
        let Some(etcd) = &self.etcd else {
            let bundle = self.platform.bundle(self.platform.revision()).await;
            return (bundle.revision.0, bundle.hash.to_string());
        };
        let found = etcd.client().await.unwrap().get(HEAD_KEY, None).await.unwrap();
        let head = Head::parse(found.kvs()[0].value()).unwrap();
        (head.revision.0, head.hash.to_string())
    }
}

#[tokio::test]
async fn a_thousand_applies_survive_kills_of_control_plane_etcd_and_postgresql() {
    let (etcd, postgres) = (Etcd::start().await.unwrap(), Postgres::start_durable().await.unwrap());
    let publish = format!("publish: {{etcd: {}}}\n", etcd.settings());
    let platform = Platform::start_on(&Platform::postgres(&postgres), &publish).await;
    let mut victims = Victims { platform, etcd: Some(etcd), postgres: Some(postgres) };
    let work = victims.ordeal().await;
    victims.verify(&work).await;
}

#[tokio::test]
async fn a_thousand_applies_survive_kills_of_a_control_plane_on_sqlite() {
    let mut victims = Victims { platform: Platform::start().await, etcd: None, postgres: None };
    let work = victims.ordeal().await;
    victims.verify(&work).await;
}
