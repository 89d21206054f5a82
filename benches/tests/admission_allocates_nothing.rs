//! The success path of the decision allocates nothing: counted, not assumed.

#![allow(unsafe_code, reason = "a counting allocator has to implement `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lgsp_benches::{SignedRequest, documents, session, snapshot};
use lgsp_dataplane::admission::{ReplayWindow, admit};
use lgsp_dataplane::clock::Now;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; counting touches only a thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}
