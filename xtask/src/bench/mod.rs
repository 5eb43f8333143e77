//! placeholder
pub mod measure;
use std::process::ExitCode;
#[derive(clap::Args)]
pub struct Options {}
pub fn command(_: &Options) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
