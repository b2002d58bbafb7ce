//! Rules that would never fire, or fire for nothing, found before they run.

use super::rule::{Comparison, Rule, Threshold};
use crate::baseline::yardstick::Yardstick;
use crate::evidence::Season;
use crate::information::noise::NoiseFloor;
use crate::window::WindowSpec;
use crate::window::measures::{Measure, Needs};

use super::diagnosis::number;

/// How many records a window is likely to hold: a count window's own number, else the baseline's
/// rate over the window's length. None where the baseline has no length.
pub fn expected_records(window: &WindowSpec, yardstick: &Yardstick) -> Option<u64> {
    match *window {
        WindowSpec::Count { records, .. } => Some(records),
        WindowSpec::Time { length_ms, .. } => {
            let (first_ms, last_ms) = yardstick.summary().span()?;
            let span_ms = (last_ms - first_ms).max(0) as f64;
            let rate = yardstick.summary().records() as f64 / span_ms;
            (span_ms > 0.0).then_some((rate * length_ms as f64) as u64)
        }
    }
}

/// What is wrong with the rule on this model, as a sentence; none when nothing is.
pub fn review(rule: &Rule, window: &WindowSpec, yardstick: &Yardstick) -> Option<String> {
    let records = expected_records(window, yardstick)?;
    if records < rule.min_records && rule.measure.needs() != Needs::Model {
        return Some(format!(
            "can hardly fire: a window holds about {records} records, and min_records is {}",
            rule.min_records
        ));
    }
    if let Threshold::Deviations(_) = rule.threshold
        && yardstick
            .learnt()
            .spread
            .get(&rule.measure)
            .is_none_or(|spread| spread.windows < 2)
    {
        return Some(format!(
            "cannot fire: the baseline has no two back-to-back windows of {}, so there is no \
             standard deviation",
            rule.measure.name()
        ));
    }
    let Threshold::Absolute(line) = rule.threshold else {
        return None;
    };
    let noise = floor(rule.measure, yardstick, records)?;
    (rule.comparison == Comparison::Above && line <= noise).then(|| {
        format!(
            "fires for nothing: {} of about {records} records is {} by sampling alone, and the \
             threshold is {}",
            rule.measure.name(),
            number(noise),
            number(line)
        )
    })
}

/// What is wrong with a rule with a budget on this model; empty when nothing is.
pub fn review_budgets(season: Option<Season>, yardstick: &Yardstick) -> Vec<String> {
    let learnt = yardstick.learnt();
    let Some(fit) = learnt.fit.as_ref().filter(|_| yardstick.detector.is_some()) else {
        let why = "cannot fire: nothing was fitted to the baseline, which is over one class or was \
                   stored by an older build; capture or import it again";
        return vec![why.to_owned()];
    };
    let mut said = Vec::new();
    if learnt.is_provisional() {
        said.push(
            "is provisional: the baseline is shorter than a day or of under 200 panes, so that its \
             budget may not hold"
                .to_owned(),
        );
    }
    let asked = |season: Option<Season>| season.map_or("none", Season::name);
    if season != fit.season {
        said.push(format!(
            "has no use for season = {:?}: the baseline was learnt with {:?}; capture or import it again",
            asked(season),
            asked(fit.season)
        ));
    } else if let Some(season) = fit.season.filter(|_| fit.lacks_cycles()) {
        said.push(format!(
            "takes one mean for all hours: the baseline is shorter than the {} cycles that season = \
             {:?} needs",
            Season::LEAST_CYCLES,
            season.name()
        ));
    }
    said
}

/// What the measure is expected to be when nothing has changed.
fn floor(measure: Measure, yardstick: &Yardstick, records: u64) -> Option<f64> {
    let noise: NoiseFloor = yardstick.reference.noise(records)?;
    match measure {
        Measure::Kl => Some(noise.kl),
        Measure::KlReverse => Some(noise.kl_reverse),
        Measure::Jeffreys => Some(noise.jeffreys),
        Measure::Js => Some(noise.js),
        Measure::JsDistance => Some(noise.js_distance),
        Measure::Hellinger => Some(noise.hellinger),
        Measure::Tv => Some(noise.tv),
        _ => None,
    }
}
