//! Several instances of one group: one is active.

use std::time::{Duration, Instant};

use crate::broker::broker;
use crate::daemon::Site;
use crate::input::{SCENE, spread};
use crate::restarts::{import, is_as_uninterrupted, prepared};

fn two(name: &str) -> (Site, Site, Vec<String>) {
    let (first, records) = prepared(name);
    first.create_topics(2);
    let second = first.sibling(SCENE);
    import(&second, &records);
    (first, second, records)
}

#[test]
fn a_released_group_is_taken_over_at_once() {
    let (first, second, records) = two("released");
    let active = first.start_active();
    let standby = second.start();
    standby.wait_until("standby");
    assert_eq!(standby.get("/readyz").unwrap().0, 200);
    broker().write(&first.input(), spread(&records[..1_000], 2));
    first.windows(15);
    active.stop();
    let began = Instant::now();
    standby.wait_until("active");
    assert!(began.elapsed() < Duration::from_secs(10));
    broker().write(&first.input(), spread(&records[1_000..], 2));
    is_as_uninterrupted(&second, &records);
    standby.stop();
}

#[test]
fn a_killed_instance_is_replaced_and_one_that_wakes_up_stands_by() {
    let (first, second, records) = two("replaced");
    let frozen = first.start_active();
    let standby = second.start();
    standby.wait_until("standby");
    broker().write(&first.input(), spread(&records[..1_000], 2));
    first.windows(15);
    frozen.signal("STOP");
    standby.wait_until("active");
    broker().write(&first.input(), spread(&records[1_000..], 2));
    second.windows(33);
    frozen.signal("CONT");
    frozen.wait_until("standby");
    is_as_uninterrupted(&second, &records);
    assert!(
        first.log().contains("another instance has taken over"),
        "{}",
        first.log()
    );
    standby.stop();
    // And back, to a store that is older than what has been published.
    frozen.wait_until("active");
    is_as_uninterrupted(&first, &records);
    frozen.stop();
}
