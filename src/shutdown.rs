//! The wish to stop, as a value.

use tokio::sync::watch;

/// Cheap to clone; once requested, it stays so.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            requested: watch::Sender::new(false),
        }
    }
}

impl Shutdown {
    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Ends when shutdown is requested.
    pub async fn requested(&self) {
        // The sender is in `self`: the channel cannot close before.
        let _ = self
            .requested
            .subscribe()
            .wait_for(|&requested| requested)
            .await;
    }

    /// Requests shutdown on SIGTERM and SIGINT. SIGHUP, which would end the process too, only says
    /// that nothing is read again.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                tracing::warn!("the configuration is read at start only: restart to take changes");
            }
        });
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "shutting down");
            shutdown.request();
        });
        Ok(())
    }
}
