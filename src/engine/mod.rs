//! The pure engine: (state, input) -> (state, outputs).

pub mod spec;
