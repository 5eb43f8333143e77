//! Lets go of removable media safely.
