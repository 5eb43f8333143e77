//! The program `unmoor`, also called as `eject`.

use std::process::ExitCode;

fn main() -> ExitCode {
    unmoor_cli::main()
}
