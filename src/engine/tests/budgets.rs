//! Rules with a budget of false alarms, in the engine.

use super::*;
use crate::alert::budget::{Allowance, Budget, Period};
use crate::baseline::Baseline;
use crate::evidence::state::Watch;

fn budget(name: &str, windows: u64, scope: Scope) -> Budget {
    Budget {
        name: name.to_owned(),
        allowance: Allowance {
            alarms: 1,
            period: Period::Windows(windows),
            text: format!("1 per {windows} windows"),
        },
        watch: Watch::ALL,
        keep_firing_ms: 0,
        severity: "critical".to_owned(),
        scope,
        is_shared: false,
    }
}

/// With budgets small enough to be spent.
pub fn budgeted(spec: ModelSpec) -> ModelSpec {
    ModelSpec {
        budgets: vec![
            budget("changed", 2, Scope::Streams),
            budget("changed-all", 3, Scope::Whole),
            Budget {
                is_shared: true,
                ..budget("changed-anywhere", 2, Scope::Streams)
            },
        ],
        ..spec
    }
}

/// Two streams, each learning for ten minutes from three records in each pane of ten seconds.
fn learning() -> ModelSpec {
    ModelSpec {
        rules: Vec::new(),
        budgets: vec![budget("changed", 1_000, Scope::Streams)],
        baseline: BaselineSpec::Learn {
            duration_ms: 600_000,
        },
        ..spec(TIME)
    }
}

/// Three records in the pane, of a model that is sure to 70, 80 and 90 percent; less by `off`.
fn say_pane(story: &mut Story, pane: i64, off: u32, versions: &[u8]) {
    for &version in versions {
        for (second, percent) in [(1, 70), (2, 80), (3, 90)] {
            let said = Said {
                time_ms: HOUR_MS + pane * 10_000 + second * 1_000,
                // A different order in each pane.
                percent: percent - off - (pane % 3) as u32,
                version,
            };
            story.say_raw(&said.json());
        }
    }
}

fn learnt(spec: &ModelSpec, versions: &[u8]) -> Story {
    let mut story = Story::new(spec);
    (0..62).for_each(|pane| say_pane(&mut story, pane, 0, versions));
    let outputs = story.outputs();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Learnt(_)))
    );
    story
}

#[test]
fn a_budgeted_rule_fires_on_evidence_and_resolves_a_window_after_it_is_over() {
    let mut story = learnt(&learning(), &[7]);
    (62..80).for_each(|pane| say_pane(&mut story, pane, 0, &[7]));
    assert!(story.alerts().is_empty(), "nothing has changed");
    (80..110).for_each(|pane| say_pane(&mut story, pane, 15, &[7]));
    let fired = story.alerts();
    let [fired] = fired.as_slice() else {
        panic!("{fired:?}");
    };
    assert_eq!(
        (fired.status, fired.measure.as_str(), &*fired.unit),
        (Status::Firing, "evidence", "bits")
    );
    // One stream: c is 1,000 panes.
    assert!((fired.threshold - 1000_f64.log2()).abs() < 1e-12);
    assert!(fired.value >= fired.threshold);
    let said = &fired.diagnosis.summary;
    assert!(said.starts_with("evidence of change "), "{said}");
    for part in [
        "budget 1,000 : 1",
        "no more than 1 per 1000 windows",
        "provisional",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(
        fired
            .baseline
            .as_ref()
            .is_some_and(|baseline| baseline.provisional)
    );

    // It is over with pane 110, and resolves with a window that lies wholly after the last alarm: at
    // the latest when that of six panes from 111 on closes.
    (110..130).for_each(|pane| say_pane(&mut story, pane, 0, &[7]));
    let over = story.alerts();
    let [over] = over.as_slice() else {
        panic!("{over:?}");
    };
    assert_eq!(over.status, Status::Resolved);
    let within = [110, 117].map(|pane| crate::observation::rfc3339(HOUR_MS + pane * 10_000));
    let ends_at = over.ends_at.clone().unwrap();
    assert!(within[0] < ends_at && ends_at <= within[1], "{ends_at}");
}

/// Records of any certainty from 55 to 95 percent, and then of 5 less, in windows of five minutes.
#[test]
fn an_alert_does_not_end_while_a_small_change_lasts() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut say = |story: &mut Story, panes: std::ops::Range<i64>, off: u32| {
        for pane in panes {
            for second in [1, 4, 7] {
                let said = Said {
                    time_ms: HOUR_MS + pane * 10_000 + second * 1_000,
                    percent: random.u32(55..=95) - off,
                    version: 7,
                };
                story.say_raw(&said.json());
            }
        }
    };
    let spec = ModelSpec {
        window: WindowSpec::Time {
            length_ms: 300_000,
            slide_ms: 10_000,
        },
        baseline: BaselineSpec::Learn {
            duration_ms: 3_000_000,
        },
        ..learning()
    };
    let mut story = Story::new(&spec);
    say(&mut story, 0..400, 0);
    assert!(story.alerts().is_empty(), "nothing has changed");
    say(&mut story, 400..1_000, 5);
    let alerts = story.alerts();
    let [fired] = alerts.as_slice() else {
        panic!("{alerts:#?}");
    };
    assert_eq!(fired.status, Status::Firing);
    // And once it is over, that is seen.
    say(&mut story, 1_000..1_400, 0);
    let alerts = story.alerts();
    let statuses: Vec<Status> = alerts.iter().map(|alert| alert.status).collect();
    assert_eq!(statuses, [Status::Resolved], "{alerts:#?}");
}

/// A baseline of another build has no fit, or there is none: nothing could ever end the alert.
#[test]
fn an_alert_ends_when_there_is_nothing_to_weigh_by() {
    let mut story = learnt(&learning(), &[7]);
    (62..110).for_each(|pane| say_pane(&mut story, pane, 15, &[7]));
    assert_eq!(story.alerts().len(), 1);
    story.engine.set_baseline("m", None);
    (110..112).for_each(|pane| say_pane(&mut story, pane, 15, &[7]));
    let alerts = story.alerts();
    let [ended] = alerts.as_slice() else {
        panic!("{alerts:#?}");
    };
    assert_eq!(ended.status, Status::Resolved);
    assert!(
        ended.diagnosis.summary.contains("no baseline"),
        "{ended:#?}"
    );
}

#[test]
fn windows_show_the_evidence_which_begins_anew_after_an_alarm() {
    let mut story = learnt(&learning(), &[7]);
    (62..110).for_each(|pane| say_pane(&mut story, pane, if pane < 80 { 0 } else { 15 }, &[7]));
    let windows = story.windows();
    let infos: Vec<_> = windows
        .iter()
        .filter_map(|window| window.evidence.get("changed"))
        .collect();
    let crossed = infos
        .iter()
        .position(|info| info.bits >= info.budget_bits)
        .unwrap();
    assert!(infos[crossed + 1].bits < infos[crossed].bits);
    let json = serde_json::to_value(&windows[crossed]).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert!(keys.contains(&&"evidence".to_owned()), "{keys:?}");
}

/// Of two models, one has three streams and one two: each stream's part of the budget is a fifth.
#[test]
fn the_budget_of_all_models_is_split_over_their_streams() {
    let shared = |name: &str| ModelSpec {
        name: name.to_owned(),
        budgets: vec![Budget {
            is_shared: true,
            ..budget("changed", 1_000, Scope::Streams)
        }],
        ..learning()
    };
    let mut engine = Engine::new(vec![shared("m"), shared("n")], published());
    let ids = [0, 1].map(|partition| {
        engine.add_partition(TopicPartition {
            topic: "t".to_owned(),
            partition,
        })
    });
    let mut budgets = Vec::new();
    let streams: [&[u8]; 2] = [&[1, 2, 3], &[1, 2]];
    // Both read the topic; what is not theirs is refused by neither: each has all three streams.
    for pane in 0..70 {
        for (id, versions) in ids.iter().zip(streams) {
            for &version in versions {
                let said = Said {
                    time_ms: HOUR_MS + pane * 10_000,
                    percent: 80 + (pane % 5) as u32,
                    version,
                };
                hand_in(
                    &mut engine,
                    *id,
                    pane * 10 + i64::from(version),
                    &said.json(),
                );
            }
        }
        engine.step(0);
        for output in engine.take_outputs() {
            if let Output::Window(window) = output {
                budgets.extend(window.evidence.get("changed").map(|info| info.budget_bits));
            }
        }
    }
    assert!(!budgets.is_empty());
    assert!(
        budgets
            .iter()
            .all(|bits| (bits - 6000_f64.log2()).abs() < 1e-12),
        "{budgets:?}"
    );
}

#[test]
fn evidence_begins_anew_under_another_baseline() {
    let spec = ModelSpec {
        budgets: vec![budget("changed", 1 << 39, Scope::Streams)],
        ..learning()
    };
    let mut story = learnt(&spec, &[7]);
    (62..78).for_each(|pane| say_pane(&mut story, pane, 3, &[7]));
    let before = story.windows();
    let bits = |window: &WindowEvent| window.evidence["changed"].bits;
    let grown = bits(before.last().unwrap());
    let mut baseline = Baseline::clone(story.engine.models[0].decide.baseline().unwrap());
    baseline.version = 2;
    story
        .engine
        .set_baseline("m", Some(std::sync::Arc::new(baseline)));
    (78..80).for_each(|pane| say_pane(&mut story, pane, 3, &[7]));
    let after = story.windows();
    assert!(bits(&after[0]) < grown, "{} {grown}", bits(&after[0]));
}

/// Late records are of another sort than those on time: the evidence shows that they were weighed.
#[test]
fn late_records_are_weighed_with_the_pane_that_they_join_with() {
    let mut story = learnt(&learning(), &[7]);
    let off = |story: &mut Story, seconds: i64| {
        let said = Said {
            time_ms: HOUR_MS + seconds * 1_000,
            percent: 50,
            version: 7,
        };
        story.say_raw(&said.json());
    };
    (62..70).for_each(|pane| say_pane(&mut story, pane, 0, &[7]));
    let calm = story.windows().last().unwrap().evidence["changed"].bits;
    // Twenty seconds behind: the panes they belong to have closed.
    for _ in 0..40 {
        off(&mut story, 660);
    }
    say_pane(&mut story, 70, 0, &[7]);
    say_pane(&mut story, 71, 0, &[7]);
    let windows = story.windows();
    assert!(windows.iter().any(|window| window.window.late == 40));
    let after = windows
        .iter()
        .map(|window| window.evidence["changed"].bits)
        .fold(f64::MIN, f64::max);
    assert!(after > calm + 5.0, "{after} {calm}");
}
