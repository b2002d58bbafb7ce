//! Waiting for this instance's turn: until the topics are there, and no other instance is active.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Daemon;
use crate::clock::Instant;
use crate::http::Phase;
use crate::kafka::Marker;

/// Partitions by topic.
pub type Topics = BTreeMap<String, Vec<i32>>;

/// How often the marker is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A marker that has not moved for so long by our own watch is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(30);

impl Daemon<'_> {
    /// The input topics once it is this instance's turn; none when it is time to stop.
    pub(super) fn follow(&mut self) -> Result<Option<Topics>, anyhow::Error> {
        let inputs = self.input_topics();
        let outputs = self.output_topics();
        let alerts = self.config.output.alerts.clone();
        let mut seen: Option<(Marker, Instant)> = None;
        loop {
            let found = self.insist(|daemon| {
                // Missing output topics are better found now than with the first alert.
                daemon.group.partitions(&outputs)?;
                let topics = daemon.group.partitions(&inputs)?;
                Ok((topics, daemon.marker.read_marker(&alerts)?))
            });
            let Some((topics, marker)) = found else {
                return Ok(None);
            };
            let Some(marker) = marker else {
                return Ok(Some(topics));
            };
            if marker.released || marker.store == self.store.identity().to_string() {
                return Ok(Some(topics));
            }
            match &seen {
                Some((before, since))
                    if before.beat == marker.beat && before.store == marker.store =>
                {
                    if since.elapsed() >= ABANDONED {
                        tracing::warn!(
                            store = marker.store,
                            "the active instance has not been heard of for {} s: taking over",
                            ABANDONED.as_secs()
                        );
                        return Ok(Some(topics));
                    }
                }
                before => {
                    let is_new = before.as_ref().is_none_or(|(b, _)| b.store != marker.store);
                    if is_new {
                        tracing::info!(active = marker.store, "standing by");
                    }
                    self.show(Phase::Standby {
                        active_store: marker.store.clone(),
                    });
                    seen = Some((marker, Instant::now()));
                }
            }
            if !self.rest(LOOK) {
                return Ok(None);
            }
        }
    }
}
