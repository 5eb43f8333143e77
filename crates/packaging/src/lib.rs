//! Makes what a package installs beside the program: man pages and completions.
#![cfg(target_os = "linux")]

pub mod completions;
pub mod man_pages;
