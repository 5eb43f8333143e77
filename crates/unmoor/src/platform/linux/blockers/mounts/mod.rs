//! TODO.

pub(crate) mod ns_members;
pub(crate) mod ns_reader;
pub(crate) mod other_namespaces;
pub(crate) mod overlay;
pub(crate) mod overlay_relative;
pub(crate) mod pinned_ns;
pub(crate) mod propagation;
pub(crate) mod remote_fs;
pub(crate) mod scan;
