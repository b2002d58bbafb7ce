//! The laws of the engine: what comes out does not depend on how the records came in.

mod budgets;

use proptest::prelude::*;

use super::checkpoint::FiringAlert;
use super::output::Output;
use super::spec::{BaselineSpec, ModelLimits, ModelSpec};
use super::{Engine, PartitionId, Published, TopicPartition};
use crate::alert::event::{AlertEvent, Status};
use crate::alert::rule::{Comparison, Rule, Scope, Threshold};
use crate::baseline::{Source, learner::Learner};
use crate::decode::{DecoderSpec, DimensionSource, Format, Kind, NoHeaders, Record};
use crate::engine::output::WindowEvent;
use crate::observation::{Millis, Reason, StreamKey};
use crate::summary::{MOST_OPEN_SEGMENTS, MOST_SEGMENTS, OTHER, Summary};
use crate::window::WindowSpec;
use crate::window::measures::Measure;

mod kinds;

pub(super) const TIME: WindowSpec = WindowSpec::Time {
    length_ms: 30_000,
    slide_ms: 10_000,
};
const COUNT: WindowSpec = WindowSpec::Count {
    records: 12,
    slide: 4,
    slice_ms: 1_000,
};
const LATENESS_MS: Millis = 5_000;
/// A full hour in 2026: seconds after it are told by minutes and seconds alone.
const HOUR_MS: Millis = 1_789_999_200_000;

pub(super) fn spec(window: WindowSpec) -> ModelSpec {
    ModelSpec {
        name: "m".to_owned(),
        topics: vec!["t".to_owned()],
        decoder: DecoderSpec {
            format: Format::Json,
            kind: Kind::Probabilities,
            probabilities: Some("/p".to_owned()),
            timestamp: Some("/t".to_owned()),
            dimensions: vec![("v".to_owned(), DimensionSource::Pointer("/v".to_owned()))],
            tags: Vec::new(),
            label: None,
            max_payload_bytes: 10_000,
            max_classes: 100,
        },
        classes: None,
        window,
        lateness_ms: LATENESS_MS,
        idle_after_ms: 30_000,
        max_ahead_ms: 300_000,
        baseline: BaselineSpec::Learn {
            duration_ms: 60_000,
        },
        min_baseline_records: 5,
        forget_streams_after_ms: 3_600_000,
        rules: vec![
            rule("unsure", Measure::Entropy, 0.8, Scope::Streams),
            rule("unsure-all", Measure::Entropy, 0.8, Scope::Whole),
            rule("moved", Measure::Kl, 0.02, Scope::Streams),
        ],
        budgets: Vec::new(),
        season: None,
        review: None,
        limits: ModelLimits {
            streams: 3,
            open_panes: 1_000,
        },
    }
}

fn rule(name: &str, measure: Measure, above: f64, scope: Scope) -> Rule {
    Rule {
        name: name.to_owned(),
        measure,
        comparison: Comparison::Above,
        threshold: Threshold::Absolute(above),
        clear: None,
        for_ms: 0,
        keep_firing_ms: 0,
        min_records: 1,
        severity: "warning".to_owned(),
        scope,
    }
}

fn published() -> Option<Published> {
    Some(Published {
        group: "g".to_owned(),
        windows: true,
        dead_letters: true,
        reviews: true,
    })
}

/// One record: when, and how sure of class 0 in percent, of which version.
#[derive(Clone, Debug)]
struct Said {
    time_ms: Millis,
    percent: u32,
    version: u8,
}

impl Said {
    fn json(&self) -> String {
        let p = f64::from(self.percent) / 100.0;
        format!(
            r#"{{"p":[{p},{}],"t":{},"v":"{}","y":{},"s":{}}}"#,
            1.0 - p,
            self.time_ms,
            self.version,
            self.percent % 4,
            self.percent % 7,
        )
    }
}

/// Ten minutes or so of records, none later than the lateness behind one before it (`jitter_ms`
/// below it) or some (above it).
fn records(jitter_ms: Millis) -> impl Strategy<Value = Vec<Said>> {
    let one = (0..3_000_i64, 0..=jitter_ms, 50..=100_u32, 0..2_u8);
    prop::collection::vec(one, 20..200).prop_map(|steps| {
        let mut now_ms = HOUR_MS;
        let said = steps
            .into_iter()
            .map(|(step_ms, back_ms, percent, version)| {
                now_ms += step_ms;
                Said {
                    time_ms: now_ms - back_ms,
                    percent,
                    version,
                }
            });
        said.collect()
    })
}

/// How the records come: which partition each is in, which partition is read next, where batches
/// end, and where the process is restarted.
#[derive(Clone, Debug)]
struct Way {
    partitions: usize,
    place: Vec<usize>,
    pick: Vec<usize>,
    step: Vec<bool>,
    restart: Vec<bool>,
}

fn way(partitions: usize) -> impl Strategy<Value = Way> {
    let bits = |chance| prop::collection::vec(prop::bool::weighted(chance), 200);
    let picks = || prop::collection::vec(0..partitions, 200);
    (picks(), picks(), bits(0.2), bits(0.05)).prop_map(move |(place, pick, step, restart)| Way {
        partitions,
        place,
        pick,
        step,
        restart,
    })
}

/// An engine with its partitions.
fn engine(spec: &ModelSpec, partitions: usize) -> (Engine, Vec<PartitionId>) {
    let mut engine = Engine::new(vec![spec.clone()], published());
    let at = |partition| TopicPartition {
        topic: "t".to_owned(),
        partition,
    };
    let ids = (0..partitions as i32)
        .map(|p| engine.add_partition(at(p)))
        .collect();
    (engine, ids)
}

fn hand_in(engine: &mut Engine, id: PartitionId, offset: i64, value: &str) -> bool {
    let record = Record {
        payload: Some(value.as_bytes()),
        timestamp_ms: None,
        headers: &NoHeaders,
    };
    engine.record(id, offset, &record, None)
}

/// Everything that is published or stored, as text.
fn run(spec: &ModelSpec, records: &[Said], way: &Way) -> Vec<String> {
    let mut queues = vec![Vec::new(); way.partitions];
    for (record, &partition) in records.iter().zip(&way.place) {
        queues[partition].push(record);
    }
    let (mut engine, mut ids) = engine(spec, way.partitions);
    let mut baseline = None;
    let mut said = Vec::new();
    let mut next = vec![0; way.partitions];
    for turn in 0..records.len() {
        let wish = way.pick[turn];
        let order = (0..way.partitions).map(|p| (wish + p) % way.partitions);
        let partition = order.clone().find(|&p| next[p] < queues[p].len()).unwrap();
        let value = queues[partition][next[partition]].json();
        assert!(!hand_in(
            &mut engine,
            ids[partition],
            next[partition] as i64,
            &value
        ));
        next[partition] += 1;
        if way.step[turn] {
            engine.step(0);
        }
        if way.restart[turn] {
            engine.step(0);
            collect(&mut engine, &mut said, &mut baseline);
            let bytes = engine.checkpoint();
            (engine, ids) = self::engine(spec, way.partitions);
            assert_eq!(engine.restore(&bytes).unwrap(), Vec::<String>::new());
            engine.set_baseline("m", baseline.clone());
        }
    }
    engine.finish();
    collect(&mut engine, &mut said, &mut baseline);
    said
}

fn collect(
    engine: &mut Engine,
    said: &mut Vec<String>,
    baseline: &mut Option<std::sync::Arc<crate::baseline::Baseline>>,
) {
    for output in engine.take_outputs() {
        said.push(match output {
            Output::Window(event) => serde_json::to_string(&event).unwrap(),
            Output::Alert(event) => serde_json::to_string(&event).unwrap(),
            Output::Learnt(learnt) => {
                *baseline = Some(std::sync::Arc::new(*learnt));
                "learnt".to_owned()
            }
            Output::History(entry) => format!("{entry:?}"),
            Output::Rejected(rejected) => format!("{rejected:?}"),
            Output::Referred(referred) => format!("{referred:?}"),
        });
    }
}

/// The model with labels, some of which are no class, and tags.
fn labelled(spec: ModelSpec) -> ModelSpec {
    let pointer = |pointer: &str| DimensionSource::Pointer(pointer.to_owned());
    let decoder = DecoderSpec {
        label: Some(pointer("/y")),
        tags: vec![
            ("s".to_owned(), pointer("/s")),
            ("v".to_owned(), pointer("/v")),
        ],
        ..spec.decoder
    };
    ModelSpec { decoder, ..spec }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Any number of partitions, any interleaving, any batches, restarts anywhere.
    #[test]
    fn punctual_records_say_the_same_however_they_come(
        records in records(LATENESS_MS),
        one in way(1),
        other in (1..5_usize).prop_flat_map(way),
        window in prop_oneof![Just(TIME), Just(COUNT)],
        with_labels: bool,
    ) {
        let spec = if with_labels { labelled(spec(window)) } else { spec(window) };
        let spec = budgets::budgeted(spec);
        prop_assert_eq!(run(&spec, &records, &one), run(&spec, &records, &other));
    }

    /// Late records too, as long as each partition holds the same.
    #[test]
    fn late_records_say_the_same_however_partitions_interleave(
        records in records(8 * LATENESS_MS),
        (one, other) in (1..4_usize).prop_flat_map(|n| (way(n), way(n))),
        window in prop_oneof![Just(TIME), Just(COUNT)],
        with_labels: bool,
    ) {
        let spec = if with_labels { labelled(spec(window)) } else { spec(window) };
        let spec = budgets::budgeted(spec);
        let other = Way { place: one.place.clone(), ..other };
        prop_assert_eq!(run(&spec, &records, &one), run(&spec, &records, &other));
    }
}

/// Hands in records of one partition and closes what is closed, record by record.
struct Story {
    engine: Engine,
    id: PartitionId,
    offset: i64,
}

impl Story {
    fn new(spec: &ModelSpec) -> Self {
        let (engine, ids) = engine(spec, 1);
        Self {
            engine,
            id: ids[0],
            offset: 0,
        }
    }

    /// Sure of class 0 to `percent`, at `seconds` after the epoch.
    fn say(&mut self, seconds: i64, percent: u32) {
        let value = Said {
            time_ms: HOUR_MS + seconds * 1_000,
            percent,
            version: 7,
        }
        .json();
        self.say_raw(&value);
    }

    fn say_raw(&mut self, value: &str) {
        hand_in(&mut self.engine, self.id, self.offset, value);
        self.offset += 1;
        self.engine.step(0);
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.engine.take_outputs()
    }

    fn windows(&mut self) -> Vec<WindowEvent> {
        let window = |output| match output {
            Output::Window(event) if !event.stream.is_whole() => Some(*event),
            _ => None,
        };
        self.outputs().into_iter().filter_map(window).collect()
    }

    fn alerts(&mut self) -> Vec<AlertEvent> {
        let alert = |output| match output {
            Output::Alert(event) => Some(*event),
            _ => None,
        };
        self.outputs().into_iter().filter_map(alert).collect()
    }
}

fn bounds(windows: &[WindowEvent]) -> Vec<(&str, u64, u64, bool)> {
    let bound = |w: &WindowEvent| (w.window.records, w.window.late, w.window.complete);
    windows
        .iter()
        .map(|w| (&w.window.end[14..19], bound(w)))
        .map(|(end, (records, late, complete))| (end, records, late, complete))
        .collect()
}

/// Classes (0, 1) at 0.9: labels 90 % 4 = 2 (no class), 92 % 4 = 0 (right), 93 % 4 = 1 (wrong).
#[test]
fn labels_and_tags_are_measured_and_rules_on_them_count_labels() {
    let mut spec = labelled(spec(TIME));
    spec.rules = vec![
        rule("wrong", Measure::Brier, 0.5, Scope::Streams),
        rule("wrong-of-many", Measure::Brier, 0.5, Scope::Streams),
    ];
    spec.rules[1].min_records = 3;
    let mut story = Story::new(&spec);
    for (second, percent) in [(1, 90), (2, 92), (3, 93), (30, 90)] {
        story.say(second, percent);
    }
    let outputs = story.outputs();
    let window = outputs.iter().find_map(|output| match output {
        Output::Window(event) if !event.stream.is_whole() => Some(event),
        _ => None,
    });
    let measures = &window.unwrap().measures;
    let of = |measure| measures.get(measure).unwrap();
    assert_eq!((of(Measure::Records), of(Measure::Labelled)), (3.0, 2.0));
    assert_eq!(
        (of(Measure::UnknownLabels), of(Measure::Accuracy)),
        (1.0, 0.5)
    );
    // 2·0.08² and 2·0.93²
    assert!((of(Measure::Brier) - (0.0128 + 1.7298) / 2.0).abs() < 1e-9);
    // Tags 90 % 7 = 6, 92 % 7 = 1, 93 % 7 = 2: each record is a segment.
    let h = |p: f64| -p * p.log2() - (1.0 - p) * (1.0 - p).log2();
    let information = h((0.9 + 0.92 + 0.93) / 3.0) - (h(0.9) + h(0.92) + h(0.93)) / 3.0;
    assert!((of(Measure::SegmentInformation) - information).abs() < 1e-9);
    let fired: Vec<&str> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Alert(event) => Some(event.rule.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(fired, ["wrong"], "two records with labels are not three");
}

/// A value in each record: a closed pane keeps a number of them, whole or not.
#[test]
fn a_tag_with_too_many_values_stays_bounded() {
    let spec = labelled(spec(TIME));
    let mut story = Story::new(&spec);
    for value in 0..400 {
        let t = HOUR_MS + 1_000;
        story.say_raw(&format!(
            r#"{{"p":[0.5,0.5],"t":{t},"v":"7","s":"user {value}"}}"#
        ));
    }
    let open = &story.engine.models[0].decide.state().open;
    let open = open.values().flat_map(|cell| cell.streams.values());
    let open: Vec<&Summary> = open.filter_map(|stream| stream.on_time.as_ref()).collect();
    let segments = open[0].segments().unwrap().tag("s").unwrap();
    assert_eq!(segments.len(), MOST_OPEN_SEGMENTS + 1);
    story.say(20, 90);
    let summary = story.engine.live_panes("m").remove(0).summary;
    let segments = summary.segments().unwrap().tag("s").unwrap();
    assert_eq!(segments.len(), MOST_SEGMENTS + 1);
    assert_eq!(segments[OTHER].records(), 400 - 32);
}

/// Ten panes of 32 values of their own.
#[test]
fn a_baseline_keeps_a_number_of_values() {
    let mut learner = Learner::new(TIME, None);
    let classes = ["a".to_owned(), "b".to_owned()];
    for pane in 0..10 {
        let mut summary = Summary::new(2);
        for value in 0..32 {
            let value = format!("{pane} {value}");
            summary.add(&[0.5, 0.5], HOUR_MS);
            summary.add_tags(&[0.5, 0.5], [("s", value.as_str())].into_iter());
        }
        learner.add_pane(&StreamKey::whole(), &classes, HOUR_MS, &summary);
    }
    let learnt = learner.finish("b", "m", Source::Imported, 0).unwrap();
    let segments = learnt.whole.summary.segments().unwrap().tag("s").unwrap();
    assert_eq!(segments.len(), MOST_OPEN_SEGMENTS + 1);
    assert_eq!(segments[OTHER].records(), 320 - 256);
}

#[test]
fn windows_slide_over_panes_and_stretches_without_records_are_skipped() {
    let mut story = Story::new(&spec(TIME));
    story.say(1, 90);
    story.say(2, 90);
    story.say(12, 90);
    story.say(1000, 90);
    story.engine.finish();
    assert_eq!(
        bounds(&story.windows()),
        [
            ("00:10", 2, 0, false),
            ("00:20", 3, 0, false),
            ("00:30", 3, 0, false),
            ("00:40", 1, 0, true),
            ("16:50", 1, 0, true),
        ]
    );
}

#[test]
fn a_late_record_counts_in_the_windows_still_to_come() {
    let mut story = Story::new(&spec(TIME));
    story.say(1, 90);
    // The watermark is at 16 s: [0, 10) has closed.
    story.say(21, 90);
    story.say(2, 90);
    story.say(36, 90);
    assert_eq!(
        bounds(&story.windows()),
        [
            ("00:10", 1, 0, false),
            ("00:20", 2, 1, false),
            ("00:30", 3, 1, false)
        ]
    );
}

#[test]
fn a_record_older_than_every_window_to_come_is_dropped_and_counted() {
    let mut story = Story::new(&spec(TIME));
    story.say(100, 90);
    story.say(1, 90);
    let status = story.engine.status(0);
    assert_eq!(status.models[0].counters.too_late, 1);
    assert_eq!(status.models[0].counters.records, 1);
}

#[test]
fn count_windows_hold_whole_slices_and_at_least_their_records() {
    let window = WindowSpec::Count {
        records: 4,
        slide: 2,
        slice_ms: 1_000,
    };
    let mut story = Story::new(&spec(window));
    // Slices of 1, 1, 3, 1, 1 records: panes of 2, 3, 2.
    for seconds in [0, 1, 2, 2, 2, 3, 4, 20] {
        story.say(seconds, 90);
    }
    assert_eq!(
        bounds(&story.windows()),
        [
            ("00:02", 2, 0, false),
            ("00:03", 5, 0, true),
            ("00:05", 5, 0, true)
        ]
    );
}

#[test]
fn an_alert_fires_and_resolves_with_its_windows() {
    let spec = ModelSpec {
        baseline: BaselineSpec::None,
        ..spec(TIME)
    };
    let mut story = Story::new(&spec);
    story.say(1, 50);
    story.say(61, 99);
    story.say(100, 99);
    let alerts = story.alerts();
    let said: Vec<_> = alerts
        .iter()
        .map(|a| {
            (
                a.rule.as_str(),
                a.status,
                &a.starts_at[14..19],
                a.ends_at.is_some(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("unsure-all", Status::Firing, "00:10", false),
            ("unsure", Status::Firing, "00:10", false),
            ("unsure-all", Status::Resolved, "00:10", true),
            ("unsure", Status::Resolved, "00:10", true),
        ]
    );
    assert!(
        (alerts[0].value - 1.0).abs() < 1e-9,
        "a coin toss is one bit: {}",
        alerts[0].value
    );
}

#[test]
fn a_flood_of_streams_goes_to_overflow() {
    let mut story = Story::new(&spec(TIME));
    for version in 0..10 {
        story.say_raw(
            &Said {
                time_ms: HOUR_MS + 1_000,
                percent: 90,
                version,
            }
            .json(),
        );
    }
    story.engine.finish();
    let windows = story.windows();
    let streams: Vec<(String, u64)> = windows
        .iter()
        .map(|w| (w.stream.to_string(), w.window.records))
        .collect();
    let expected = [("overflow=true", 7), ("v=0", 1), ("v=1", 1), ("v=2", 1)];
    assert_eq!(
        streams,
        expected.map(|(name, records)| (name.to_owned(), records))
    );
}

#[test]
fn rejections_are_counted_in_their_window_and_raise_the_model_s_own_alert() {
    let mut spec = spec(TIME);
    spec.rules = vec![Rule {
        min_records: 2,
        ..rule("rejected", Measure::RejectedShare, 0.4, Scope::Whole)
    }];
    let mut story = Story::new(&spec);
    story.say(1, 90);
    story.say_raw("nonsense");
    story.say(16, 90);
    let outputs = story.outputs();
    let Output::Rejected(rejected) = &outputs[0] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (rejected.offset, rejected.rejection.reason),
        (1, Reason::Malformed)
    );
    let alert = outputs.iter().find_map(|o| match o {
        Output::Alert(alert) => Some(alert),
        _ => None,
    });
    assert_eq!(
        alert.map(|a| (a.value, a.measure.as_str())),
        Some((0.5, "rejected_share"))
    );
    let said = alert.map(|alert| alert.diagnosis.summary.as_str()).unwrap();
    assert!(said.contains("1 of 1 refused records: malformed"), "{said}");
}

#[test]
fn nothing_but_rejections_is_noticed_while_event_time_stands_still() {
    let mut spec = spec(TIME);
    spec.rules = vec![rule("rejected", Measure::RejectedShare, 0.05, Scope::Whole)];
    let (mut engine, ids) = engine(&spec, 1);
    for second in 0..40 {
        let record = Record {
            payload: Some(b"nonsense"),
            timestamp_ms: None,
            headers: &NoHeaders,
        };
        engine.record(ids[0], second, &record, Some(second * 1_000));
        engine.step(second * 1_000);
    }
    let alerts = engine
        .take_outputs()
        .into_iter()
        .filter(|o| matches!(o, Output::Alert(_)));
    assert_eq!(alerts.count(), 1);
}

#[test]
fn silence_is_judged_once_the_topics_have_been_read_to_their_ends() {
    let mut spec = spec(TIME);
    spec.rules = vec![rule("silent", Measure::Silence, 60.0, Scope::Whole)];
    let (mut engine, ids) = engine(&spec, 1);
    let value = Said {
        time_ms: HOUR_MS + 1_000,
        percent: 90,
        version: 1,
    }
    .json();
    hand_in(&mut engine, ids[0], 0, &value);
    engine.step(1_000);
    engine.step(62_000);
    assert_eq!(
        alert_count(&mut engine),
        0,
        "not caught up: the silence may be ours"
    );
    engine.at_end(ids[0], 62_000);
    engine.step(62_000);
    assert_eq!(alert_count(&mut engine), 1);
    hand_in(&mut engine, ids[0], 1, &value);
    engine.step(63_000);
    assert_eq!(alert_count(&mut engine), 1, "it ends with the next record");
}

fn alert_count(engine: &mut Engine) -> usize {
    engine
        .take_outputs()
        .iter()
        .filter(|output| matches!(output, Output::Alert(_)))
        .count()
}

#[test]
fn an_idle_partition_does_not_hold_windows_back() {
    let (mut engine, ids) = engine(&spec(TIME), 2);
    let say = |engine: &mut Engine, id, offset, seconds: i64| {
        let value = Said {
            time_ms: HOUR_MS + seconds * 1_000,
            percent: 90,
            version: 1,
        }
        .json();
        hand_in(engine, id, offset, &value);
    };
    say(&mut engine, ids[0], 0, 1);
    say(&mut engine, ids[0], 1, 60);
    engine.at_end(ids[1], 0);
    engine.step(29_999);
    assert!(
        engine.take_outputs().is_empty(),
        "the other partition may still give records"
    );
    engine.step(30_000);
    assert!(!engine.take_outputs().is_empty());
}

#[test]
fn a_takeover_keeps_firing_alerts_and_says_no_window_twice() {
    let spec = ModelSpec {
        baseline: BaselineSpec::None,
        ..spec(TIME)
    };
    let values: Vec<String> = [(1, 50), (11, 50), (21, 50), (31, 50), (61, 99), (100, 99)]
        .map(|(seconds, percent)| {
            Said {
                time_ms: HOUR_MS + seconds * 1_000,
                percent,
                version: 7,
            }
            .json()
        })
        .into();
    // The former instance saw the first four, and published what they decide: up to 20 s.
    let mut former = Story::new(&spec);
    values[..4].iter().for_each(|value| former.say_raw(value));
    let (said, to_ms) = (former.outputs(), former.engine.watermarks()["m"]);
    assert_eq!(to_ms, HOUR_MS + 20_000);
    let firing = said.iter().filter_map(|output| match output {
        Output::Alert(a) => Some(FiringAlert {
            model: a.model.clone(),
            stream: a.stream.clone(),
            rule: a.rule.clone(),
            starts_ms: HOUR_MS + 10_000,
        }),
        _ => None,
    });
    // The successor reads again from the beginning.
    let mut successor = Story::new(&spec);
    successor.engine.take_over(17, firing.collect());
    successor.engine.settle_windows("m", Millis::MIN, to_ms);
    values.iter().for_each(|value| successor.say_raw(value));
    // An uninterrupted run says the former's and the successor's, in order.
    let mut whole = Story::new(&spec);
    values.iter().for_each(|value| whole.say_raw(value));
    let spoken: Vec<Output> = said.into_iter().chain(successor.outputs()).collect();
    assert_eq!(spoken, whole.outputs());
    assert!(
        successor
            .engine
            .outbox()
            .entries()
            .next()
            .is_some_and(|entry| entry.number == 18)
    );
}

/// A condition that had held for a while under the former instance fires when it would have.
#[test]
fn a_takeover_keeps_how_long_a_condition_has_held() {
    let mut spec = ModelSpec {
        baseline: BaselineSpec::None,
        ..spec(TIME)
    };
    spec.rules = vec![rule("unsure", Measure::Entropy, 0.5, Scope::Streams)];
    spec.rules[0].for_ms = 25_000;
    spec.rules[0].min_records = 1;
    let values: Vec<String> = (0..18)
        .map(|i| {
            Said {
                time_ms: HOUR_MS + i * 5_000,
                percent: if i < 4 { 99 } else { 50 },
                version: 7,
            }
            .json()
        })
        .collect();
    let mut whole = Story::new(&spec);
    values.iter().for_each(|value| whole.say_raw(value));
    let (all, fired) = (whole.outputs(), |output: &Output| {
        matches!(output, Output::Alert(_))
    });
    assert_eq!(all.iter().filter(|output| fired(output)).count(), 1);

    let mut former = Story::new(&spec);
    values[..10].iter().for_each(|value| former.say_raw(value));
    let (said, to_ms) = (former.outputs(), former.engine.watermarks()["m"]);
    assert!(!said.iter().any(fired), "it is pending");
    let mut successor = Story::new(&spec);
    successor.engine.settle_windows("m", HOUR_MS, to_ms);
    values.iter().for_each(|value| successor.say_raw(value));
    let spoken: Vec<Output> = said.into_iter().chain(successor.outputs()).collect();
    assert_eq!(spoken, all);
}

/// For an hour by the wall clock, which is given.
#[test]
fn lost_records_raise_an_alert_and_are_forgotten() {
    let mut spec = spec(TIME);
    spec.rules = vec![rule("lost", Measure::LostRecords, 0.0, Scope::Whole)];
    let mut story = Story::new(&spec);
    let said = |story: &mut Story| -> Vec<(Status, f64)> {
        let outputs = story.outputs();
        let alerts = outputs.iter().filter_map(|output| match output {
            Output::Alert(alert) => Some((alert.status, alert.value)),
            _ => None,
        });
        alerts.collect()
    };
    story.engine.step(HOUR_MS);
    assert_eq!(said(&mut story), []);
    let id = story.engine.add_partition(TopicPartition {
        topic: "t".to_owned(),
        partition: 0,
    });
    story.engine.set_position(id, 10);
    story.engine.lost(id, 7, HOUR_MS);
    assert_eq!(story.engine.position(id), Some(17));
    story.engine.step(HOUR_MS);
    assert_eq!(said(&mut story), [(Status::Firing, 7.0)]);
    story.engine.step(HOUR_MS + 3_599_999);
    assert_eq!(said(&mut story), []);
    story.engine.step(HOUR_MS + 3_600_000);
    assert_eq!(said(&mut story), [(Status::Resolved, 0.0)]);
}

#[test]
fn alerts_of_a_rule_that_is_gone_end_after_a_restart() {
    let before = ModelSpec {
        baseline: BaselineSpec::None,
        ..spec(TIME)
    };
    let mut story = Story::new(&before);
    story.say(1, 50);
    story.say(16, 50);
    assert_eq!(story.alerts().len(), 2);
    let bytes = story.engine.checkpoint();
    let after = ModelSpec {
        rules: before.rules[1..].to_vec(),
        ..before
    };
    let (mut engine, _) = engine(&after, 1);
    let notes = engine.restore(&bytes).unwrap();
    assert_eq!(notes, ["rule unsure of model m is gone: its alerts end"]);
    let outputs = engine.take_outputs();
    let [Output::Alert(alert)] = outputs.as_slice() else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (alert.rule.as_str(), alert.status),
        ("unsure", Status::Resolved)
    );
    assert_eq!(
        alert.stream,
        StreamKey([("v".to_owned(), "7".to_owned())].into())
    );
}

#[test]
fn a_checkpoint_of_another_build_is_refused_and_garbage_never_panics() {
    let (mut engine, _) = engine(&spec(TIME), 1);
    let error = engine.restore(&[9, 0, 1, 2, 3]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "checkpoint format 9 is newer than this build's (2)"
    );
    let error = engine.restore(&[1, 0, 1, 2, 3]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "checkpoint format 1 is older than this build's (2)"
    );
    assert!(engine.restore(&[]).is_err());
    let good = engine.checkpoint();
    for cut in 0..good.len() {
        let _ = engine.restore(&good[..cut]);
    }
}
