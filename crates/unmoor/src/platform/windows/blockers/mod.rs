//! Scan for what keeps a drive busy, and for what would close it.
//!
//! | question | where it is asked |
//! |---|---|
//! | who has a file, a directory or the volume itself open | [`system_handles`], [`duplicate`] |
//! | whose current directory is it | [`working_directory`] |
//! | which programs, libraries and data files are mapped | [`memory`] |
//! | page files, attached images, volumes in folders | [`system_uses`], [`virtual_disks`] |
//! | who is it, and what would move it | [`person`] |
//! | in which order, and when to stop asking | [`search`] |

pub(crate) mod kernel_users;
pub(crate) mod open_file;
pub(crate) mod processes;
pub(crate) mod scan;
pub(crate) mod stuck_pipes;
