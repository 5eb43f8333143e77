use super::*;
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::blockers::test_support::{Holder, LoopImage, image, number, ok};
use crate::platform::linux::sys::bpf::verifier_log;
use crate::platform::linux::sys::bpf_assembler::listing;
use crate::platform::linux::sys::{device_number, procfs};
use std::process::Command;

fn devices() -> Devices {
    Devices::for_tests(&[7 << 20 | 3, 0x2b], &[7 << 20 | 3], &[21 << 20 | 1], Some(0xe))
}

/// A SCSI disk has character devices too: `/dev/sg1`, `/dev/bsg/2:0:0:0`.
#[test]
fn character_devices_are_looked_for_as_nodes_and_not_as_file_systems() {
    let nodes = [(8 << 32 | 16, 0), (device_number::of_character_device(21, 1), 0)];
    let filter = DeviceFilter::new(&nodes, &MountScan::default());
    let anonymous = Devices::of(&filter).unwrap().anonymous;
    let expected = Devices::for_tests(&[8 << 20 | 16], &[8 << 20 | 16], &[21 << 20 | 1], anonymous);
    assert_eq!(Devices::of(&filter), Some(expected));
}

/// Each kernel accepts its programs; the loops need Linux 6.7.
#[test]
#[ignore = "needs root and a kernel with BTF"]
fn the_kernel_accepts_the_programs() {
    let types = types(&ScanDeadline::of(Duration::from_secs(60))).unwrap();
    let devices = devices();
    let programs = [
        (kernel_types::TASKS, programs::of_tasks(&devices, types, 1, Loops::None)),
        (kernel_types::FILES, programs::of_files(&devices, types)),
        (kernel_types::MAPPINGS, programs::of_mappings(&devices, types)),
        (kernel_types::TASKS, programs::of_tasks(&devices, types, 1, Loops::FilesAndMappings)),
        (kernel_types::TASKS, programs::of_tasks(&devices, types, 1, Loops::Files)),
        (kernel_types::TASKS, mapped_inodes::of_inodes(&devices, types)),
        (kernel_types::FILES, use_counts::of_descriptors(1, true, types)),
        (kernel_types::FILES, use_counts::of_descriptors(1, false, types)),
    ];
    for (iterator, program) in programs {
        let Ok(program) = program else {
            assert!(types.function("bpf_iter_task_vma_new").is_none(), "{iterator}");
            continue;
        };
        let function = types.function(iterator).unwrap();
        if let Err(errno) = iterate(&program, function) {
            panic!("{iterator}: {errno}\n{}", verifier_log(&program, function));
        }
    }
}

/// The listing tells what a change does. `UNMOOR_WRITE_DOCS=1` writes it anew.
#[test]
fn the_programs_are_listed() {
    let (devices, types) = (devices(), TypeInfo::counted(&kernel_types::WANTED));
    let programs = [
        ("tasks.lst", programs::of_tasks(&devices, &types, 77, Loops::FilesAndMappings)),
        ("inodes.lst", mapped_inodes::of_inodes(&devices, &types)),
        ("counts.lst", use_counts::of_descriptors(77, true, &types)),
        ("files.lst", programs::of_files(&devices, &types)),
        ("mappings.lst", programs::of_mappings(&devices, &types)),
    ];
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/platform/linux/blockers/processes/bpf_scan/listings"
    );
    for (name, program) in programs {
        let (path, listing) = (format!("{folder}/{name}"), listing(&program.unwrap()));
        if std::env::var_os("UNMOOR_WRITE_DOCS").is_some() {
            std::fs::write(&path, &listing).unwrap();
        }
        assert_eq!(listing, std::fs::read_to_string(&path).unwrap(), "{name}");
    }
}

fn nothing_mapped(stick: &LoopImage) -> bool {
    nothing_mapped_on(number(stick))
}

fn nothing_mapped_on(number: u64) -> bool {
    let device = ((number >> 32) << 20 | number & 0xf_ffff) as i32;
    let devices = Devices::for_tests(&[device], &[device], &[], None);
    let deadline = ScanDeadline::of(Duration::from_secs(60));
    nothing_is_mapped(&devices, types(&deadline).unwrap(), &deadline).unwrap()
}

/// Each way to map something of a drive is seen, and its end too. Nodes on the drive lead to mappings elsewhere.
#[test]
#[ignore = "needs root, loop devices, overlayfs, Python and a kernel with the functions of Linux 6.7"]
fn a_mapping_is_seen_from_the_inodes() {
    let stick = image();
    let merged = stick.beside("merged");
    for name in ["lower", "upper", "work"] {
        std::fs::create_dir(stick.mount.join(name)).unwrap();
    }
    std::fs::write(stick.mount.join("lower/low"), "low").unwrap();
    let at = |name: &str| stick.mount.join(name).display().to_string();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let mount = |words: &[&str]| ok(Command::new("mount").args(words).arg(&merged));
    assert!(mount(&["-t", "overlay", "unmoor", "-o", &options]));
    let low = merged.join("low").display().to_string();
    let open = Holder::python(
        "fd = os.open(keep + '/open', os.O_RDWR | os.O_CREAT)\nready()",
        &stick.mount,
    );
    assert!(nothing_mapped(&stick), "an open file alone");
    for (path, flags, remove) in [
        ("keep + '/private'", "mmap.MAP_PRIVATE", ""),
        ("keep + '/shared'", "mmap.MAP_SHARED", ""),
        ("keep + '/deleted'", "mmap.MAP_SHARED", "os.unlink(path)"),
        (&format!("{low:?}"), "mmap.MAP_PRIVATE", ""),
        (&format!("{:?}", stick.device), "mmap.MAP_SHARED", ""),
    ] {
        let script = format!(
            "import mmap\npath = {path}\nfd = os.open(path, os.O_RDWR | os.O_CREAT)\n\
             if os.fstat(fd).st_size == 0 and not path.startswith('/dev/'): os.write(fd, b'some')\n\
             held = mmap.mmap(fd, 3, {flags})\nos.close(fd)\n{remove}\nready()"
        );
        let holder = Holder::python(&script, &stick.mount);
        assert!(!nothing_mapped(&stick), "{path}, {flags}");
        drop(holder);
        assert!(nothing_mapped(&stick), "{path}, {flags}: after its end");
    }
    assert!(ok(Command::new("mknod").arg(stick.mount.join("node")).args(["c", "1", "3"])));
    assert!(!nothing_mapped(&stick), "a node may be mapped elsewhere");
    std::fs::remove_file(stick.mount.join("node")).unwrap();
    assert!(nothing_mapped(&stick));
    drop(open);
    assert!(ok(Command::new("umount").arg(&merged)));
}

#[test]
#[ignore = "needs root, tmpfs and a kernel with the functions of Linux 6.7"]
fn more_inodes_than_the_program_goes_through_may_be_mapped() {
    let stick = image();
    let place = stick.beside("tmpfs");
    assert!(ok(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&place)));
    let path = std::ffi::CString::new(place.as_os_str().as_encoded_bytes()).unwrap();
    let device = procfs::stat_at(&path).unwrap().device;
    assert!(nothing_mapped_on(device), "an empty file system");
    for number in 0..super_block_walk::MAX_INODES {
        std::fs::write(place.join(number.to_string()), "").unwrap();
    }
    assert!(!nothing_mapped_on(device));
    assert!(ok(Command::new("umount").arg(&place)));
}
