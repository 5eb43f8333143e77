//! Mounts of the drive in every mount namespace, and mounts that lie on them.
//!
//! | module | content |
//! |---|---|
//! | [`types`] | namespaces, mounts of the drive, nested mounts |
//! | [`scan`] | one pass over the mount tables of all namespaces |
//! | [`ns_members`], [`pinned_ns`] | namespaces with processes or threads; namespaces pinned by a mount |
//! | [`ns_reader`] | the mount table as seen from a namespace's own root |
//! | [`propagation`] | mounts that are unmounted together (mount_namespaces(7)) |
//! | [`overlay`], [`overlay_relative`] | overlays with a layer on the drive |
//! | [`other_namespaces`] | the short form of the scan, for every release |
//! | [`remote_fs`] | file systems on which stat(2) may block |

pub(crate) mod ns_members;
pub(crate) mod ns_reader;
pub(crate) mod other_namespaces;
pub(crate) mod overlay;
pub(crate) mod overlay_relative;
pub(crate) mod pinned_ns;
pub(crate) mod propagation;
pub(crate) mod remote_fs;
pub(crate) mod scan;
pub(crate) mod types;
