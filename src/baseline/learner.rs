//! Learning a baseline from closed panes: the same fold for the live stream, an import and a
//! capture from history.
//!
//! Panes come in order of time. Each counts for its stream and for the whole model. Beside the
//! summary, the spread of every measure that needs no baseline is taken over back-to-back windows
//! of the model's length: blocks that tile event time from the first pane on (or, for count
//! windows, runs of panes that hold the window's records). A block that is not full when learning
//! ends is left out of the spread.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Baseline, Learnt, Source, Spread};
use crate::observation::{Millis, StreamKey, can_be_time};
use crate::summary::{MOST_OPEN_SEGMENTS, Summary};
use crate::window::WindowSpec;
use crate::window::measures::{Measure, measures};

/// A baseline in the making.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    window: WindowSpec,
    started_ms: Option<Millis>,
    lessons: BTreeMap<StreamKey, Lesson>,
}

/// What has been learnt of one stream, or of the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lesson {
    summary: Summary,
    classes: Vec<String>,
    panes: u64,
    block: Block,
    spread: BTreeMap<Measure, Moments>,
}

/// The back-to-back window being filled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Block {
    start_ms: Millis,
    summary: Summary,
}

/// Mean and sum of squared deviations, by Welford's recurrence (1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Learner {
    pub fn new(window: WindowSpec) -> Self {
        Self {
            window,
            started_ms: None,
            lessons: BTreeMap::new(),
        }
    }

    /// When the first pane began.
    pub fn started_ms(&self) -> Option<Millis> {
        self.started_ms
    }

    /// Whether it is over this window, and its lessons are such as panes give.
    pub fn is_sound(&self, window: &WindowSpec) -> bool {
        let lesson = |lesson: &Lesson| {
            let classes = lesson.classes.len();
            lesson.summary.classes() == classes
                && lesson.block.summary.classes() == classes
                && lesson.panes < 1 << 62
                && can_be_time(lesson.block.start_ms)
                && lesson.spread.values().all(|m| m.count < 1 << 62)
        };
        self.window == *window
            && self.started_ms.is_none_or(can_be_time)
            && self.lessons.values().all(lesson)
    }

    /// Takes the records of one stream in `[start_ms, …)`. A stream that is not the whole counts
    /// for the whole too, where it has the whole's classes.
    pub fn add_pane(
        &mut self,
        stream: &StreamKey,
        classes: &[String],
        start_ms: Millis,
        pane: &Summary,
    ) {
        let started_ms = *self.started_ms.get_or_insert(start_ms);
        for key in both(stream) {
            let lesson = self
                .lessons
                .entry(key)
                .or_insert_with(|| Lesson::new(classes, started_ms));
            lesson.add_pane(&self.window, classes, start_ms, pane);
        }
    }

    /// Takes records whose pane had closed: they count, but for the spread.
    pub fn add_late(&mut self, stream: &StreamKey, classes: &[String], late: &Summary) {
        for key in both(stream) {
            if let Some(lesson) = self.lessons.get_mut(&key)
                && lesson.classes == classes
            {
                lesson.summary.merge(late);
            }
        }
    }

    /// The baseline, version 0; none when there were no records.
    pub fn finish(
        mut self,
        name: &str,
        model: &str,
        source: Source,
        created_ms: Millis,
    ) -> Option<Baseline> {
        let whole = self
            .lessons
            .remove(&StreamKey::whole())?
            .finish(&self.window);
        let streams = self
            .lessons
            .into_iter()
            .map(|(stream, lesson)| (stream, lesson.finish(&self.window)))
            .collect();
        Some(Baseline {
            name: name.to_owned(),
            version: 0,
            model: model.to_owned(),
            source,
            created_ms,
            window: self.window,
            whole,
            streams,
        })
    }
}

fn both(stream: &StreamKey) -> impl Iterator<Item = StreamKey> {
    let own = (!stream.is_whole()).then(|| stream.clone());
    own.into_iter().chain([StreamKey::whole()])
}

impl Lesson {
    fn new(classes: &[String], start_ms: Millis) -> Self {
        Self {
            summary: Summary::new(classes.len()),
            classes: classes.to_vec(),
            panes: 0,
            block: Block {
                start_ms,
                summary: Summary::new(classes.len()),
            },
            spread: BTreeMap::new(),
        }
    }

    fn add_pane(
        &mut self,
        window: &WindowSpec,
        classes: &[String],
        start_ms: Millis,
        pane: &Summary,
    ) {
        if self.classes != classes {
            return;
        }
        if let WindowSpec::Time { length_ms, .. } = *window {
            let gone = (start_ms - self.block.start_ms).div_euclid(length_ms);
            if gone > 0 {
                self.sample();
                self.block.start_ms += gone * length_ms;
            }
        }
        self.block.summary.merge(pane);
        self.summary.merge(pane);
        self.summary.keep_largest_segments(MOST_OPEN_SEGMENTS);
        self.panes += 1;
        if let WindowSpec::Count { records, .. } = *window
            && self.block.summary.records() >= records
        {
            self.sample();
        }
    }

    /// Takes the full block into the spread and begins an empty one.
    fn sample(&mut self) {
        let empty = Summary::new(self.classes.len());
        let block = std::mem::replace(&mut self.block.summary, empty);
        if block.records() == 0 {
            return;
        }
        for (measure, value) in measures(&block, None).0 {
            if measure.needs().is_of_window() {
                self.spread.entry(measure).or_default().add(value);
            }
        }
    }

    fn finish(mut self, window: &WindowSpec) -> Learnt {
        // The last block is full if the panes reached its end.
        if let WindowSpec::Time {
            length_ms,
            slide_ms,
        } = *window
            && let Some((_, last_ms)) = self.block.summary.span()
            && last_ms >= self.block.start_ms + length_ms - slide_ms
        {
            self.sample();
        }
        Learnt {
            summary: self.summary,
            classes: self.classes,
            panes: self.panes,
            spread: self
                .spread
                .into_iter()
                .map(|(m, moments)| (m, moments.spread()))
                .collect(),
        }
    }
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
    }

    fn spread(self) -> Spread {
        let sd = match self.count {
            0 | 1 => 0.0,
            count => (self.squares / (count - 1) as f64).sqrt(),
        };
        Spread {
            windows: self.count,
            mean: self.mean,
            sd,
        }
    }
}
