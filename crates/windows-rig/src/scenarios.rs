//! Devices that several tests share. `SCENARIOS.md` says what the lines mean.
//!
//! Capabilities are CM_DEVCAP_* of cfgmgr32.h: 0x04 Removable, 0x10 UniqueID, 0x40 RawDeviceOK,
//! 0x80 SurpriseRemovalOK. Removal policies are CM_REMOVAL_POLICY_*: 1 none, 2 orderly, 3 surprise.

/// A USB stick with one FAT32 volume, E:, that has unwritten data.
pub(crate) const STICK: &str = r#"
node id=PCI\VEN_8086&DEV_A36D\3 capabilities=0
node id=USB\ROOT_HUB30\4&1 parent=PCI\VEN_8086&DEV_A36D\3 capabilities=0
node id=USB\VID_0781&PID_5567\1234 parent=USB\ROOT_HUB30\4&1 capabilities=0x94
node id=USBSTOR\DISK&VEN_SANDISK\1234&0 parent=USB\VID_0781&PID_5567\1234 capabilities=0x90 removal-policy=3
disk number=1 node=USBSTOR\DISK&VEN_SANDISK\1234&0 bus=usb removable=1 hotplug=1 vendor=SanDisk product="Cruzer Blade" serial=1234
volume letter=E disk=1 fs=fat32 label=STICK dirty=1
"#;

/// A USB hard disk, NTFS, F:.
pub(crate) const USB_DISK: &str = r#"
node id=USB\ROOT_HUB30\4&2 capabilities=0
node id=USB\VID_1058&PID_25A2\5758 parent=USB\ROOT_HUB30\4&2 capabilities=0x94
node id=USBSTOR\DISK&VEN_WD\5758&0 parent=USB\VID_1058&PID_25A2\5758 capabilities=0x90 removal-policy=3
disk number=2 node=USBSTOR\DISK&VEN_WD\5758&0 bus=usb hotplug=1 vendor=WD product=Elements size=1000000000000
volume letter=F disk=2 fs=ntfs label=BACKUP dirty=1 size=1000000000000
"#;

/// The same after its safe removal: the USB device is held for ejection, its disk is not there.
pub(crate) const REMOVED_DISK: &str = r#"
node id=USB\ROOT_HUB30\4&2 capabilities=0
node id=USB\VID_1058&PID_25A2\5758 parent=USB\ROOT_HUB30\4&2 capabilities=0x94 problem=47 port=8 location=Port_#0008.Hub_#0001
node id=USBSTOR\DISK&VEN_WD\5758&0 parent=USB\VID_1058&PID_25A2\5758 capabilities=0x90 removal-policy=3 gone=1
disk number=2 node=USBSTOR\DISK&VEN_WD\5758&0 bus=usb hotplug=1 gone=1 vendor=WD product=Elements size=1000000000000
volume letter=F disk=2 fs=ntfs label=BACKUP size=1000000000000
"#;

/// An internal SATA disk at a port that the firmware calls hot-plug, D:.
pub(crate) const HOT_PLUG_SATA: &str = r#"
node id=PCI\VEN_8086&DEV_A352\3 capabilities=0
node id=SCSI\DISK&VEN_SAMSUNG\4&3 parent=PCI\VEN_8086&DEV_A352\3 capabilities=0x84 removal-policy=2
disk number=3 node=SCSI\DISK&VEN_SAMSUNG\4&3 bus=sata vendor=Samsung product="SSD 860"
volume letter=D disk=3 fs=ntfs label=DATA dirty=1
"#;

/// Two data disks of a virtual machine, whose SCSI controller is removable, D: and L:.
pub(crate) const VIRTUAL_MACHINE: &str = r#"
node id=PCI\VEN_15AD&DEV_07C0\5 capabilities=0x06 removal-policy=2
node id=SCSI\DISK&VEN_VMWARE\5&1 parent=PCI\VEN_15AD&DEV_07C0\5 capabilities=0
disk number=3 node=SCSI\DISK&VEN_VMWARE\5&1 bus=sas vendor=VMware product="Virtual disk"
volume letter=D disk=3 fs=ntfs label=DATA dirty=1
node id=SCSI\DISK&VEN_VMWARE\5&2 parent=PCI\VEN_15AD&DEV_07C0\5 capabilities=0
disk number=12 node=SCSI\DISK&VEN_VMWARE\5&2 bus=sas vendor=VMware product="Virtual disk"
volume letter=L disk=12 fs=ntfs label=LOGS dirty=1
"#;

/// A Thunderbolt dock with a network card and a disk, D:; the dock as a whole is removable.
pub(crate) const THUNDERBOLT: &str = r#"
node id=PCI\VEN_8086&DEV_15DA\7 capabilities=0x94 removal-policy=3
node id=PCI\VEN_8086&DEV_1539\8 parent=PCI\VEN_8086&DEV_15DA\7 capabilities=0
node id=PCI\VEN_1B21&DEV_0612\9 parent=PCI\VEN_8086&DEV_15DA\7 capabilities=0
node id=SCSI\DISK&VEN_CRUCIAL\9&1 parent=PCI\VEN_1B21&DEV_0612\9 capabilities=0
disk number=3 node=SCSI\DISK&VEN_CRUCIAL\9&1 bus=sata vendor=Crucial product=MX500
volume letter=D disk=3 fs=ntfs label=DOCKED dirty=1
"#;

/// A disk of a dock or an eSATA box, without any sign that it can be removed, H:.
pub(crate) const FIXED_DISK: &str = r#"
node id=SCSI\DISK&VEN_ESATA\6&1 capabilities=0
disk number=4 node=SCSI\DISK&VEN_ESATA\6&1 bus=sata vendor=Dock product=Disk
volume letter=H disk=4 fs=ntfs label=DOCK dirty=1
"#;

/// A CD drive with a disc, G:.
pub(crate) const CD: &str = r#"
node id=SCSI\CDROM&VEN_HL\4&1 capabilities=0
cdrom number=0 node=SCSI\CDROM&VEN_HL\4&1 bus=sata removable=1 vendor=HL-DT-ST product=DVDRAM
volume letter=G cdrom=0 fs=cdfs label=DISC
"#;

/// A stick with a lettered volume and one without a letter.
pub(crate) const TWO_VOLUMES: &str = r#"
node id=USB\VID_0951&PID_1666\77 capabilities=0x94
node id=USBSTOR\DISK&VEN_KINGSTON\77&0 parent=USB\VID_0951&PID_1666\77 capabilities=0x90 removal-policy=3
disk number=5 node=USBSTOR\DISK&VEN_KINGSTON\77&0 bus=usb removable=1 hotplug=1 vendor=Kingston product=DataTraveler
volume letter=K disk=5 fs=exfat label=LARGE dirty=1
volume disk=5 fs=fat32 label=HIDDEN dirty=1
"#;

/// A volume that spans two disks, N:.
pub(crate) const SPANNED: &str = r#"
node id=USB\VID_0001&PID_0001\1 capabilities=0x94
node id=USBSTOR\DISK&VEN_A\1&0 parent=USB\VID_0001&PID_0001\1 capabilities=0x90 removal-policy=3
node id=USB\VID_0001&PID_0001\2 capabilities=0x94
node id=USBSTOR\DISK&VEN_A\2&0 parent=USB\VID_0001&PID_0001\2 capabilities=0x90 removal-policy=3
disk number=6 node=USBSTOR\DISK&VEN_A\1&0 bus=usb hotplug=1 vendor=A product=One
disk number=7 node=USBSTOR\DISK&VEN_A\2&0 bus=usb hotplug=1 vendor=A product=Two
volume letter=N disk=6 disk=7 fs=ntfs label=SPAN dirty=1
"#;

/// A card reader with two slots, P: and Q:, in one USB device.
pub(crate) const CARD_READER: &str = r#"
node id=USB\VID_058F&PID_6366\9 capabilities=0x94
node id=USBSTOR\DISK&VEN_MULTI\9&0 parent=USB\VID_058F&PID_6366\9 capabilities=0x90 removal-policy=3
node id=USBSTOR\DISK&VEN_MULTI\9&1 parent=USB\VID_058F&PID_6366\9 capabilities=0x90 removal-policy=3
disk number=8 node=USBSTOR\DISK&VEN_MULTI\9&0 bus=usb removable=1 hotplug=1 vendor=Multi product=SD
disk number=9 node=USBSTOR\DISK&VEN_MULTI\9&1 bus=usb removable=1 hotplug=1 vendor=Multi product=CF
volume letter=P disk=8 fs=fat32 label=PHOTOS dirty=1
volume letter=Q disk=9 fs=fat32 label=CF dirty=1
"#;

/// An SD card in an SD host controller, whose driver knows no ejection, S:.
pub(crate) const SD_CARD: &str = r#"
node id=PCI\VEN_10EC&DEV_522A\1 capabilities=0
node id=SD\DISK&GENERIC\1 parent=PCI\VEN_10EC&DEV_522A\1 capabilities=0x94 removal-policy=3
disk number=10 node=SD\DISK&GENERIC\1 bus=sd removable=1 eject=unsupported vendor=Generic product="SD card"
volume letter=S disk=10 fs=fat32 label=CAMERA dirty=1
"#;

/// A disc image that Explorer has mounted from C:, J:.
pub(crate) const DISC_IMAGE: &str = r#"
node id=SCSI\CDROM&VEN_MSFT\2&0 capabilities=0
cdrom number=1 node=SCSI\CDROM&VEN_MSFT\2&0 bus=file removable=1 image=C:\disc.iso vendor=Msft product="Virtual DVD-ROM"
volume letter=J cdrom=1 fs=udf label=IMAGE
"#;
