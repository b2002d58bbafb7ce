//! A model as configured, checked: all that the engine needs to know of it.

use crate::alert::budget::Budget;
use crate::alert::rule::{Rule, Subject};
use crate::decode::DecoderSpec;
use crate::evidence::Season;
use crate::observation::Millis;
use crate::window::WindowSpec;

/// One `[models.NAME]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    pub name: String,
    /// At least one; distinct.
    pub topics: Vec<String>,
    pub decoder: DecoderSpec,
    /// Class names; none: an object's own names, or "0", "1"….
    pub classes: Option<Vec<String>>,
    pub window: WindowSpec,
    pub lateness_ms: Millis,
    pub idle_after_ms: Millis,
    pub max_ahead_ms: Millis,
    pub baseline: BaselineSpec,
    /// A cycle that its traffic repeats.
    pub season: Option<Season>,
    /// A stream's own baseline needs so many records, else the whole model's is used.
    pub min_baseline_records: u64,
    pub forget_streams_after_ms: Millis,
    /// With those that every model has.
    pub rules: Vec<Rule>,
    /// Rules with a budget of false alarms instead of a line.
    pub budgets: Vec<Budget>,
    /// Which records are referred for review; none: none are.
    pub review: Option<ReviewSpec>,
    pub limits: ModelLimits,
}

impl ModelSpec {
    /// What there is to say of every rule, of either kind.
    pub fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        let budgets = self.budgets.iter().map(Budget::subject);
        self.rules.iter().map(Rule::subject).chain(budgets)
    }
}

/// Which records are referred for review, and how many: see [`super::review`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReviewSpec {
    pub line: ReviewLine,
    pub rate: Rate,
}

/// Records with a greater entropy are uncertain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReviewLine {
    /// Bits.
    Above(f64),
    /// This quantile, between 0 and 1, of the record entropies of the stream's baseline.
    Quantile(f64),
}

/// At most so many records in each period of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub records: u64,
    /// At least 1.
    pub period_ms: Millis,
}

/// Where a model's baseline comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaselineSpec {
    /// None configured: measures that need one are absent.
    None,
    /// The active version of this name in the store.
    Named(String),
    /// Learnt from the first so much event time, as version 1 of a baseline named after the model.
    Learn { duration_ms: Millis },
}

/// Bounds of one model's state. Policies when full are in the annotated config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLimits {
    /// Streams; records of further ones go to the stream `{"overflow":"true"}`.
    pub streams: usize,
    /// Cells ahead of the watermark that hold records; partitions further ahead are paused.
    pub open_panes: usize,
}
