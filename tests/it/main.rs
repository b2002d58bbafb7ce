//! klaxond as its users meet it: the program itself, on Apache Kafka.
//!
//! One broker serves all tests; each has topics and a group of its own. Expected values come from
//! `tests/reference`, from counting, or from `klaxond replay`, which has its own tests.

mod alerts;
mod bad_input;
mod baselines;
mod broker;
mod budgets;
mod chaos;
mod command;
mod daemon;
mod fencing;
mod hostile;
mod http;
mod input;
mod pressure;
mod recovery;
mod reference;
mod replay;
mod restarts;
mod review;
mod store_faults;
mod takeover;
