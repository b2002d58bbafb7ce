//! Thousands of lives of the group, each from a seed.
//!
//! Up to three instances run as they are, [`Daemon`] and all, each in a coroutine; Kafka, disks and
//! time are simulated around them. A run is a function of its seed: which process goes on, how long
//! each call takes, who is killed or frozen at which call, whose disk is lost or goes back to an older
//! state, when the broker is away, what was on its way when its sender died. In the end a reader of
//! committed records has to find exactly what an engine that nothing happened to says.
//!
//! A failing seed is run again and its trace printed: every call, commit and fault in order.
//! `KLAXOND_SIM_SEED=17 cargo test --lib simulation` runs one, `KLAXOND_SIM_SEEDS=100000` the first
//! so many.
//!
//! What it cannot show, since it takes librdkafka's and sled's word for it, the end-to-end tests do.

mod process;
mod scene;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult};

use super::Daemon;
use crate::clock::Instant;
use crate::http::Hub;
use crate::shutdown::Shutdown;
use process::{Process, SimClock, SimKafka, SimLedger, Way};
use world::{Disk, Doom, World};

/// A fault of the program rather than of its surroundings: what the simulation has to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// A checkpoint is written, and does not reach the disk.
    SkipSync,
    /// A step is published, and then written.
    PublishFirst,
    /// Publications do not carry the marker.
    ForgetMarker,
    /// Reading begins one record too late.
    WrongStart,
    /// Several may publish.
    NoFence,
}

/// What has to be said after the last fault is said within this.
const PATIENCE: Duration = Duration::from_secs(300);
/// And for so long nothing else is.
const QUIET: Duration = Duration::from_secs(45);

struct Simulation {
    world: Rc<RefCell<World>>,
    start: Instant,
    slots: Vec<Slot>,
}

/// A place for a process, with a disk.
struct Slot {
    life: Option<Life>,
    /// While there is no process.
    starts: Duration,
}

struct Life {
    coroutine: Coroutine<(), Duration, Result<(), String>>,
    shutdown: Shutdown,
    wake: Duration,
    frozen_until: Option<Duration>,
}

/// What happens next.
enum Next {
    Run(usize),
    Publish(usize),
    Start(usize),
}

impl Simulation {
    fn new(seed: u64, mutation: Option<Mutation>, traced: bool) -> Self {
        let mut world = World::new(seed, mutation, traced);
        let slots = (0..world.instances)
            .map(|_| {
                let identity = world.fresh_identity();
                world.disks.push(Disk {
                    identity,
                    ..Disk::default()
                });
                let together = world.rng.bool();
                let starts = world.jitter(if together { 5 } else { 20_000 });
                Slot { life: None, starts }
            })
            .collect();
        Self {
            world: Rc::new(RefCell::new(world)),
            start: Instant::now(),
            slots,
        }
    }

    /// To the end of the run; an error is what went wrong.
    fn run(&mut self) -> Result<(), String> {
        let mut done_at = None;
        loop {
            {
                let mut world = self.world.borrow_mut();
                if let Some(violation) = world.violation.take() {
                    return Err(violation);
                }
                let over = world.faults_left == 0;
                if !world.is_done() || !over {
                    done_at = None;
                } else if world.now > *done_at.get_or_insert(world.now) + QUIET {
                    return match world.scene.expected.differs(&world.found) {
                        Some(difference) => Err(difference),
                        None => Ok(()),
                    };
                }
                if world.now > world.last_fault + PATIENCE {
                    if over {
                        let missing = world.scene.expected.differs(&world.found);
                        return Err(format!("it does not come to an end: {missing:?}"));
                    }
                    // Nobody has come to where a fault was due.
                    world.faults_left = 0;
                    world.last_fault = world.now;
                }
            }
            self.misfortune();
            match self.next() {
                (at, Next::Run(slot)) => {
                    self.advance(at);
                    self.resume(slot)?;
                }
                (at, Next::Publish(publisher)) => {
                    self.advance(at);
                    self.world.borrow_mut().publish(publisher);
                }
                (at, Next::Start(slot)) => {
                    self.advance(at);
                    self.begin(slot);
                }
            }
        }
    }

    fn advance(&self, to: Duration) {
        let mut world = self.world.borrow_mut();
        world.now = world.now.max(to);
    }

    fn next(&self) -> (Duration, Next) {
        let world = self.world.borrow();
        let processes = self
            .slots
            .iter()
            .enumerate()
            .map(|(i, slot)| match &slot.life {
                Some(life) => {
                    let at = life
                        .frozen_until
                        .map_or(life.wake, |until| until.max(life.wake));
                    (at, Next::Run(i))
                }
                None => (slot.starts, Next::Start(i)),
            });
        let busy = world.publishers.iter().filter(|(_, p)| World::is_busy(p));
        let publishers = busy.map(|(&id, p)| (p.due, Next::Publish(id)));
        let all = processes.chain(publishers);
        all.min_by_key(|(at, _)| *at).expect("there is a slot")
    }

    /// Faults that come at any time, whatever the processes are at.
    fn misfortune(&mut self) {
        let mut world = self.world.borrow_mut();
        if world.faults_left == 0 || world.rng.u16(0..3_000) != 0 {
            return;
        }
        world.faults_left -= 1;
        world.last_fault = world.now;
        let slot = world.rng.usize(0..self.slots.len());
        match world.rng.u8(0..4) {
            0 => {
                let away = world.jitter(40_000);
                world.down_until = world.now + away;
                world.say(|| format!("FAULT: no broker answers for {away:?}"));
            }
            1 => world.abort_transactions(),
            2 => {
                world.say(|| format!("FAULT: {slot} is told to stop"));
                if let Some(life) = &self.slots[slot].life {
                    life.shutdown.request();
                }
            }
            _ => {
                drop(world);
                self.kill(slot);
            }
        }
    }

    fn begin(&mut self, slot: usize) {
        self.world.borrow_mut().say(|| format!("{slot}: starts"));
        let process = Process::new(slot, Rc::clone(&self.world), self.start);
        let shutdown = Shutdown::default();
        let config = self.world.borrow().scene.config.clone();
        let coroutine = {
            let shutdown = shutdown.clone();
            Coroutine::new(move |way: &Way, ()| {
                process.enter(way);
                let (hub, calls) = Hub::new();
                let mut daemon = Daemon {
                    config,
                    store: Box::new(SimLedger(Rc::clone(&process))),
                    kafka: Rc::new(SimKafka(Rc::clone(&process))),
                    clock: Box::new(SimClock(process)),
                    hub,
                    calls,
                    shutdown,
                    observe: &mut |_| {},
                };
                daemon.run().map_err(|error| format!("{error:#}"))
            })
        };
        let wake = self.world.borrow().now;
        self.slots[slot].life = Some(Life {
            coroutine,
            shutdown,
            wake,
            frozen_until: None,
        });
    }

    fn resume(&mut self, slot: usize) -> Result<(), String> {
        let Some(life) = &mut self.slots[slot].life else {
            return Ok(());
        };
        if life.frozen_until.take().is_some() {
            let mut world = self.world.borrow_mut();
            world.say(|| format!("{slot}: wakes"));
            world.thaw(slot);
        }
        let resumed = catch_unwind(AssertUnwindSafe(|| life.coroutine.resume(())));
        match resumed {
            Ok(CoroutineResult::Yield(wake)) => life.wake = wake,
            Ok(CoroutineResult::Return(ended)) => {
                ended.map_err(|error| format!("{slot} failed: {error}"))?;
                self.slots[slot].life = None;
                let mut world = self.world.borrow_mut();
                world.say(|| format!("{slot}: has stopped"));
                self.slots[slot].starts = world.now + world.jitter(40_000);
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                return Err(format!("{slot} panicked: {}", text.unwrap_or_default()));
            }
        }
        let doomed = self.world.borrow_mut().doomed.take();
        match doomed {
            None => {}
            Some(Doom::Kill) => {
                let mut world = self.world.borrow_mut();
                world.faults_left -= 1;
                world.last_fault = world.now;
                drop(world);
                self.kill(slot);
            }
            Some(Doom::Freeze(time)) => {
                let mut world = self.world.borrow_mut();
                world.faults_left -= 1;
                world.last_fault = world.now + time;
                world.say(|| format!("FAULT: {slot} is frozen for {time:?}"));
                world.freeze(slot);
                if let Some(life) = &mut self.slots[slot].life {
                    life.frozen_until = Some(world.now + time);
                }
            }
        }
        Ok(())
    }

    /// The process is gone from one call to the next; perhaps its disk is, too.
    fn kill(&mut self, slot: usize) {
        // What it had open is dropped on the way, which the world hears of.
        let life = self.slots[slot].life.take();
        let was_alive = life.is_some();
        drop(life);
        let mut world = self.world.borrow_mut();
        let starts = world.now + world.jitter(40_000);
        if was_alive {
            self.slots[slot].starts = starts;
        }
        let identity = world.fresh_identity();
        let choice = if world.disks_last {
            6
        } else {
            world.rng.u8(0..6)
        };
        let back = world.rng.usize(1..4);
        let disk = &mut world.disks[slot];
        disk.unsynced.clear();
        let what = match choice {
            0 => {
                *disk = Disk {
                    identity,
                    ..Disk::default()
                };
                "; its disk is lost"
            }
            1 if disk.checkpoints.len() > back => {
                disk.checkpoints.truncate(disk.checkpoints.len() - back);
                disk.identity = disk.checkpoints.last().map_or(identity, |(id, _)| *id);
                world.disk_went_back = true;
                "; its disk has gone back"
            }
            _ => "",
        };
        world.say(|| format!("FAULT: {slot} is killed{what}"));
    }
}

fn life_of(
    seed: u64,
    mutation: Option<Mutation>,
    traced: bool,
) -> (Result<(), String>, Vec<String>) {
    let mut simulation = Simulation::new(seed, mutation, traced);
    let result = simulation.run();
    let trace = simulation.world.borrow_mut().take_trace();
    // Processes first: on their way out they tell the world.
    simulation.slots.clear();
    (result, trace)
}

fn explain(seed: u64, mutation: Option<Mutation>) -> String {
    let (result, trace) = life_of(seed, mutation, true);
    format!(
        "{}\n\nseed {seed}: {}\nKLAXOND_SIM_SEED={seed} cargo test --lib simulation",
        trace.join("\n"),
        result.err().unwrap_or_default()
    )
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// The first seed of so many that does not end as it should.
fn first_failure(seeds: u64, mutation: Option<Mutation>) -> Option<u64> {
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || seed > failed.load(Ordering::Relaxed) {
                return;
            }
            if life_of(seed, mutation, false).0.is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    (failed < seeds).then_some(failed)
}

#[test]
fn whatever_happens_everything_is_said_once() {
    if let Some(seed) = number("KLAXOND_SIM_SEED") {
        let told = explain(seed, None);
        assert!(life_of(seed, None, false).0.is_ok(), "{told}");
        println!("{told}");
        return;
    }
    let seeds = number("KLAXOND_SIM_SEEDS").unwrap_or(2_000);
    if let Some(seed) = first_failure(seeds, None) {
        panic!("{}", explain(seed, None));
    }
}

#[test]
fn a_seed_is_a_whole_life() {
    for seed in 0..20 {
        let (first, again) = (life_of(seed, None, true), life_of(seed, None, true));
        assert_eq!(first, again);
        assert!(
            first.1.len() > 50,
            "there is little in the life of seed {seed}"
        );
    }
}

/// Guards the simulation: what it is there to notice, it does.
#[test]
fn mistakes_are_noticed() {
    let early = ["before it was durable"].as_slice();
    let wrong = ["said twice", "never to be said", "went back", "expected"].as_slice();
    for (mutation, reasons) in [
        (Mutation::SkipSync, early),
        (Mutation::PublishFirst, early),
        (Mutation::ForgetMarker, wrong),
        (Mutation::WrongStart, wrong),
        (Mutation::NoFence, wrong),
    ] {
        let seed = first_failure(500, Some(mutation));
        let seed = seed.unwrap_or_else(|| panic!("{mutation:?} goes unnoticed"));
        let told = life_of(seed, Some(mutation), false).0.unwrap_err();
        println!("{mutation:?}: seed {seed}: {told}");
        let is_known = reasons.iter().any(|reason| told.contains(reason));
        assert!(is_known, "{}", explain(seed, Some(mutation)));
    }
}
