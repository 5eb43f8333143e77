use super::*;
use crate::platform::linux::sys::bpf::verifier_log;

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
        (programs::TASKS, programs::of_tasks(&devices, types, 1, false)),
        (programs::FILES, programs::of_files(&devices, types)),
        (programs::MAPPINGS, programs::of_mappings(&devices, types)),
        (programs::TASKS, programs::of_tasks(&devices, types, 1, true)),
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
