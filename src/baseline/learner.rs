//! Learning a baseline from closed panes: the same fold for the live stream, an import and a
//! capture from history.
//!
//! Panes come in order of time. Each counts for its stream and for the whole model. Beside the
//! summary, the spread of every measure that needs no baseline is taken over back-to-back windows
//! of the model's length: blocks that tile event time from the first pane on (or, for count
//! windows, runs of panes that hold the window's records). A block that is not full when learning
//! ends is left out of the spread. And the panes are logged, as far as the fit that evidence is
//! weighed by needs them.
//!
//! What is handed in may be coarser than panes (the tiles of history) or finer (the slices of count
//! windows): the log gathers it into entries of one size.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Baseline, Learnt, Source, Spread};
use crate::evidence::fit::Fit;
use crate::evidence::log::{PaneLog, capacity};
use crate::evidence::{PaneSums, Season};
use crate::observation::{Millis, Nature, StreamKey, can_be_time};
use crate::summary::{MOST_OPEN_SEGMENTS, Summary};
use crate::window::WindowSpec;
use crate::window::measures::{Measure, measures};

/// A baseline in the making.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    window: WindowSpec,
    season: Option<Season>,
    grain: Grain,
    started_ms: Option<Millis>,
    lessons: BTreeMap<StreamKey, Lesson>,
}

/// What one entry of a log of panes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Grain {
    /// The records of one such stretch of event time.
    Time { width_ms: Millis, panes: u64 },
    /// The run of what is handed in that first holds so many records.
    Records { least: u64 },
}

impl Grain {
    fn panes(window: &WindowSpec) -> Self {
        match *window {
            WindowSpec::Time { slide_ms, .. } => Self::Time {
                width_ms: slide_ms,
                panes: 1,
            },
            WindowSpec::Count { slide, .. } => Self::Records { least: slide },
        }
    }

    fn tiles(window: &WindowSpec) -> Self {
        match *window {
            WindowSpec::Time { slide_ms, .. } => Self::Time {
                width_ms: window.tile_ms(),
                panes: (window.tile_ms() / slide_ms).unsigned_abs(),
            },
            WindowSpec::Count { .. } => Self::panes(window),
        }
    }
}

/// What has been learnt of one stream, or of the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lesson {
    summary: Summary,
    classes: Vec<String>,
    panes: u64,
    block: Block,
    spread: BTreeMap<Measure, Moments>,
    log: PaneLog,
    /// An entry of the log that is not complete.
    gathering: Option<(Millis, PaneSums)>,
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
    /// From panes as they close.
    pub fn new(window: WindowSpec, season: Option<Season>) -> Self {
        Self {
            window,
            season,
            grain: Grain::panes(&window),
            started_ms: None,
            lessons: BTreeMap::new(),
        }
    }

    /// From the tiles of history, and panes that are not in it yet.
    pub fn from_tiles(window: WindowSpec, season: Option<Season>) -> Self {
        Self {
            grain: Grain::tiles(&window),
            ..Self::new(window, season)
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
                && lesson.logs_are_sound()
                && can_be_time(lesson.block.start_ms)
                && lesson.spread.values().all(|m| m.count < 1 << 62)
        };
        self.window == *window
            && self.started_ms.is_none_or(can_be_time)
            && self.lessons.values().all(lesson)
    }

    /// Whether it learns this season, and records like these.
    pub fn is_for(&self, season: Option<Season>, nature: Nature) -> bool {
        let like = |lesson: &Lesson| {
            let found = lesson.summary.nature();
            lesson.summary.records() == 0 || found.is_some_and(|found| found.is_like(nature))
        };
        self.season == season && self.lessons.values().all(like)
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
        let season = self.season;
        for key in both(stream) {
            let logs = self.lessons.len();
            let lesson = self
                .lessons
                .entry(key)
                .or_insert_with(|| Lesson::new(classes, started_ms, season));
            if lesson.classes == classes {
                lesson.add_pane(&self.window, start_ms, pane);
                lesson.gather(self.grain, start_ms, pane, capacity(logs, classes.len()));
            }
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
        let (window, grain) = (self.window, self.grain);
        let whole = self.lessons.remove(&StreamKey::whole())?;
        let whole = whole.finish(&window, grain);
        let streams = (self.lessons.into_iter())
            .map(|(stream, lesson)| (stream, lesson.finish(&window, grain)))
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
    fn new(classes: &[String], start_ms: Millis, season: Option<Season>) -> Self {
        Self {
            log: PaneLog::new(season),
            gathering: None,
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

    fn add_pane(&mut self, window: &WindowSpec, start_ms: Millis, pane: &Summary) {
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

    fn logs_are_sound(&self) -> bool {
        let gathered = self.gathering.as_ref();
        match PaneSums::of(&self.summary) {
            Some(like) => {
                self.log.is_sound(like.sums.len())
                    && gathered.is_none_or(|(_, sums)| sums.is_like(&self.summary))
            }
            None => self.log == PaneLog::new(self.log.season()) && gathered.is_none(),
        }
    }

    /// Takes a pane's sums into the log, once an entry of it is complete.
    fn gather(&mut self, grain: Grain, start_ms: Millis, pane: &Summary, capacity: usize) {
        // Panes of another kind of records would not add up with those before.
        let like = |sums: &PaneSums| {
            let gathered = self.gathering.as_ref();
            let length = sums.sums.len();
            self.log.takes(length) && gathered.is_none_or(|(_, held)| held.sums.len() == length)
        };
        let Some(sums) = PaneSums::of(pane).filter(like) else {
            return;
        };
        if let Grain::Time { width_ms, .. } = grain {
            let cell = |time_ms: Millis| time_ms.div_euclid(width_ms);
            let complete =
                |(began_ms, _): &mut (Millis, PaneSums)| cell(*began_ms) != cell(start_ms);
            if let Some((began_ms, entry)) = self.gathering.take_if(complete) {
                self.log.add(began_ms, entry, capacity);
            }
        }
        match &mut self.gathering {
            Some((_, entry)) => entry.add(&sums),
            None => self.gathering = Some((start_ms, sums)),
        }
        if let Grain::Records { least } = grain {
            let complete = |(_, entry): &mut (Millis, PaneSums)| entry.records >= least as f64;
            if let Some((began_ms, entry)) = self.gathering.take_if(complete) {
                self.log.add(began_ms, entry, capacity);
            }
        }
    }

    /// Takes the full block into the spread and begins an empty one.
    fn sample(&mut self) {
        let empty = Summary::new(self.classes.len());
        let block = std::mem::replace(&mut self.block.summary, empty);
        if block.records() == 0 {
            return;
        }
        for (measure, value) in measures(&block, None).iter() {
            if measure.needs().is_of_window() {
                self.spread.entry(measure).or_default().add(value);
            }
        }
    }

    fn finish(mut self, window: &WindowSpec, grain: Grain) -> Learnt {
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
        // The last entry is as long as the others where time cuts it.
        if let (Grain::Time { .. }, Some((began_ms, entry))) = (grain, self.gathering.take()) {
            self.log.add(began_ms, entry, usize::MAX);
        }
        let span_ms = self.summary.span().map_or(0, |(first, last)| last - first);
        let panes_each = match grain {
            // A detector sees no panes without records: as many of a tile's as have some, were records
            // to come independently.
            Grain::Time { panes, .. } => {
                let (panes, records) = (panes as f64, self.log.records_each() as f64);
                (panes * -(-records / panes).exp_m1()).round() as u64
            }
            Grain::Records { least } => self.log.records_each() / least.max(1),
        };
        let total = PaneSums::of(&self.summary);
        let fit = total.and_then(|total| Fit::new(&self.log, &total, span_ms, panes_each.max(1)));
        Learnt {
            fit,
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
