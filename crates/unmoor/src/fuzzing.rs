//! Parsers of foreign text and bytes, for the crate `unmoor-fuzzing`, and BPF for the floor of `unmoor-benches`.
//!
//! No part of the interface: names and types change without notice.

/// Parsers of what Linux, udev and drives report.
#[cfg(target_os = "linux")]
pub mod linux {
    pub mod bpf {
        pub use crate::platform::linux::sys::bpf::{Instruction, iterate};
    }
    pub mod btf {
        pub use crate::platform::linux::sys::btf::{Source, WantedTypes, find_in, open};
        pub use rustix::io::Errno;
    }
    pub mod cgroup {
        pub use crate::platform::linux::blockers::processes::cgroup::Owner;
    }
    pub mod describe {
        pub use crate::platform::linux::inventory::describe::partition_number;
    }
    pub mod device_number {
        pub use crate::platform::linux::sys::device_number::{from_dev, parse};
    }
    pub mod dm_ioctl {
        pub use crate::platform::linux::sys::dm_ioctl::encoded;
    }
    pub mod exports {
        pub use crate::platform::linux::sys::exports::parse;
    }
    pub mod external_stack {
        pub use crate::platform::linux::blockers::external_stack::logical_volume;
    }
    pub mod fdinfo {
        pub use crate::platform::linux::sys::fdinfo::FdInfo;
    }
    pub mod identity {
        pub use crate::platform::linux::blockers::processes::identity::{Users, stat, uid};
    }
    pub mod maps {
        pub use crate::platform::linux::sys::maps::Mapping;
    }
    pub mod mount_table {
        pub use crate::platform::linux::sys::mount_table::MountTable;
    }
    pub mod mountinfo {
        pub use crate::platform::linux::sys::mountinfo::{
            MountInfo, parse, source_is_device, unescape,
        };
    }
    pub mod mounts {
        pub use crate::platform::linux::blockers::mounts::ns_members::NsMember;
        pub use crate::platform::linux::blockers::mounts::propagation::PeerGroups;
        pub use crate::platform::linux::blockers::mounts::scan::MountScan;
        pub use crate::platform::linux::blockers::mounts::types::Namespace;
    }
    pub mod overlay_options {
        pub use crate::platform::linux::sys::overlay_options::layers;
    }
    pub mod procfs {
        pub use crate::platform::linux::sys::procfs::{namespace_number, parse};
    }
    pub mod pseudo_file {
        pub use crate::platform::linux::sys::pseudo_file::{replace, text_of};
    }
    pub mod sense {
        pub use crate::platform::linux::sys::sense::Sense;
        pub use crate::platform::linux::sys::sg::ScsiResponse;
    }
    pub mod shell_quote {
        pub use crate::platform::linux::blockers::shell_quote::{command_on, shell_command};
    }
    pub mod signal_mask {
        pub use crate::platform::linux::blockers::processes::signal_mask::{SignalState, mask};
    }
    pub mod sock_diag {
        pub use crate::platform::linux::sys::sock_diag::{Part, parse, written};
    }
    pub mod superblock {
        pub use crate::platform::linux::inventory::superblock::probe;
        pub use crate::platform::linux::sys::content::ReadAt;
    }
    pub mod swaps {
        pub use crate::platform::linux::sys::swaps::parse;
    }
    pub mod sysfs {
        pub use crate::platform::linux::sys::sysfs::BlockDevice;
    }
    pub mod udev {
        pub use crate::platform::linux::sys::udev::{decode, parse};
    }
    pub mod writeback {
        pub use crate::platform::linux::sys::writeback::sum;
    }
}

/// Parsers of what Windows reports. They call no Windows function, and are compiled everywhere.
pub mod win32 {
    pub use crate::platform::win32_parse::codes::{error, name as code_name, says_unsupported};
    pub use crate::platform::win32_parse::command_line::words;
    pub use crate::platform::win32_parse::containers::containers;
    pub use crate::platform::win32_parse::handle_table::handle_table;
    pub use crate::platform::win32_parse::ioctl_output::{
        bytes_written, device_descriptor, device_number, disk_extents, disk_size, hotplug,
    };
    pub use crate::platform::win32_parse::names::{Name, kernel_base, parse as parse_name};
    pub use crate::platform::win32_parse::remedy::{image, mounted_folder};
    pub use crate::platform::win32_parse::self_relative::{Buffer, sid_text};
    pub use crate::platform::win32_parse::services::services;
    pub use crate::platform::win32_parse::storage_dependency::image_files;
    pub use crate::platform::win32_parse::strings::{multi_sz, page_file_volume, sz};
    pub use crate::platform::win32_parse::veto::Veto;
    pub use crate::platform::win32_parse::volume_paths::{VolumeNames, VolumePath, find};
}
