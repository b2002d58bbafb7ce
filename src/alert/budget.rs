//! Rules whose threshold is a budget of false alarms: `false_alarms = "1 per 30d"`.
//!
//! Evidence ([`crate::evidence`]) is held against c, the panes in the budget's period for each alarm
//! that it allows. The budget is for all streams that the rule watches together (and, where it stands
//! in `[defaults]`, for all models), so each gets an equal part and a c that is so many times larger:
//! streams that share an alarm in c panes each alarm once in as many times c.

use serde::{Deserialize, Serialize};

use super::diagnosis::{number, percent};
use super::rule::{Comparison, Scope, Subject};
use crate::evidence::state::{Channel, Reading, Watch};
use crate::observation::{Millis, rfc3339};
use crate::window::WindowSpec;

/// One `[[models.NAME.alerts]]` table with `false_alarms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    pub name: String,
    pub allowance: Allowance,
    pub watch: Watch,
    pub keep_firing_ms: Millis,
    pub severity: String,
    pub scope: Scope,
    /// It stands in `[defaults]`: all models' streams share it.
    pub is_shared: bool,
}

/// How many false alarms are accepted in which period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// At least 1.
    pub alarms: u32,
    pub period: Period,
    /// As it was written.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// Of event time, for windows of time.
    Time(Millis),
    /// So many windows.
    Windows(u64),
}

/// How many streams there are to share a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Of this model.
    pub model: u64,
    /// Of all models whose budget is the one in `[defaults]`.
    pub fleet: u64,
}

/// What an event says of the evidence of a budgeted rule, as published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceInfo {
    /// log2 of the odds against nothing having changed.
    pub bits: f64,
    /// Where it alarms.
    pub budget_bits: f64,
    pub channel: Channel,
    pub direction: crate::evidence::detector::Direction,
}

impl Allowance {
    /// Panes for each alarm that is allowed.
    pub fn panes(&self, window: &WindowSpec) -> f64 {
        let panes = match self.period {
            Period::Windows(windows) => windows as f64,
            Period::Time(period_ms) => period_ms as f64 / window.cell_ms() as f64,
        };
        panes / f64::from(self.alarms)
    }
}

impl Budget {
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            rule: &self.name,
            severity: &self.severity,
            measure: "evidence",
            unit: "bits",
            comparison: Comparison::Above,
        }
    }

    /// How many streams share it.
    pub fn sharers(&self, crowd: Crowd) -> u64 {
        let sharers = match self.scope {
            _ if self.is_shared => crowd.fleet,
            Scope::Streams => crowd.model,
            Scope::Whole => 1,
        };
        sharers.max(1)
    }

    /// ln c: evidence at which one stream of so many alarms, in nats.
    pub fn line_nats(&self, window: &WindowSpec, crowd: Crowd) -> f64 {
        (self.allowance.panes(window) * self.sharers(crowd) as f64).ln()
    }
}

/// The records that the evidence is about: since it began to rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Since<'a> {
    pub start_ms: Millis,
    pub records: u64,
    /// Of the channel's mean, in the baseline and now: bits of entropy, or a class's probability.
    pub moved: Option<(f64, f64)>,
    /// The class, where the channel is one's probability.
    pub class: Option<&'a str>,
}

/// What the rule saw, as one clause: `evidence of change 31,000 : 1, budget 8,640 : 1, …`.
pub fn condition(reading: &Reading, line_nats: f64, since: &Since<'_>) -> String {
    let direction = reading.direction.name();
    let from = match (reading.channel, since.class, since.moved) {
        (Channel::Entropy, _, Some((before, now))) => {
            let (before, now) = (number(before), number(now));
            format!("the entropy, which went {direction} ({before} → {now} bits)")
        }
        (Channel::Entropy, _, None) => format!("the entropy, which went {direction}"),
        (Channel::Classes, Some(class), Some((before, now))) => format!(
            "the probability of {class}, which went {direction} ({} → {})",
            percent(before),
            percent(now)
        ),
        (Channel::Classes, ..) => format!("the probability of a class, which went {direction}"),
        (Channel::Kl, ..) => "the kl of its outputs from the baseline, which went up".to_owned(),
    };
    format!(
        "evidence of change {}, budget {}, from {} records since {}; most of it from {from}",
        odds(reading.nats),
        odds(line_nats),
        since.records,
        rfc3339(since.start_ms)
    )
}

/// What the budget promises, in one true sentence. `span_ms` is what the baseline covers: it cannot
/// know what repeats more slowly.
pub fn promise(budget: &Budget, sharers: u64, span_ms: Millis, is_provisional: bool) -> String {
    let over = match (budget.is_shared, sharers) {
        (true, 1) => " of all models".to_owned(),
        (true, sharers) => format!(" of all models, {sharers} streams together"),
        (false, 1) => String::new(),
        (false, sharers) => format!(" over {sharers} streams together"),
    };
    let text = &budget.allowance.text;
    let span = stretch(span_ms);
    let promise = format!(
        "false alarms of this rule: no more than {text}{over}, guaranteed for independent records, \
         calibrated otherwise on the {span} that the baseline has seen"
    );
    if is_provisional {
        promise
            + "; provisional: the baseline is shorter than a day or of under 200 panes, so that this \
               may not hold"
    } else {
        promise
    }
}

/// `3 days`, `18 hours`.
fn stretch(span_ms: Millis) -> String {
    const UNITS: [(&str, f64); 4] = [
        ("days", 86_400_000.0),
        ("hours", 3_600_000.0),
        ("minutes", 60_000.0),
        ("seconds", 1_000.0),
    ];
    let of = |&(unit, ms): &(&'static str, f64)| (unit, span_ms as f64 / ms);
    let mut units = UNITS.iter().map(of);
    // The first of which there are two, or else the last.
    let (unit, count) = units
        .find(|&(unit, count)| count >= 2.0 || unit == "seconds")
        .unwrap_or(("seconds", 0.0));
    format!("{} {unit}", number(count))
}

/// `31,000 : 1`, from its logarithm.
pub fn odds(nats: f64) -> String {
    const MOST: f64 = 1e12;
    let odds = nats.exp();
    if odds < 10.0 {
        format!("{} : 1", number(odds))
    } else if odds < MOST {
        // Three digits are all that is meant.
        let digits = odds.log10().floor() as i32 - 2;
        let unit = 10_f64.powi(digits.max(0));
        format!("{} : 1", thousands((odds / unit).round() * unit))
    } else {
        format!("more than {} : 1", thousands(MOST))
    }
}

/// A whole number with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::detector::Direction;

    const TIME: WindowSpec = WindowSpec::Time {
        length_ms: 300_000,
        slide_ms: 10_000,
    };

    fn budget(period: Period, alarms: u32, scope: Scope, is_shared: bool) -> Budget {
        Budget {
            name: "changed".to_owned(),
            allowance: Allowance {
                alarms,
                period,
                text: "1 per 30d".to_owned(),
            },
            watch: Watch::ALL,
            keep_firing_ms: 0,
            severity: "critical".to_owned(),
            scope,
            is_shared,
        }
    }

    /// 30 days hold 259,200 panes of 10 s.
    #[test]
    fn the_line_is_the_panes_of_the_period_for_each_alarm_and_stream() {
        const MONTH: Period = Period::Time(30 * 24 * 60 * 60 * 1000);
        let crowd = Crowd {
            model: 4,
            fleet: 50,
        };
        let line = |budget: Budget| budget.line_nats(&TIME, crowd).exp().round();
        assert_eq!(line(budget(MONTH, 1, Scope::Whole, false)), 259_200.0);
        assert_eq!(line(budget(MONTH, 2, Scope::Streams, false)), 518_400.0);
        assert_eq!(line(budget(MONTH, 1, Scope::Streams, true)), 12_960_000.0);
        let windows = budget(Period::Windows(8640), 1, Scope::Whole, false);
        assert_eq!(line(windows), 8640.0);
    }

    #[test]
    fn odds_have_three_digits_and_commas() {
        let cases = [
            (31_000.0, "31,000 : 1"),
            (8640.0, "8,640 : 1"),
            (1_234_567.0, "1,230,000 : 1"),
            (99.6, "100 : 1"),
            (0.51, "0.51 : 1"),
            (1e300, "more than 1,000,000,000,000 : 1"),
        ];
        for (odds_of, text) in cases {
            assert_eq!(odds(f64::ln(odds_of)), text);
        }
    }

    #[test]
    fn the_clause_names_odds_channel_and_direction() {
        let reading = Reading {
            nats: f64::ln(31_000.0),
            channel: Channel::Classes,
            direction: Direction::Up,
            class: Some(1),
            panes: 1,
        };
        let since = Since {
            start_ms: 1_795_428_010_000,
            records: 240,
            moved: Some((0.166, 0.304)),
            class: Some("fraud"),
        };
        let said = condition(&reading, f64::ln(8640.0), &since);
        let expected = "evidence of change 31,000 : 1, budget 8,640 : 1, from 240 records since \
                        2026-11-23T10:00:10.000Z; most of it from the probability of fraud, which went up \
                        (16.6 % → 30.4 %)";
        assert_eq!(said, expected);
        let promise = promise(
            &budget(Period::Windows(9), 1, Scope::Streams, false),
            3,
            18 * 60 * 60 * 1000,
            true,
        );
        assert!(promise.contains("no more than 1 per 30d over 3 streams together, guaranteed for"));
        assert!(
            promise.contains("calibrated otherwise on the 18 hours"),
            "{promise}"
        );
        assert!(promise.contains("provisional"));
    }
}
