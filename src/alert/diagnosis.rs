//! What an alert says to the person it wakes: what changed, since when, in which classes.
//!
//! Only what the measures show is said. A class is named when the shift of the class mix stands
//! clear of what sampling alone gives; otherwise the mix is said to be as it was.

use super::event::{ClassShift, Diagnosis};
use super::rule::{Comparison, Rule, Subject};
use crate::baseline::yardstick::Yardstick;
use crate::observation::{Millis, rfc3339};
use crate::summary::Summary;
use crate::window::measures::{Measure, Measures, contributions};

/// Most class shifts that an event carries.
pub const MAX_CLASSES: usize = 20;
/// Most class shifts that the sentence names.
const NAMED_CLASSES: usize = 3;
/// A kl this many times its noise floor is a shift, not sampling.
const CLEAR_OF_NOISE: f64 = 3.0;

/// An entropy within so many standard deviations of the baseline's windows is a usual one.
const USUAL_DEVIATIONS: f64 = 3.0;
/// The same where the baseline was too short for a standard deviation.
const FEW_PERCENT: f64 = 0.05;

/// The classes that contribute most to kl, largest first; ties by class order.
pub fn class_shifts(window: &Summary, yardstick: &Yardstick) -> Vec<ClassShift> {
    let bits = contributions(window, &yardstick.reference);
    let (now, before) = (window.mean(), yardstick.summary().mean());
    let mut order: Vec<usize> = (0..bits.len()).collect();
    order.sort_by(|&a, &b| bits[b].total_cmp(&bits[a]).then(a.cmp(&b)));
    order
        .into_iter()
        .take(MAX_CLASSES)
        .map(|k| ClassShift {
            class: yardstick.learnt().classes[k].clone(),
            baseline: before[k],
            window: now[k],
            bits: bits[k],
        })
        .collect()
}

/// What the rule saw, as one clause: `entropy 0.71 bits, above 0.62, since 2026-…`.
pub fn condition(rule: &Rule, value: f64, threshold: f64, since_ms: Millis) -> String {
    let side = match rule.comparison {
        Comparison::Above => "above",
        Comparison::Below => "below",
    };
    format!(
        "{} {}, {side} {}, since {}",
        rule.measure.name(),
        quantity(value, rule.measure.unit()),
        number(threshold),
        rfc3339(since_ms)
    )
}

/// The diagnosis of a rule that fires on a window.
pub fn firing(
    rule: &Rule,
    condition: String,
    measures: &Measures,
    yardstick: Option<&Yardstick>,
    classes: Vec<ClassShift>,
) -> Diagnosis {
    let mut sentences = vec![condition];
    match rule.measure {
        Measure::RejectedShare => sentences.push(
            "records cannot be read as configured: the dead-letter topic and \
             klaxond_rejected_records_total say why"
                .to_owned(),
        ),
        Measure::LostRecords => sentences.push(
            "records were gone from their topic before they were read, and no window has them: the \
             topic keeps less than it takes to come back"
                .to_owned(),
        ),
        Measure::Silence => sentences.push("the model's topics give no records".to_owned()),
        _ => sentences.extend(against_baseline(measures, yardstick, &classes)),
    }
    Diagnosis {
        summary: sentences.join("; "),
        classes,
    }
}

/// The diagnosis of a rule with a budget whose evidence alarms: what it saw, what changed, and what the
/// budget promises.
pub fn changed(
    condition: String,
    promise: String,
    measures: &Measures,
    yardstick: &Yardstick,
    classes: Vec<ClassShift>,
) -> Diagnosis {
    let mut sentences = vec![condition];
    sentences.extend(against_baseline(measures, Some(yardstick), &classes));
    sentences.push(promise);
    Diagnosis {
        summary: sentences.join("; "),
        classes,
    }
}

/// The diagnosis of an alert that is over.
pub fn resolved(
    subject: Subject<'_>,
    value: Option<f64>,
    since_ms: Millis,
    why: &str,
) -> Diagnosis {
    let name = subject.measure;
    let value = value.map_or(String::new(), |v| format!(" {}", quantity(v, subject.unit)));
    let summary = format!(
        "over: {name}{value} {why}; it began at {}",
        rfc3339(since_ms)
    );
    Diagnosis {
        summary,
        classes: Vec::new(),
    }
}

fn against_baseline(
    measures: &Measures,
    yardstick: Option<&Yardstick>,
    classes: &[ClassShift],
) -> Vec<String> {
    let Some(yardstick) = yardstick else {
        return vec!["there is no baseline to compare with".to_owned()];
    };
    let mut sentences = Vec::new();
    if let (Some(now), Some(before)) = (
        measures.get(Measure::Entropy),
        yardstick.own.get(Measure::Entropy),
    ) {
        let spread = yardstick.learnt().spread.get(&Measure::Entropy);
        let spread = spread.filter(|spread| spread.windows > 1);
        sentences.push(certainty(before, now, spread.map(|spread| spread.sd)));
    }
    if let (Some(kl), Some(noise)) = (measures.get(Measure::Kl), measures.get(Measure::KlNoise)) {
        let (kl_bits, noise_bits) = (number(kl), number(noise));
        if kl > CLEAR_OF_NOISE * noise {
            let named: Vec<String> = classes.iter().take(NAMED_CLASSES).map(name_shift).collect();
            sentences.push(format!(
                "its outputs moved by {kl_bits} bits (noise {noise_bits}): {}",
                named.join(", ")
            ));
        } else {
            sentences.push(format!(
                "the mix of classes is as in the baseline (kl {kl_bits} bits, noise {noise_bits})"
            ));
        }
    }
    sentences
}

/// How sure the model is beside its baseline, whose windows' entropies have the standard deviation
/// `sd` where it is known.
fn certainty(before: f64, now: f64, sd: Option<f64>) -> String {
    let usual = sd.map_or(FEW_PERCENT * before, |sd| USUAL_DEVIATIONS * sd);
    let compared = if (now - before).abs() <= usual {
        "about as certain as"
    } else if now > before {
        "less certain than"
    } else {
        "more certain than"
    };
    let (before, now) = (number(before), number(now));
    format!("the model is {compared} its baseline (mean entropy {before} → {now} bits)")
}

fn name_shift(shift: &ClassShift) -> String {
    format!(
        "{} {} → {} ({} bits)",
        shift.class,
        percent(shift.baseline),
        percent(shift.window),
        number(shift.bits)
    )
}

fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "share" => percent(value),
        unit => format!("{} {unit}", number(value)),
    }
}

/// `3.7 %`
pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// Three significant digits, without an exponent where a person can do without.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if size < 1e-6 {
        format!("{value:.1e}")
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else {
        // Digits after the point that make three significant ones.
        let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
        let text = format!("{value:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_entropy_is_not_called_a_change() {
        let said = |before, now, sd| certainty(before, now, sd);
        assert!(said(0.60, 0.61, Some(0.01)).contains("about as certain as its baseline"));
        assert!(said(0.60, 0.66, Some(0.01)).contains("less certain than"));
        assert!(said(0.60, 0.54, Some(0.01)).contains("more certain than"));
        assert!(said(0.60, 0.62, None).contains("about as certain as"));
        let whole = "the model is less certain than its baseline (mean entropy 0.6 → 0.7 bits)";
        assert_eq!(said(0.60, 0.70, None), whole);
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        let cases = [
            (0.0, "0"),
            (0.71, "0.71"),
            (0.000_412_34, "0.000412"),
            (12.345, "12.3"),
            (4812.0, "4812"),
            (1e-9, "1.0e-9"),
            (-0.25, "-0.25"),
            (1.0, "1"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
