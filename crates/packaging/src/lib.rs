//! Makes what a package installs beside the program, and the packages themselves.
#![cfg(target_os = "linux")]

mod changelog;
pub mod completions;
pub mod deb;
pub mod file_managers;
mod files;
pub mod man_pages;
mod output;
pub mod release;
pub mod size;
pub mod system_copy;

pub use files::write_files;
pub use output::output;
