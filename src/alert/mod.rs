//! When klaxond speaks, and what it says: rules, the state of each alert, the event.

pub mod budget;
pub mod diagnosis;
pub mod event;
pub mod review;
pub mod rule;
pub mod state;
pub mod threshold;
