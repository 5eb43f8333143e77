//! One computing process for each processor, as other load of the machine.

use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result};

/// Processes that compute until they are dropped.
pub struct BusyLoad(Vec<Child>);

impl BusyLoad {
    pub fn start() -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut load = Self(Vec::new());
        for _ in 0..std::thread::available_parallelism()?.get() {
            let mut command = Command::new(&program);
            command.arg("compute").stdin(Stdio::null());
            load.0.push(command.spawn().context("a computing process")?);
        }
        Ok(load)
    }
}

impl Drop for BusyLoad {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Computes until the parent ends.
pub fn command() -> Result<ExitCode> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    loop {
        std::hint::spin_loop();
    }
}
