//! Whether budgets of false alarms hold, by simulation.
//!
//! `cargo bench --bench false_alarms` lets traffic that does not change run for thirty days through the
//! code that the daemon runs, with a budget of one false alarm in thirty days, many times, each
//! time with a baseline of its own; then changes come, and the panes until they are found are counted.
//! Beside it: what the rules of other tools make of the same panes.
//!
//! `-- daily` runs the scenarios whose name contains that, `-- --quick` a quarter of the runs. The same
//! seeds give the same numbers. It fails where a budget is broken by more than two standard errors,
//! though the baseline is not provisional and has seen what the traffic does.

mod false_alarms {
    pub mod others;
    pub mod scenario;
    pub mod traffic;
    pub mod watch;
}

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use false_alarms::others::RULES;
use false_alarms::scenario::{ALL, Scenario};
use false_alarms::traffic::{Change, Pool};
use false_alarms::watch::{self, Delays, Outcome};

/// False alarms that are allowed in the days that are watched.
const BUDGET: f64 = 1.0;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = words.iter().any(|word| word == "--quick");
    // cargo passes --bench.
    let filters: Vec<&String> = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    let is_chosen = |scenario: &&Scenario| {
        filters.is_empty() || filters.iter().any(|word| scenario.name.contains(*word))
    };
    let mut pools: BTreeMap<usize, Pool> = BTreeMap::new();
    let (mut compared, mut broken) = (Vec::new(), false);
    let began = Instant::now();
    println!(
        "{}",
        header("traffic", "from entropy / classes / kl | budget")
    );
    for scenario in ALL.iter().filter(is_chosen) {
        let pool = pools
            .entry(scenario.classes)
            .or_insert_with_key(|&classes| Pool::new(classes));
        let runs = if is_quick {
            scenario.runs.div_ceil(4)
        } else {
            scenario.runs
        };
        let outcomes = run_all(scenario, pool, runs);
        let verdict = Verdict::new(scenario, &outcomes);
        broken |= verdict == Verdict::Broken;
        println!("{}", own_row(scenario, &outcomes, verdict));
        if scenario.compares {
            compared.push((scenario, outcomes));
        }
    }
    for (scenario, outcomes) in compared {
        println!("\n{}:\n\n{}", scenario.name, header("rule", "runs"));
        for row in comparison(&outcomes) {
            println!("{row}");
        }
    }
    println!("\n{:.0} s", began.elapsed().as_secs_f64());
    ExitCode::from(u8::from(broken))
}

fn run_all(scenario: &Scenario, pool: &Pool, runs: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return done;
            }
            done.push((run, watch::run(scenario, pool, run)));
        }
    };
    let mut done: Vec<(u64, Outcome)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results
            .flat_map(|done| done.expect("no run panics"))
            .collect()
    });
    done.sort_by_key(|&(run, _)| run);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn header(first: &str, last: &str) -> String {
    let changes = Change::ALL.map(|(_, name)| name).join(" | ");
    let columns = 3 + Change::ALL.len() + last.matches('|').count();
    format!(
        "| {first} | false alarms in 30 days | {changes} | {last} |\n|{}",
        " --- |".repeat(columns)
    )
}

/// Whether false alarms are within the budget.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Provisional,
    Uncovered,
    Holds,
    /// As far as so few runs can say.
    MayHold,
    Broken,
}

impl Verdict {
    fn new(scenario: &Scenario, outcomes: &[Outcome]) -> Self {
        let (mean, error) = mean_and_error(&alarms(outcomes));
        if outcomes.iter().any(|outcome| outcome.is_provisional) {
            Self::Provisional
        } else if !scenario.is_covered {
            Self::Uncovered
        } else if mean + 2.0 * error <= BUDGET {
            Self::Holds
        } else if mean - 2.0 * error <= BUDGET {
            Self::MayHold
        } else {
            Self::Broken
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Uncovered => "beyond its baseline",
            Self::Holds => "holds",
            Self::MayHold => "within two standard errors",
            Self::Broken => "BROKEN",
        }
    }
}

fn alarms(outcomes: &[Outcome]) -> Vec<f64> {
    let of = |outcome: &Outcome| f64::from(outcome.false_alarms);
    outcomes.iter().map(of).collect()
}

fn own_row(scenario: &Scenario, outcomes: &[Outcome], verdict: Verdict) -> String {
    let (mean, error) = mean_and_error(&alarms(outcomes));
    let channels = [0, 1, 2].map(|at| {
        let sum: u32 = outcomes.iter().map(|outcome| outcome.channels[at]).sum();
        sum.to_string()
    });
    let delays: Vec<&Delays> = outcomes.iter().map(|outcome| &outcome.delays).collect();
    format!(
        "| {} | {mean:.2} ± {error:.2} | {} | {} | {} |",
        scenario.name,
        medians(&delays),
        channels.join(" / "),
        verdict.name(),
    )
}

fn comparison(outcomes: &[Outcome]) -> Vec<String> {
    let row = |name: &str, counts: Vec<f64>, delays: Vec<&Delays>| {
        let (mean, error) = mean_and_error(&counts);
        format!(
            "| {name} | {mean:.1} ± {error:.1} | {} | {} |",
            medians(&delays),
            counts.len()
        )
    };
    let others = || {
        outcomes
            .iter()
            .filter_map(|outcome| outcome.others.as_ref())
    };
    let mut rows: Vec<String> = (RULES.iter().enumerate())
        .map(|(rule, name)| {
            let counts = others().map(|rules| f64::from(rules[rule].0)).collect();
            row(name, counts, others().map(|rules| &rules[rule].1).collect())
        })
        .collect();
    let own = outcomes.iter().map(|outcome| &outcome.delays).collect();
    rows.push(row("klaxond, 1 per 30 d", alarms(outcomes), own));
    rows
}

/// Mean, and its standard error; at least that of a single alarm in all runs, since none seen does not
/// say that there are none.
fn mean_and_error(counts: &[f64]) -> (f64, f64) {
    let runs = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / runs;
    let squares: f64 = counts.iter().map(|count| (count - mean).powi(2)).sum();
    let error = (squares / (runs - 1.0).max(1.0) / runs).sqrt();
    (mean, error.max(1.0 / runs))
}

/// By change, in panes; a dash where half of the runs did not find it.
fn medians(delays: &[&Delays]) -> String {
    let median = |at: usize| {
        let mut found: Vec<u64> = delays.iter().filter_map(|delays| delays[at]).collect();
        found.sort_unstable();
        let middle = found.get(delays.len() / 2);
        middle.map_or("–".to_owned(), u64::to_string)
    };
    let medians: Vec<String> = (0..Change::ALL.len()).map(median).collect();
    medians.join(" | ")
}
