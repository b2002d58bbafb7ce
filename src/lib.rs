//! klaxond watches deployed models through what they output.

// pure: no clock, no I/O, no tokio; each imports only those above it
pub mod alert;
pub mod baseline;
pub mod decode;
pub mod engine;
pub mod information;
pub mod observation;
pub mod summary;
pub mod window;

pub mod config;

// shells: they never import each other
pub mod http;
pub mod kafka;
pub mod store;

//pub mod app;
//pub mod cli;
pub mod clock;
