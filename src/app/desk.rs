//! Answers what is asked of baselines: on the engine's thread, whatever the daemon is at.

use std::sync::mpsc::TryRecvError;

use super::Daemon;
use super::baselines::{self, Done};
use crate::clock;
use crate::engine::Engine;
use crate::http::{Ask, Call};

impl Daemon<'_> {
    /// Answers everything that waits. `engine` is there while this instance is active.
    pub(super) fn answer_calls(&mut self, mut engine: Option<&mut Engine>) {
        loop {
            let Call { ask, reply } = match self.calls.try_recv() {
                Ok(call) => call,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            };
            let live = match (&ask, &engine) {
                (Ask::Capture { model, .. }, Some(engine)) => Ok(engine.live_panes(model)),
                (Ask::Capture { model, .. }, None) => {
                    baselines::live_panes(&self.store, &self.config, model)
                }
                _ => Ok(Vec::new()),
            };
            let now_ms = clock::now_ms();
            let answer = live
                .and_then(|live| baselines::answer(&self.store, live, &self.config, ask, now_ms));
            let answer = answer.and_then(
                |Done {
                     value,
                     changed: name,
                 }| {
                    if let (Some(name), Some(engine)) = (name, engine.as_deref_mut()) {
                        self.reload_baselines(engine, &name)
                            .map_err(baselines::BaselineError::from)?;
                    }
                    Ok(value)
                },
            );
            // Whoever asked may have gone.
            let _ = reply.send(answer.map_err(Into::into));
        }
    }
}
