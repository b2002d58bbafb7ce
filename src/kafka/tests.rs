//! On the embedded broker: what does not need transactions.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Instant;
use crate::config::valid::{Delivery, KafkaConfig, Limits, StartAt};
use crate::decode::Headers as _;

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

const LIMITS: Limits = Limits {
    outbox_entries: 1_000,
    outbox_bytes: 1 << 20,
    history_bytes: 1 << 20,
    fetch_queue_kbytes: 1_024,
};

fn config(broker: &Embedded) -> KafkaConfig {
    // The mock's fetches are not woken by what is written meanwhile.
    let properties = [
        ("fetch.wait.max.ms", "10"),
        ("reconnect.backoff.max.ms", "200"),
    ];
    KafkaConfig {
        brokers: broker.bootstrap().to_owned(),
        group: "klaxond".to_owned(),
        start_at: StartAt::Latest,
        delivery: Delivery::AtLeastOnce,
        properties: properties
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    }
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic.to_owned(),
        partition,
    }
}

fn message(topic: &str, key: &str, payload: &str) -> Message {
    Message {
        topic: topic.to_owned(),
        key: Some(key.into()),
        payload: Some(payload.into()),
        ..Message::default()
    }
}

fn marker(number: u64, beat: u64) -> Marker {
    Marker {
        number,
        store: "store-a".to_owned(),
        beat,
        watermarks: [("fraud", 1_795_000_000_000)].into_iter().collect(),
        released: false,
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} has not come");
    }
}

fn outcome(publisher: &Publisher) -> Outcome {
    wait_for("an outcome", || {
        publisher.outcome(Duration::from_millis(100))
    })
}

/// Publishes through the publisher, which is how these tests write anything.
fn write(cluster: &Cluster, messages: Vec<Message>) {
    let publisher = Publisher::start(cluster, "alerts").unwrap();
    assert_eq!(outcome(&publisher), Outcome::Ready);
    let step = Step {
        id: 1,
        outputs: messages,
        positions: Positions::new(),
        marker: marker(1, 1),
    };
    publisher.publish(step).unwrap();
    assert_eq!(outcome(&publisher), Outcome::Published { id: 1 });
}

/// An event, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Record(String, i32, i64, String),
    End(String, i32),
    OutOfRange(String, i32),
    Error(String),
}

fn seen(event: Event<'_>) -> Seen {
    let own = |at: At<'_>| (at.topic.to_owned(), at.partition);
    match event {
        Event::Record(record) => {
            let (topic, partition) = own(record.at);
            let payload = String::from_utf8_lossy(record.payload.unwrap_or(b"")).into_owned();
            Seen::Record(topic, partition, record.offset, payload)
        }
        Event::EndOfPartition(at) => Seen::End(own(at).0, at.partition),
        Event::OutOfRange(at) => Seen::OutOfRange(own(at).0, at.partition),
        Event::Error { error, .. } => Seen::Error(error.to_string()),
    }
}

/// Polls until `enough`.
fn poll_until(source: &mut Source, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let mut all = Vec::new();
    wait_for("the events", || {
        source.poll(Duration::from_millis(50), 1_000, |event| {
            all.push(seen(event));
            ControlFlow::Continue(())
        });
        enough(&all).then_some(())
    });
    all
}

fn ends(events: &[Seen]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, Seen::End(..)))
        .count()
}

fn record(topic: &str, partition: i32, offset: i64, payload: &str) -> Seen {
    Seen::Record(topic.to_owned(), partition, offset, payload.to_owned())
}

/// Two topics with a partition 0 each: whose end it is must be known.
#[test]
fn ends_and_records_are_of_the_right_topic() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1), ("b", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    write(
        &cluster,
        vec![message("a", "k", "1"), message("a", "k", "2")],
    );

    let start = Positions::from([(at("a", 0), 0), (at("b", 0), 0)]);
    let mut source = Source::new(&cluster, &LIMITS, &start).unwrap();
    let events = poll_until(&mut source, |events| ends(events) == 2);
    let of = |topic: &str| -> Vec<Seen> {
        let of_it = |event: &&Seen| match event {
            Seen::Record(name, ..) | Seen::End(name, _) | Seen::OutOfRange(name, _) => {
                name == topic
            }
            Seen::Error(_) => true,
        };
        events.iter().filter(of_it).cloned().collect()
    };
    let end = |topic: &str| Seen::End(topic.to_owned(), 0);
    let expected = [record("a", 0, 0, "1"), record("a", 0, 1, "2"), end("a")];
    assert_eq!(of("a"), expected);
    assert_eq!(of("b"), [end("b")]);
    assert_eq!(cluster.connection(), Connection::Up);

    // The end is said again when there was something new.
    write(&cluster, vec![message("b", "k", "3")]);
    let events = poll_until(&mut source, |events| ends(events) == 1);
    assert_eq!(events, [record("b", 0, 0, "3"), end("b")]);
}

#[test]
fn a_broken_off_round_loses_and_repeats_nothing() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let numbers = (0..1_000).map(|i| message("a", "k", &i.to_string()));
    write(&cluster, numbers.collect());

    let start = Positions::from([(at("a", 0), 0)]);
    let mut source = Source::new(&cluster, &LIMITS, &start).unwrap();
    let mut offsets = Vec::new();
    wait_for("all records", || {
        let before = offsets.len();
        let given = source.poll(Duration::from_millis(50), 7, |event| {
            if let Event::Record(record) = event {
                offsets.push(record.offset);
            }
            // Broken off at 5 of at most 7.
            if offsets.len() - before == 5 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(given <= 6, "{given}");
        (offsets.len() == 1_000).then_some(())
    });
    assert_eq!(offsets, (0..1_000).collect::<Vec<i64>>());
}

#[test]
fn out_of_range_is_said_once_and_ends_with_a_restart() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 2)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let start = Positions::from([(at("a", 0), 0), (at("a", 1), 500)]);
    let mut source = Source::new(&cluster, &LIMITS, &start).unwrap();
    let events = poll_until(&mut source, |events| events.len() >= 2);
    assert!(
        events.contains(&Seen::OutOfRange("a".to_owned(), 1)),
        "{events:?}"
    );
    assert!(events.contains(&Seen::End("a".to_owned(), 0)), "{events:?}");

    source.restart(&at("a", 1), 0).unwrap();
    let events = poll_until(&mut source, |events| !events.is_empty());
    assert_eq!(events, [Seen::End("a".to_owned(), 1)]);
}

#[test]
fn partitions_are_added_while_reading() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1), ("b", 3)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let mut source = Source::new(&cluster, &LIMITS, &Positions::from([(at("a", 0), 0)])).unwrap();
    poll_until(&mut source, |events| ends(events) == 1);

    let more: Positions = (0..3).map(|partition| (at("b", partition), 0)).collect();
    source.add(&more).unwrap();
    let expected = [at("a", 0), at("b", 0), at("b", 1), at("b", 2)];
    assert!(source.partitions().eq(&expected));
    let mut events = poll_until(&mut source, |events| ends(events) == 3);
    events.sort_by_key(|event| format!("{event:?}"));
    let expected: Vec<Seen> = (0..3).map(|p| Seen::End("b".to_owned(), p)).collect();
    assert_eq!(events, expected);

    assert!(source.add(&Positions::from([(at("a", 0), 0)])).is_err());
}

#[test]
fn a_paused_partition_gives_nothing_until_it_is_resumed() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1), ("b", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let start = Positions::from([(at("a", 0), 0), (at("b", 0), 0)]);
    let mut source = Source::new(&cluster, &LIMITS, &start).unwrap();
    poll_until(&mut source, |events| ends(events) == 2);

    source.pause([&at("a", 0)]).unwrap();
    write(
        &cluster,
        vec![message("a", "k", "1"), message("b", "k", "2")],
    );
    let events = poll_until(&mut source, |events| !events.is_empty());
    assert_eq!(events[0], record("b", 0, 0, "2"));
    source.resume([&at("a", 0)]).unwrap();
    let is_a = |event: &Seen| *event == record("a", 0, 0, "1");
    let events = poll_until(&mut source, |events| events.iter().any(is_a));
    assert_eq!(events.iter().filter(|event| is_a(event)).count(), 1);
}

#[test]
fn a_record_is_whole() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(Into::into));
    let mut sent = message("a", "key", "payload");
    sent.headers = vec![
        header("version", Some("6")),
        header("version", Some("7")),
        header("none", None),
    ];
    write(&cluster, vec![sent.clone()]);
    let start = Positions::from([(at("a", 0), 0)]);
    let mut source = Source::new(&cluster, &LIMITS, &start).unwrap();
    let mut owned = None;
    wait_for("the record", || {
        source.poll(Duration::from_millis(50), 10, |event| {
            if let Event::Record(record) = event {
                let headers = &record.headers;
                assert_eq!(headers.get("version"), Some(&b"7"[..]), "the last one");
                assert_eq!(headers.get("none"), None);
                assert_eq!(headers.get("other"), None);
                assert_eq!(record.key, Some(&b"key"[..]));
                assert!(record.timestamp_ms.is_some());
                owned = Some(record.to_owned());
            }
            ControlFlow::Continue(())
        });
        owned.is_some().then_some(())
    });
    let owned = owned.unwrap();
    let parts = (
        owned.key.clone(),
        owned.payload.clone(),
        owned.headers.clone(),
    );
    assert_eq!(parts, (sent.key, sent.payload, sent.headers));
    // "key", "payload", "version" "6" "version" "7" "none"
    assert_eq!(owned.bytes(), 3 + 7 + 8 + 8 + 4);
}

#[test]
fn starts_and_positions() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 2)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let group = Group::input(&cluster).unwrap();
    let topics = ["a".to_owned()];
    let known = group.partitions(&topics).unwrap();
    assert_eq!(known, BTreeMap::from([("a".to_owned(), vec![0, 1])]));

    // One key: one partition.
    write(
        &cluster,
        vec![message("a", "k", "1"), message("a", "k", "2")],
    );
    let partitions = [at("a", 0), at("a", 1)];
    let latest = group.resolve_start(&partitions, StartAt::Latest).unwrap();
    let mut ends: Vec<i64> = latest.values().copied().collect();
    ends.sort_unstable();
    assert_eq!(ends, [0, 2]);
    let earliest = group.resolve_start(&partitions, StartAt::Earliest).unwrap();
    assert!(earliest.values().all(|&position| position == 0));

    assert_eq!(group.committed(&partitions).unwrap(), BTreeMap::new());
    group.commit(&Positions::from([(at("a", 0), 17)])).unwrap();
    let committed = group.committed(&partitions).unwrap();
    let expected = Committed {
        position: 17,
        metadata: String::new(),
    };
    assert_eq!(committed, BTreeMap::from([(at("a", 0), expected)]));
}

#[test]
fn a_watcher_tells_of_lost_topics_and_of_return() {
    let broker = Embedded::start(&[("a", 2)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let group = Arc::new(Group::input(&cluster).unwrap());
    // It believes that there is one partition only, and a topic that is not there.
    let known = BTreeMap::from([("a".to_owned(), vec![0]), ("b".to_owned(), vec![0])]);
    let every = Duration::from_millis(20);
    let (watcher, changes) = Watcher::start_every(every, &cluster, group, known).unwrap();
    let next = || changes.recv_timeout(DEADLINE).unwrap();
    let added = Change::Added {
        topic: "a".to_owned(),
        partitions: vec![1],
    };
    assert_eq!(next(), added);
    let topic = "b".to_owned();
    let error = KafkaError::MissingTopic {
        topic: topic.clone(),
    };
    assert_eq!(next(), Change::Lost { topic, error });
    broker.create_topic("b", 1).unwrap();
    let topic = "b".to_owned();
    assert_eq!(next(), Change::Found { topic });
    drop(watcher);
    assert!(
        changes.recv_timeout(DEADLINE).is_err(),
        "nothing is said twice"
    );
}

#[test]
fn a_lost_broker_is_waited_for() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let publisher = Publisher::start(&cluster, "alerts").unwrap();
    assert_eq!(outcome(&publisher), Outcome::Ready);
    let start = Positions::from([(at("a", 0), 0)]);
    let mut source = Source::new(&cluster, &LIMITS, &start).unwrap();
    poll_until(&mut source, |events| ends(events) == 1);
    assert_eq!(cluster.connection(), Connection::Up);

    broker.set_reachable(false);
    wait_for("the connection's end", || {
        source.poll(Duration::from_millis(20), 10, |event| {
            // What is lost is not an event.
            assert!(!matches!(event, Event::Record(_) | Event::OutOfRange(_)));
            ControlFlow::Continue(())
        });
        matches!(cluster.connection(), Connection::Down { .. }).then_some(())
    });
    let lookup = Group::input(&cluster).unwrap();
    let error = lookup.partitions(&["a".to_owned()]).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains(broker.bootstrap()), "{error}");

    let step = Step {
        id: 9,
        outputs: vec![message("a", "k", "late")],
        positions: Positions::new(),
        marker: marker(1, 1),
    };
    publisher.publish(step).unwrap();
    wait_for("a retry", || {
        matches!(publisher.status(), Status::Retrying { step: 9, .. }).then_some(())
    });
    broker.set_reachable(true);
    assert_eq!(outcome(&publisher), Outcome::Published { id: 9 });
    assert_eq!(publisher.status(), Status::Ready);
    let events = poll_until(&mut source, |events| ends(events) == 1);
    assert!(events.contains(&record("a", 0, 0, "late")), "{events:?}");
    assert_eq!(cluster.connection(), Connection::Up);
}

#[test]
fn a_publisher_that_is_dropped_ends_though_no_broker_answers() {
    let broker = Embedded::start(&[("alerts", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let publisher = Publisher::start(&cluster, "alerts").unwrap();
    assert_eq!(outcome(&publisher), Outcome::Ready);
    broker.set_reachable(false);
    let step = |id| Step {
        id,
        outputs: vec![message("alerts", "k", "v")],
        positions: Positions::new(),
        marker: marker(1, 1),
    };
    publisher.publish(step(1)).unwrap();
    wait_for("room for one more", || publisher.publish(step(2)).ok());
    assert_eq!(
        publisher.publish(step(3)),
        Err(Box::new(step(3))),
        "one at work, one waiting"
    );
    let start = Instant::now();
    drop(publisher);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

/// At least once: another instance shows in the marker.
#[test]
fn another_instances_marker_stops_us() {
    let broker = Embedded::start(&[("alerts", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let outbox = Group::outbox(&cluster).unwrap();
    assert_eq!(outbox.name(), "klaxond.outbox");
    let (first, second) = (
        Publisher::start(&cluster, "alerts").unwrap(),
        Publisher::start(&cluster, "alerts").unwrap(),
    );
    assert_eq!(outcome(&first), Outcome::Ready);
    assert_eq!(outcome(&second), Outcome::Ready);
    let step = |id, store: &str| Step {
        id,
        outputs: vec![message("alerts", store, "v")],
        positions: Positions::new(),
        marker: Marker {
            store: store.to_owned(),
            ..marker(id, id)
        },
    };
    for id in 1..3 {
        second.publish(step(id, "b")).unwrap();
        assert_eq!(outcome(&second), Outcome::Published { id });
    }
    first.publish(step(5, "a")).unwrap();
    let by = step(2, "b").marker;
    assert_eq!(
        outcome(&first),
        Outcome::Fenced {
            by: Some(by.clone())
        }
    );
    assert_eq!(outbox.read_marker("alerts"), Ok(Some(by)));
    let mut keys = Vec::new();
    let count = read_alerts(&cluster, "alerts", |record| {
        keys.extend(record.key);
        ControlFlow::Continue(())
    });
    assert_eq!((count, keys), (Ok(2), vec![b"b".to_vec(), b"b".to_vec()]));
    wait_for("the end", || {
        (first.status() == Status::Stopped).then_some(())
    });
    assert!(first.publish(step(6, "a")).is_err());
}

#[test]
fn somebody_elses_position_is_no_marker() {
    let broker = Embedded::start(&[("alerts", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let outbox = Group::outbox(&cluster).unwrap();
    assert_eq!(outbox.read_marker("alerts"), Ok(None));
    outbox
        .commit(&Positions::from([(at("alerts", 0), 7)]))
        .unwrap();
    let error = outbox.read_marker("alerts").unwrap_err();
    let expected =
        "the marker of group klaxond.outbox cannot be read: at number 7: \"\" is no marker";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn alerts_are_followed_from_the_end() {
    let broker = Embedded::start(&[("alerts", 3)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    write(&cluster, vec![message("alerts", "old", "1")]);
    let mut events = AlertEvents::open(&cluster, "alerts", From::End).unwrap();
    let mut next = || {
        wait_for("an item", || {
            events.next(Duration::from_millis(50)).unwrap()
        })
    };
    assert_eq!(next(), AlertItem::CaughtUp);
    write(&cluster, vec![message("alerts", "new", "2")]);
    let AlertItem::Record(record) = next() else {
        panic!("caught up twice")
    };
    assert_eq!(record.key.as_deref(), Some(&b"new"[..]));
}

#[test]
fn records_are_read_again_in_any_order() {
    let broker = Embedded::start(&[("alerts", 1), ("a", 1), ("b", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let mut messages: Vec<Message> = (0..2_000)
        .map(|i| message("a", "k", &format!("a{i}")))
        .collect();
    messages.push(message("b", "k", "b0"));
    write(&cluster, messages);
    let wanted = [
        (at("a", 0), 1_999),
        (at("b", 0), 0),
        (at("a", 0), 3),
        (at("a", 0), 4),
        (at("b", 0), 77),
        (at("a", 0), 1_999),
        (at("gone", 0), 0),
    ];
    let found: Vec<Option<String>> = reread(&cluster, &wanted)
        .unwrap()
        .into_iter()
        .map(|found| match found {
            Reread::Found(record) => record.payload.map(|p| String::from_utf8(p).unwrap()),
            Reread::Gone => None,
        })
        .collect();
    let expected = [
        Some("a1999"),
        Some("b0"),
        Some("a3"),
        Some("a4"),
        None,
        Some("a1999"),
        None,
    ];
    assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
}

#[test]
fn a_wrong_property_is_named_without_its_value() {
    let broker = Embedded::start(&[]).unwrap();
    let mut config = config(&broker);
    config
        .properties
        .insert("sasl.mechanism".to_owned(), "hunter2".to_owned());
    config
        .properties
        .insert("security.protocol".to_owned(), "hunter2".to_owned());
    let error = Cluster::new(&config).unwrap_err().to_string();
    assert!(error.starts_with("kafka.properties: s"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_missing_topic_is_named() {
    let broker = Embedded::start(&[("a", 1)]).unwrap();
    let cluster = Cluster::new(&config(&broker)).unwrap();
    let group = Group::input(&cluster).unwrap();
    let error = group
        .partitions(&["a".to_owned(), "b".to_owned()])
        .unwrap_err();
    assert_eq!(error.to_string(), "topic b does not exist");
    let error = group.partitions(&["a\0".to_owned()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"a\\0\" cannot be the name of a topic: it holds a zero byte"
    );
}
