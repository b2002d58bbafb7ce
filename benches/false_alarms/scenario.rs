//! What is run.

use klaxond::evidence::Season;
use klaxond::observation::Millis;
use klaxond::window::WindowSpec;

use super::traffic::{Cycle, DAY_MS, Nature, Sizes};

const SECOND_MS: Millis = 1000;
const MINUTE_MS: Millis = 60 * SECOND_MS;

/// Traffic, and how it is watched.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub nature: Nature,
    pub classes: usize,
    pub pane_ms: Millis,
    /// In a pane, in the mean.
    pub records: f64,
    pub baseline_days: Millis,
    pub season: Option<Season>,
    /// Panes in a window, and in other tools' chunks.
    pub window: usize,
    /// Whether other tools' rules are run beside.
    pub compares: bool,
    /// Whether the baseline has seen what the traffic does. Where it has not, no budget can be kept, and
    /// the scenario says by how much it is missed.
    pub is_covered: bool,
    pub runs: u64,
}

impl Scenario {
    pub fn window(&self) -> WindowSpec {
        WindowSpec::Time {
            length_ms: self.pane_ms * self.window as Millis,
            slide_ms: self.pane_ms,
        }
    }
}

const STILL: Nature = Nature {
    wander: None,
    cycle: None,
    sizes: Sizes::Fixed,
    repeats: false,
};

const WANDERING: Nature = Nature {
    wander: Some((0.2, 30 * MINUTE_MS)),
    ..STILL
};
const DAILY: Nature = Nature {
    cycle: Some(Cycle::Daily),
    sizes: Sizes::Poisson,
    ..STILL
};
const WEEKLY: Nature = Nature {
    cycle: Some(Cycle::Weekly),
    ..DAILY
};
const BURSTS: Nature = Nature {
    sizes: Sizes::Bursts,
    ..STILL
};
const REPEATS: Nature = Nature {
    repeats: true,
    ..STILL
};
/// All at once.
const WILD: Nature = Nature {
    wander: Some((0.2, 30 * MINUTE_MS)),
    cycle: Some(Cycle::Daily),
    sizes: Sizes::Bursts,
    repeats: true,
};
const WANDERING_6H: Nature = Nature {
    wander: Some((0.1, 6 * 60 * MINUTE_MS)),
    ..STILL
};
const WANDERING_DAY: Nature = Nature {
    wander: Some((0.1, DAY_MS)),
    ..STILL
};

/// Panes of five minutes and 100 records over ten classes, a baseline of a week, windows of an hour.
const fn coarse(name: &'static str, nature: Nature) -> Scenario {
    Scenario {
        name,
        nature,
        classes: 10,
        pane_ms: 5 * MINUTE_MS,
        records: 100.0,
        baseline_days: 7,
        season: None,
        window: 12,
        compares: true,
        is_covered: true,
        runs: 40,
    }
}

/// Panes of ten seconds, windows of five minutes.
const fn fine(name: &'static str, nature: Nature, records: f64) -> Scenario {
    Scenario {
        pane_ms: 10 * SECOND_MS,
        records,
        nature: Nature {
            sizes: match nature.sizes {
                Sizes::Fixed => Sizes::Poisson,
                sizes => sizes,
            },
            ..nature
        },
        window: 30,
        compares: false,
        runs: 12,
        ..coarse(name, nature)
    }
}

const fn over(classes: usize, runs: u64, scenario: Scenario) -> Scenario {
    Scenario {
        classes,
        runs,
        compares: false,
        ..scenario
    }
}

const fn learnt_in(baseline_days: Millis, scenario: Scenario) -> Scenario {
    Scenario {
        baseline_days,
        compares: false,
        ..scenario
    }
}

const fn beyond_its_baseline(scenario: Scenario) -> Scenario {
    Scenario {
        is_covered: false,
        ..scenario
    }
}

const fn seasonal(season: Season, baseline_days: Millis, scenario: Scenario) -> Scenario {
    Scenario {
        season: Some(season),
        ..learnt_in(baseline_days, scenario)
    }
}

const D: Season = Season::Daily;
const W: Season = Season::Weekly;

pub const ALL: &[Scenario] = &[
    coarse("independent", STILL),
    coarse("wandering", WANDERING),
    coarse("daily", DAILY),
    coarse("weekly", WEEKLY),
    coarse("bursts", BURSTS),
    coarse("repeats", REPEATS),
    coarse("wild", WILD),
    seasonal(D, 7, coarse("daily, season", DAILY)),
    seasonal(D, 3, coarse("daily, season, 3 days", DAILY)),
    seasonal(D, 7, coarse("wild, season", WILD)),
    seasonal(W, 21, coarse("weekly, season", WEEKLY)),
    learnt_in(1, coarse("independent, 1 day", STILL)),
    learnt_in(1, coarse("wandering, 1 day", WANDERING)),
    learnt_in(1, coarse("daily, 1 day", DAILY)),
    beyond_its_baseline(learnt_in(1, coarse("weekly, 1 day", WEEKLY))),
    learnt_in(7, coarse("wandering, 6 h", WANDERING_6H)),
    beyond_its_baseline(learnt_in(7, coarse("wandering, 24 h", WANDERING_DAY))),
    over(2, 40, coarse("K = 2, independent", STILL)),
    over(2, 40, coarse("K = 2, wandering", WANDERING)),
    over(2, 40, coarse("K = 2, daily", DAILY)),
    over(100, 20, coarse("K = 100, independent", STILL)),
    over(100, 20, coarse("K = 100, wandering", WANDERING)),
    over(100, 20, coarse("K = 100, daily", DAILY)),
    over(1000, 6, coarse("K = 1000, independent", STILL)),
    over(1000, 6, coarse("K = 1000, wandering", WANDERING)),
    fine("fine, 20, independent", STILL, 20.0),
    fine("fine, 20, wandering", WANDERING, 20.0),
    fine("fine, 20, daily", DAILY, 20.0),
    fine("fine, 20, bursts", BURSTS, 20.0),
    fine("fine, 20, repeats", REPEATS, 20.0),
    fine("fine, 20, wild", WILD, 20.0),
    seasonal(D, 7, fine("fine, 20, daily, season", DAILY, 20.0)),
    learnt_in(1, fine("fine, 20, wandering, 1 day", WANDERING, 20.0)),
    fine("fine, 3, independent", STILL, 3.0),
    fine("fine, 3, wandering", WANDERING, 3.0),
    fine("fine, 3, daily", DAILY, 3.0),
    seasonal(D, 7, fine("fine, 3, daily, season", DAILY, 3.0)),
    fine("fine, 3, repeats", REPEATS, 3.0),
    seasonal(W, 21, fine("fine, 3, weekly, season", WEEKLY, 3.0)),
    over(2, 12, fine("fine, 3, K = 2, wandering", WANDERING, 3.0)),
    over(100, 6, fine("fine, 3, K = 100, wandering", WANDERING, 3.0)),
    // Ten seconds would take too long.
    Scenario {
        pane_ms: MINUTE_MS,
        ..over(1000, 4, fine("minutes, 20, K = 1000", STILL, 20.0))
    },
];
