//! The command line's side of the API.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Ask;

/// Learning from a month of history takes a while.
const PATIENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(2);

/// A daemon on this machine.
pub struct Client {
    at: SocketAddr,
    agent: ureq::Agent,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no daemon answers at {at}: {detail}")]
    Unreachable { at: SocketAddr, detail: String },
    /// In the daemon's words.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// `listen` is the daemon's `http.listen`; one on all interfaces is asked on loopback.
    pub fn new(listen: SocketAddr) -> Self {
        let mut at = listen;
        if listen.ip().is_unspecified() {
            at.set_ip(match listen {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            .proxy(None);
        Self {
            at,
            agent: config.build().into(),
        }
    }

    /// # Errors
    /// Nobody answers, or the daemon refuses.
    pub fn ask(&self, ask: &Ask) -> Result<Value, ClientError> {
        #[derive(Deserialize)]
        struct Refused {
            error: String,
        }
        let unreachable = |error: ureq::Error| ClientError::Unreachable {
            at: self.at,
            detail: error.to_string(),
        };
        let url = format!("http://{}/api/v1/baselines", self.at);
        let mut response = self.agent.post(url).send_json(ask).map_err(unreachable)?;
        let status = response.status();
        // An export may be long, and it comes from this machine.
        let body = response.body_mut().with_config().limit(u64::MAX).reader();
        if status.is_success() {
            return serde_json::from_reader(body).map_err(|error| ClientError::Unreachable {
                at: self.at,
                detail: error.to_string(),
            });
        }
        let refused = match serde_json::from_reader(body) {
            Ok(Refused { error }) => error,
            Err(_) => format!("{} answers {status}; is it klaxond?", self.at),
        };
        Err(ClientError::Refused(refused))
    }
}
