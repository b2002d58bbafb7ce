//! Time of what is run again and again, and memory that is held.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often at least, and up to which time in all, something is run.
const LEAST_RUNS: usize = 7;
const ENOUGH: Duration = Duration::from_millis(400);

/// The median of what the runs say that they took, in seconds.
pub fn median_seconds(mut run: impl FnMut() -> Duration) -> f64 {
    let (mut took, mut all) = (Vec::new(), Duration::ZERO);
    while took.len() < LEAST_RUNS || all < ENOUGH {
        let one = run();
        all += one;
        took.push(one);
    }
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64()
}

pub fn time(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

/// What is made, and the bytes that it holds, as they were asked of the allocator.
pub fn held<T>(make: impl FnOnce() -> T) -> (T, f64) {
    let before = HELD.get();
    let made = make();
    (made, (HELD.get() - before) as f64)
}

thread_local! {
    /// Bytes that this thread has asked for and not given back.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what each thread holds.
pub struct Counting;

fn count(bytes: usize, sign: i64) {
    HELD.set(HELD.get() + sign * bytes as i64);
}

// SAFETY: the system's allocator does the work, with what the caller has promised. The count is a
// thread-local that is const and has no destructor: to touch it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}
