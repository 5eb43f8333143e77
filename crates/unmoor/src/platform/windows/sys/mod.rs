//! Win32 interfaces, one a file: bytes and error codes in, bytes and error codes out.

pub(crate) mod cancellable_io;
pub(crate) mod container_driver;
pub(crate) mod container_program;
pub(crate) mod current_directory;
pub(crate) mod device;
pub(crate) mod devnode;
pub(crate) mod dynamic_library;
pub(crate) mod error_mode;
pub(crate) mod fsctl;
pub(crate) mod privilege;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod restart_manager;
pub(crate) mod storage;
pub(crate) mod system_handles;
pub(crate) mod utf16;
pub(crate) mod virtual_disks;
pub(crate) mod volumes;
