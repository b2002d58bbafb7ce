//! The store's byte formats, by the first byte: `klaxond::store::fuzzing` has the table.

#![no_main]

use klaxond::store::fuzzing::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let [format, bytes @ ..] = data {
        round_trip(*format, bytes);
    }
});
