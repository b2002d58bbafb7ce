//! Output: what a step of the engine has decided reaches Kafka exactly once, with the positions it
//! was decided from and the marker that says so.
//!
//! The publisher owns the producer and a thread, since transactions block. It is handed one
//! [`Step`] after another and answers with one [`Outcome`] for each, in order. A step that fails for a
//! reason that may pass is aborted and tried again for ever, [`Status::Retrying`] says why; intake
//! stops meanwhile by its own limits. A publisher that was fenced, or whose producer is beyond help,
//! says so and does nothing more: what became of its last step, the marker knows.
//!
//! With `delivery = "at-least-once"` there is no transaction: messages are sent and waited for, then
//! positions and marker are committed. The lock is weaker there: before each step the marker is read,
//! and one that is neither the first one seen nor our own means that another instance is active.

use std::convert::Infallible;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::cluster::Cluster;
use super::error::KafkaError;
use super::transaction::{Failure, Session};
use super::{Marker, Positions};

/// Between two attempts at the same step: doubles from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often the library's log is served while there is nothing to publish, and how soon a publisher
/// that rests between attempts notices that it is dropped.
const SERVE: Duration = Duration::from_millis(500);

/// One message to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    /// Decides the partition; none: any.
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// In this order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// A copy of somebody else's record: where the topic does not take its size it is published
    /// without payload, and if need be without key and foreign headers. Other messages wait until the
    /// topic takes them.
    pub may_shrink: bool,
}

/// What is published as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Comes back in [`Outcome::Published`].
    pub id: u64,
    pub outputs: Vec<Message>,
    /// The input positions that these outputs cover; may be empty.
    pub positions: Positions,
    pub marker: Marker,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first of all: former holders of the transactional id are fenced, and the marker and the
    /// positions that can be read from here on are final.
    Ready,
    Published {
        id: u64,
    },
    /// The last of all: another instance has taken over, or the broker has given up on a transaction
    /// of ours (it then looks the same). `by` is the marker as it stands, where it can be read: its
    /// `store` tells which of the two, unless the other has not published yet.
    Fenced {
        by: Option<Marker>,
    },
    /// The last of all: nothing that waiting would change.
    Stopped {
        error: KafkaError,
    },
}

/// What the publisher is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Taking the transactional id; `waiting_for` says what is in the way.
    #[default]
    Starting,
    StartingAgain {
        attempts: u32,
        error: KafkaError,
    },
    /// Nothing to publish, or publishing as it should.
    Ready,
    Retrying {
        step: u64,
        attempts: u32,
        error: KafkaError,
    },
    /// After [`Outcome::Fenced`] or [`Outcome::Stopped`].
    Stopped,
}

/// The handle of the publishing thread. Dropping it gives up the step that is being published, if
/// any: its transaction is aborted by whoever is next.
pub struct Publisher {
    steps: Option<SyncSender<Step>>,
    outcomes: Receiver<Outcome>,
    status: Arc<Mutex<Status>>,
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts taking over; [`Outcome::Ready`] follows. `alerts` is the alerts topic, where the marker
    /// has its place.
    ///
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn start(cluster: &Cluster, alerts: &str) -> Result<Self, KafkaError> {
        let (steps, step_receiver) = mpsc::sync_channel(1);
        let (outcome_sender, outcomes) = mpsc::channel();
        let (alive, stop) = mpsc::channel();
        let status: Arc<Mutex<Status>> = Arc::default();
        let mut work = Work {
            session: Session::open(cluster, alerts, Stop(stop))?,
            outcomes: outcome_sender,
            status: Arc::clone(&status),
        };
        let thread = thread::Builder::new()
            .name("kafka-publisher".to_owned())
            .spawn(move || {
                let last = work.run(&step_receiver);
                work.set_status(Status::Stopped);
                // Before the last outcome is heard, so that whoever hears it is refused from then on.
                drop(step_receiver);
                if let Some(last) = last {
                    // Nobody may listen any more.
                    let _ = work.outcomes.send(last);
                }
            })
            .map_err(|error| KafkaError::Client {
                detail: format!("no thread for the publisher: {error}"),
            })?;
        Ok(Self {
            steps: Some(steps),
            outcomes,
            status,
            alive: Some(alive),
            thread: Some(thread),
        })
    }

    /// Hands over a step. One may be at work and one wait.
    ///
    /// # Errors
    /// The step, where two are outstanding already or the publisher has stopped.
    pub fn publish(&self, step: Step) -> Result<(), Box<Step>> {
        match &self.steps {
            Some(steps) => steps.try_send(step).map_err(|refused| {
                let (mpsc::TrySendError::Full(step) | mpsc::TrySendError::Disconnected(step)) =
                    refused;
                Box::new(step)
            }),
            None => Err(Box::new(step)),
        }
    }

    /// The next outcome, if it comes within the time.
    pub fn outcome(&self, timeout: Duration) -> Option<Outcome> {
        match self.outcomes.recv_timeout(timeout) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Outcome::Stopped {
                error: KafkaError::Client {
                    detail: "the publisher has ended".to_owned(),
                },
            }),
        }
    }

    pub fn status(&self) -> Status {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.steps = None;
        self.alive = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the publisher has panicked");
        }
    }
}

/// Set when the publisher's handle is dropped.
pub(super) struct Stop(Receiver<()>);

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }
}

struct Work {
    session: Session,
    outcomes: Sender<Outcome>,
    status: Arc<Mutex<Status>>,
}

/// The publisher has come to its end; its last outcome, unless nobody listens.
type End = Option<Outcome>;

impl Work {
    /// Gives the last outcome, unless nobody listens.
    fn run(&mut self, steps: &Receiver<Step>) -> End {
        let Err(end) = self.serve(steps);
        end
    }

    fn serve(&mut self, steps: &Receiver<Step>) -> Result<Infallible, End> {
        let mut pause = Pause::default();
        while let Err(failure) = self.session.init() {
            let attempts = pause.attempts + 1;
            let retried = |error| Status::StartingAgain { attempts, error };
            self.take_up(failure, retried, &mut pause)?;
        }
        self.set_status(Status::Ready);
        self.say(Outcome::Ready)?;
        loop {
            match steps.recv_timeout(SERVE) {
                Ok(step) => self.publish(step)?,
                Err(RecvTimeoutError::Timeout) => self.session.serve(),
                Err(RecvTimeoutError::Disconnected) => return Err(None),
            }
        }
    }

    fn say(&self, outcome: Outcome) -> Result<(), End> {
        self.outcomes.send(outcome).map_err(|_| None)
    }

    fn publish(&mut self, mut step: Step) -> Result<(), End> {
        let mut pause = Pause::default();
        self.session.begin_step();
        while let Err(failure) = self.session.attempt(&mut step) {
            let (step, attempts) = (step.id, pause.attempts + 1);
            let retried = |error| Status::Retrying {
                step,
                attempts,
                error,
            };
            self.take_up(failure, retried, &mut pause)?;
        }
        if pause.attempts > 0 {
            tracing::info!(attempts = pause.attempts + 1, "published after all");
        }
        self.set_status(Status::Ready);
        self.say(Outcome::Published { id: step.id })
    }

    /// Makes good what failed as far as it can be.
    fn take_up(
        &mut self,
        failure: Failure,
        retried: impl FnOnce(KafkaError) -> Status,
        pause: &mut Pause,
    ) -> Result<(), End> {
        match failure {
            Failure::Shrunk => Ok(()),
            Failure::Again(error) => {
                if pause.attempts == 0 {
                    tracing::warn!(%error, "publication failed; trying until it succeeds");
                }
                self.set_status(retried(error));
                self.session.rest(pause.next());
                Ok(())
            }
            Failure::Dropped => Err(None),
            Failure::Fenced(by) => {
                let by = by.or_else(|| self.session.read_marker().ok().flatten());
                Err(Some(Outcome::Fenced { by }))
            }
            Failure::Fatal(error) => Err(Some(Outcome::Stopped { error })),
        }
    }

    fn set_status(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// The wait between attempts.
#[derive(Default)]
struct Pause {
    attempts: u32,
}

impl Pause {
    fn next(&mut self) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10));
        self.attempts = self.attempts.saturating_add(1);
        doubled.min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut pause = Pause::default();
        let millis: Vec<u128> = (0..9).map(|_| pause.next().as_millis()).collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(millis, expected);
    }
}
