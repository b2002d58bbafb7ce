//! From a rule's threshold, perhaps relative to the baseline, to a line in the measure's own unit;
//! and what is wrong with a line that noise alone would cross.

use super::rule::{Rule, Threshold};
use super::state::Lines;
use crate::baseline::yardstick::Yardstick;
use crate::window::measures::Measure;

/// The rule's lines; none while a relative one cannot be resolved (no baseline, or no spread).
pub fn resolve(rule: &Rule, yardstick: Option<&Yardstick>) -> Option<Lines> {
    let threshold = resolve_one(rule.measure, rule.threshold, yardstick)?;
    let clear = match rule.clear {
        Some(clear) => resolve_one(rule.measure, clear, yardstick)?,
        None => threshold,
    };
    Some(Lines { threshold, clear })
}

fn resolve_one(
    measure: Measure,
    threshold: Threshold,
    yardstick: Option<&Yardstick>,
) -> Option<f64> {
    match threshold {
        Threshold::Absolute(line) => Some(line),
        Threshold::Percent(share) => Some(yardstick?.own.get(measure)? * (1.0 + share)),
        Threshold::Deviations(deviations) => {
            let yardstick = yardstick?;
            let spread = yardstick
                .learnt()
                .spread
                .get(&measure)
                .filter(|s| s.windows >= 2)?;
            Some(yardstick.own.get(measure)? + deviations * spread.sd)
        }
    }
}
