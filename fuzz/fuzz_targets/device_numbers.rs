#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmoor_fuzzing::linux::device_numbers(bytes));
