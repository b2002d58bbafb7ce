//! Durations as people write them ("10s", "5m", "1h30m", "30d") and times in RFC 3339.

use jiff::{Span, SpanRelativeTo, SpanRound, Timestamp, Unit};

use crate::observation::Millis;

/// Milliseconds of a duration. A day is 24 hours, a week 7 days.
///
/// # Errors
/// A sentence for a person.
pub fn parse(text: &str) -> Result<Millis, String> {
    let wrong = || format!("{text:?} is not a duration: write \"10s\", \"5m\", \"24h\" or \"30d\"");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let days = SpanRelativeTo::days_are_24_hours();
    // Milliseconds are the finest: "1500us" would be cut.
    let whole = span
        .round(
            SpanRound::new()
                .largest(Unit::Millisecond)
                .smallest(Unit::Millisecond)
                .relative(days),
        )
        .map_err(|_| wrong())?;
    let exact = whole
        .compare((span, days))
        .is_ok_and(std::cmp::Ordering::is_eq);
    let millis = whole.get_milliseconds();
    if !exact || millis < 0 {
        return Err(wrong());
    }
    Ok(millis)
}

/// Milliseconds since the epoch of an RFC 3339 time.
///
/// # Errors
/// A sentence for a person.
pub fn parse_time(text: &str) -> Result<Millis, String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("{text:?} is not a time: write it as \"2026-11-23T10:00:00Z\""))?;
    Ok(time.as_millisecond())
}

/// As a person would write it: `5m`, `1h30m`, `500ms`.
pub fn display(millis: Millis) -> String {
    let mut text = String::new();
    let mut rest = millis;
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest / size > 0 {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        let cases = [
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
            ("2w", 1_209_600_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(millis), "{text}");
            if text != "24h" && text != "2w" {
                assert_eq!(display(millis), text);
            }
        }
        for text in ["", "10", "s", "-5s", "1500us", "5 parsecs", "1y"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_zone() {
        assert_eq!(parse_time("1970-01-01T01:00:01+01:00"), Ok(1_000));
        assert!(parse_time("2026-11-23T10:00:00").is_err());
    }
}
