//! Answers what is asked of baselines: on the engine's thread, whatever the daemon is at.

use std::sync::mpsc::TryRecvError;

use super::Daemon;
use super::baselines::{BaselineError, Done};
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
                (Ask::Capture { model, .. }, Some(engine)) => Some(engine.live_panes(model)),
                _ => None,
            };
            let now_ms = self.clock.now_ms();
            let answer = self.store.answer(ask, live, &self.config, now_ms);
            let answer = answer.and_then(
                |Done {
                     value,
                     changed: name,
                 }| {
                    if let (Some(name), Some(engine)) = (name, engine.as_deref_mut()) {
                        self.reload_baselines(engine, &name)
                            .map_err(BaselineError::from)?;
                    }
                    Ok(value)
                },
            );
            // Whoever asked may have gone.
            let _ = reply.send(answer.map_err(Into::into));
        }
    }
}
