//! Processes that use a drive: what they have open, who they are, how they can be closed.

pub(crate) mod account;
pub(crate) mod duplicate;
pub(crate) mod mapped_files;
pub(crate) mod process_blocker;
pub(crate) mod process_list;
pub(crate) mod service_list;
pub(crate) mod window_titles;
pub(crate) mod working_directory;
