//! What can be asked of baselines: the same in a request's body, on the engine's thread, and on the
//! command line.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::observation::Millis;

/// A question, or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    List {},
    /// Without a version: the active one, else the newest.
    Show {
        name: String,
        version: Option<u32>,
    },
    /// As a file that stands alone.
    Export {
        name: String,
        version: Option<u32>,
    },
    Activate {
        name: String,
        version: u32,
    },
    Delete {
        name: String,
        version: u32,
    },
    /// Learns a new version from the model's history.
    Capture {
        model: String,
        stretch: Stretch,
        /// Also where another version is active.
        activate: bool,
    },
    /// Takes an exported version in, as a new version of its name.
    Import {
        export: String,
        activate: bool,
    },
}

/// Which stretch of event time to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stretch {
    /// So many milliseconds, up to the newest closed pane.
    LastMs(Millis),
    Between {
        from_ms: Millis,
        to_ms: Millis,
    },
}

/// A JSON value that depends on the question.
pub type Answer = Result<Value, Refusal>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    NotFound(String),
    /// As things stand it cannot be done.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}
