//! Reading and verifying allocate nothing on the way to success: counted, on this thread, around exactly these calls.

#![allow(unsafe_code)] // A counting allocator is the only way to see an allocation, and its trait is unsafe.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lgsp_shared::signature::Claim;

use super::request::{Request, key};
use super::round_trip::{signed_rfc9421, signed_sigv4};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Bytes this thread has allocated and not freed.
pub fn live_bytes() -> isize {
    LIVE.with(Cell::get)
}

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = LIVE.try_with(|live| live.set(live.get() + layout.size() as isize));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get() - layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(request: &Request) -> usize {
    let state = key("secret");
    request.head(|head| {
        let before = ALLOCATIONS.with(Cell::get);
        let claim = Claim::read(head).unwrap();
        claim.verify(head, &state).unwrap();
        let _ = (claim.nonce(), claim.body());
        ALLOCATIONS.with(Cell::get) - before
    })
}

#[test]
fn a_verified_request_costs_no_allocation() {
    let request = Request::get("/v1/a%20b", Some("z=1&a=2&b")).with("Content-Length", "2").with("X-A", "1");
    assert_eq!(allocations(&signed_rfc9421(&request, "secret")), 0);
    assert_eq!(allocations(&signed_sigv4(&request, "secret", "s3")), 0);
    assert_eq!(allocations(&signed_sigv4(&request, "secret", "lgsp")), 0);
    assert!(ALLOCATIONS.with(Cell::get) > 0, "the counter does not count");
}
