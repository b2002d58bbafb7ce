//! What the daemon tells over HTTP: health, metrics, how it stands, baselines.
//!
//! The server runs on tokio and never touches the engine: it shows the last [`View`] that was
//! published to the [`Hub`], and passes what is asked of baselines ([`Ask`]) to whoever serves the
//! hub's calls, with a place for the answer.

mod ask;
mod client;
mod metrics;
mod server;
#[cfg(test)]
mod tests;
mod view;

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

pub use ask::{Answer, Ask, Refusal, Stretch};
pub use client::{Client, ClientError};
pub use metrics::Meters;
pub use server::serve;
pub use view::{Phase, View};

/// How many questions may wait for the engine's thread; further ones are refused.
const WAITING_CALLS: usize = 64;

/// A question with a place for the answer.
#[derive(Debug)]
pub struct Call {
    pub ask: Ask,
    pub reply: oneshot::Sender<Answer>,
}

/// Where the daemon's threads and the HTTP server meet.
pub struct Hub {
    view: Mutex<Arc<View>>,
    calls: mpsc::SyncSender<Call>,
    registry: Registry,
    pub meters: Meters,
}

impl Hub {
    /// The hub, and the calls that its owner is to serve.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::sync_channel(WAITING_CALLS);
        let mut registry = Registry::default();
        let meters = Meters::register(&mut registry);
        let hub = Self {
            view: Mutex::default(),
            calls,
            registry,
            meters,
        };
        (Arc::new(hub), receiver)
    }

    pub fn publish(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    pub fn view(&self) -> Arc<View> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&view)
    }
}
