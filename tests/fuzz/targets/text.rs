//! Short texts, by the first byte: the marker's metadata, durations, times, JSON pointers.

#![no_main]

use klaxond::config::duration;
use klaxond::decode::parse_pointer;
use klaxond::kafka::Marker;
use klaxond::observation::rfc3339;
use libfuzzer_sys::fuzz_target;

/// The longest metadata that a marker is written with.
const MAX_METADATA: usize = 4_000;
const NUMBER: i64 = 7;

fn marker(metadata: &str) {
    let Ok(marker) = Marker::parse(NUMBER, metadata) else {
        return;
    };
    let (offset, written) = marker.encode();
    let again = Marker::parse(offset, &written).expect("a marker reads what it writes");
    // A longer one leaves models out, which are then known by their least time.
    if metadata.len() <= MAX_METADATA {
        assert_eq!(again, marker);
    } else {
        assert!(again.watermarks.len() <= marker.watermarks.len());
        assert_eq!((again.number, again.beat), (marker.number, marker.beat));
    }
}

fn escaped(keys: &[String]) -> String {
    let escape = |key: &String| format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    keys.iter().map(escape).collect()
}

fuzz_target!(|data: &[u8]| {
    let [kind, text @ ..] = data else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match kind % 4 {
        0 => marker(text),
        1 => {
            if let Ok(millis) = duration::parse(text) {
                assert!(millis >= 0);
                assert_eq!(duration::parse(&duration::display(millis)), Ok(millis));
            }
        }
        2 => {
            if let Ok(millis) = duration::parse_time(text) {
                assert_eq!(duration::parse_time(&rfc3339(millis)), Ok(millis));
            }
        }
        _ => {
            if let Ok(keys) = parse_pointer(text) {
                assert_eq!(escaped(&keys), text);
            }
        }
    }
});
