//! What Windows answers, read: the bytes of `DeviceIoControl`, lists of names, error codes, and the
//! names a user may type.
//!
//! Nothing here calls Windows, so that it is compiled and tested on every system. The layouts are those
//! of `winioctl.h` and `ntddstor.h` as the Win32 documentation gives them, for 32 and 64 bits alike. A
//! driver may answer short, empty, or with lengths that lie: no reader panics or reads outside.
#![cfg_attr(not(windows), allow(dead_code, unused_imports))]

mod answers;
mod bytes;
mod codes;
mod command_line;
mod dependencies;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handle_table;
mod names;
mod patiently;
mod places;
mod pointed;
mod presence;
mod remedy;
mod services;
mod starter;
mod strings;
mod veto;

pub(crate) use answers::*;
pub(crate) use codes::{Code, error, name as code_name, says_unsupported, volume_error};
pub(crate) use command_line::words;
pub(crate) use dependencies::{ImageFile, image_files};
pub(crate) use handle_table::{Handle, files_like, handle_table, may_touch, may_write, untagged};
pub(crate) use names::{Name, is_floppy, kernel_base, parse as parse_name};
pub(crate) use patiently::{Heartbeat, PoolResult, run_all, run_one};
pub(crate) use places::{VolumeNames, VolumePath, find as find_place};
pub(crate) use pointed::{Buffer as PointedAnswer, sid_text};
pub(crate) use presence::{medium, presence};
pub(crate) use remedy::{Holder, SYSTEM, holder, image, mounted_folder, page_file};
pub(crate) use services::services;
pub(crate) use starter::is_alone;
pub(crate) use strings::{multi_sz, page_file_volume, sz};
pub(crate) use veto::Veto;
