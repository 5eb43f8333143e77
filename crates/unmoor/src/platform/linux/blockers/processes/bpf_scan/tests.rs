use super::*;
use crate::platform::linux::blockers::mounts::scan::MountScan;
use crate::platform::linux::sys::bpf::verifier_log;
use crate::platform::linux::sys::bpf_assembler::listing;
use crate::platform::linux::sys::device_number;

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
        (kernel_types::TASKS, programs::of_tasks(&devices, types, 1, false)),
        (kernel_types::FILES, programs::of_files(&devices, types)),
        (kernel_types::MAPPINGS, programs::of_mappings(&devices, types)),
        (kernel_types::TASKS, programs::of_tasks(&devices, types, 1, true)),
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
        ("tasks.lst", programs::of_tasks(&devices, &types, 77, true)),
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
