//! `demo`: the main job, with nothing plugged in.
use crate::args;
use unmoor::Error;
pub fn run(_args: args::Demo) -> Result<u8, Error> {
    Ok(0)
}
