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
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = super::load(&args.config)?;
    app::run(config, Shutdown::default(), &mut |_| {})?;
    Ok(())
}
