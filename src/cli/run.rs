//! `klaxond run`: the daemon.

use std::path::PathBuf;

use super::Failure;
use crate::app;
use crate::shutdown::Shutdown;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,

    /// How far it stands back for other processes, the watched model among them: from 0, not at all, to 19
    #[arg(long, value_name = "LEVEL", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u8).range(..=19))]
    nice: u8,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = super::load(&args.config)?;
    stand_back(args.nice);
    app::run(config, Shutdown::default(), &mut |_| {})?;
    Ok(())
}

/// Lowers the priority of the process. Threads have the priority of those that start them, so this comes
/// before there are others.
///
/// Where processors are busy it is also cheaper: a thread that does not push others aside for every few
/// kilobytes finds more of them when its turn comes.
fn stand_back(nice: u8) {
    if nice > 0
        && let Err(error) = rustix::process::nice(nice.into())
    {
        tracing::info!(%error, "the priority stays as it is");
    }
}
