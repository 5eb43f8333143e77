//! The words of the contract for the library's kinds. What a newer library adds is `other` here until
//! the contract names it.

use unmoor::{BlockerKind, Bus, DriveKind, ErrorKind, Medium, Presence, UsageKind, VolumeKind};

pub fn drive_kind(kind: DriveKind) -> &'static str {
    match kind {
        DriveKind::Optical => "optical",
        DriveKind::Disk => "disk",
        DriveKind::Card => "card",
        DriveKind::Loop => "loop",
        DriveKind::Floppy => "floppy",
        DriveKind::Tape => "tape",
        DriveKind::Network => "network",
        _ => "other",
    }
}

pub fn bus(bus: Bus) -> &'static str {
    match bus {
        Bus::Usb => "usb",
        Bus::Scsi => "scsi",
        Bus::Ata => "ata",
        Bus::Mmc => "mmc",
        Bus::Nvme => "nvme",
        Bus::Virtio => "virtio",
        Bus::Thunderbolt => "thunderbolt",
        Bus::Virtual => "virtual",
        _ => "other",
    }
}

pub fn medium(medium: Medium) -> &'static str {
    match medium {
        Medium::Present => "present",
        Medium::Absent => "absent",
        Medium::TrayOpen => "tray-open",
        _ => "unknown",
    }
}

pub fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Present => "present",
        Presence::Stopped => "stopped",
        Presence::Absent => "absent",
        Presence::TrayOpen => "tray-open",
        Presence::Gone => "gone",
        _ => "unknown",
    }
}

pub fn volume_kind(kind: VolumeKind) -> &'static str {
    match kind {
        VolumeKind::Disk => "disk",
        VolumeKind::Partition => "partition",
        VolumeKind::Crypt => "crypt",
        VolumeKind::Lvm => "lvm",
        VolumeKind::Raid => "raid",
        VolumeKind::Mapping => "mapping",
        VolumeKind::Loop => "loop",
        VolumeKind::Overlay => "overlay",
        VolumeKind::Fuse => "fuse",
        VolumeKind::Nbd => "nbd",
        _ => "other",
    }
}

pub fn blocker(kind: BlockerKind) -> &'static str {
    match kind {
        BlockerKind::Process => "process",
        BlockerKind::Mount => "mount",
        BlockerKind::Namespace => "namespace",
        BlockerKind::Loop => "loop",
        BlockerKind::Swap => "swap",
        BlockerKind::Mapping => "mapping",
        BlockerKind::MultiDevice => "raid",
        BlockerKind::Overlay => "overlay",
        BlockerKind::Export => "export",
        BlockerKind::Kernel => "kernel",
        BlockerKind::Unknown => "unknown",
        _ => "other",
    }
}

pub fn usage(kind: UsageKind) -> &'static str {
    match kind {
        UsageKind::OpenForWriting => "open-for-writing",
        UsageKind::OpenFile => "open-file",
        UsageKind::Directory => "directory",
        UsageKind::DeletedFile => "deleted-file",
        UsageKind::WorkingDirectory => "cwd",
        UsageKind::Root => "root",
        UsageKind::Executable => "exe",
        UsageKind::MappedFile => "mmap",
        UsageKind::Device => "device",
        UsageKind::MountPoint => "mount",
        UsageKind::Kernel => "kernel",
        _ => "other",
    }
}

pub fn error(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Busy => "busy",
        ErrorKind::NoMedium => "no-medium",
        ErrorKind::NotPermitted => "not-permitted",
        ErrorKind::NoSuchTarget => "no-such-target",
        ErrorKind::InvalidTarget => "invalid-target",
        ErrorKind::NotSupported => "not-supported",
        ErrorKind::Refused => "refused",
        ErrorKind::Gone => "gone",
        ErrorKind::Replaced => "replaced",
        ErrorKind::TimedOut => "timed-out",
        ErrorKind::Unwritten => "unwritten",
        ErrorKind::NotVerified => "not-ejected",
        ErrorKind::NotExclusive => "held",
        ErrorKind::Vetoed => "vetoed",
        ErrorKind::NotStarted => "not-started",
        ErrorKind::Interrupted => "interrupted",
        _ => "failed",
    }
}
