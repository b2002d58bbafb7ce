//! klaxond watches deployed models through what they output.
//!
//! ```text
//!             Kafka topics with model outputs
//!                  │ bytes, per partition                         kafka: Source
//!    ┌─────────────▼──────────────┐
//!    │ decode     bytes → observation, or a refusal with one reason ──► dead letters
//!    │ summarise  observation → Summary, per (stream, pane)
//!    └─────────────┬──────────────┘                               engine, first half
//!                  │ deltas, partition times
//!    ┌─────────────▼──────────────┐
//!    │ decide     merge into panes; close windows on the watermark;
//!    │            measure against the baseline; step the rules
//!    └─────────────┬──────────────┘                               engine, second half
//!                  │ checkpoint: state, positions, outbox         store: one atomic step
//!                  ▼
//!       outbox ──► alerts, windows, dead letters, review records  kafka: Publisher, one transaction
//! ```
//!
//! Three ideas hold it together:
//! 1. A [`summary::Summary`] is a commutative monoid: panes, windows, baselines and history are the
//!    same type, merged in any order.
//! 2. Decisions are a pure fold, time included: [`engine::Engine`] gives the same in the daemon, in a
//!    replay, and after a crash.
//! 3. A checkpoint is one atomic step. What is published comes after it, exactly once.
//!
//! Who may import whom: a pure module imports only pure modules above it in the list below; shells
//! never import each other; [`app`] is the only place that knows all of them. `tests/modules.rs`
//! enforces it.

// Vectors need some; each place that has it says why it is sound.
#![deny(unsafe_code)]

// pure: no clock, no I/O, no tokio
pub mod information;
pub mod observation;

pub mod decode;
pub mod summary;
pub mod window;

pub mod evidence;

pub mod baseline;

pub mod alert;

pub mod engine;

// from a file to types that cannot be wrong
pub mod config;

// shells
pub mod http;
pub mod kafka;
pub mod store;

pub mod clock;
pub mod shutdown;
pub mod telemetry;

pub mod app;
pub mod cli;
