//! The configuration file: from text to types that cannot be wrong.
//!
//! Every problem is reported at once, each with its line and key path, before anything binds or
//! connects. A problem ends loading; a warning (a rule that cannot fire, say) does not.
//!
//! `${NAME}` in a string is an environment variable, `${file:PATH}` the content of a file, `$${` a
//! literal `${`. What they stand for is never shown: messages quote the file's own text.

mod budget;
pub mod duration;
mod kind;
mod model;
mod reader;
mod review;
mod rule;
mod sections;
#[cfg(test)]
mod tests;
pub mod valid;

use std::fmt;
use std::io;
use std::path::Path;

pub use valid::Config;

use reader::Source;

/// A configuration that can run, and what is odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub config: Config,
    pub warnings: Vec<Problem>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub origin: String,
    /// From 1; none where the whole file is meant.
    pub line: Option<usize>,
    /// `models.fraud.window.length`; empty where the whole file is meant.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with a file, in order of line; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// Loads and checks a file.
///
/// # Errors
/// Every problem of it.
pub fn load(path: &Path) -> Result<Checked, Problems> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}");
        Problems(vec![Problem {
            origin: origin.clone(),
            line: None,
            path: String::new(),
            message,
        }])
    })?;
    let read = |path: &Path| std::fs::read_to_string(path);
    parse(&text, &origin, &|name| std::env::var(name).ok(), &read)
}

/// Checks a text; `env` and `files` give what `${…}` stands for.
///
/// # Errors
/// Every problem of it.
pub fn parse(
    text: &str,
    origin: &str,
    env: &dyn Fn(&str) -> Option<String>,
    files: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Checked, Problems> {
    let source = Source::new(text, origin, env, files);
    let config = source
        .parse()
        .and_then(|root| sections::read(&source, &root));
    let (problems, warnings) = source.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok(Checked { config, warnings }),
        _ => Err(Problems(problems)),
    }
}
