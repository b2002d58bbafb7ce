//! Streams that have given no records for long are forgotten, and their alerts end.

use std::sync::Arc;

use super::decide::Decide;
use super::judge;
use super::output::Output;
use super::restore::firing;
use super::state::StreamState;
use crate::observation::{Millis, StreamKey};

/// Why the alerts of a stream that is forgotten end.
const FORGOTTEN: &str =
    "ends because the stream has given no records for so long that it is forgotten";

impl Decide {
    /// Forgets what is old at `end_ms` in event time.
    pub(super) fn forget_streams(&mut self, end_ms: Millis) {
        let spec = Arc::clone(&self.spec);
        let old = |state: &StreamState| {
            state.sliding.is_empty() && end_ms - state.active_ms >= spec.forget_streams_after_ms
        };
        let forgotten: Vec<StreamKey> = self
            .state
            .streams
            .iter()
            .filter(|(key, state)| !key.is_whole() && old(state))
            .map(|(key, _)| key.clone())
            .collect();
        self.forget_seeds(end_ms);
        for key in forgotten {
            if let Some(mut state) = self.state.streams.remove(&key) {
                for subject in spec.subjects() {
                    if let Some(alert) = state.alerts.get_mut(subject.rule) {
                        let ended = judge::end(&spec.name, subject, &key, alert, end_ms, FORGOTTEN);
                        self.outputs.extend(ended);
                    }
                }
                let tile = state.tile.take();
                self.outputs
                    .extend(tile.map(|t| Output::History(Box::new(state.entry(&spec, &key, t)))));
            }
            self.forgotten.push(key);
        }
    }

    /// Ends alerts taken over whose streams have not come back.
    fn forget_seeds(&mut self, end_ms: Millis) {
        let spec = &self.spec;
        for (stream, seeds) in &mut self.state.seeds {
            seeds.retain(|name, &mut starts_ms| {
                let subject = spec.subjects().find(|subject| subject.rule == name);
                let old = end_ms - starts_ms >= spec.forget_streams_after_ms;
                if let (Some(subject), true) = (subject, old) {
                    let mut alert = firing(starts_ms);
                    let ended =
                        judge::end(&spec.name, subject, stream, &mut alert, end_ms, FORGOTTEN);
                    self.outputs.extend(ended);
                }
                subject.is_some() && !old
            });
        }
        self.state.seeds.retain(|_, seeds| !seeds.is_empty());
    }
}
