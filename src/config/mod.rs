//! The configuration file: raw (as written) to valid (types that cannot be wrong).

pub mod valid;
