//! Readers of what Windows returns: output of `DeviceIoControl`, lists of names, error codes. Also the names
//! a user may type, and decisions that need no call.
//!
//! Nothing here calls Windows, so that it is compiled and tested on every system. The layouts are those
//! of `winioctl.h` and `ntddstor.h` as the Win32 documentation gives them, for 32 and 64 bits alike. A
//! driver may answer short, empty, or with lengths that lie: no reader panics or reads outside.
#![cfg_attr(not(windows), allow(dead_code, unused_imports))]

pub(crate) mod bytes;
pub(crate) mod codes;
pub(crate) mod command_line;
pub(crate) mod containers;
pub(crate) mod device_tree;
pub(crate) mod handle_table;
pub(crate) mod ioctl_output;
pub(crate) mod names;
pub(crate) mod presence;
pub(crate) mod refusal;
pub(crate) mod remedy;
pub(crate) mod self_relative;
pub(crate) mod services;
pub(crate) mod storage_dependency;
pub(crate) mod strings;
pub(crate) mod veto;
pub(crate) mod volume_paths;
pub(crate) mod waiting_process;

pub(crate) use crate::platform::win32_parse::codes::{
    Code, error, name as code_name, refined, says_unsupported, volume_error,
};
pub(crate) use crate::platform::win32_parse::command_line::words;
pub(crate) use crate::platform::win32_parse::containers::{Container, containers};
pub(crate) use crate::platform::win32_parse::device_tree::{NodeInfo, is_usb, removal_node};
pub(crate) use crate::platform::win32_parse::handle_table::{
    Handle, files_like, handle_table, is_pipe_like, may_touch, may_write, untagged,
};
pub(crate) use crate::platform::win32_parse::ioctl_output::*;
pub(crate) use crate::platform::win32_parse::names::{
    Name, is_drive, is_floppy, kernel_base, parse as parse_name,
};
pub(crate) use crate::platform::win32_parse::presence::{medium, presence};
pub(crate) use crate::platform::win32_parse::refusal::{
    lock_refused, not_ejected, opening_refused,
};
pub(crate) use crate::platform::win32_parse::remedy::{
    Holder, SYSTEM, container, holder, image, mounted_folder, page_file, role,
};
pub(crate) use crate::platform::win32_parse::self_relative::{Buffer as PointedAnswer, sid_text};
pub(crate) use crate::platform::win32_parse::services::services;
pub(crate) use crate::platform::win32_parse::storage_dependency::{ImageFile, image_files};
pub(crate) use crate::platform::win32_parse::strings::{
    multi_sz, page_file_volume, sz, volume_root,
};
pub(crate) use crate::platform::win32_parse::veto::Veto;
pub(crate) use crate::platform::win32_parse::volume_paths::{
    VolumeNames, VolumePath, find as find_place,
};
pub(crate) use crate::platform::win32_parse::waiting_process::is_only_user;
