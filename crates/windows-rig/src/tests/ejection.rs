//! Ejection, safe removal, and what proves them.

use crate::Test;
use crate::scenarios::*;

const NODE: &str = r"CM_Request_Device_Eject USB\VID_1058&PID_25A2\5758 -> 0";

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "remove/without-administrator",
            "a USB hard disk is removed safely without administrator's rights",
            &["eject", "--power-off", "F:"],
            0,
        )
        .on("system restricted=1")
        .on(USB_DISK)
        .journal(NODE),
        Test::new(
            "remove/without-administrator-eject",
            "the same without --power-off",
            &["eject", "F:"],
            0,
        )
        .on("system restricted=1")
        .on(USB_DISK)
        .journal(NODE),
        Test::new(
            "remove/without-administrator-veto",
            "without rights an open file still vetoes, and its holder is named",
            &["eject", "--power-off", "F:"],
            3,
        )
        .on("system restricted=1")
        .on(USB_DISK)
        .reader(r"F:\held.txt")
        .says(r"F:\held.txt")
        .journal(r"CM_Request_Device_Eject USB\VID_1058&PID_25A2\5758 -> 23"),
        Test::new(
            "remove/first",
            "a USB hard disk is removed safely first, not ejected",
            &["eject", "F:"],
            0,
        )
        .on(USB_DISK)
        .journal(NODE)
        .never("EJECT_MEDIA"),
        Test::new(
            "remove/not-mounted-again",
            "a disk that is said to be safe to unplug is not mounted again",
            &["eject", "F:"],
            0,
        )
        .on("system other-program=1")
        .on(USB_DISK)
        // Between the end of our locks and the request, another program may still mount the volume: the
        // request makes the file system flush and dismount it, or vetoes.
        .never("START UNIT")
        .journal(NODE)
        .never_later("mounted for another program"),
        Test::new(
            "remove/eject-second",
            "where safe removal is refused, the disk is ejected",
            &["eject", "F:"],
            0,
        )
        .on(USB_DISK)
        .with(
            "capabilities=0x90 removal-policy=3",
            "capabilities=0x90 removal-policy=3 veto=7 veto-name=driver",
        )
        .journal("CM_Request_Device_Eject")
        .journal("IOCTL_STORAGE_EJECT_MEDIA"),
        Test::new(
            "remove/stick-refuses",
            "a stick that knows no ejection is removed safely",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .with("removable=1", "removable=1 eject=unsupported")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> INVALID_DEVICE_REQUEST")
        .journal(r"CM_Request_Device_Eject USB\VID_0781&PID_5567\1234 -> 0"),
        Test::new(
            "remove/stick-lies",
            "a stick that reports an ejection and keeps its medium is removed safely",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .with("removable=1", "removable=1 eject=lies")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .journal(r"CM_Request_Device_Eject USB\VID_0781&PID_5567\1234 -> 0"),
        Test::new(
            "remove/power-off",
            "--power-off is proved by the disk's node",
            &["eject", "--power-off", "E:"],
            0,
        )
        .on(STICK)
        .says("powered off")
        .journal("PhysicalDrive1 removed by Plug and Play"),
        Test::new(
            "remove/own-handles-closed",
            "every handle on the drive is closed before the request",
            &["eject", "--power-off", "K:"],
            0,
        )
        .on(TWO_VOLUMES)
        .journal(r"CM_Request_Device_Eject USB\VID_0951&PID_1666\77 -> 0, veto 0")
        .never("veto 5"),
        Test::new("remove/veto-named", "a veto is named", &["eject", "--power-off", "E:"], 3)
            .on(STICK)
            .with("capabilities=0x94", "capabilities=0x94 veto=4 veto-name=WSearch")
            .says("WSearch"),
        Test::new(
            "remove/veto-passes",
            "a veto that passes is asked again",
            &["eject", "--power-off", "E:"],
            0,
        )
        .on(STICK)
        .with("capabilities=0x94", "capabilities=0x94 veto=6 vetoes=1")
        .journal("CM_Request_Device_Eject")
        .journal(r"CM_Request_Device_Eject USB\VID_0781&PID_5567\1234 -> 0, veto 0"),
        Test::new(
            "remove/remote-session",
            "an administrator in a remote session removes with SeLoadDriverPrivilege",
            &["eject", "--power-off", "E:"],
            0,
        )
        .on("system no-console=1")
        .on(STICK)
        .journal(r"CM_Request_Device_Eject USB\VID_0781&PID_5567\1234 -> 0, veto 0"),
        Test::new(
            "remove/remote-session-user",
            "a message to a user in a remote session names the console",
            &["eject", "--power-off", "E:"],
            5,
        )
        .on("system no-console=1 restricted=1")
        .on(STICK)
        .says("console"),
        Test::new(
            "remove/node-without-removable",
            "a USB device without the capability is removed by its own node",
            &["eject", "--power-off", "E:"],
            0,
        )
        .on(STICK)
        .with("capabilities=0x94", "capabilities=0xD0")
        .journal(r"CM_Query_And_Remove_SubTree USB\VID_0781&PID_5567\1234 -> 0")
        .never("veto 5"),
        Test::new(
            "remove/subtree-veto-passes",
            "a veto that passes is asked again also where only its own node can be removed",
            &["eject", "--power-off", "E:"],
            0,
        )
        .on(STICK)
        .with("capabilities=0x94", "capabilities=0xD0 veto=6 vetoes=1")
        .journal(r"CM_Query_And_Remove_SubTree USB\VID_0781&PID_5567\1234 -> 23, veto 6")
        .journal(r"CM_Query_And_Remove_SubTree USB\VID_0781&PID_5567\1234 -> 0"),
        Test::new(
            "remove/node-of-uas",
            "the USB device leaves, not its disk alone",
            &["eject", "--power-off", "F:"],
            0,
        )
        .on(USB_DISK)
        .with("capabilities=0x90", "capabilities=0x94")
        .journal(NODE),
        Test::new(
            "remove/card-reader",
            "one slot alone does not take the other along",
            &["eject", "P:"],
            0,
        )
        .on(CARD_READER)
        .journal("IOCTL_STORAGE_EJECT_MEDIA P: -> SUCCESS")
        .never("CM_Request_Device_Eject"),
        Test::new(
            "eject/removal-locked",
            "a medium that another program locked in leaves with its device, or a message says so",
            &["eject", "E:"],
            3,
        )
        .or_code(0)
        .on(STICK)
        .with("removable=1", "removable=1 removal-locks=5")
        .never_says("does not know the request"),
        Test::new(
            "eject/removal-not-allowed-without-need",
            "other programs' locks on the medium are not taken off without need",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .never("MEDIA_REMOVAL"),
        Test::new(
            "eject/io-error",
            "an error of the ejection itself is not told as unwritten data: all was flushed",
            &["eject", "--json", "E:"],
            1,
        )
        .on(STICK)
        .with("removable=1", "removable=1 eject=io-error")
        .json("/targets/0/error/kind", "failed"),
        Test::new(
            "eject/paging-device",
            "a disk with a paging file on another volume is refused, not failed",
            &["eject", "E:"],
            1,
        )
        .on(STICK)
        .with("removable=1", "removable=1 eject=paging")
        .never_says("Windows error 2401"),
        Test::new(
            "eject/pulled-out",
            "a drive that is pulled out is gone: ERROR_DEVICE_REMOVED",
            &["eject", "--json", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK dirty=1", "label=STICK")
        .with("removable=1", "removable=1 gone-at=FSCTL_LOCK_VOLUME")
        .json("/targets/0/error/kind", "gone"),
        Test::new(
            "eject/pulled-out-leaving",
            "a drive that is leaving is gone: STATUS_DELETE_PENDING is ERROR_ACCESS_DENIED",
            &["eject", "--json", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK dirty=1", "label=STICK")
        .with("removable=1", "removable=1 gone-at=FSCTL_LOCK_VOLUME gone-status=0xC0000056")
        .json("/targets/0/error/kind", "gone"),
        Test::new(
            "eject/wrong-disk",
            "ERROR_WRONG_DISK is a medium that was replaced",
            &["eject", "--json", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK lock-status=0xC0000012")
        .json("/targets/0/error/kind", "replaced"),
        Test::new(
            "eject/performance-counters",
            "counters that were switched on are switched off",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK flush-ms=1500")
        .journal("unmoor: flush E: -> SUCCESS")
        .journal("IOCTL_DISK_PERFORMANCE_OFF PhysicalDrive1"),
        Test::new(
            "eject/empty-drive",
            "an empty drive opens without a wait, and says so",
            &["eject", "G:"],
            4,
        )
        .or_code(0)
        .on(CD)
        .with("removable=1", "removable=1 media=0")
        .says("tray")
        .deadline(25),
        Test::new(
            "eject/bitlocker-locked",
            "a volume that BitLocker keeps locked is released all the same",
            &["eject", "E:"],
            0,
        )
        .on(STICK)
        .with("fs=fat32 label=STICK dirty=1", "fs=bitlocker")
        .never_says("80310000")
        .never_says("2150694912")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "eject/live-file-system",
            "a warning says that a disc written like a disk is unfinished for other machines",
            &["eject", "G:"],
            0,
        )
        .on(CD)
        .with("fs=cdfs", "fs=udf")
        .says("session"),
        Test::new(
            "relocate/program-on-drive",
            "unmoor.exe on the drive runs from a copy and releases the drive",
            &["eject", r"\"],
            0,
        )
        .on(r"system program=E:\unmoor.exe")
        .on(STICK)
        .journal("FSCTL_DISMOUNT_VOLUME E: without a lock -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "relocate/elevated",
            "an administrator's copy lies where only administrators may write",
            &["eject", r"\"],
            0,
        )
        .on(r"system program=E:\unmoor.exe forbids-programs=1")
        .on(STICK)
        .journal(r"CreateProcess C:\Program Files\unmoor-copy-")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "relocate/forbidden",
            "where rules forbid programs in the temporary folder, the message says what to do",
            &["eject", r"\"],
            1,
        )
        .on(r"system program=E:\unmoor.exe forbids-programs=1 restricted=1")
        .on(STICK)
        .says("1260")
        .says("copy unmoor.exe to another drive")
        .never("FSCTL_DISMOUNT_VOLUME"),
        Test::new(
            "relocate/temporary-on-drive",
            "unmoor.exe on the drive is refused where its copy would lie there too",
            &["eject", r"\"],
            1,
        )
        .on(r"system program=E:\unmoor.exe temporary=E:\ restricted=1")
        .on(STICK)
        .says("temporary folder")
        .never("CreateProcess")
        .never("FSCTL_DISMOUNT_VOLUME"),
        Test::new(
            "relocate/blocked-pipes",
            "pipes of other programs do not keep unmoor.exe from it",
            &["eject", r"\"],
            0,
        )
        .on(r"system program=E:\unmoor.exe stuck-pipes=1")
        .on(STICK)
        .blocked_pipes("3")
        .journal("FSCTL_DISMOUNT_VOLUME E: without a lock -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS"),
        Test::new(
            "relocate/other-holder",
            "unmoor.exe on the drive is refused where another program has a file open",
            &["eject", r"\"],
            3,
        )
        .on(r"system program=E:\unmoor.exe")
        .on(STICK)
        .reader(r"E:\held.txt")
        .says(r"E:\held.txt")
        .never("FSCTL_DISMOUNT_VOLUME"),
        Test::new(
            "eject/disc-spins-up",
            "unmoor waits for a disc that spins up, and dismounts it",
            &["eject", "G:"],
            0,
        )
        .on(CD)
        .with("label=DISC", "label=DISC mounted=0")
        .with("removable=1", "removable=1 not-ready=4")
        .journal("FSCTL_DISMOUNT_VOLUME G: -> SUCCESS")
        .journal("IOCTL_STORAGE_EJECT_MEDIA G: -> SUCCESS"),
        Test::new(
            "eject/counter-within-deadline",
            "counters that do not answer do not outlast --timeout",
            &["eject", "--timeout", "3s", "E:"],
            1,
        )
        .on(STICK)
        .with("label=STICK", "label=STICK flush-ms=6000")
        .with("removable=1", "removable=1 performance-ms=60000")
        .deadline(25),
        Test::new(
            "remove/eject-second-stays-down",
            "a disk that could only be ejected is not mounted again",
            &["eject", "F:"],
            0,
        )
        .on("system other-program=1")
        .on(USB_DISK)
        .with(
            "capabilities=0x90 removal-policy=3",
            "capabilities=0x90 removal-policy=3 veto=7 veto-name=driver",
        )
        .journal("IOCTL_STORAGE_EJECT_MEDIA F: -> SUCCESS")
        .never_later("mounted for another program"),
        Test::new(
            "elevate/runas",
            "--elevate starts unmoor again as administrator, and passes its output and exit code on",
            &["eject", "--elevate", "F:"],
            0,
        )
        .on("system restricted=1")
        .on(USB_DISK)
        .says("WD Elements")
        .journal("ShellExecuteEx runas")
        .journal("FSCTL_LOCK_VOLUME F: -> SUCCESS")
        .journal(NODE),
        Test::new(
            "elevate/failure",
            "--elevate passes a failure on, with its holder",
            &["eject", "--elevate", "F:"],
            3,
        )
        .on("system restricted=1")
        .on(USB_DISK)
        .reader(r"F:\held.txt")
        .says(r"F:\held.txt")
        .journal("ShellExecuteEx runas"),
        Test::new(
            "elevate/administrator",
            "--elevate starts nothing where the user is an administrator",
            &["eject", "--elevate", "E:"],
            0,
        )
        .on(STICK)
        .journal("IOCTL_STORAGE_EJECT_MEDIA E: -> SUCCESS")
        .never("ShellExecuteEx"),
    ]
}
