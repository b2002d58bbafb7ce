//! Decisions on the model's own counts: `rejected_share`, `silence` and `lost_records`.
//!
//! Rejections are judged with the window that is due; while event time stands still, because a
//! producer broke and every record is refused, as they come. `silence` and
//! `lost_records` are the wall clock's, which is given.

use super::decide::Decide;
use super::judge::{self, Measured, Voice};
use super::state::{Lost, OpenCell};
use crate::observation::{Millis, StreamKey};
use crate::window::measures::Measure;
use crate::window::watermark::Watermark;

/// Lost records are remembered for an hour: long enough to be looked into.
const LOST_FOR_MS: Millis = 60 * 60 * 1000;

impl Decide {
    /// Steps the rules on `rejected_share`: on the window that is due, or, when nothing but
    /// rejections came, on a window without records.
    pub(super) fn judge_rejections(&mut self, whole: Option<Measured>, end_ms: Millis) {
        let Some(share) = self.state.traffic.rejected_share() else {
            return;
        };
        let due = whole.or_else(|| {
            let one = self.state.streams.get(&StreamKey::whole())?;
            let latest = one
                .view
                .latest
                .as_deref()
                .filter(|latest| latest.at_ms == end_ms);
            latest.cloned()
        });
        let mut measured =
            due.unwrap_or_else(|| Measured::moment(end_ms, 0, Measure::RejectedShare, share));
        // The window may have closed before the rejections came that are judged with it.
        measured.measures.insert(Measure::RejectedShare, share);
        measured.records = self.state.traffic.total();
        measured.rejections = self.state.traffic.refusals().counts();
        let voice = self.state.voice(end_ms);
        self.judge_model(Measure::RejectedShare, &measured, voice);
    }

    fn judge_model(&mut self, measure: Measure, measured: &Measured, voice: Voice) {
        for rule in self
            .spec
            .rules
            .iter()
            .filter(|rule| rule.measure == measure)
        {
            self.outputs.extend(judge::step(
                &self.spec.name,
                rule,
                &StreamKey::whole(),
                &mut self.state.model_alerts,
                measured,
                None,
                voice,
            ));
        }
    }

    /// A second or so has passed: `now_ms` by the wall clock. Decides what does not wait for
    /// event time: `silence`, and rejections while event time stands still.
    pub fn tick(&mut self, watermark: Watermark, caught_up: bool, now_ms: Millis) {
        if let Watermark::Standstill { .. } = watermark {
            self.judge_standing_rejections(now_ms);
        }
        let last_ms = *self.state.last_arrival_ms.get_or_insert(now_ms);
        // Until the topics have been read to their ends, silence may be ours and not the model's.
        if caught_up {
            let seconds = (now_ms - last_ms).max(0) as f64 / 1000.0;
            let measured = Measured::moment(now_ms, u64::MAX, Measure::Silence, seconds);
            self.judge_model(Measure::Silence, &measured, Voice::Aloud);
        }
        self.state
            .lost
            .take_if(|lost| now_ms - lost.at_ms >= LOST_FOR_MS);
        let lost = self.state.lost.map_or(0, |lost| lost.records);
        let measured = Measured::moment(now_ms, u64::MAX, Measure::LostRecords, lost as f64);
        self.judge_model(Measure::LostRecords, &measured, Voice::Aloud);
    }

    /// So many records were gone before they were read, at `now_ms` by the wall clock.
    pub fn lost(&mut self, records: u64, now_ms: Millis) {
        let before = self.state.lost.map_or(0, |lost| lost.records);
        self.state.lost = Some(Lost {
            records: before.saturating_add(records),
            at_ms: now_ms,
        });
    }

    /// Records arrived at `now_ms` by the wall clock.
    pub fn arrived(&mut self, now_ms: Millis) {
        self.state.last_arrival_ms = Some(now_ms);
    }

    fn judge_standing_rejections(&mut self, now_ms: Millis) {
        let mut rejected = std::mem::take(&mut self.state.untimed_rejections);
        let no_records = |cell: &&mut OpenCell| cell.streams.is_empty();
        for cell in self.state.open.values_mut().filter(no_records) {
            rejected.merge(&std::mem::take(&mut cell.rejected));
        }
        self.state
            .open
            .retain(|_, cell| !cell.streams.is_empty() || cell.rejected.total() > 0);
        if rejected.total() == 0 {
            return;
        }
        let end_ms = self
            .state
            .next
            .map(|next| next * self.spec.window.cell_ms());
        self.state
            .traffic
            .close(&self.spec.window, end_ms.unwrap_or_default(), 0, rejected);
        let at_ms = end_ms.unwrap_or(now_ms);
        self.judge_rejections(None, at_ms);
    }
}
