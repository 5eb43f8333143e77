//! The command's own working directory, which would keep a drive busy.

/// Leaves the working directory. Call it once every target is resolved: relative paths mean nothing
/// afterwards. On Windows, the copy of the program that does the work is started elsewhere.
pub fn leave() {
    if cfg!(unix) {
        _ = std::env::set_current_dir("/");
    }
}
