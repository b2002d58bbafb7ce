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
    if !yardstick.reference.tells(rule.measure) {
        return Some(format!(
            "can never fire: the labels of the baseline's records do not give {}",
            rule.measure.name()
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
pub fn review_budgets(
    season: Option<Season>,
    window: &WindowSpec,
    yardstick: &Yardstick,
) -> Vec<String> {
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
    if yardstick.baseline().window != *window {
        said.push(
            "weighs panes of other windows than the baseline's, by what was fitted to those; capture or \
             import it again"
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::rule::Scope;
    use crate::baseline::Source;
    use crate::baseline::learner::Learner;
    use crate::observation::StreamKey;
    use crate::summary::{Label, Summary};

    #[test]
    fn a_rule_on_labels_that_the_baseline_has_not_is_told() {
        let window = WindowSpec::Count {
            records: 100,
            slide: 100,
            slice_ms: 1_000,
        };
        let classes = ["no".to_owned(), "yes".to_owned()];
        let review_with = |label| {
            let mut pane = Summary::new(2);
            pane.add(&[0.25, 0.75], 0);
            pane.add_label(&[0.25, 0.75], label);
            let mut learner = Learner::new(window, None);
            learner.add_pane(&StreamKey::whole(), &classes, 0, &pane);
            let baseline = learner.finish("b", "m", Source::Imported, 0).unwrap();
            let whole = StreamKey::whole();
            let yardstick = Yardstick::new(&Arc::new(baseline), &whole, &classes, 1).unwrap();
            let rule = Rule {
                name: "worse".to_owned(),
                measure: Measure::EstimatedAccuracy,
                comparison: Comparison::Below,
                threshold: Threshold::Absolute(0.5),
                clear: None,
                for_ms: 0,
                keep_firing_ms: 0,
                min_records: 50,
                severity: "warning".to_owned(),
                scope: Scope::Whole,
            };
            review(&rule, &window, &yardstick)
        };
        let told = "can never fire: the labels of the baseline's records do not give \
                    estimated_accuracy";
        assert_eq!(review_with(Label::None).as_deref(), Some(told));
        assert_eq!(review_with(Label::Class(1)), None);
    }
}
