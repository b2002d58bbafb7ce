//! The state of one alert: inactive, pending, firing.
//!
//! `for` and `keep_firing` run on the time of the values themselves: event time for windows, the
//! wall clock for `silence`. A condition that has held since the value at `t` fires with the first
//! value at `t + for` or later; an alert ends with the first value at which it has been clear for
//! `keep_firing`.
//!
//! One trace, with `for = 20`, values at 10, 20, 30, 40, 50: over, over, over, clear, clear. Pending
//! at 10 and 20, firing at 30 with `starts_at` 10, resolved at 40.

use serde::{Deserialize, Serialize};

use super::rule::{Comparison, Rule};
use crate::observation::Millis;

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertState {
    #[default]
    Inactive,
    /// The condition has held since the value at `starts_ms`, not yet for long enough.
    Pending { starts_ms: Millis },
    Firing {
        starts_ms: Millis,
        /// Since when the condition has been clear, while `keep_firing` holds the alert up.
        clear_since_ms: Option<Millis>,
    },
}

/// What a step has to say to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Fired { starts_ms: Millis },
    Resolved { starts_ms: Millis, ends_ms: Millis },
}

/// A rule's lines, resolved against the baseline, in the measure's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lines {
    pub threshold: f64,
    pub clear: f64,
}

/// What a step saw of an alert's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// It holds, as it has to for an alert to begin.
    pub begins: bool,
    /// It holds well enough for an alert that fires to stay.
    pub stays: bool,
}

impl Lines {
    /// Whether `value` is over the threshold.
    fn crossed(self, comparison: Comparison, value: f64) -> bool {
        beyond(comparison, value, self.threshold)
    }

    /// Whether `value` keeps an alert that fires from clearing.
    fn holds(self, comparison: Comparison, value: f64) -> bool {
        self.crossed(comparison, value) || beyond(comparison, value, self.clear)
    }
}

fn beyond(comparison: Comparison, value: f64, line: f64) -> bool {
    match comparison {
        Comparison::Above => value > line,
        Comparison::Below => value < line,
    }
}

impl AlertState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending { .. } => "pending",
            Self::Firing { .. } => "firing",
        }
    }

    /// Takes the value at `at_ms`.
    pub fn step(
        &mut self,
        rule: &Rule,
        lines: Lines,
        value: f64,
        at_ms: Millis,
    ) -> Option<Transition> {
        let sign = Sign {
            begins: lines.crossed(rule.comparison, value),
            stays: lines.holds(rule.comparison, value),
        };
        self.turn(sign, rule.for_ms, rule.keep_firing_ms, at_ms)
    }

    /// Takes what was seen at `at_ms`.
    pub fn turn(
        &mut self,
        sign: Sign,
        for_ms: Millis,
        keep_firing_ms: Millis,
        at_ms: Millis,
    ) -> Option<Transition> {
        match *self {
            Self::Inactive | Self::Pending { .. } if !sign.begins => {
                *self = Self::Inactive;
                None
            }
            Self::Inactive => self.pend(for_ms, at_ms, at_ms),
            Self::Pending { starts_ms } => self.pend(for_ms, starts_ms, at_ms),
            Self::Firing { starts_ms, .. } if sign.stays => {
                *self = Self::Firing {
                    starts_ms,
                    clear_since_ms: None,
                };
                None
            }
            Self::Firing {
                starts_ms,
                clear_since_ms,
            } => {
                let since = clear_since_ms.unwrap_or(at_ms);
                if at_ms - since < keep_firing_ms {
                    *self = Self::Firing {
                        starts_ms,
                        clear_since_ms: Some(since),
                    };
                    return None;
                }
                *self = Self::Inactive;
                Some(Transition::Resolved {
                    starts_ms,
                    ends_ms: at_ms,
                })
            }
        }
    }

    fn pend(&mut self, for_ms: Millis, starts_ms: Millis, at_ms: Millis) -> Option<Transition> {
        if at_ms - starts_ms < for_ms {
            *self = Self::Pending { starts_ms };
            return None;
        }
        *self = Self::Firing {
            starts_ms,
            clear_since_ms: None,
        };
        Some(Transition::Fired { starts_ms })
    }

    /// As `step`, where what happened has already been published by another: an alert that fires
    /// stays, though it may be on its way to end, and none begins to.
    pub fn step_silently(&mut self, rule: &Rule, lines: Lines, value: f64, at_ms: Millis) {
        if let Self::Firing { clear_since_ms, .. } = self {
            *clear_since_ms = if lines.holds(rule.comparison, value) {
                None
            } else {
                Some(clear_since_ms.unwrap_or(at_ms))
            };
            return;
        }
        if let Some(Transition::Fired { starts_ms }) = self.step(rule, lines, value, at_ms) {
            *self = Self::Pending { starts_ms };
        }
    }

    /// Ends the alert for a reason outside its condition.
    pub fn end(&mut self, at_ms: Millis) -> Option<Transition> {
        match std::mem::take(self) {
            Self::Firing { starts_ms, .. } => Some(Transition::Resolved {
                starts_ms,
                ends_ms: at_ms,
            }),
            Self::Inactive | Self::Pending { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rule::{Scope, Threshold};
    use crate::window::measures::Measure;

    fn rule(for_ms: Millis, keep_firing_ms: Millis) -> Rule {
        Rule {
            name: "r".to_owned(),
            measure: Measure::Entropy,
            comparison: Comparison::Above,
            threshold: Threshold::Absolute(1.0),
            clear: None,
            for_ms,
            keep_firing_ms,
            min_records: 1,
            severity: "warning".to_owned(),
            scope: Scope::Streams,
        }
    }

    const LINES: Lines = Lines {
        threshold: 1.0,
        clear: 0.8,
    };

    /// Values at 10, 20, 30…, and what each step says.
    fn run(rule: &Rule, values: &[f64]) -> Vec<Option<Transition>> {
        let mut state = AlertState::default();
        let times = (1..).map(|i| i * 10);
        values
            .iter()
            .zip(times)
            .map(|(&v, at)| state.step(rule, LINES, v, at))
            .collect()
    }

    #[test]
    fn fires_at_once_without_for_and_clears_at_the_clear_line() {
        let fired = Some(Transition::Fired { starts_ms: 10 });
        let resolved = Some(Transition::Resolved {
            starts_ms: 10,
            ends_ms: 30,
        });
        assert_eq!(run(&rule(0, 0), &[1.1, 0.9, 0.8]), [fired, None, resolved]);
    }

    #[test]
    fn the_threshold_itself_is_not_above_it() {
        assert_eq!(run(&rule(0, 0), &[1.0]), [None]);
    }

    #[test]
    fn waits_out_for_and_dates_the_start_from_the_first_window() {
        let fired = Some(Transition::Fired { starts_ms: 10 });
        assert_eq!(run(&rule(20, 0), &[1.1, 1.1, 1.1]), [None, None, fired]);
        let fired = Some(Transition::Fired { starts_ms: 30 });
        assert_eq!(
            run(&rule(20, 0), &[1.1, 0.9, 1.1, 1.1, 1.1]),
            [None, None, None, None, fired]
        );
    }

    #[test]
    fn keep_firing_bridges_a_short_calm() {
        let fired = Some(Transition::Fired { starts_ms: 10 });
        let resolved = Some(Transition::Resolved {
            starts_ms: 10,
            ends_ms: 60,
        });
        assert_eq!(
            run(&rule(0, 20), &[1.1, 0.1, 1.1, 0.1, 0.1, 0.1]),
            [fired, None, None, None, None, resolved]
        );
    }

    #[test]
    fn below_looks_the_other_way() {
        let rule = Rule {
            comparison: Comparison::Below,
            ..rule(0, 0)
        };
        let lines = Lines {
            threshold: 1.0,
            clear: 1.2,
        };
        let mut state = AlertState::default();
        assert_eq!(
            state.step(&rule, lines, 0.9, 10),
            Some(Transition::Fired { starts_ms: 10 })
        );
        assert_eq!(state.step(&rule, lines, 1.1, 20), None);
        assert!(state.step(&rule, lines, 1.2, 30).is_some());
    }

    #[test]
    fn silent_steps_neither_fire_nor_resolve() {
        let mut state = AlertState::default();
        state.step_silently(&rule(0, 0), LINES, 1.1, 10);
        assert_eq!(state, AlertState::Pending { starts_ms: 10 });
        let firing = AlertState::Firing {
            starts_ms: 5,
            clear_since_ms: None,
        };
        state = firing;
        // It stays, and so does how long it has been on its way to end.
        state.step_silently(&rule(0, 0), LINES, 0.1, 20);
        state.step_silently(&rule(0, 0), LINES, 0.1, 30);
        let ending = AlertState::Firing {
            starts_ms: 5,
            clear_since_ms: Some(20),
        };
        assert_eq!(state, ending);
        state.step_silently(&rule(0, 0), LINES, 1.1, 40);
        assert_eq!(state, firing);
    }
}
