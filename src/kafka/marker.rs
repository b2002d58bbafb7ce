//! The marker: one committed offset that says how far publication has come, and whose it is.
//!
//! It is the position of the group `GROUP.outbox` in partition 0 of the alerts topic. The offset is
//! the number of the last entry that is out; the metadata string beside it holds the rest. Kafka
//! keeps at most `offset.metadata.max.bytes` of that string, 4,096 unless a broker is set otherwise,
//! and refuses the whole commit beyond. So it is packed: a version, a dot, then base64 of a postcard
//! struct in which a model is five bytes of a hash of its name and its watermark is the lag behind
//! the furthest, typically three to four bytes. Some 320 models fit. With more, those furthest ahead
//! are left out and share the least watermark among them ([`Watermarks::get`] answers with it): after
//! the loss of a store, windows of theirs that closed between the two may be published again, with
//! the ids that they had.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::TopicPartition;
use crate::observation::Millis;

/// Longest metadata string that is written, in bytes: Kafka's default limit less some air.
const MAX_METADATA: usize = 4_000;

/// Names the encoding; a change of it gets another.
const VERSION: &str = "k1";

/// How far publication has come, and under which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The number of the last outbox entry that is out; 0 before any.
    pub number: u64,
    /// The identity of the store that the numbers are of.
    pub store: String,
    /// Differs from renewal to renewal.
    pub beat: u64,
    /// Event time up to which each model's windows are out.
    pub watermarks: Watermarks,
    /// Set by a clean shutdown: nobody need wait.
    pub released: bool,
}

/// A committed offset that is no marker of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at number {number}: {detail}")]
pub struct MarkerError {
    pub number: i64,
    pub detail: String,
}

impl Marker {
    /// Where the marker is committed.
    pub fn place(alerts: &str) -> TopicPartition {
        TopicPartition {
            topic: alerts.to_owned(),
            partition: 0,
        }
    }

    /// The offset and the metadata that say it.
    pub fn encode(&self) -> (i64, String) {
        // A count of messages does not reach 2^63.
        let offset = i64::try_from(self.number).unwrap_or(i64::MAX);
        let mut kept = self.watermarks.0.len();
        loop {
            let metadata = self.metadata(kept);
            if metadata.len() <= MAX_METADATA || kept == 0 {
                return (offset, metadata);
            }
            // Each model left out frees at least eight characters.
            kept = kept.saturating_sub(((metadata.len() - MAX_METADATA) / 16).max(1));
        }
    }

    /// With the `kept` models that are furthest behind told one by one.
    fn metadata(&self, kept: usize) -> String {
        let mut by_time: Vec<(Millis, Key)> = self
            .watermarks
            .0
            .iter()
            .map(|(&key, &time_ms)| (time_ms, key))
            .collect();
        by_time.sort_unstable();
        let (each, rest) = by_time.split_at(kept);
        let newest_ms = each.last().map_or(0, |&(time_ms, _)| time_ms);
        let wire = Wire {
            store: self.store.clone(),
            beat: self.beat,
            released: self.released,
            newest_ms,
            lags: each
                .iter()
                .map(|&(time_ms, key)| (key, newest_ms.abs_diff(time_ms)))
                .collect(),
            // Of those left out here, and of those left out when this was read.
            rest_ms: rest
                .first()
                .map(|&(time_ms, _)| time_ms)
                .into_iter()
                .chain(self.watermarks.1)
                .min(),
        };
        // Writing plain data to memory does not fail; an empty body would be refused by `parse`.
        let body = postcard::to_stdvec(&wire).unwrap_or_default();
        format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(&body))
    }

    /// # Errors
    /// Whatever is not exactly what [`Marker::encode`] writes, named.
    pub fn parse(offset: i64, metadata: &str) -> Result<Self, MarkerError> {
        let fault = |detail: String| MarkerError {
            number: offset,
            detail,
        };
        let number = u64::try_from(offset).map_err(|_| fault("a negative number".to_owned()))?;
        let Some((version, body)) = metadata.split_once('.') else {
            return Err(fault(format!("{} is no marker", excerpt(metadata))));
        };
        if version != VERSION {
            return Err(fault(format!(
                "version {} is not {VERSION}, the one this build reads",
                excerpt(version)
            )));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| fault(format!("{} is not base64", excerpt(body))))?;
        let (wire, left): (Wire, _) =
            postcard::take_from_bytes(&bytes).map_err(|error| fault(error.to_string()))?;
        if !left.is_empty() {
            return Err(fault(format!("{} bytes too many", left.len())));
        }
        let mut watermarks = BTreeMap::new();
        for (key, lag) in wire.lags {
            let time_ms = wire.newest_ms.checked_sub_unsigned(lag);
            let time_ms = time_ms.ok_or_else(|| fault("a watermark before all time".to_owned()))?;
            if watermarks.insert(key, time_ms).is_some() {
                return Err(fault("the same model twice".to_owned()));
            }
        }
        Ok(Self {
            number,
            store: wire.store,
            beat: wire.beat,
            watermarks: Watermarks(watermarks, wire.rest_ms),
            released: wire.released,
        })
    }
}

/// The first forty bytes or so of what a person may want to see.
fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("{shown:?}")
}

/// Five bytes of SHA-256 over a model's name: two of 200 models meet with probability 2e-8.
type Key = [u8; 5];

fn key_of(model: &str) -> Key {
    let digest = Sha256::digest(model.as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&digest[..5]);
    key
}

/// Event times by model, with models known by a hash of their names. Beside it, once it has been
/// through a marker that was too small, the time of the models that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watermarks(BTreeMap<Key, Millis>, Option<Millis>);

impl Watermarks {
    /// Up to where this model's windows are out; none where nothing is known of it.
    pub fn get(&self, model: &str) -> Option<Millis> {
        self.0.get(&key_of(model)).copied().or(self.1)
    }

    /// The number of models that are told one by one.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<M: AsRef<str>> FromIterator<(M, Millis)> for Watermarks {
    fn from_iter<I: IntoIterator<Item = (M, Millis)>>(watermarks: I) -> Self {
        let mut by_key = BTreeMap::new();
        for (model, time_ms) in watermarks {
            // Models that share a key share the lesser time: a repeat is better than a gap.
            by_key
                .entry(key_of(model.as_ref()))
                .and_modify(|known: &mut Millis| *known = time_ms.min(*known))
                .or_insert(time_ms);
        }
        Self(by_key, None)
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    store: String,
    beat: u64,
    released: bool,
    newest_ms: Millis,
    /// Behind `newest_ms`, in milliseconds.
    lags: Vec<(Key, u64)>,
    rest_ms: Option<Millis>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marker(models: usize) -> Marker {
        // Within a day of each other, as models of one daemon are.
        let times = (0..models).map(|i| {
            let lag_ms = (i as i64 * 7_919_003) % 86_400_000;
            (format!("model-{i}"), 1_795_000_000_000 - lag_ms)
        });
        Marker {
            number: 812,
            store: "6f1e2c1a-6a3b-4a62-9f0b-8a55c3d0e911".to_owned(),
            beat: 4_711,
            watermarks: times.collect(),
            released: false,
        }
    }

    fn round_trip(marker: &Marker) -> Marker {
        let (offset, metadata) = marker.encode();
        assert!(metadata.len() <= MAX_METADATA, "{}", metadata.len());
        Marker::parse(offset, &metadata).expect("our own")
    }

    #[test]
    fn three_hundred_models_fit_whole() {
        for models in [0, 1, 2, 200, 300] {
            assert_eq!(round_trip(&marker(models)), marker(models), "{models}");
        }
    }

    /// Beyond what fits, no model is said to be further than it is, and those behind are exact.
    #[test]
    fn models_beyond_the_room_share_the_least_watermark_left_out() {
        let whole = marker(2_000);
        let told = round_trip(&whole);
        assert!(told.watermarks.len() > 250, "{}", told.watermarks.len());
        let mut exact = 0;
        for i in 0..2_000 {
            let name = format!("model-{i}");
            let (real, said) = (whole.watermarks.get(&name), told.watermarks.get(&name));
            assert!(said <= real, "{name}: {said:?} {real:?}");
            exact += usize::from(said == real);
        }
        assert!(exact > told.watermarks.len());
        assert_eq!(round_trip(&told), told, "what was shared stays shared");
    }

    #[test]
    fn an_unknown_model_has_no_watermark() {
        assert_eq!(marker(3).watermarks.get("another"), None);
    }

    /// What a build of this version wrote, every build of it reads.
    #[test]
    fn golden() {
        let marker = Marker {
            number: 7,
            store: "s".to_owned(),
            beat: 3,
            watermarks: [("a", 1_000), ("b", 900)].into_iter().collect(),
            released: true,
        };
        // By hand: 01 's' | 03 | 01 | zigzag(1000) = d0 0f | two entries, the furthest behind first:
        // sha256("b") = 3e23e81600…, lag 100 = 64; sha256("a") = ca978112ca…, lag 0 | no rest.
        let bytes = [
            0x01, 0x73, 0x03, 0x01, 0xd0, 0x0f, 0x02, 0x3e, 0x23, 0xe8, 0x16, 0x00, 0x64, 0xca,
            0x97, 0x81, 0x12, 0xca, 0x00, 0x00,
        ];
        assert_eq!(
            marker.encode(),
            (7, format!("k1.{}", URL_SAFE_NO_PAD.encode(bytes)))
        );
        assert_eq!(marker.encode().1, "k1.AXMDAdAPAj4j6BYAZMqXgRLKAAA");
    }

    #[test]
    fn garbage_is_named() {
        let fault = |text: &str| Marker::parse(9, text).unwrap_err().to_string();
        assert_eq!(fault(""), "at number 9: \"\" is no marker");
        assert!(fault("k9.AA").contains("version \"k9\" is not k1"));
        assert!(fault("k1.A!").contains("is not base64"));
        let (_, good) = marker(2).encode();
        assert!(
            Marker::parse(-1, &good)
                .unwrap_err()
                .to_string()
                .contains("negative")
        );
        let long = format!("{good}AAAA");
        assert!(Marker::parse(9, &long).is_err());
    }

    proptest! {
        #[test]
        fn any_marker_comes_back(
            number in 0..=u64::MAX / 2,
            store in "[ -~]{0,60}",
            beat: u64,
            released: bool,
            times in prop::collection::btree_map("[a-z]{1,12}", any::<i64>(), 0..200),
        ) {
            let watermarks = times.into_iter().collect();
            let marker = Marker { number, store, beat, watermarks, released };
            prop_assert_eq!(round_trip(&marker), marker);
        }

        #[test]
        fn no_text_is_a_panic(offset: i64, text in "(k1\\.)?.{0,80}", cut: prop::sample::Index) {
            let _ = Marker::parse(offset, &text);
            let (_, good) = marker(5).encode();
            let _ = Marker::parse(1, &good[..cut.index(good.len())]);
        }
    }
}
