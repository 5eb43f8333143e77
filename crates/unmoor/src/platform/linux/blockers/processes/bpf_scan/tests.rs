use super::*;
use crate::platform::linux::sys::bpf::verifier_log;
use crate::platform::linux::sys::bpf_assembler::listing;

fn devices() -> Devices {
    Devices::for_tests(&[7 << 20 | 3, 0x2b], &[7 << 20 | 3], &[21 << 20 | 1], Some(0xe))
}

/// Each kernel accepts its programs; the loops need Linux 6.7.
#[test]
#[ignore = "needs root and a kernel with BTF"]
fn the_kernel_accepts_the_programs() {
    let types = types().unwrap();
    let devices = devices();
    let programs = [
        (bpf_programs::TASKS, bpf_programs::of_tasks(&devices, types, 1, false)),
        (bpf_programs::FILES, bpf_programs::of_files(&devices, types)),
        (bpf_programs::MAPPINGS, bpf_programs::of_mappings(&devices, types)),
        (bpf_programs::TASKS, bpf_programs::of_tasks(&devices, types, 1, true)),
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
    let (devices, types) = (devices(), TypeInfo::counted(&bpf_programs::TYPE_NAMES));
    let programs = [
        ("tasks.lst", bpf_programs::of_tasks(&devices, &types, 77, true)),
        ("files.lst", bpf_programs::of_files(&devices, &types)),
        ("mappings.lst", bpf_programs::of_mappings(&devices, &types)),
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
