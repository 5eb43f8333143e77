//! The drives behind `sim:NAME`.

use crate::device::Prevention;
use crate::fault::{Fault, FaultKind, Op};
use crate::machine::Simulated;
use crate::semantics::Semantics;
use crate::setup::{DriveSetup, VolumeSetup};
use std::path::PathBuf;
use std::time::Duration;
use unmoor::{Bus, DriveKind, SystemUse};

const MIB: u64 = 1 << 20;

impl Simulated {
    /// Returns the machine that `sim:NAME` targets refer to, with the semantics of this system.
    ///
    /// | drive | description |
    /// |---|---|
    /// | `sim:stick` | a USB stick: ext4 and vfat, both mounted, data not written yet |
    /// | `sim:cd` | a CD in a drive with a tray |
    /// | `sim:card` | an SD card: nothing to eject |
    /// | `sim:disk` | a USB disk: it is stopped; `--power-off` takes it off its bus |
    /// | `sim:image` | a loop device: it is detached |
    /// | `sim:empty` | a CD drive without a disc |
    /// | `sim:tray` | a CD drive with its tray open, and a disc in that |
    /// | `sim:busy` | an editor holds a file on the second partition |
    /// | `sim:slow` | much to write; a service closes its files only after 3 s |
    /// | `sim:kept` | a player has prevented removal of the disc; any process can allow it again |
    /// | `sim:liar` | reports success for an eject, and keeps the medium |
    /// | `sim:silent` | never reports whether it has a medium |
    /// | `sim:broken` | cannot write: input/output error |
    /// | `sim:yanked` | is pulled out while it flushes |
    /// | `sim:reader` | a slot of a card reader; `sim:reader2` is its sibling |
    /// | `sim:parked` | a USB disk that was powered off and not unplugged: `attach` brings it back |
    /// | `sim:system` | carries `/` and swap |
    pub fn demo() -> Self {
        Simulated::demo_in(Semantics::native())
    }

    /// Returns the machine of [`Simulated::demo`], with these semantics.
    pub fn demo_in(semantics: Semantics) -> Self {
        let machine = Simulated::new(semantics);
        let mut mount_points = MountPoints { semantics, letter: b'E' };
        healthy(&machine, &mut mount_points);
        busy_drives(&machine, &mut mount_points);
        faulty(&machine, &mut mount_points);
        let parked = DriveSetup::disk("parked").model("USB disk").size(1 << 40).powered_off();
        machine.plug(&parked.volume(VolumeSetup::partition("vfat")));
        machine
    }
}

/// Generator of mount points, as this system names them.
struct MountPoints {
    semantics: Semantics,
    letter: u8,
}

impl MountPoints {
    fn next(&mut self, name: &str) -> PathBuf {
        match self.semantics {
            Semantics::Linux => format!("/media/{name}").into(),
            Semantics::Windows => {
                let letter = char::from(self.letter);
                self.letter += 1;
                format!("{letter}:\\").into()
            }
        }
    }

    /// Returns a vfat partition with some data not yet written.
    fn partition(&mut self, name: &str) -> VolumeSetup {
        VolumeSetup::partition("vfat").mounted(self.next(name)).dirty("/notes.txt", 64 << 10)
    }
}

fn healthy(machine: &Simulated, mount_points: &mut MountPoints) {
    let photos = VolumeSetup::partition("ext4")
        .label("photos")
        .uuid("5f7e2d0a-5b1c-4f0e-9d55-0c2f6a1b9e11")
        .mounted(mount_points.next("photos"))
        .dirty("/2026/harbour.jpg", 2 * MIB);
    let letters = VolumeSetup::partition("vfat")
        .label("LETTERS")
        .uuid("1A2B-3C4D")
        .mounted(mount_points.next("letters"))
        .dirty("/ada.txt", MIB);
    machine.plug(
        &DriveSetup::stick("stick")
            .model("Memory stick")
            .size(16 << 30)
            .volume(photos)
            .volume(letters),
    );
    let disc = VolumeSetup::whole("iso9660").label("MUSIC").mounted(mount_points.next("music"));
    machine.plug(&DriveSetup::cd("cd").model("CD drive").size(650 * MIB).volume(disc));
    let card = mount_points.partition("card");
    machine.plug(&DriveSetup::card("card").model("SD card").size(8 << 30).volume(card));
    let disk = mount_points.partition("disk");
    machine.plug(&DriveSetup::disk("disk").model("USB disk").size(1 << 40).volume(disk));
    let image =
        VolumeSetup::whole("ext4").mounted(mount_points.next("image")).dirty("/draft.txt", MIB);
    machine.plug(&DriveSetup::image("image").size(64 * MIB).volume(image));
    machine.plug(&DriveSetup::cd("empty").model("CD drive").empty());
    machine.plug(&DriveSetup::cd("tray").model("CD drive").size(650 * MIB).tray_open(true));
    for (name, sibling) in [("reader", "sim:reader2"), ("reader2", "sim:reader")] {
        let volume = mount_points.partition(name);
        machine.plug(
            &DriveSetup::stick(name).model("Card reader").siblings(&[sibling]).volume(volume),
        );
    }
}

fn busy_drives(machine: &Simulated, mount_points: &mut MountPoints) {
    let (first, second) = (mount_points.partition("busy"), mount_points.partition("busy-too"));
    let busy =
        machine.plug(&DriveSetup::stick("busy").model("Memory stick").volume(first).volume(second));
    machine.program(4312, "editor");
    machine.open_file(busy, "sim:busy2", 4312, "/letter.txt").expect("it is mounted");

    let much = mount_points.partition("slow").dirty("/film.mkv", 12 * MIB);
    let slow = DriveSetup::stick("slow").model("Slow stick").bytes_per_second(4 * MIB).volume(much);
    let slow = machine.plug(&slow);
    // After the flush of three seconds it stays busy for three more.
    machine.busy_until(slow, "sim:slow1", Duration::from_secs(6), "the thumbnailer");

    let disc = VolumeSetup::whole("udf").label("FILM").mounted(mount_points.next("film"));
    let kept = DriveSetup::cd("kept").model("DVD drive").prevention(Prevention::Set).volume(disc);
    machine.plug(&kept);
    let system = VolumeSetup::partition("ext4").label("system");
    machine.plug(
        &DriveSetup::new("system", DriveKind::Disk, Bus::Nvme)
            .model("Built-in disk")
            .leaves(false, false)
            .system(&[SystemUse::Mount("/".into()), SystemUse::Swap("sim:system2".into())])
            .volume(system),
    );
}

fn faulty(machine: &Simulated, mount_points: &mut MountPoints) {
    let faults = [
        ("liar", Some(Fault::new(Op::Perform, FaultKind::Lie))),
        ("broken", Some(Fault::new(Op::Flush, FaultKind::IoError))),
        ("yanked", Some(Fault::new(Op::FlushDrive, FaultKind::Yank))),
        ("silent", None),
    ];
    for (name, fault) in faults {
        let drive =
            DriveSetup::stick(name).model("Memory stick").volume(mount_points.partition(name));
        machine.plug(&match fault {
            Some(fault) => drive.fault(fault),
            None => drive.silent(),
        });
    }
}
