//! What an alert says to the person it wakes: what changed, since when, by how much, in which
//! classes.
//!
//! From measures to words in three steps. `chance` judges what moved further than chance moves
//! the baseline's own windows; `cause` picks the cause that these movements show; `words` says
//! it with the numbers that show it. Only what the measures show is said: a cause that they cannot
//! tell from another is said as one of several, and where none stands out, that is said.
//!
//! What they cannot show, because a summary does not have it: outputs that were dealt to the wrong
//! records (every measure of a window is the same in any order), and classes in another order where
//! all are about as frequent.

mod cause;
mod chance;
mod facts;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
mod words;

pub use facts::{Ensemble, Facts, Reading, SegmentShare};
pub use words::{condition, number, percent, resolved};

use std::sync::Arc;

use super::event::{Cause, ClassShift, Diagnosis};
use super::rule::Rule;
use crate::baseline::yardstick::Yardstick;
use crate::summary::Summary;
use crate::window::measures::{Measure, contributions};
use cause::Findings;

/// Most class shifts that an event carries.
pub const MAX_CLASSES: usize = 20;

/// The classes that contribute most to kl, largest first; ties by class order.
pub fn class_shifts(window: &Summary, yardstick: &Yardstick) -> Vec<ClassShift> {
    let bits = contributions(window, &yardstick.reference);
    let (now, before) = (window.mean(), yardstick.reference.mean());
    let mut order: Vec<usize> = (0..bits.len()).collect();
    let largest_first = |&a: &usize, &b: &usize| bits[b].total_cmp(&bits[a]).then(a.cmp(&b));
    if order.len() > MAX_CLASSES {
        order.select_nth_unstable_by(MAX_CLASSES, largest_first);
        order.truncate(MAX_CLASSES);
    }
    order.sort_unstable_by(largest_first);
    order
        .into_iter()
        .map(|k| ClassShift {
            class: Arc::clone(&yardstick.classes[k]),
            baseline: before[k],
            window: now[k],
            bits: bits[k],
        })
        .collect()
}

/// The diagnosis of a rule that fires: what the rule saw, then what the measures show.
pub fn firing(rule: &Rule, condition: String, facts: &Facts<'_>) -> Diagnosis {
    let known = match rule.measure {
        Measure::RejectedShare => Some((Cause::ProducerChanged, words::refused(facts))),
        Measure::LostRecords => Some((Cause::RecordsLost, words::LOST.to_owned())),
        Measure::Silence => Some((Cause::ProducerChanged, words::SILENT.to_owned())),
        _ => None,
    };
    let mut diagnosis = match known {
        Some((cause, summary)) => Diagnosis {
            summary,
            cause: Some(cause),
            classes: facts.classes.to_vec(),
        },
        None => diagnose(facts),
    };
    diagnosis.summary = format!("{condition}; {}", diagnosis.summary);
    diagnosis
}

/// The diagnosis of a rule with a budget whose evidence alarms: what it saw, what the measures show, and
/// what the budget promises.
pub fn changed(condition: &str, promise: &str, facts: &Facts<'_>) -> Diagnosis {
    let mut diagnosis = diagnose(facts);
    diagnosis.summary = format!("{condition}; {}; {promise}", diagnosis.summary);
    diagnosis
}

/// What moved, and what that shows.
pub fn diagnose(facts: &Facts<'_>) -> Diagnosis {
    let findings = Findings::of(facts);
    let cause = findings.cause();
    Diagnosis {
        summary: words::sentences(cause, facts, &findings).join("; "),
        cause: Some(cause),
        classes: facts.classes.to_vec(),
    }
}
