//! Dead letters: a refused record as it came, and why it was refused, in headers.

use super::publisher::Message;
use super::record::OwnedRecord;
use crate::observation::Rejection;

pub(super) const DETAIL: &str = "klaxond-detail";

/// The headers that are ours, in their order.
pub(super) const OWN_HEADERS: [&str; 6] = [
    "klaxond-reason",
    DETAIL,
    "klaxond-model",
    "klaxond-topic",
    "klaxond-partition",
    "klaxond-offset",
];

/// A refused record, by where it is.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    pub model: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub rejection: &'a Rejection,
}

/// The message for topic `to`. Without the original, which retention may have taken, it says so in
/// `klaxond-detail` and has neither key nor payload.
pub fn dead_letter(to: &str, letter: DeadLetter<'_>, original: Option<OwnedRecord>) -> Message {
    let gone = original.is_none();
    let OwnedRecord {
        key,
        payload,
        mut headers,
        ..
    } = original.unwrap_or_default();
    let mut detail = letter.rejection.detail.clone();
    if gone {
        detail.push_str("; the record itself is gone from its topic");
    }
    let values = [
        letter.rejection.reason.to_string(),
        detail,
        letter.model.to_owned(),
        letter.topic.to_owned(),
        letter.partition.to_string(),
        letter.offset.to_string(),
    ];
    // A record that was a dead letter before keeps the headers of its last refusal only.
    headers.retain(|(name, _)| !OWN_HEADERS.contains(&name.as_str()));
    headers.extend(
        OWN_HEADERS
            .iter()
            .zip(values)
            .map(|(&name, value)| (name.to_owned(), Some(value.into_bytes()))),
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
    use crate::observation::Reason;

    fn letter(rejection: &Rejection) -> DeadLetter<'_> {
        DeadLetter {
            model: "fraud",
            topic: "in",
            partition: 3,
            offset: 41,
            rejection,
        }
    }

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
        let rejection = Rejection::new(Reason::NotFinite, "class 3 is NaN");
        let original = OwnedRecord {
            key: Some(b"k".to_vec()),
            payload: Some(b"p".to_vec()),
            headers: vec![
                ("trace".to_owned(), Some(b"t".to_vec())),
                ("klaxond-reason".to_owned(), Some(b"old".to_vec())),
            ],
            timestamp_ms: Some(5),
        };
        let message = dead_letter("dead", letter(&rejection), Some(original));
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
    fn says_that_the_original_is_gone() {
        let rejection = Rejection::new(Reason::Empty, "no bytes");
        let message = dead_letter("dead", letter(&rejection), None);
        assert_eq!((&message.key, &message.payload), (&None, &None));
        let detail = "no bytes; the record itself is gone from its topic";
        assert_eq!(shown(&message)[1], ("klaxond-detail", detail));
    }
}
