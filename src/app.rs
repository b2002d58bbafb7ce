//! The daemon, wired: the only place that knows all shells.
//!
//! ```text
//!   tokio threads: HTTP, signals          engine thread (the caller of `run`)      publisher thread
//!     GET ◄── View ──────────────────────────── follow ──► lead ──────── Step ──────────►
//!     POST ── Ask ─────────────────────────────► desk        ▲ ◄──────── Outcome ────────
//!                                                            └── Source ◄── librdkafka
//! ```
//!
//! Its life: `follow` until it is this instance's turn, `recover` what is known, `lead` until
//! shutdown or until another instance has taken over; then `follow` again. Whatever can be waited
//! out is waited out, visibly: what is left are errors of the configuration and of the store.
//!
//! All of this knows Kafka, the store and the clock as traits (`outside`), so that `simulation` can
//! put it through thousands of lives in a minute.

pub mod baselines;
mod desk;
mod follow;
mod lead;
mod outbound;
mod outside;
mod pace;
mod recover;
#[cfg(test)]
mod simulation;

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Context as _;

use crate::alert::review;
use crate::baseline::Baseline;
use crate::baseline::yardstick::Yardstick;
use crate::clock::{Clock, Machine};
use crate::config::Config;
use crate::engine::output::Output;
use crate::engine::spec::{BaselineSpec, ModelSpec, ReviewLine};
use crate::http::{self, Call, Hub, Phase, View};
use crate::kafka::{Cluster, KafkaError};
use crate::observation::StreamKey;
use crate::shutdown::Shutdown;
use crate::store::Store;

use outside::{Brokers, Kafka, Ledger};

/// Between two attempts at something that Kafka refuses.
const RETRY: Duration = Duration::from_secs(1);

/// The marker is renewed at least so often.
const STEP: Duration = Duration::from_secs(5);

/// Runs the daemon on the calling thread until shutdown. `observe` sees every output once it is
/// durable.
///
/// # Errors
/// What waiting does not help: the address is in use, a property that librdkafka does not take, a
/// store that cannot be used.
pub fn run(
    config: Config,
    shutdown: Shutdown,
    observe: &mut dyn FnMut(&Output),
) -> Result<(), anyhow::Error> {
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen)
        .with_context(|| format!("http.listen: cannot listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    let store = Store::open(&config.store.path)?;
    let cluster = Cluster::new(&config.kafka)?;
    let (hub, calls) = Hub::new();

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
        .context("no threads for HTTP")?;
    let server = {
        let (hub, until) = (Arc::clone(&hub), shutdown.clone());
        let _inside = runtime.enter();
        shutdown.on_signals().context("cannot watch for signals")?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(http::serve(listener, hub, async move {
            until.requested().await
        }))
    };
    tracing::info!(%listen, store = %store.identity(), "klaxond {}", env!("CARGO_PKG_VERSION"));

    let mut daemon = Daemon {
        kafka: Rc::new(Brokers::new(cluster, config.output.alerts.clone())?),
        clock: Box::new(Machine),
        config,
        store: Box::new(store),
        hub,
        calls,
        shutdown: shutdown.clone(),
        observe,
    };
    let ended = daemon.run();
    // Nobody answers any more: requests that wait hear so when the calls go with the daemon.
    shutdown.request();
    drop(daemon);
    // What does not end by itself within this is cut off.
    runtime.block_on(async { tokio::time::timeout(RETRY, server).await.ok() });
    runtime.shutdown_timeout(RETRY);
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    ended
}

/// What lives as long as the process.
struct Daemon<'a> {
    config: Config,
    store: Box<dyn Ledger>,
    kafka: Rc<dyn Kafka>,
    clock: Box<dyn Clock>,
    hub: Arc<Hub>,
    calls: Receiver<Call>,
    shutdown: Shutdown,
    observe: &'a mut dyn FnMut(&Output),
}

impl Daemon<'_> {
    fn run(&mut self) -> Result<(), anyhow::Error> {
        let mut fenced = false;
        while !self.shutdown.is_requested() {
            let Some(topics) = self.follow(fenced)? else {
                continue;
            };
            fenced = match self.take_over(topics)? {
                Ok(start) => self.lead(start)?,
                Err(end) => end,
            } == End::Fenced;
        }
        Ok(())
    }

    /// Every topic that is read, once.
    fn input_topics(&self) -> Vec<String> {
        let topics = self.config.models.iter().flat_map(|model| &model.topics);
        let distinct: std::collections::BTreeSet<&String> = topics.collect();
        distinct.into_iter().cloned().collect()
    }

    /// Every topic that is written.
    fn output_topics(&self) -> Vec<String> {
        let output = &self.config.output;
        let optional = [&output.windows, &output.dead_letter, &output.review];
        let optional = optional.into_iter().flatten();
        [&output.alerts]
            .into_iter()
            .chain(optional)
            .cloned()
            .collect()
    }

    /// Shows what is being waited for, where there is nothing else to show.
    fn show(&self, phase: Phase) {
        let shown = self.hub.view();
        if shown.phase != phase || !shown.problems.is_empty() {
            self.hub.publish(View {
                phase,
                ..View::default()
            });
        }
    }

    /// Shows what is in the way. An instance that stands by goes on doing so while Kafka is away: it
    /// is not the one that has to read.
    fn show_waiting(&self, waiting_for: String, is_transient: bool) {
        let phase = self.hub.view().phase.clone();
        if is_transient && matches!(phase, Phase::Standby { .. }) {
            self.hub.publish(View {
                phase,
                problems: vec![waiting_for],
                ..View::default()
            });
        } else {
            self.show(Phase::Starting { waiting_for });
        }
    }

    /// Lets time pass, and answers what is asked meanwhile; false when it is time to stop.
    fn rest(&mut self, time: Duration) -> bool {
        /// How soon a shutdown is noticed.
        const SLICE: Duration = Duration::from_millis(50);
        let until = self.clock.now() + time;
        loop {
            if self.shutdown.is_requested() {
                return false;
            }
            self.answer_calls(None);
            let left = until.saturating_duration_since(self.clock.now());
            if left.is_zero() {
                return true;
            }
            self.clock.sleep(left.min(SLICE));
        }
    }

    /// Tries until it succeeds; none when it is time to stop. What is in the way is shown, and logged
    /// when it changes.
    fn insist<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, KafkaError>,
    ) -> Option<T> {
        let mut told = None;
        loop {
            match attempt(self) {
                Ok(value) => return Some(value),
                Err(error) => {
                    let waiting_for = error.to_string();
                    // Connections are logged where they are watched.
                    if told.as_ref() != Some(&waiting_for) && !error.is_transient() {
                        tracing::warn!(%error, "waiting for Kafka");
                    }
                    self.show_waiting(waiting_for.clone(), error.is_transient());
                    told = Some(waiting_for);
                    if !self.rest(RETRY) {
                        return None;
                    }
                }
            }
        }
    }
}

/// Why leading has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Shutdown,
    /// Another instance has taken over.
    Fenced,
    /// Publication has failed for good: it may do better from the beginning.
    Failed,
}

/// What is odd about the model's rules on this baseline, in sentences.
pub fn review(spec: &ModelSpec, baseline: &Arc<Baseline>) -> Vec<String> {
    let whole = StreamKey::whole();
    let known = spec.classes.as_ref();
    if known.is_some_and(|classes| *classes != baseline.whole.classes) {
        return vec![other_classes(&spec.name, &baseline.name, baseline.version)];
    }
    let whole = Yardstick::new(baseline, &whole, &baseline.whole.classes, 0);
    let Some(yardstick) = whole else {
        return Vec::new();
    };
    let named = |why: String, rule: &str| {
        let (name, version) = (&baseline.name, baseline.version);
        format!(
            "rule {rule} of model {} {why} (baseline {name} version {version})",
            spec.name
        )
    };
    let lines = spec.rules.iter().filter_map(|rule| {
        review::review(rule, &spec.window, &yardstick).map(|why| named(why, &rule.name))
    });
    let budgets = spec.budgets.iter().flat_map(|budget| {
        let reviewed = review::review_budgets(spec.season, &spec.window, &yardstick).into_iter();
        reviewed.map(|why| named(why, &budget.name))
    });
    let median_bits = yardstick.summary().histogram().quantile(0.5);
    let referral = match spec.review.map(|review| review.line) {
        Some(ReviewLine::Above(line)) if median_bits.is_some_and(|median| median > line) => {
            Some(format!(
                "model {}: most records of baseline {} version {} are above review.above = {line}: \
                 which are referred is up to the rate alone",
                spec.name, baseline.name, baseline.version
            ))
        }
        _ => None,
    };
    lines.chain(budgets).chain(referral).collect()
}

/// That a baseline does not fit, as a sentence.
fn other_classes(model: &str, name: &str, version: u32) -> String {
    format!(
        "model {model} is over other classes than baseline {name} version {version}: what is measured \
         against it is absent"
    )
}

/// What a model lacks without its baseline, as a sentence; none where it needs none.
pub fn lacking(spec: &ModelSpec) -> Option<String> {
    let refers = match spec.review.map(|review| review.line) {
        Some(ReviewLine::Quantile(_)) => " and nothing is referred for review",
        Some(ReviewLine::Above(_)) | None => "",
    };
    match &spec.baseline {
        BaselineSpec::Named(name) => Some(format!(
            "model {}: the store has no active version of baseline {name}; what is measured against \
             it is absent{refers} until one is captured or imported",
            spec.name
        )),
        BaselineSpec::None | BaselineSpec::Learn { .. } => None,
    }
}
