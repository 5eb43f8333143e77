//! Queries of a file system, each with a deadline: they mount the volume, and so wait for its drive.

use crate::platform::win32_parse::Code;
use crate::platform::windows::inventory::snapshot::VolumeInfo;
use crate::platform::windows::sys::cancellable_io::run_for;
use crate::platform::windows::sys::volumes;
use crate::platform::windows::sys::volumes::FileSystem;
use std::time::Duration;

/// Time for a drive to answer a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the file system of a volume and its size; `None` if there is none, or no answer in time.
pub(crate) fn of_volume(volume: &VolumeInfo) -> Option<(FileSystem, Option<u64>)> {
    let root = volume.root();
    answer(move || {
        let system = volumes::file_system(&root)?;
        let size = volumes::size(&root);
        Ok((system, size))
    })
}

/// Returns the answer of a drive, or `None` if it does not answer in time.
pub(crate) fn answer<T: Send + 'static>(
    query: impl FnOnce() -> Result<T, Code> + Send + 'static,
) -> Option<T> {
    run_for(QUERY_TIMEOUT, query).ok()?.ok()
}
