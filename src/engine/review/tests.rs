use proptest::prelude::*;

use super::super::output::{Output, Referred};
use super::super::spec::{BaselineSpec, ReviewSpec};
use super::super::tests::{TIME, spec};
use super::super::{Engine, Published, TopicPartition};
use super::*;
use crate::baseline::Source;
use crate::decode::{NoHeaders, Record};

const MINUTE_MS: Millis = 60_000;
/// A full hour in 2026.
const HOUR_MS: Millis = 1_789_999_200_000;
/// Of two classes, the larger of which has 68 % (0.904 bits) or less, and not 69 % (0.893).
const LINE_BITS: f64 = 0.9;

fn reviewed(line: ReviewLine, records: u64) -> ModelSpec {
    let rate = Rate {
        records,
        period_ms: MINUTE_MS,
    };
    ModelSpec {
        baseline: BaselineSpec::Named("b".to_owned()),
        rules: Vec::new(),
        review: Some(ReviewSpec { line, rate }),
        ..spec(TIME)
    }
}

/// The model's partitions, each with the next offset.
struct Story {
    engine: Engine,
    partitions: Vec<(PartitionId, i64)>,
}

impl Story {
    fn new(spec: &ModelSpec, partitions: i32) -> Self {
        let published = Published {
            group: "g".to_owned(),
            windows: true,
            dead_letters: false,
            reviews: true,
        };
        let mut engine = Engine::new(vec![spec.clone()], Some(published));
        // From the last: parts go by name, not by who is known first.
        let at = |partition| TopicPartition {
            topic: "t".to_owned(),
            partition,
        };
        let mut ids: Vec<_> = (0..partitions)
            .rev()
            .map(|p| (engine.add_partition(at(p)), 0))
            .collect();
        ids.reverse();
        Self {
            engine,
            partitions: ids,
        }
    }

    /// A record so many seconds after the hour; true where its bytes are wanted.
    fn say(&mut self, partition: usize, seconds: i64, percent: u32) -> bool {
        let (p, time_ms) = (f64::from(percent) / 100.0, HOUR_MS + seconds * 1_000);
        self.say_raw(
            partition,
            &format!(r#"{{"p":[{p},{}],"t":{time_ms},"v":"7"}}"#, 1.0 - p),
        )
    }

    fn say_raw(&mut self, partition: usize, value: &str) -> bool {
        let (id, offset) = &mut self.partitions[partition];
        let record = Record {
            payload: Some(value.as_bytes()),
            timestamp_ms: None,
            headers: &NoHeaders,
        };
        *offset += 1;
        self.engine.record(*id, *offset - 1, &record, None)
    }

    fn referred(&mut self) -> Vec<Referred> {
        let outputs = self.engine.take_outputs().into_iter();
        let referred = |output| match output {
            Output::Referred(referred) => Some(referred),
            _ => None,
        };
        outputs.filter_map(referred).collect()
    }

    fn counts(&self) -> (u64, u64) {
        let counts = self.engine.status(0).models[0].review.unwrap().counts;
        (counts.records, counts.suppressed)
    }
}

/// The trace at the head of this file.
#[test]
fn each_partition_has_its_part_of_the_rate() {
    let mut story = Story::new(&reviewed(ReviewLine::Above(LINE_BITS), 3), 2);
    let second = [5, 40, 70, 59].map(|seconds| story.say(1, seconds, 50));
    assert_eq!(second, [true, false, true, false]);
    let first = [5, 40, 41, 70].map(|seconds| story.say(0, seconds, 50));
    assert_eq!(first, [true, true, false, true]);
    assert_eq!(story.counts(), (5, 3));
}

#[test]
fn more_partitions_than_records_have_one_each() {
    let mut story = Story::new(&reviewed(ReviewLine::Above(LINE_BITS), 1), 3);
    let said = [0, 1, 2, 2].map(|partition| story.say(partition, 5, 50));
    assert_eq!(said, [true, true, true, false]);
}

#[test]
fn only_what_is_above_the_line_is_referred_and_says_why() {
    let mut story = Story::new(&reviewed(ReviewLine::Above(LINE_BITS), 10), 1);
    assert!(!story.say(0, 1, 69));
    assert!(!story.say(0, 2, 99));
    // Refused: it has no entropy. There is no topic for dead letters, so nobody wants its bytes.
    assert!(!story.say_raw(0, "{"));
    assert!(story.say(0, 3, 50));
    let referred = story.referred();
    assert_eq!(referred.len(), 1);
    let Referred {
        offset,
        partition,
        entropy_bits,
        ref detail,
        ..
    } = referred[0];
    assert_eq!((offset, partition, entropy_bits), (3, 0, 1.0));
    assert_eq!(*detail, "its entropy is 1.0000 bits, above the line at 0.9");
    assert_eq!(
        story.engine.outbox().len(),
        1,
        "and nothing else to publish"
    );
}

/// Another instance has dealt with them: they take their place in the rate, and no more.
#[test]
fn what_is_settled_is_not_referred_again() {
    let mut story = Story::new(&reviewed(ReviewLine::Above(LINE_BITS), 2), 1);
    story.engine.settle_before(story.partitions[0].0, 1);
    let said = [1, 2, 3].map(|seconds| story.say(0, seconds, 50));
    assert_eq!(said, [false, true, false]);
    assert_eq!(story.referred()[0].offset, 1);
    assert_eq!(story.counts(), (1, 1));
}

/// A baseline of 90 records that are sure to 99 % (0.081 bits) and 10 to 80 % (0.722 bits).
fn baseline() -> Baseline {
    let forever = BaselineSpec::Learn {
        duration_ms: Millis::MAX,
    };
    let teacher = ModelSpec {
        baseline: forever,
        review: None,
        ..reviewed(ReviewLine::Above(0.0), 1)
    };
    let mut story = Story::new(&teacher, 1);
    for second in 0..100 {
        story.say(0, second, if second < 90 { 99 } else { 80 });
    }
    story.engine.finish();
    story.engine.learnt("m", "b", Source::Imported, 0).unwrap()
}

#[test]
fn a_quantile_is_the_active_baselines() {
    let mut story = Story::new(&reviewed(ReviewLine::Quantile(0.9), 10), 1);
    assert!(!story.say(0, 1, 50), "there is no line yet");
    let line = |story: &Story| story.engine.status(0).models[0].review.unwrap().line_bits;
    assert_eq!(line(&story), None);

    story.engine.set_baseline("m", Some(Arc::new(baseline())));
    // Two significant digits of 0.0808.
    assert!(
        (line(&story).unwrap() - 0.0808).abs() < 0.0008,
        "{:?}",
        line(&story)
    );
    assert!(!story.say(0, 2, 99) && story.say(0, 3, 80));
    let detail = story.referred().pop().unwrap().detail;
    assert!(
        detail.ends_with(", quantile 0.9 of baseline b version 0"),
        "{detail}"
    );

    story.engine.set_baseline("m", None);
    assert!(!story.say(0, 4, 80));
    assert_eq!(line(&story), None);
}

#[test]
fn what_is_learnt_draws_the_line() {
    let learning = ModelSpec {
        baseline: BaselineSpec::Learn {
            duration_ms: 2 * MINUTE_MS,
        },
        ..reviewed(ReviewLine::Quantile(0.9), 10)
    };
    let mut story = Story::new(&learning, 1);
    for second in 0..140 {
        story.say(0, second, 99);
    }
    assert!(!story.say(0, 140, 80), "learning has not ended");
    story.engine.step(0);
    assert!(story.say(0, 141, 80));
}

#[derive(Clone, Debug)]
struct Said {
    seconds: i64,
    percent: u32,
    partition: usize,
}

/// Records of up to three partitions, some late, none too late.
fn records() -> impl Strategy<Value = Vec<Said>> {
    let one = (0..12_i64, 0..20_i64, 50..80_u32, 0..3_usize);
    prop::collection::vec(one, 1..150).prop_map(|steps| {
        let mut now = 100;
        let said = steps.into_iter().map(|(step, late, percent, partition)| {
            now += step;
            Said {
                seconds: now - late,
                percent,
                partition,
            }
        });
        said.collect()
    })
}

/// By the rule alone: partition and offset of what is to be referred.
fn expected(records: &[Said], rate: u64) -> Vec<(i32, i64)> {
    let mut expected = Vec::new();
    for partition in 0..3 {
        let part = (rate / 3 + u64::from((partition as u64) < rate % 3)).max(1);
        let own = records.iter().filter(|said| said.partition == partition);
        let mut newest = 0;
        let mut spent: BTreeMap<i64, u64> = BTreeMap::new();
        for (offset, said) in (0..).zip(own) {
            newest = newest.max(said.seconds);
            // The hour is a whole number of minutes.
            let spent = spent.entry(newest / 60).or_default();
            if said.percent <= 68 && *spent < part {
                *spent += 1;
                expected.push((partition as i32, offset));
            }
        }
    }
    expected
}

proptest! {
    /// Whichever partition is read next, wherever a batch ends or the process starts anew.
    #[test]
    fn what_is_referred_depends_on_the_partition_alone(
        records in records(),
        picks in prop::collection::vec((0..3_usize, 0..8_u8), 150),
        rate in 1..8_u64,
    ) {
        let spec = reviewed(ReviewLine::Above(LINE_BITS), rate);
        let mut story = Story::new(&spec, 3);
        let mut found = Vec::new();
        let mut queues: Vec<Vec<&Said>> = (0..3)
            .map(|p| records.iter().rev().filter(|said| said.partition == p).collect())
            .collect();
        for (wish, what) in picks.into_iter().take(records.len()) {
            let order = (0..3).map(|p| (wish + p) % 3);
            let next = order.filter_map(|p| queues[p].pop()).next().unwrap();
            story.say(next.partition, next.seconds, next.percent);
            if what > 1 {
                continue;
            }
            story.engine.step(0);
            found.extend(story.referred());
            if what == 0 {
                let bytes = story.engine.checkpoint();
                let mut next = Story::new(&spec, 3);
                next.engine.restore(&bytes).unwrap();
                next.partitions = story.partitions;
                story = next;
            }
        }
        found.extend(story.referred());
        let mut found: Vec<_> = found.iter().map(|r| (r.partition, r.offset)).collect();
        found.sort_unstable();
        prop_assert_eq!(found, expected(&records, rate));
    }
}
