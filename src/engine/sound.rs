//! Whether a state that was read is one that the engine could have written.
//!
//! The store's checksums tell bytes that rotted. What they cannot tell is a state that was wrong
//! when it was written, by a defect or by another program, and decisions on it would panic or never
//! end, at each start anew. So what the arithmetic of the engine relies on is looked at once, when
//! a state is read; one that is wrong is no checkpoint, and is rebuilt from Kafka.

use super::state::{OpenStream, State, StreamState};
use super::weigh::Weighed;
use crate::alert::state::AlertState;
use crate::observation::{Millis, can_be_time};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::sliding::Pane;
use crate::window::traffic::Refusals;
use crate::window::watermark::{Cell, PartitionTime};

/// More than any counter reaches: far enough from 2^64 to add to.
pub const MOST: u64 = 1 << 62;

type Fault = &'static str;

/// # Errors
/// The first thing that cannot be.
pub fn check<'a>(
    times: impl Iterator<Item = &'a PartitionTime>,
    state: &State,
) -> Result<(), Fault> {
    all(times.filter_map(PartitionTime::newest_ms))?;
    window(&state.window)?;
    let counters = state.counters;
    let waiting = state.open.values().map(|cell| &cell.rejected);
    let waiting = waiting.chain([&state.untimed_rejections]);
    let counts = [
        counters.records,
        counters.rejected,
        counters.late,
        counters.too_late,
        counters.windows,
    ];
    let total = waiting
        .map(Refusals::checked_total)
        .chain(counts.map(Some))
        .try_fold(0, |sum: u64, count| sum.checked_add(count?));
    if total.is_none_or(|sum| sum > MOST) {
        return Err("a count is beyond all counting");
    }
    if !state.traffic.is_sound() {
        return Err("the traffic is not the sum of its cells");
    }
    moments(state)?;
    open(state)?;
    for one in state.streams.values() {
        time(one.active_ms)?;
        stream(state, one)?;
    }
    state
        .whole
        .iter()
        .try_for_each(|whole| stream(state, whole))?;
    match &state.learning {
        Some(learner) if !learner.is_sound(&state.window) => {
            Err("what is being learnt does not fit the window")
        }
        _ => Ok(()),
    }
}

fn window(window: &WindowSpec) -> Result<(), Fault> {
    let sound = match *window {
        WindowSpec::Time {
            length_ms,
            slide_ms,
        } => slide_ms > 0 && length_ms >= slide_ms && can_be_time(length_ms),
        WindowSpec::Count {
            records,
            slide,
            slice_ms,
        } => slice_ms > 0 && can_be_time(slice_ms) && slide > 0 && records >= slide,
    };
    sound.then_some(()).ok_or("the window is none")
}

/// Times that stand by themselves.
fn moments(state: &State) -> Result<(), Fault> {
    let settled = state.settled.iter().flat_map(|s| [s.from_ms, s.to_ms]);
    let lost = state.lost.iter().map(|lost| lost.at_ms);
    let seeds = state
        .seeds
        .values()
        .flat_map(|rules| rules.values())
        .copied();
    let model_alerts = state
        .model_alerts
        .values()
        .flat_map(|a| alert_times(&a.state));
    let next = state.next.map(|next| start_of(state, next)).transpose()?;
    all(settled
        .chain(lost)
        .chain(seeds)
        .chain(model_alerts)
        .chain(state.last_arrival_ms)
        .chain(next))
}

fn open(state: &State) -> Result<(), Fault> {
    let (mut records, mut late) = (0, 0);
    for (&cell, opened) in &state.open {
        start_of(state, cell)?;
        if state.next.is_some_and(|next| cell < next) {
            return Err("a closed cell is open");
        }
        for stream in opened.streams.values() {
            let OpenStream {
                classes,
                on_time,
                late: late_cells,
            } = stream;
            for &late_cell in late_cells.keys() {
                start_of(state, late_cell)?;
                let panes = state.window.panes();
                if late_cell >= cell || panes.is_some_and(|panes| late_cell + panes <= cell) {
                    return Err("late records are not late, or too late");
                }
            }
            fit(classes, on_time.iter().chain(late_cells.values()))?;
            records += on_time.as_ref().map_or(0, Summary::records);
            late += late_cells.values().map(Summary::records).sum::<u64>();
        }
    }
    let counted = late <= state.counters.late && records + late <= state.counters.records;
    counted.then_some(()).ok_or("open records are not counted")
}

fn stream(state: &State, stream: &StreamState) -> Result<(), Fault> {
    let classes = &stream.classes;
    if stream.sliding.classes() != classes.len() {
        return Err("a window has other classes than its stream");
    }
    let panes = || stream.sliding.panes().chain(&stream.tile);
    fit(classes, panes().map(|pane| &pane.summary))?;
    panes().try_for_each(|pane| self::pane(state, pane))?;
    all(stream.sliding.first_ms().into_iter())?;
    if !stream.evidence.values().all(Weighed::is_sound) {
        return Err("evidence is beyond all counting");
    }
    let alerts = stream.alerts.values().flat_map(|a| alert_times(&a.state));
    all(alerts)
}

/// A pane lies before the next cell to close.
fn pane(state: &State, pane: &Pane) -> Result<(), Fault> {
    time(pane.start_ms)?;
    let next_ms = state.next.map(|next| start_of(state, next)).transpose()?;
    let closed = next_ms.is_some_and(|next_ms| pane.end_ms <= next_ms);
    let sound = closed && pane.start_ms < pane.end_ms && pane.late <= pane.summary.records();
    sound.then_some(()).ok_or("a closed pane is not closed")
}

fn fit<'a>(classes: &[String], mut of: impl Iterator<Item = &'a Summary>) -> Result<(), Fault> {
    of.all(|summary| summary.classes() == classes.len())
        .then_some(())
        .ok_or("a summary has other classes than its stream")
}

fn alert_times(state: &AlertState) -> impl Iterator<Item = Millis> {
    let (starts_ms, clear_since_ms) = match *state {
        AlertState::Inactive => (None, None),
        AlertState::Pending { starts_ms } => (Some(starts_ms), None),
        AlertState::Firing {
            starts_ms,
            clear_since_ms,
        } => (Some(starts_ms), clear_since_ms),
    };
    starts_ms.into_iter().chain(clear_since_ms)
}

/// The start of the cell, which has to be a time.
fn start_of(state: &State, cell: Cell) -> Result<Millis, Fault> {
    let start_ms = cell.checked_mul(state.window.cell_ms());
    start_ms
        .filter(|&ms| can_be_time(ms))
        .ok_or("a cell is before or after all time")
}

fn time(ms: Millis) -> Result<(), Fault> {
    all([ms].into_iter())
}

fn all(mut times: impl Iterator<Item = Millis>) -> Result<(), Fault> {
    times
        .all(can_be_time)
        .then_some(())
        .ok_or("a time is before or after all time")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::state::{Lost, OpenCell, Settled};
    use super::super::tests::{TIME, spec};
    use super::*;
    use crate::observation::StreamKey;

    /// Nothing but the two hundred thousandth cell open, with one record.
    fn state() -> State {
        let mut state = State::new(&spec(TIME));
        state.next = Some(CELL);
        state.counters.records = 1;
        let mut summary = Summary::new(2);
        summary.add(&[0.5, 0.5], CELL * 10_000);
        let open = OpenStream {
            classes: classes(2),
            on_time: Some(summary),
            late: Default::default(),
        };
        let streams = [(StreamKey::whole(), open)].into();
        let cell = OpenCell {
            streams,
            rejected: Refusals::default(),
        };
        state.open.insert(CELL, cell);
        let stream = StreamState::new(classes(2), CELL * 10_000, None);
        state.streams.insert(StreamKey::whole(), stream);
        state
    }

    const CELL: Cell = 200_000;

    fn classes(count: usize) -> Arc<[String]> {
        (0..count).map(|class| class.to_string()).collect()
    }

    type Change = fn(&mut State);

    /// Each would panic, or loop for ever, somewhere behind the restart.
    #[test]
    fn what_decisions_would_stumble_over_is_refused() {
        assert_eq!(check([].iter(), &state()), Ok(()));
        let changes: [(&str, Change); 11] = [
            ("counter", |s| s.counters.rejected = u64::MAX),
            ("sum of counters", |s| {
                s.counters.too_late = u64::MAX / 2;
                s.counters.late = u64::MAX / 2 + 2;
            }),
            ("uncounted records", |s| s.counters.records = 0),
            ("next cell", |s| s.next = Some(Cell::MAX)),
            ("open cell that is closed", |s| s.next = Some(CELL + 1)),
            ("wall clock", |s| s.last_arrival_ms = Some(Millis::MIN)),
            ("lost", |s| {
                s.lost = Some(Lost {
                    records: 1,
                    at_ms: Millis::MAX,
                });
            }),
            ("settled", |s| {
                s.settled = Some(Settled {
                    from_ms: 0,
                    to_ms: Millis::MAX,
                });
            }),
            ("seed", |s| {
                let rules = [("unsure".to_owned(), Millis::MIN)].into();
                s.seeds.insert(StreamKey::whole(), rules);
            }),
            ("classes of a stream", |s| {
                if let Some(stream) = s.streams.get_mut(&StreamKey::whole()) {
                    stream.classes = classes(3);
                }
            }),
            ("classes of an open cell", |s| {
                for stream in s.open.values_mut().flat_map(|c| c.streams.values_mut()) {
                    stream.classes = classes(3);
                }
            }),
        ];
        for (what, change) in changes {
            let mut state = state();
            change(&mut state);
            assert!(check([].iter(), &state).is_err(), "{what}");
        }
    }
}
