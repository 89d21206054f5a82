//! What is known to bring HTTP/2 servers down costs whoever sends it the connection, and nobody else anything: the node
//! goes on, its memory stays where it was, and other callers are served meanwhile.

use std::time::Duration;

use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::json;

use super::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, REFUSED_STREAM,
    RST_STREAM, Said, WINDOW_UPDATE, field, frame, signed, text, unsigned,
};
use super::http2::Http2;
use super::{DEADLINE, target};

/// Memory a flood may add to a node, the buffers of other callers included.
const GROWTH_KIB_MAX: u64 = 48 << 10;

struct Scene {
    target: Target,
    client: Client,
    node: Node,
}

impl Scene {
    async fn new(change: impl FnOnce(Resources) -> Resources) -> Self {
        let target = target().await;
        let resources = change(Resources::usual(&[target.address()]));
        let limits = json!({"connections_per_address_max": 1_000, "keep_alive_idle_ms": 1_000});
        let node = Node::new(&resources).with(|settings| settings["limits"] = limits).start().await;
        let client = node.client(&resources, "mot-cua");
        Self { target, client, node }
    }

    /// The most memory the node ever had, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Carries out an attack while others ask, on both faces; what it cost, and that it ended.
    async fn endures(&self, attack: impl Future<Output = Said>) -> Said {
        let get = Request::get("/ho-tich/bytes/100");
        for _ in 0..20 {
            assert_eq!(self.client.send(&get).await.status, 200);
            assert_eq!(
                Http2::connect(self.node.address()).await.get(&self.client, "/ho-tich/bytes/100").await.status,
                200
            );
        }
        let before = self.peak_kib();
        let others = async {
            loop {
                assert_eq!(self.client.send(&get).await.status, 200, "another caller over HTTP/1.1");
                let http2 = Http2::connect(self.node.address()).await;
                assert_eq!(http2.get(&self.client, "/ho-tich/bytes/100").await.status, 200, "another over HTTP/2");
            }
        };
        let said = tokio::select! {
            said = attack => said,
            () = others => unreachable!("they ask for ever"),
        };
        let growth = self.peak_kib().saturating_sub(before);
        assert!(growth < GROWTH_KIB_MAX, "{growth} KiB more: {said:?}");
        assert_eq!(self.client.send(&get).await.status, 200, "and afterwards");
        said
    }

    async fn attack(&self, most: u32, next: impl Fn(u32) -> Vec<u8>) -> Said {
        let frames = Frames::connect(self.node.address(), &[]).await;
        self.endures(frames.flood(most, next)).await
    }
}

/// Streams of a client have odd numbers.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread")]
async fn streams_reset_as_soon_as_they_are_opened() {
    let scene = Scene::new(|resources| resources).await;
    let open = unsigned("GET", "/ho-tich/bytes/1");
    let said = scene
        .attack(200_000, |number| {
            let open = frame(HEADERS, END_STREAM | END_HEADERS, stream(number), &open);
            [open, frame(RST_STREAM, 0, stream(number), &CANCEL.to_be_bytes())].concat()
        })
        .await;
    assert_eq!(said.goaway, Some(ENHANCE_YOUR_CALM), "{said:?}");
}

/// CVE-2025-8671: the same, by mistakes for which the node has to reset the streams itself.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_node_is_made_to_reset() {
    let scene = Scene::new(|resources| resources).await;
    let open = unsigned("POST", "/ho-tich/sink");
    let said = scene
        .attack(200_000, |number| {
            let open = frame(HEADERS, END_HEADERS, stream(number), &open);
            [open, frame(WINDOW_UPDATE, 0, stream(number), &[0; 4])].concat()
        })
        .await;
    assert!(said.goaway.is_some(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_data_without_data() {
    let scene = Scene::new(|resources| resources).await;
    let open = signed(&scene.client, &Request::post("/ho-tich/sink", "never sent"));
    let said = scene
        .attack(1_000_000, |number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &open),
            _ => frame(DATA, 0, 1, &[]),
        })
        .await;
    assert_eq!(said.goaway, Some(ENHANCE_YOUR_CALM), "{said:?}");
    let posted = scene.target.ledger().seen().into_iter().filter(|seen| seen.method == "POST" && seen.complete);
    assert_eq!(posted.count(), 0, "what never ended never arrived whole");
}

/// As many empty frames as are allowed do not count as a body that still arrives.
#[tokio::test(flavor = "multi_thread")]
async fn data_without_data_now_and_then() {
    let impatient = json!({"clock_window_secs": 300, "body_bytes_max": 1_000_000, "body_idle_ms": 500});
    let scene = Scene::new(|resources| {
        resources.put("Defaults", "default", impatient).with("Service", "ho-tich", |spec| {
            spec["deadlines"] = json!({"connect_ms": 500, "first_byte_ms": 500, "idle_ms": 500, "total_ms": 0});
        })
    })
    .await;
    let mut frames = Frames::connect(scene.node.address(), &[]).await;
    let open = signed(&scene.client, &Request::post("/ho-tich/sink", "never sent"));
    frames.send(&frame(HEADERS, END_HEADERS, 1, &open)).await;
    let recorded = scene.node.record("the stall is recorded", |record| record["outcome"] == "body-timeout");
    let mut pause = tokio::time::interval(Duration::from_millis(200));
    tokio::select! {
        _ = recorded => {}
        () = async {
            for _ in 0..90 {
                pause.tick().await;
                frames.send(&frame(DATA, 0, 1, &[])).await;
            }
        } => panic!("an empty frame now and then keeps a target for ever"),
    }
}

/// CVE-2026-105297: one remembered field, named again and again, a byte each.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_header_block_that_becomes_a_large_list() {
    let scene = Scene::new(|resources| resources).await;
    let mut bomb = unsigned("GET", "/ho-tich/bytes/1");
    bomb.extend_from_slice(&[&[0x40][..], &text("x-bomb"), &text(&"b".repeat(3_900))].concat());
    bomb.resize(16_000, 0x80 | 62);
    let mut frames = Frames::connect(scene.node.address(), &[]).await;
    let attack = async {
        for number in 0..100 {
            // Each block is 45 MiB when it is spelled out. The node may end the connection before the last.
            frames.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream(number), &bomb)).await;
        }
        frames.ended().await
    };
    let said = scene.endures(attack).await;
    assert!(said.goaway.is_some() || said.answered.len() + said.resets.len() == 100, "{said:?}");
    let whole = scene.target.ledger().seen().iter().all(|seen| seen.header("x-bomb").is_none());
    assert!(whole, "none of it reaches a target");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_block_that_never_ends() {
    let scene = Scene::new(|resources| resources).await;
    let open = unsigned("GET", "/ho-tich/bytes/1");
    let more: Vec<u8> = (0..100).flat_map(|number| field(&format!("x-{number}"), "v")).collect();
    let said = scene
        .attack(1_000_000, |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &open),
            _ => frame(CONTINUATION, 0, 1, &more),
        })
        .await;
    assert!(said.goaway.is_some() && said.answered.is_empty(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_take_its_answer() {
    let scene = Scene::new(|resources| {
        resources
            .put(
                "Defaults",
                "default",
                json!({"clock_window_secs": 300, "body_bytes_max": 1_000_000, "body_idle_ms": 500}),
            )
            .with("Service", "ho-tich", |spec| {
                spec["deadlines"] = json!({"connect_ms": 500, "first_byte_ms": 500, "idle_ms": 500, "total_ms": 0});
            })
    })
    .await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0: the node may send nothing.
    let mut frames = Frames::connect(scene.node.address(), &[(4, 0)]).await;
    let ask = signed(&scene.client, &Request::get("/ho-tich/bytes/1000000"));
    frames.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &ask)).await;
    scene.node.record("the exchange is given up", |record| record["path"] == "/ho-tich/bytes/1000000").await;
    let said = frames.ended().await;
    assert!(said.answered == [1], "{said:?}");
    let in_flight = async || {
        let metrics = String::from_utf8(scene.node.admin("/metrics").await.body).unwrap();
        metrics.contains("lgsp_exchanges_in_flight 0")
    };
    eventually(DEADLINE, "nothing is held for it", in_flight).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_streams_and_header_lists_are_limited_and_said_so_and_idle_connections_end() {
    let scene = Scene::new(|resources| resources).await;
    // It never asks anything.
    let said = Frames::connect(scene.node.address(), &[]).await.ended().await;
    let setting = |wanted: u16| said.settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    assert_eq!(setting(3), Some(100), "SETTINGS_MAX_CONCURRENT_STREAMS: {said:?}");
    assert_eq!(setting(4), Some(256 << 10), "SETTINGS_INITIAL_WINDOW_SIZE: {said:?}");
    assert_eq!(setting(6), Some(64 << 10), "SETTINGS_MAX_HEADER_LIST_SIZE: {said:?}");
    assert_eq!(said.window, (512 << 10) - 65_535, "the connection's window: {said:?}");

    let mut frames = Frames::connect(scene.node.address(), &[]).await;
    for number in 0..101 {
        let open = signed(&scene.client, &Request::post("/ho-tich/sink", "never sent"));
        frames.send(&frame(HEADERS, END_HEADERS, stream(number), &open)).await;
    }
    for number in 0..100 {
        frames.send(&frame(RST_STREAM, 0, stream(number), &CANCEL.to_be_bytes())).await;
    }
    let said = frames.ended().await;
    assert!(said.resets.contains(&(stream(100), REFUSED_STREAM)), "{said:?}");
}
