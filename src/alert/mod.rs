//! Rules, alert states, events.

pub mod rule;
