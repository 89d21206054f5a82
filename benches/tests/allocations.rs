//! What the success path allocates: nothing in the decision, and a known few times in a whole exchange. Counted, not assumed.

#![allow(unsafe_code, reason = "a counting allocator has to implement `GlobalAlloc`")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use lgsp_benches::{SignedRequest, documents, session, snapshot};
use lgsp_dataplane::admission::{ReplayWindow, admit};
use lgsp_dataplane::clock::Now;
use lgsp_dataplane::edge::http1::{pool::Pool, serve};
use lgsp_dataplane::edge::{Limits, Rooms};
use lgsp_dataplane::record::{Metrics, OnFull, RecordBounds, RecordSettings, RecordTarget, Recorder};
use lgsp_dataplane::snapshot::SnapshotStore;
use lgsp_dataplane::stream::HeldBudget;
use lgsp_dataplane::upstream::{Rules, Targets};
use pingora_core::connectors::TransportConnector;
use pingora_core::protocols::l4::stream::Stream;

#[path = "allocations/memory.rs"]
mod memory;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes this thread has allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; counting touches only a thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        LIVE.with(|live| live.set(live.get() + layout.size() as isize));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.with(|live| live.set(live.get() - layout.size() as isize));
        // SAFETY: the caller keeps `dealloc`'s contract, and the pointer came from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(act: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    act();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn an_admitted_request_allocates_nothing() {
    let snapshot = snapshot(&documents(100, 1_000), None);
    let replay = ReplayWindow::new(1 << 12);
    let now = Now::read();
    let requests: Vec<_> = (0..64).map(|at| SignedRequest::get("/v7/a", &format!("n{at}"), now.unix)).collect();
    for request in &requests {
        let fields = request.fields();
        let head = request.head(&fields);
        let mut admission = None;
        assert_eq!(allocations(|| admission = Some(admit(&head, &snapshot, &replay, now))), 0);
        assert!(admission.is_some_and(|admission| admission.is_ok()));
    }
}

#[test]
fn a_request_of_a_session_allocates_nothing_either() {
    let snapshot = snapshot(&documents(100, 1_000), None);
    let replay = ReplayWindow::new(1 << 12);
    let now = Now::read();
    let session = session(&snapshot, "v7", now.unix);
    for at in 0..64 {
        let request = SignedRequest::get_in_session("/v7/a", &format!("n{at}"), now.unix, &session);
        let fields = request.fields();
        let head = request.head(&fields);
        let mut admission = None;
        assert_eq!(allocations(|| admission = Some(admit(&head, &snapshot, &replay, now))), 0);
        assert!(admission.is_some_and(|admission| admission.is_ok()));
    }
}

/// The room of the exchange, and the path in its record; one more is let pass.
const ALLOCATIONS_PER_EXCHANGE_MAX: u64 = 3;
/// Exchanges before counting begins: they fill the pool and the stocks of buffers.
const WARM_UP: usize = 50;
const COUNTED: usize = 50;

/// The target: answers each request on its one connection with 1 KiB.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n".as_slice(), &[b'x'; 1024]].concat();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while read_head(&mut stream) {
            stream.write_all(&answer).unwrap();
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) -> bool {
    let (mut read, mut filled) = ([0; 4096], 0);
    while !read.get(..filled).is_some_and(|read| read.ends_with(b"\r\n\r\n")) {
        match stream.read(read.get_mut(filled..).unwrap()) {
            Ok(0) | Err(_) => return false,
            Ok(length) => filled += length,
        }
    }
    true
}

pub(crate) fn rooms(target: SocketAddr, recorder: &Recorder) -> Rooms {
    let mut documents = documents(1, 1);
    for document in documents.iter_mut().filter(|document| document.kind == "Service") {
        let endpoint = serde_json::json!([{"address": target}]);
        *Arc::make_mut(document).spec.get_mut("endpoints").unwrap() = endpoint;
    }
    let snapshots = Arc::new(SnapshotStore::default());
    snapshots.publish(Arc::new(snapshot(&documents, None)));
    Rooms {
        snapshots,
        replay: Arc::new(ReplayWindow::new(1 << 12)),
        held: Arc::new(HeldBudget::new(1 << 20)),
        records: recorder.sink().clone(),
        targets: Arc::new(Targets::new(Rules::loopback(), Vec::new())),
        connector: TransportConnector::new(None),
        pool: Pool::default(),
        once: Arc::default(),
        limits: Limits {
            connections_max: 10,
            connections_per_address_max: 10,
            unverified_bytes_max: 1 << 20,
            header_deadline: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(60),
            drain_grace: Duration::from_secs(1),
        },
        descriptor_ceiling: i32::MAX,
    }
}

/// Asks `count` times and waits for each answer.
fn ask(stream: &mut TcpStream, count: usize, name: &str) {
    for at in 0..count {
        let request = SignedRequest::get("/v0/a", &format!("{name}{at}"), Now::read().unix);
        let mut head = b"GET /v0/a HTTP/1.1\r\n".to_vec();
        for field in request.fields() {
            head.extend([field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        stream.write_all(&head).unwrap();
        let mut answer = [0; 4096];
        let mut filled = 0;
        while !answer.get(..filled).is_some_and(|answer| answer.ends_with(&[b'x'; 1024])) {
            let length = stream.read(answer.get_mut(filled..).unwrap()).unwrap();
            assert_ne!(length, 0, "closed");
            filled += length;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_whole_exchange_allocates_a_known_few_times() {
    let target = target();
    let records = RecordTarget::File("/dev/null".into());
    let settings = RecordSettings {
        node: "node-1".parse().unwrap(),
        target: records,
        on_full: OnFull::Refuse,
        bounds: RecordBounds::default(),
    };
    let recorder = Recorder::start(settings, Metrics::new().unwrap()).unwrap();
    let rooms = rooms(target, &recorder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (counted, counts) = mpsc::channel();
    // The node's side is on one thread, and only that thread's allocations are looked at.
    let node = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (_stop, shutdown) = tokio::sync::watch::channel(false);
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            // One connection per phase: the count is read when the connection of a phase has ended.
            for _ in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                let before = ALLOCATIONS.with(Cell::get);
                serve(Box::new(Stream::from(stream)), &rooms, &shutdown).await;
                counted.send(ALLOCATIONS.with(Cell::get) - before).unwrap();
            }
        });
    });
    let phase = |count: usize, name: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        ask(&mut stream, count, name);
        drop(stream);
        counts.recv().unwrap()
    };
    let connection = phase(WARM_UP, "warm-");
    let counted = phase(COUNTED, "counted-");
    node.join().unwrap();
    recorder.close();
    let most = ALLOCATIONS_PER_EXCHANGE_MAX * COUNTED as u64 + CONNECTION_ALLOCATIONS_MAX;
    assert!(counted <= most, "{counted} allocations in {COUNTED} exchanges, {connection} while warming up");
}

/// What a connection itself may allocate, however many exchanges it carries.
const CONNECTION_ALLOCATIONS_MAX: u64 = 20;

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}
