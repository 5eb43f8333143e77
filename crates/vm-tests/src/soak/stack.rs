//! Scripts that set up a stack in the guest, and open it again on another drive.

use super::cycle::{Medium, Stack};
use super::file_system::FileSystem;

/// Beginning of each script. Without udev in the guest, LVM must neither wait for it nor rely on it.
const BEGIN: &str = "set -e; export DM_DISABLE_UDEV=1; lvm() { command lvm \"$@\" --config \
    'devices{use_devicesfile=0 obtain_device_list_from_udev=0} activation{udev_sync=0 udev_rules=0}'; }; \
    rm -rf /dev/rigvg /dev/mapper/rig*; echo -n secret >/tmp/key; ";

const FORMAT: &str = "cryptsetup -q luksFormat --type luks2 --luks2-metadata-size 16k --luks2-keyslots-size 256k \
    --pbkdf pbkdf2 --pbkdf-force-iterations 1000 -d /tmp/key";

const MAPPING: &str = "/dev/mapper/rigluks";
const VOLUME: &str = "/dev/mapper/rigvg-riglv";
const ARRAY: &str = "/dev/md0";
/// Name of the image on the file system below it.
const IMAGE: &str = "disk.img";

/// Shell word that starts the program which serves the image, and gives the loop device over what it serves.
const SERVED: &str = "$(losetup -n -O NAME -j /mnt/served/file 2>/dev/null | grep . || { \
    modprobe fuse; mkdir -p /mnt/served; \
    setsid $AGENT hold fuse /mnt/served --container /mnt/v1/disk.img >/dev/null 2>&1 & \
    for i in $(seq 100); do test -f /mnt/served/file && break; sleep 0.1; done; \
    losetup --show -f /mnt/served/file; })";

/// Nodes of the drive and its partitions.
pub struct Nodes {
    pub drive: String,
    pub parts: Vec<String>,
}

impl Nodes {
    fn part(&self, number: usize) -> &str {
        self.parts.get(number).map_or(&self.drive, String::as_str)
    }
}

/// Returns the script that makes the stack and its file systems, and mounts them at [`Medium::directories`].
pub fn make(medium: &Medium, nodes: &Nodes) -> String {
    let mut script = BEGIN.to_owned();
    let (one, two) = (nodes.part(0), nodes.part(1));
    let crypt =
        |device: &str| format!("{FORMAT} {device}; cryptsetup open -d /tmp/key {device} rigluks; ");
    let group = |device: &str| {
        format!(
            "lvm pvcreate -q -y {device}; lvm vgcreate -q -s 1m rigvg {device}; \
             lvm lvcreate -q -y -Wn -Zn -l 100%FREE -n riglv rigvg; "
        )
    };
    script.push_str(&match medium.stack {
        Stack::Luks | Stack::LuksWhole => crypt(one),
        Stack::Lvm => group(one),
        Stack::LvmOnLuks => crypt(one) + &group(MAPPING),
        Stack::Raid => format!(
            "mdadm --quiet --create {ARRAY} --run --level=1 --raid-devices=2 --metadata=1.2 --assume-clean {one} {two}; "
        ),
        _ => String::new(),
    });
    let devices = devices(medium, nodes);
    for ((file_system, device), directory) in
        medium.file_systems.iter().zip(&devices).zip(medium.directories())
    {
        if device == IMAGE {
            script.push_str(&format!(
                "truncate -s 40M /mnt/v1/{IMAGE}; IMAGE={}; ",
                image(medium.stack)
            ));
        }
        let device = if device == IMAGE { "$IMAGE" } else { device };
        let make = match medium.stack {
            Stack::Btrfs => format!(
                "modprobe btrfs; mkfs.btrfs -q -f -M -d raid0 -m raid0 {one} {two}; btrfs device scan {one} {two} >/dev/null"
            ),
            _ => file_system.make(device),
        };
        script.push_str(&format!(
            "{make}; mkdir -p {directory}; {}; ",
            file_system.mount(device, &directory)
        ));
    }
    // What was made is there to stay; what is written from now on is what counts.
    script + "sync"
}

/// Returns the device of each volume; [`IMAGE`] stands for its loop device.
fn devices(medium: &Medium, nodes: &Nodes) -> Vec<String> {
    let one = match medium.stack {
        Stack::Luks | Stack::LuksWhole => MAPPING,
        Stack::Lvm | Stack::LvmOnLuks => VOLUME,
        Stack::Raid => ARRAY,
        _ => nodes.part(0),
    };
    let two = match medium.stack {
        Stack::Image | Stack::Served => IMAGE,
        _ => nodes.part(1),
    };
    vec![one.to_owned(), two.to_owned()]
}

/// Returns the shell word for the loop device over the image, which it sets up if need be.
fn image(stack: Stack) -> String {
    match stack {
        Stack::Served => SERVED.to_owned(),
        _ => format!(
            "$(losetup -n -O NAME -j /mnt/v1/{IMAGE} | grep . || losetup --show -f /mnt/v1/{IMAGE})"
        ),
    }
}

/// Returns the script that opens the levels below the file systems again, on whatever drive they are.
pub fn open(medium: &Medium, nodes: &Nodes) -> String {
    let (one, two) = (nodes.part(0), nodes.part(1));
    let decrypt = format!("cryptsetup open -d /tmp/key {one} rigluks; ");
    let activate = "lvm vgchange -q -ay rigvg; ";
    BEGIN.to_owned()
        + &match medium.stack {
            Stack::Luks | Stack::LuksWhole => decrypt,
            Stack::Lvm => activate.to_owned(),
            Stack::LvmOnLuks => decrypt + activate,
            Stack::Raid => format!("mdadm --quiet --assemble {ARRAY} {one} {two}; "),
            Stack::Btrfs => format!("btrfs device scan {one} {two} >/dev/null; "),
            _ => String::new(),
        }
        + "true"
}

/// Volume to check.
pub struct Volume {
    pub file_system: FileSystem,
    /// Shell word for the device.
    pub device: String,
    pub directory: String,
}

/// Returns the volumes in the order in which they can be checked: an image after its file system.
pub fn volumes(medium: &Medium, nodes: &Nodes) -> Vec<Volume> {
    let devices = devices(medium, nodes).into_iter().map(|device| match device.as_str() {
        IMAGE => image(medium.stack),
        _ => device,
    });
    medium
        .file_systems
        .iter()
        .zip(devices)
        .zip(medium.directories())
        .map(|((&file_system, device), directory)| Volume { file_system, device, directory })
        .collect()
}
