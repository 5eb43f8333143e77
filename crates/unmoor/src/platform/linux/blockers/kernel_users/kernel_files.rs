//! Files and devices of the drive that a part of the kernel has open on behalf of a program or a remote host.
//!
//! No process has such a file open. Each of these parts has a list of its own.

use crate::model::blocker::{Blocker, BlockerKind, Usage, UsageKind};
use crate::platform::linux::blockers::mounts::types::DeviceIndex;
use crate::platform::linux::blockers::scan::device_filter::DeviceFilter;
use crate::platform::linux::blockers::shell_quote::{command_on, shell_command};
use crate::platform::linux::sys::target_core::Backing;
use crate::platform::linux::sys::{
    binfmt_misc, mdstat, nvme_target, swaps, target_core, uprobe_events, usb_gadget, zram,
};
use std::path::{Path, PathBuf};

/// File or device that the kernel has open.
struct KernelFile {
    index: DeviceIndex,
    path: PathBuf,
    /// Words that follow the path in the description.
    user: String,
    remedy: &'static str,
    command: Option<String>,
}

/// Returns a blocker for each file or device of the drive that the kernel has open.
pub(crate) fn blockers<'d>(
    filter: &DeviceFilter,
    name: &impl Fn(DeviceIndex) -> &'d str,
) -> Vec<Blocker> {
    let files = [
        interpreters(filter),
        uprobes(filter),
        targets(filter),
        nvme_targets(filter),
        bitmaps(filter),
        gadgets(filter),
        zrams(filter),
    ];
    let blocker = |file: KernelFile| {
        let description = format!("{} {}", file.path.display(), file.user);
        let usage = Usage::new(UsageKind::Kernel, name(file.index)).at(&file.path);
        Blocker::new(BlockerKind::Kernel, description)
            .with_usage(usage)
            .with_remedy(file.remedy, file.command)
    };
    files.into_iter().flatten().map(blocker).collect()
}

fn interpreters(filter: &DeviceFilter) -> Vec<KernelFile> {
    let on_drive = binfmt_misc::open_interpreters().into_iter().filter_map(|format| {
        Some(KernelFile {
            index: filter.path(&format.interpreter)?,
            path: format.interpreter,
            user: "is an interpreter that binfmt_misc has open".into(),
            remedy: "unregister it",
            command: write_to("-1", &format.entry),
        })
    });
    on_drive.collect()
}

fn uprobes(filter: &DeviceFilter) -> Vec<KernelFile> {
    let on_drive = uprobe_events::active().into_iter().filter_map(|probe| {
        let (directory, event) = (probe.directory, &probe.event);
        Some(KernelFile {
            index: filter.path(&probe.program)?,
            path: probe.program,
            user: format!("has the uprobe {event}"),
            remedy: "remove the probe",
            command: Some(format!(
                "echo 0 >{directory}/events/{event}/enable && echo -:{event} >>{directory}/uprobe_events"
            )),
        })
    });
    on_drive.collect()
}

fn targets(filter: &DeviceFilter) -> Vec<KernelFile> {
    let on_drive = target_core::backing_stores().into_iter().filter_map(|store| {
        let (index, path) = match &store.backing {
            Backing::File(path) => (filter.path(path)?, path.clone()),
            Backing::Device(device) => (filter.device(*device)?, store.directory.clone()),
        };
        let links = target_core::links_to(&store);
        let unlink = links.iter().map(|link| command_on(&["rm"], link));
        let remove = unlink.chain([command_on(&["rmdir"], &store.directory)]);
        Some(KernelFile {
            index,
            path,
            user: format!("is open for the SCSI target {}", store.directory.display()),
            remedy: "remove it from the target",
            command: remove.collect::<Option<Vec<_>>>().map(|commands| commands.join(" && ")),
        })
    });
    on_drive.collect()
}

fn nvme_targets(filter: &DeviceFilter) -> Vec<KernelFile> {
    let on_drive = nvme_target::enabled_namespaces().into_iter().filter_map(|namespace| {
        Some(KernelFile {
            index: filter.path(&namespace.backing)?,
            path: namespace.backing,
            user: format!("is open for the NVMe target {}", namespace.directory.display()),
            remedy: "disable that",
            command: write_to("0", &namespace.directory.join("enable")),
        })
    });
    on_drive.collect()
}

fn bitmaps(filter: &DeviceFilter) -> Vec<KernelFile> {
    let on_drive = mdstat::bitmap_files().into_iter().filter_map(|bitmap| {
        let array = Path::new("/dev").join(&bitmap.array);
        Some(KernelFile {
            index: filter.path(&bitmap.path)?,
            path: bitmap.path,
            user: format!("is the bitmap of the array {}", bitmap.array),
            remedy: "remove it from the array",
            command: command_on(&["mdadm", "--grow", "--bitmap=none"], &array),
        })
    });
    on_drive.collect()
}

fn gadgets(filter: &DeviceFilter) -> Vec<KernelFile> {
    let on_drive = usb_gadget::open_files().into_iter().filter_map(|unit| {
        let eject = unit.directory.join("forced_eject");
        let command = match eject.exists() {
            true => write_to("1", &eject),
            false => write_to("", &unit.directory.join("file")),
        };
        Some(KernelFile {
            index: filter.path(&unit.file)?,
            path: unit.file,
            user: format!("is open for the USB gadget {}", unit.directory.display()),
            remedy: "eject it from the gadget",
            command,
        })
    });
    on_drive.collect()
}

fn zrams(filter: &DeviceFilter) -> Vec<KernelFile> {
    let swaps = swaps::active();
    let on_drive = zram::with_backing_device().into_iter().filter_map(|zram| {
        let device = Path::new("/dev").join(&zram.name);
        let reset = write_to("1", &Path::new("/sys/block").join(&zram.name).join("reset"))?;
        let command = match swaps.contains(&device) {
            true => format!("{} && {reset}", command_on(&["swapoff"], &device)?),
            false => reset,
        };
        Some(KernelFile {
            index: filter.path(&zram.backing_device)?,
            path: zram.backing_device,
            user: format!("is the backing device of {}", zram.name),
            remedy: "reset that",
            command: Some(command),
        })
    });
    on_drive.collect()
}

/// Returns the command that writes this word to a file.
fn write_to(word: &str, file: &Path) -> Option<String> {
    Some(format!("echo {word} >{}", shell_command([file.as_os_str()])?))
}
