//! A rule as its user wrote it, checked.

use serde::{Deserialize, Serialize};

use crate::observation::Millis;
use crate::window::measures::Measure;

/// One `[[models.NAME.alerts]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub name: String,
    pub measure: Measure,
    pub comparison: Comparison,
    pub threshold: Threshold,
    /// Where a firing alert ends (hysteresis); none: at the threshold.
    pub clear: Option<Threshold>,
    pub for_ms: Millis,
    pub keep_firing_ms: Millis,
    /// A window with fewer records leaves the alert as it is.
    pub min_records: u64,
    pub severity: String,
    pub scope: Scope,
}

/// What events say of the rule that they are about, whatever its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subject<'a> {
    pub rule: &'a str,
    pub severity: &'a str,
    pub measure: &'static str,
    pub unit: &'static str,
    pub comparison: Comparison,
}

impl Rule {
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            rule: &self.name,
            severity: &self.severity,
            measure: self.measure.name(),
            unit: self.measure.unit(),
            comparison: self.comparison,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    Above,
    Below,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Each stream by itself.
    Streams,
    /// All streams of the model merged.
    Whole,
}

/// A line that a measure crosses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Threshold {
    /// In the measure's own unit.
    Absolute(f64),
    /// The baseline's own value plus this share of it (0.2: 20 % above; negative: below).
    Percent(f64),
    /// The baseline's own value plus so many standard deviations of it over the baseline's
    /// back-to-back windows (negative: below).
    Deviations(f64),
}
