//! Records of input topics that are published once more, as they came, with why in headers: dead
//! letters and review records.

use super::publisher::Message;
use super::record::OwnedRecord;

pub(super) const DETAIL: &str = "klaxond-detail";

/// The headers that are ours, in their order.
pub(super) const OWN_HEADERS: [&str; 7] = [
    "klaxond-reason",
    DETAIL,
    "klaxond-entropy",
    "klaxond-model",
    "klaxond-topic",
    "klaxond-partition",
    "klaxond-offset",
];

/// A record to be copied, by where it is, and why.
#[derive(Clone, Copy, Debug)]
pub struct Copied<'a> {
    pub model: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub reason: &'a str,
    pub detail: &'a str,
    /// In bits, of a record that has one.
    pub entropy_bits: Option<f64>,
}

/// The message for topic `to`. Without the original, which retention may have taken, it says so in
/// `klaxond-detail` and has neither key nor payload.
pub fn copy_of(to: &str, copied: Copied<'_>, original: Option<OwnedRecord>) -> Message {
    let gone = original.is_none();
    let OwnedRecord {
        key,
        payload,
        mut headers,
        ..
    } = original.unwrap_or_default();
    let mut detail = copied.detail.to_owned();
    if gone {
        detail.push_str("; the record itself is gone from its topic");
    }
    let values = [
        Some(copied.reason.to_owned()),
        Some(detail),
        copied.entropy_bits.map(|bits| bits.to_string()),
        Some(copied.model.to_owned()),
        Some(copied.topic.to_owned()),
        Some(copied.partition.to_string()),
        Some(copied.offset.to_string()),
    ];
    // A record that was copied before keeps the headers of the last time only.
    headers.retain(|(name, _)| !OWN_HEADERS.contains(&name.as_str()));
    let own = OWN_HEADERS.iter().zip(values);
    headers.extend(
        own.filter_map(|(&name, value)| Some((name.to_owned(), Some(value?.into_bytes())))),
    );
    Message {
        topic: to.to_owned(),
        key,
        payload,
        headers,
        may_shrink: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: Copied<'_> = Copied {
        model: "fraud",
        topic: "in",
        partition: 3,
        offset: 41,
        reason: "not_finite",
        detail: "class 3 is NaN",
        entropy_bits: None,
    };

    fn shown(message: &Message) -> Vec<(&str, &str)> {
        message
            .headers
            .iter()
            .map(|(name, value)| {
                let value = value.as_deref().unwrap_or_default();
                (name.as_str(), std::str::from_utf8(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn keeps_the_original_and_adds_why() {
        let original = OwnedRecord {
            key: Some(b"k".to_vec()),
            payload: Some(b"p".to_vec()),
            headers: vec![
                ("trace".to_owned(), Some(b"t".to_vec())),
                ("klaxond-reason".to_owned(), Some(b"old".to_vec())),
                ("klaxond-entropy".to_owned(), Some(b"2".to_vec())),
            ],
            timestamp_ms: Some(5),
        };
        let message = copy_of("dead", LETTER, Some(original));
        assert_eq!(message.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(message.payload.as_deref(), Some(&b"p"[..]));
        let expected = [
            ("trace", "t"),
            ("klaxond-reason", "not_finite"),
            ("klaxond-detail", "class 3 is NaN"),
            ("klaxond-model", "fraud"),
            ("klaxond-topic", "in"),
            ("klaxond-partition", "3"),
            ("klaxond-offset", "41"),
        ];
        assert_eq!(shown(&message), expected);
    }

    #[test]
    fn a_review_record_says_its_entropy() {
        let copied = Copied {
            reason: "uncertain",
            // To the last digit: 1/3 is none that ends.
            entropy_bits: Some(1.0 / 3.0),
            ..LETTER
        };
        let message = copy_of("review", copied, Some(OwnedRecord::default()));
        let shown = shown(&message);
        assert_eq!(shown[0], ("klaxond-reason", "uncertain"));
        assert_eq!(shown[2], ("klaxond-entropy", "0.3333333333333333"));
        assert_eq!(shown.len(), 7);
    }

    #[test]
    fn says_that_the_original_is_gone() {
        let message = copy_of("dead", LETTER, None);
        assert_eq!((&message.key, &message.payload), (&None, &None));
        let detail = "class 3 is NaN; the record itself is gone from its topic";
        assert_eq!(shown(&message)[1], ("klaxond-detail", detail));
    }
}
