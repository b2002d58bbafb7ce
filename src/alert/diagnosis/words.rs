//! The wording: sentences in the order in which a person needs them.

use super::cause::Findings;
use super::chance::{CLEAR_OF_NOISE, Moved};
use super::facts::{Facts, Reading};
use crate::alert::event::{Cause, ClassShift, Diagnosis};
use crate::alert::rule::{Comparison, Rule, Subject};
use crate::observation::{Millis, Reason, rfc3339};

/// Most class shifts that a sentence names.
const NAMED_CLASSES: usize = 3;

pub const LOST: &str = "records were gone from their topic before they were read, and no window has \
                        them: the topic keeps less than it takes to come back";
pub const SILENT: &str = "the model's topics give no records";

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

/// The diagnosis of an alert that is over.
pub fn resolved(
    subject: Subject<'_>,
    value: Option<f64>,
    since_ms: Millis,
    why: &str,
) -> Diagnosis {
    let name = subject.measure;
    let value = value.map_or(String::new(), |v| format!(" {}", quantity(v, subject.unit)));
    Diagnosis {
        summary: format!(
            "over: {name}{value} {why}; it began at {}",
            rfc3339(since_ms)
        ),
        cause: None,
        classes: Vec::new(),
    }
}

/// The cause first, then what stands beside it.
pub fn sentences(cause: Cause, facts: &Facts<'_>, findings: &Findings<'_>) -> Vec<String> {
    let mut said = match cause {
        Cause::NewClassMix => vec![new_mix(findings)],
        Cause::ClassesReordered => vec![reordered(facts.classes), certainty_beside(findings)],
        Cause::UnknownInputs | Cause::NoisyInputs => {
            vec![members(cause, findings), mix_beside(findings)]
        }
        Cause::LessCertain => vec![less_certain(findings), mix_beside(findings)],
        Cause::MoreCertain => vec![more_certain(findings), mix_beside(findings)],
        Cause::OneAnswer => vec![one_answer(findings), uninformed(findings)],
        Cause::InputsIgnored => vec![uninformed(findings), constant(findings)],
        Cause::Segment => vec![segment(findings), mix_beside(findings)],
        Cause::ProducerChanged => producer(facts, findings),
        Cause::RecordsLost => vec![LOST.to_owned()],
        Cause::Unclear => vec![findings.tokens.map_or_else(|| unclear(findings), tokens)],
        Cause::WithinNoise => within_noise(facts, findings),
        Cause::NoBaseline => {
            vec!["there is no baseline over these classes to compare with".to_owned()]
        }
    };
    if matches!(cause, Cause::NewClassMix | Cause::Segment) {
        said.push(certainty_beside(findings));
    }
    let has_moved = findings.entropy_is_clear() || findings.mix_is_clear();
    if cause != Cause::Segment && findings.segment.is_some() && has_moved {
        said.push(segment(findings));
    }
    if cause != Cause::ProducerChanged {
        said.extend(findings.rate.as_ref().map(rate));
        said.extend(findings.late_share.map(late));
    }
    if let Some((least, most)) = facts.estimated_accuracy {
        said.push(format!(
            "estimated accuracy {} to {}",
            percent(least),
            percent(most)
        ));
    }
    said.retain(|sentence| !sentence.is_empty());
    said
}

/// Why records cannot be used, where it is known.
pub fn refused(facts: &Facts<'_>) -> String {
    let total: u64 = facts.rejections.iter().map(|(_, count)| count).sum();
    let most = facts.rejections.iter().max_by_key(|(_, count)| *count);
    let Some((reason, count)) = most.filter(|(_, count)| *count > 0) else {
        return "records cannot be read as configured: the dead-letter topic and \
                klaxond_rejected_records_total say why"
            .to_owned();
    };
    let meaning = match reason {
        Reason::ClassMismatch | Reason::TooManyClasses => "they are over other classes",
        Reason::SumOff | Reason::Negative => "they are no distributions",
        Reason::NotFinite => "they hold NaN or infinity",
        Reason::MissingField | Reason::WrongType | Reason::Malformed => "they have another form",
        Reason::Tombstone | Reason::Empty => "they are empty",
        Reason::TooLarge | Reason::TooManyMembers | Reason::TooManyTokens => {
            "they are larger than the limit"
        }
        Reason::BadTimestamp | Reason::AheadOfClock => "their times cannot be used",
    };
    format!("{meaning} ({count} of {total} refused records: {reason})")
}

fn producer(facts: &Facts<'_>, findings: &Findings<'_>) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(share) = findings.rejected_share {
        let share = percent(share);
        said.push(format!(
            "the producer changed: {share} of the records are refused"
        ));
        said.push(refused(facts));
    }
    said.extend(findings.rate.as_ref().map(rate));
    said.extend(findings.late_share.map(late));
    if findings.mix_is_clear() {
        said.push(mix_beside(findings));
    }
    if findings.has_baseline {
        said.push(certainty_beside(findings));
    }
    if !findings.mix_is_clear() {
        said.push(mix_beside(findings));
    }
    said
}

fn rate(rate: &Reading) -> String {
    let spread = rate
        .spread
        .map_or(String::new(), |spread| format!(" ± {}", number(spread.sd)));
    format!(
        "records come at {} × the baseline's rate ({} in this window, {}{spread} in the baseline's)",
        number(((rate.now / rate.before) * 100.0).round() / 100.0),
        number(rate.now),
        number(rate.before),
    )
}

fn late(share: f64) -> String {
    format!("{} of the window's records came late", percent(share))
}

fn new_mix(findings: &Findings<'_>) -> String {
    let Some(mix) = &findings.mix else {
        return String::new();
    };
    format!(
        "the mix of classes is new (kl {} bits, noise {}): {}",
        number(mix.kl),
        number(mix.noise),
        shifts(&mix.classes)
    )
}

/// The mix, where something else is the news.
fn mix_beside(findings: &Findings<'_>) -> String {
    let Some(mix) = &findings.mix else {
        return String::new();
    };
    let (kl, noise) = (number(mix.kl), number(mix.noise));
    if mix.is_clear {
        let named = shifts(&mix.classes);
        format!("the mean output moved too (kl {kl} bits, noise {noise}): {named}")
    } else if mix.kl > CLEAR_OF_NOISE * mix.noise {
        format!(
            "whether the mix of classes moved is not clear of noise (kl {kl} bits, noise {noise})"
        )
    } else {
        format!("the mix of classes is as in the baseline (kl {kl} bits, noise {noise})")
    }
}

fn certainty_beside(findings: &Findings<'_>) -> String {
    findings
        .entropy
        .as_ref()
        .map_or(String::new(), |moved| certainty(moved, "of each record "))
}

/// `the model is less certain than its baseline (mean entropy 0.58 → 1.4 bits)`
fn certainty(moved: &Moved, of_what: &str) -> String {
    let compared = match (moved.is_clear, moved.deviations > 0.0) {
        (false, _) => format!("about as certain {of_what}as"),
        (true, true) => format!("less certain {of_what}than"),
        (true, false) => format!("more certain {of_what}than"),
    };
    let (before, now) = (number(moved.before), number(moved.now));
    format!("the model is {compared} its baseline (mean entropy {before} → {now} bits)")
}

fn less_certain(findings: &Findings<'_>) -> String {
    let said = findings.entropy.as_ref().map(|moved| certainty(moved, ""));
    let told = if findings.ensemble.is_some() {
        "agreement and disagreement of its members do not tell which"
    } else {
        "one model's outputs do not tell which"
    };
    format!(
        "{}, as with inputs that it does not know, noise in them, or softened outputs: {told}",
        said.unwrap_or_default()
    )
}

fn more_certain(findings: &Findings<'_>) -> String {
    let said = findings.entropy.as_ref().map(|moved| certainty(moved, ""));
    format!(
        "{}, as with easier inputs or sharpened outputs (overconfidence)",
        said.unwrap_or_default()
    )
}

fn members(cause: Cause, findings: &Findings<'_>) -> String {
    let Some(ensemble) = &findings.ensemble else {
        return String::new();
    };
    let disagreement = arrow(&ensemble.disagreement);
    let expected = arrow(&ensemble.expected_entropy);
    if cause == Cause::UnknownInputs {
        format!(
            "the members of the ensemble disagree more than in the baseline (disagreement \
             {disagreement} bits, expected entropy {expected}), as with inputs that the model does \
             not know"
        )
    } else {
        format!(
            "the members of the ensemble agree that records are more uncertain than in the baseline \
             (expected entropy {expected} bits, disagreement {disagreement}), as with noise in \
             the inputs"
        )
    }
}

fn one_answer(findings: &Findings<'_>) -> String {
    let Some(shift) = findings.only else {
        return String::new();
    };
    let said = findings.entropy.as_ref().map(|moved| certainty(moved, ""));
    format!(
        "the model says {} to almost everybody ({} → {}); {}",
        shift.class,
        percent(shift.baseline),
        percent(shift.window),
        said.unwrap_or_default()
    )
}

fn uninformed(findings: &Findings<'_>) -> String {
    findings
        .information
        .as_ref()
        .map_or(String::new(), |information| {
            let depend = if findings.is_uninformed() {
                "hardly depend"
            } else {
                "depend less"
            };
            let bits = arrow(information);
            format!("the outputs {depend} on the inputs (information {bits} bits)")
        })
}

fn constant(findings: &Findings<'_>) -> String {
    let Some(mix) = &findings.mix else {
        return String::new();
    };
    let (kl, noise) = (number(mix.kl), number(mix.noise));
    let mean = if mix.is_clear {
        "another than the baseline's mean"
    } else {
        "the baseline's mean"
    };
    let entropy = findings.entropy.as_ref().map_or(String::new(), |e| {
        format!(
            ", mean entropy {} → {} bits",
            number(e.before),
            number(e.now)
        )
    });
    format!(
        "almost every record gets the same distribution, {mean} (kl {kl} bits, noise {noise}{entropy})"
    )
}

fn reordered(classes: &[ClassShift]) -> String {
    let all: Vec<&ClassShift> = classes.iter().collect();
    format!(
        "the shares are the baseline's, but of other classes, as when a producer lists its classes in \
         another order: {}",
        shifts(&all)
    )
}

/// The bounds of a token's entropy, gone apart.
fn tokens((least, most): (Reading, Reading)) -> String {
    format!(
        "probability left the tokens that are known: the entropy of a token lies between {} and {} bits, \
         in the baseline between {} and {}, so that the model may be more or less certain",
        number(least.now),
        number(most.now),
        number(least.before),
        number(most.before)
    )
}

fn segment(findings: &Findings<'_>) -> String {
    findings.segment.map_or(String::new(), |segment| {
        format!(
            "{}={} explains {} of the shift",
            segment.tag,
            segment.value,
            percent(segment.explained)
        )
    })
}

fn unclear(findings: &Findings<'_>) -> String {
    let beside = certainty_beside(findings);
    match findings.entropy_shift.filter(|_| !findings.mix_is_clear()) {
        Some(shift) => format!(
            "something moved, but the measures do not say what: the entropies of records are \
             distributed otherwise than in the baseline (entropy_shift {}); {beside}",
            percent(shift)
        ),
        None => format!(
            "both the certainty and the mean output moved, and the measures do not say which \
             explains the other: {beside}; {}",
            mix_beside(findings)
        ),
    }
}

fn within_noise(facts: &Facts<'_>, findings: &Findings<'_>) -> Vec<String> {
    let mut said = vec![match facts.channel {
        Some(channel) => format!(
            "no change of this window alone is clear of noise: the evidence ({channel}) has gathered \
             over many"
        ),
        None => "no change of the outputs is clear of noise".to_owned(),
    }];
    said.extend([certainty_beside(findings), mix_beside(findings)]);
    said
}

/// `login 15 % → 45 % (0.176 bits), …`
fn shifts(classes: &[&ClassShift]) -> String {
    if classes.is_empty() {
        return "no class by itself is clear of noise".to_owned();
    }
    let mut named: Vec<String> = classes
        .iter()
        .take(NAMED_CLASSES)
        .map(|s| name_shift(s))
        .collect();
    if classes.len() > NAMED_CLASSES {
        named.push(format!("{} more", classes.len() - NAMED_CLASSES));
    }
    named.join(", ")
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

fn arrow(reading: &Reading) -> String {
    format!("{} → {}", number(reading.before), number(reading.now))
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
